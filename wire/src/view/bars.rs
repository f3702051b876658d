//! In: bars that are new or changed. Out: the newest bars of the topic, oldest first, and their hash.
//! Bounded: `KEPT` bars.

use crate::record::Bar;

/// How many bars a topic has: the newest so many. Server and client drop the oldest beyond, so both hold the same.
pub const KEPT: usize = 8;

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Bars(Vec<Bar>);

impl Bars {
    pub fn replace(&mut self, bars: &[Bar]) {
        self.0.clear();
        self.apply(bars);
    }

    pub fn apply(&mut self, bars: &[Bar]) {
        for bar in bars {
            // Nearly always the newest one.
            let after = self.0.iter().rposition(|held| held.start <= bar.start);
            match after {
                Some(at) if self.0[at].start == bar.start => self.0[at] = *bar,
                after => self.0.insert(after.map_or(0, |at| at + 1), *bar),
            }
            if self.0.len() > KEPT {
                self.0.remove(0);
            }
        }
    }

    /// Oldest first.
    pub fn bars(&self) -> &[Bar] {
        &self.0
    }

    pub fn newest(&self) -> Option<&Bar> {
        self.0.last()
    }

    pub fn hash(&self) -> u32 {
        bars_hash(self.0.iter())
    }
}

/// The `check` hash of bars, oldest first: their number, then of each start, state, prices, count, volume, notional.
pub fn bars_hash<'a>(bars: impl ExactSizeIterator<Item = &'a Bar>) -> u32 {
    let mut hasher = crc32fast::Hasher::new();
    // At most `KEPT`.
    hasher.update(&(bars.len() as u32).to_le_bytes());
    for bar in bars {
        hasher.update(&bar.start.to_le_bytes());
        hasher.update(&[bar.state()]);
        for price in [bar.open, bar.high, bar.low, bar.close] {
            hasher.update(&price.to_le_bytes());
        }
        hasher.update(&bar.count.to_le_bytes());
        hasher.update(&bar.volume.to_le_bytes());
        hasher.update(&bar.notional.to_le_bytes());
    }
    hasher.finalize()
}

impl Bar {
    const CLOSED: u8 = 1;
    const INCOMPLETE: u8 = 2;

    /// Its two truths in one byte, as on the wire.
    pub fn state(&self) -> u8 {
        (u8::from(self.closed) * Self::CLOSED) | (u8::from(self.incomplete) * Self::INCOMPLETE)
    }

    /// Bits that are not known say nothing.
    pub fn set_state(&mut self, state: u8) {
        self.closed = state & Self::CLOSED != 0;
        self.incomplete = state & Self::INCOMPLETE != 0;
    }
}
