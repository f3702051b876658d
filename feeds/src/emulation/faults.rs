//! What an emulated venue is to do wrong. In: settings. Out: the fate of each book update. Bounded: counters.

use std::time::Duration;

/// Message counts are of market-data messages sent to anybody, from the start.
#[derive(Clone, Debug, Default)]
pub struct Faults {
    /// Leave out the Nth book update of each symbol.
    pub drop_diff: Option<u64>,
    /// Leave out every Nth book update of each symbol.
    pub drop_diff_every: Option<u64>,
    /// Send the Nth book update of each symbol twice.
    pub duplicate_diff: Option<u64>,
    /// Send the Nth book update of each symbol after the one that follows it.
    pub swap_diff: Option<u64>,
    /// Send the Nth book update of each symbol with a wrong checksum, where the venue has one.
    pub bad_checksum: Option<u64>,
    /// After N book updates in all the venue's service is restarted: numbers begin anew.
    pub restart_at: Option<u64>,
    /// So many levels a side are added to each book, far from the market.
    pub far_levels: u32,
    /// Cut all connections, without a word, after N messages. Once.
    pub cut_at: Option<u64>,
    /// Answer the first N snapshot requests with 503.
    pub snapshot_503: u64,
    /// After N messages tell everybody that the server shuts down, and close those connections later.
    pub shutdown_notice_at: Option<u64>,
    /// After N messages go silent on the connections of that moment, pings included, without closing them.
    pub mute_at: Option<u64>,
    /// Take every request of a client in so late.
    pub slow_ack: Duration,
}

/// What becomes of one book update on its way to the clients.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fate {
    Send,
    Twice,
    Drop,
    /// After the next one of its symbol.
    Later,
    WrongChecksum,
}

impl Faults {
    /// Of the update with this number among those of its symbol, from 1.
    pub(super) fn fate(&self, number: u64) -> Fate {
        let is = |fault: Option<u64>| fault == Some(number);
        if is(self.drop_diff) || self.drop_diff_every.is_some_and(|every| number.is_multiple_of(every.max(1))) {
            Fate::Drop
        } else if is(self.duplicate_diff) {
            Fate::Twice
        } else if is(self.swap_diff) {
            Fate::Later
        } else if is(self.bad_checksum) {
            Fate::WrongChecksum
        } else {
            Fate::Send
        }
    }
}
