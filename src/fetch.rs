//! Memory that is going to be looked at soon. In: something of many, whose turn comes in a moment. Out: nothing but time: the processor has it
//! at hand by then. Bounded by its size.
//!
//! Where each of many things is looked at once in a while, the way from memory is most of what a look costs. Asked for a few turns ahead, it comes
//! while the others are worked on.

use prefetch_index::prefetch_index;

const LINE_BYTES: usize = 64;

/// Asks for something that has so many `bytes`, one of which is `byte`, and so many of which lie `before` that one.
#[inline]
pub fn around<B>(byte: &B, before: usize, bytes: usize) {
    const { assert!(size_of::<B>() == 1) };
    for at in (0..bytes).step_by(LINE_BYTES) {
        prefetch_index(std::slice::from_ref(byte), at.wrapping_sub(before));
    }
}

/// What may ask for its memory.
pub trait Fetch {
    fn fetch(&self) {}
}
