//! The venue's own book of one symbol, so that a snapshot asked for at any time is right. In: recorded snapshots and diffs.
//! Out: the REST answer of the moment. Bounded by the levels of the recording.

use feeds::replay::binance::Snapshot;
use std::collections::{BTreeMap, VecDeque};
use wire::decimal::parse_at;

/// Fine enough for every price of the venue; sizes stay text, since some do not fit 64 bits at this scale.
const PRICE_EXPONENT: i8 = -8;

type Side = BTreeMap<i64, Texts>;

/// Price and size as the venue spelled them.
#[derive(Clone, Debug)]
struct Texts {
    price: Box<str>,
    size: Box<str>,
}

#[derive(Clone, Debug)]
struct Recorded {
    last_update_id: u64,
    bids: Side,
    asks: Side,
}

#[derive(Clone, Debug, Default)]
pub struct VenueBook {
    bids: Side,
    asks: Side,
    /// The last update the book contains; 0 before anything is known.
    last_update_id: u64,
    recorded: VecDeque<Recorded>,
}

impl VenueBook {
    /// A snapshot found while looking over the recording. The first one is where the book starts: a client that asks before the
    /// playback has come that far gets a book from slightly ahead, and the diffs up to it are old news to it.
    pub fn add_recorded(&mut self, snapshot: &Snapshot<'_>) {
        let mut recorded = Recorded { last_update_id: snapshot.last_update_id, bids: Side::new(), asks: Side::new() };
        apply(&mut recorded.bids, &snapshot.bids);
        apply(&mut recorded.asks, &snapshot.asks);
        if self.last_update_id == 0 {
            self.restore(recorded);
        } else {
            self.recorded.push_back(recorded);
        }
    }

    pub fn on_diff(&mut self, first: u64, last: u64, bids: &[[&str; 2]], asks: &[[&str; 2]]) {
        if last <= self.last_update_id {
            return;
        }
        if self.last_update_id != 0 && first > self.last_update_id + 1 {
            self.bridge(first);
            if last <= self.last_update_id {
                return;
            }
        }
        apply(&mut self.bids, bids);
        apply(&mut self.asks, asks);
        self.last_update_id = last;
    }

    /// The recording itself has a hole: the next snapshot it holds is where the book goes on.
    fn bridge(&mut self, first: u64) {
        while let Some(recorded) = self.recorded.pop_front() {
            if recorded.last_update_id + 1 >= first {
                return self.restore(recorded);
            }
        }
    }

    fn restore(&mut self, recorded: Recorded) {
        self.bids = recorded.bids;
        self.asks = recorded.asks;
        self.last_update_id = recorded.last_update_id;
    }

    /// The answer to `/api/v3/depth`.
    pub fn snapshot(&self, limit: usize) -> String {
        let mut out = format!("{{\"lastUpdateId\":{},\"bids\":[", self.last_update_id);
        put_levels(&mut out, self.bids.values().rev().take(limit));
        out.push_str("],\"asks\":[");
        put_levels(&mut out, self.asks.values().take(limit));
        out.push_str("]}");
        out
    }
}

fn apply(side: &mut Side, levels: &[[&str; 2]]) {
    for [price, size] in levels {
        let Ok(key) = parse_at(price.as_bytes(), PRICE_EXPONENT) else { continue };
        if size.bytes().all(|byte| matches!(byte, b'0' | b'.')) {
            side.remove(&key);
        } else {
            side.insert(key, Texts { price: (*price).into(), size: (*size).into() });
        }
    }
}

fn put_levels<'a>(out: &mut String, levels: impl Iterator<Item = &'a Texts>) {
    for (at, level) in levels.enumerate() {
        if at > 0 {
            out.push(',');
        }
        for part in ["[\"", &level.price, "\",\"", &level.size, "\"]"] {
            out.push_str(part);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn is_right_at_every_moment() {
        let mut book = VenueBook::default();
        let first = br#"{"lastUpdateId":10,"bids":[["2.00","1.0"],["1.00","1.0"]],"asks":[["3.00","123456789012.5"]]}"#;
        let later = br#"{"lastUpdateId":40,"bids":[["2.50","1.0"]],"asks":[]}"#;
        for text in [&first[..], later] {
            book.add_recorded(&serde_json::from_slice(text).unwrap());
        }
        // Before the snapshot's place in the recording, and at it: the diffs are in it already.
        book.on_diff(5, 10, &[["9.00", "1.0"]], &[]);
        assert_eq!(book.snapshot(1), r#"{"lastUpdateId":10,"bids":[["2.00","1.0"]],"asks":[["3.00","123456789012.5"]]}"#);
        book.on_diff(9, 12, &[["2.00", "0.00000000"]], &[["3.10", "2"]]);
        assert_eq!(
            book.snapshot(5),
            r#"{"lastUpdateId":12,"bids":[["1.00","1.0"]],"asks":[["3.00","123456789012.5"],["3.10","2"]]}"#
        );
        // A hole in the recording: on from the snapshot that bridges it.
        book.on_diff(35, 41, &[["2.40", "7"]], &[]);
        assert_eq!(book.snapshot(5), r#"{"lastUpdateId":41,"bids":[["2.50","1.0"],["2.40","7"]],"asks":[]}"#);
    }
}
