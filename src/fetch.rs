//! Memory that is going to be looked at soon. In: something of many, whose turn comes in a moment. Out: nothing but time: the processor has it
//! at hand by then. Bounded by its size.
//!
//! Where each of many things is looked at once in a while, the way from memory is most of what a look costs. Asked for a few turns ahead, it comes
//! while the others are worked on.

use prefetch_index::prefetch_index;
use std::ptr;

const LINE_BYTES: usize = 64;

/// Asks for all of it.
#[inline]
pub fn whole<T>(what: &T) {
    let nothing: &[u8] = &[];
    let begin = ptr::from_ref(what).addr();
    for line in (begin - begin % LINE_BYTES..begin + size_of::<T>()).step_by(LINE_BYTES) {
        prefetch_index(nothing, line.wrapping_sub(nothing.as_ptr().addr()));
    }
}

/// What may ask for its memory.
pub trait Fetch {
    fn fetch(&self) {}
}
