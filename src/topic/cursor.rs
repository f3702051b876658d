//! What a subscriber holds, as a value: the state it has seen of one topic. In: where it starts. Out: where `since` goes on.
//! Bounded: one fixed-size `Copy` struct per subscription, whatever its speed.

use wire::event::Cause;

/// Where a subscription stands. Two subscribers with equal cursors get equal bytes: it is the key of shared encodings.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Cursor {
    pub(super) sums: Sums,
    pub(super) epoch: u64,
    pub(super) seq: u64,
    /// Id of the last trade the subscriber got, if nothing has come between: the next one may be told as a step from it.
    pub(super) previous_id: Option<i64>,
    /// Newest feed state seen; 0 = none.
    pub(super) state_version: u32,
    /// Newest `Meta` of this epoch seen; 0 = none on this connection.
    pub(super) meta_version: u32,
    pub(super) start: Start,
    /// `sums` are those at `seq`. False for a resumed cursor until its first answer.
    pub(super) sums_known: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Start {
    /// Holds nothing: begins with a snapshot.
    New,
    /// Holds nothing and wants nothing of the past (stream topics; elsewhere the same as `New`).
    Now,
    /// Holds nothing and wants so many of the newest entries first (stream topics; elsewhere the same as `New`).
    Back(u32),
    /// Holds the view at `(epoch, seq)`.
    At,
}

/// What a subscriber that resumes will never be told one by one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Missing {
    None,
    /// So many trades.
    Count(u64),
    /// Some, or perhaps none: the position says too little.
    Unknown,
}

/// Running totals of a trade topic since its epoch began. Their differences describe any window, however long ago it began.
/// They wrap: a difference is exact as long as the window itself fits.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub(super) struct Sums {
    pub volume: u128,
    pub notional: i128,
    /// Trades. The sequence minus this is the number of gap markers.
    pub count: u64,
    /// Trades that gap markers say are missing upstream.
    pub missing: u64,
    /// Gap markers that could not say how many.
    pub unknown: u32,
    /// Cause of the newest gap marker.
    pub cause: Cause,
}

impl Cursor {
    /// A subscriber that holds nothing.
    pub const NEW: Self = Self::starting(Start::New);
    /// A subscriber of a stream that wants only what comes from now on.
    pub const NOW: Self = Self::starting(Start::Now);

    /// A subscriber of a stream that wants the newest `n` entries first, as far as the ring has them.
    pub const fn back(n: u32) -> Self {
        Self::starting(Start::Back(n))
    }

    const fn starting(start: Start) -> Self {
        Self {
            sums: Sums { volume: 0, notional: 0, count: 0, missing: 0, unknown: 0, cause: Cause::None },
            epoch: 0,
            seq: 0,
            previous_id: None,
            state_version: 0,
            meta_version: 0,
            start,
            sums_known: false,
        }
    }

    /// A subscriber on a new connection that still holds the view at `(epoch, seq)`.
    pub const fn resume(epoch: u64, seq: u64) -> Self {
        let mut cursor = Self::starting(Start::At);
        cursor.epoch = epoch;
        cursor.seq = seq;
        cursor
    }

    /// True if it wants some of the newest entries first.
    pub fn is_back(&self) -> bool {
        matches!(self.start, Start::Back(_))
    }

    pub fn epoch(&self) -> u64 {
        self.epoch
    }

    pub fn seq(&self) -> u64 {
        self.seq
    }

    #[cfg(test)]
    pub(super) fn starts_back(&self) -> Option<u32> {
        if let Start::Back(n) = self.start { Some(n) } else { None }
    }

    /// True once the subscriber holds a view: after the first answer, or if it came with one.
    pub fn is_placed(&self) -> bool {
        self.start == Start::At
    }
}

impl Sums {
    pub fn add_trade(&mut self, price: i64, size: i64) {
        self.count += 1;
        self.volume = self.volume.wrapping_add(u128::from(size.max(0).unsigned_abs()));
        self.notional = self.notional.wrapping_add(i128::from(price) * i128::from(size));
    }

    pub fn add_gap(&mut self, missing: Option<u64>, cause: Cause) {
        match missing {
            Some(missing) => self.missing = self.missing.wrapping_add(missing),
            None => self.unknown = self.unknown.wrapping_add(1),
        }
        self.cause = cause;
    }
}
