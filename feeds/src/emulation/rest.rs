//! REST answers of an emulated venue. In: path and query. Out: status and body: recorded lists of instruments, books of the moment.
//! Bounded by the book.

use super::exchange::Exchange;
use super::truth::Whole;
use super::voice::BookSaid;
use crate::engine::{BookUpdate, Listed, SnapshotFrom};

/// One answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    pub status: u16,
    pub body: String,
}

impl Answer {
    fn ok(body: String) -> Self {
        Self { status: 200, body }
    }
}

impl Exchange {
    /// `host`: how the client calls us.
    pub fn answer(&mut self, host: &str, path: &str, query: &str) -> Answer {
        let is_known = |native: &str| self.truths.iter().any(|truth| truth.native == native);
        if let Some((status, body)) = self.voice.rest(path, query, self.time, &is_known) {
            return Answer { status, body };
        }
        let url = if query.is_empty() { path.to_owned() } else { format!("{path}?{query}") };
        if !self.protocol.token_request("").is_empty() && path == self.protocol.token_request("") {
            return Answer::ok(self.voice.token(host));
        }
        let key = self.protocol.address_key(&url);
        if self.protocol.listing_keys().iter().any(|known| key.starts_with(known)) {
            return self.list(&key, query);
        }
        if let Some(native) = self.protocol.snapshot_native(&key)
            && let Some(at) = self.truths.iter().position(|truth| truth.native == native)
        {
            return self.book(at, self.voice.levels_asked(path, query));
        }
        Answer { status: 404, body: r#"{"code":404,"message":"Not Found"}"#.to_owned() }
    }

    fn list(&self, key: &str, query: &str) -> Answer {
        // Those that the venue has in this list.
        let is_in = |listed: &&Listed| {
            let lists = self.protocol.listings("", &[format!("!{}", listed.native)]);
            lists.iter().any(|url| self.protocol.address_key(url) == key)
        };
        let list = self.script.lists.get(key).cloned().unwrap_or_else(|| {
            let listed: Vec<Listed> = self.truths.iter().map(|truth| &truth.listed).filter(is_in).cloned().collect();
            self.voice.listing(&listed)
        });
        if let Some((status, body)) = self.voice.list_asked(query, &list) {
            return Answer { status, body };
        }
        Answer::ok(list)
    }

    fn book(&mut self, at: usize, levels: usize) -> Answer {
        self.snapshots_asked += 1;
        if self.snapshots_asked <= self.faults.snapshot_503 {
            return Answer { status: 503, body: self.voice.overloaded() };
        }
        let truth = &mut self.truths[at];
        truth.anchored = matches!(self.protocol.facts().snapshot, SnapshotFrom::Rest { equal: true, .. });
        let empty = || Whole { update: BookUpdate::default(), bids: Vec::new(), asks: Vec::new() };
        let Whole { mut update, bids, asks } = truth.whole(levels).unwrap_or_else(empty);
        update.last = update.last.saturating_sub(truth.shift);
        Answer::ok(self.voice.snapshot(&BookSaid { native: &truth.native, update: &update, bids: &bids, asks: &asks }))
    }
}
