//! What was seen before a connection broke, so that what the gateway sends again counts once. In: records. Out: new, or seen.
//! Bounded by one small entry an instrument and type of record.
//!
//! A subscription that is resumed says from when. The time is taken a little before the newest, because records of several instruments
//! are not in the order of `ts_event`; what comes twice is recognised per instrument by its time, its sequence, and by how many records
//! of just this time and sequence there were (one message of the venue makes several).

use super::MAX_INSTRUMENTS;
use dbn::{BboMsg, MboMsg, Mbp1Msg, Mbp10Msg, RecordRef, TradeMsg, rtype};
use std::collections::HashMap;

/// Records of different instruments are less than this out of order.
const OVERLAP_NS: u64 = 1_000_000_000;

#[derive(Default)]
pub struct Resume {
    marks: HashMap<(u16, u32, u8), Mark, foldhash::fast::RandomState>,
    newest: u64,
    /// Grows with each resumption.
    round: u32,
}

#[derive(Clone, Copy, Default)]
struct Mark {
    time: u64,
    sequence: u32,
    /// Records of this time and sequence.
    count: u32,
    /// Of these: seen again in this round.
    again: u32,
    /// The round in which it was passed.
    round: u32,
}

impl Resume {
    /// From when on to ask for data; `None` before there was any.
    pub fn start(&self) -> Option<u64> {
        (self.newest > 0).then(|| self.newest.saturating_sub(OVERLAP_NS))
    }

    /// A new connection goes on from `start`.
    pub fn resumed(&mut self) {
        self.round += 1;
        self.marks.values_mut().for_each(|mark| mark.again = 0);
    }

    /// What was before cannot be had: what comes is all new.
    pub fn forget(&mut self) {
        let round = self.round;
        *self = Self { round, ..Self::default() };
    }

    /// True if it is new; then it counts as seen.
    pub fn take(&mut self, record: RecordRef<'_>) -> bool {
        let header = record.header();
        let kind = header.rtype;
        let sequence = match kind {
            rtype::MBO => match record.try_get::<MboMsg>() {
                // A snapshot tells orders of long ago; it is not sent to those who resume.
                Ok(message) if message.flags.is_snapshot() => return true,
                Ok(message) => message.sequence,
                Err(_) => return true,
            },
            rtype::MBP_0 => record.try_get::<TradeMsg>().map_or(0, |message| message.sequence),
            rtype::MBP_1 => record.try_get::<Mbp1Msg>().map_or(0, |message| message.sequence),
            rtype::MBP_10 => record.try_get::<Mbp10Msg>().map_or(0, |message| message.sequence),
            rtype::BBO_1S | rtype::BBO_1M => record.try_get::<BboMsg>().map_or(0, |message| message.sequence),
            rtype::CMBP_1 | rtype::TCBBO | rtype::CBBO_1S | rtype::CBBO_1M | rtype::STATUS => 0,
            // Said anew on each connection, and harmless twice.
            _ => return true,
        };
        let time = header.ts_event;
        if time == u64::MAX {
            return true;
        }
        let key = (header.publisher_id, header.instrument_id, kind);
        if self.marks.len() >= 2 * MAX_INSTRUMENTS && !self.marks.contains_key(&key) {
            return true;
        }
        let mark = self.marks.entry(key).or_default();
        if mark.round < self.round {
            match (time, sequence).cmp(&(mark.time, mark.sequence)) {
                std::cmp::Ordering::Less => return false,
                std::cmp::Ordering::Equal if mark.again < mark.count => {
                    mark.again += 1;
                    return false;
                }
                _ => mark.round = self.round,
            }
        }
        if (time, sequence) == (mark.time, mark.sequence) {
            mark.count += 1;
        } else {
            *mark = Mark { time, sequence, count: 1, again: 0, round: mark.round };
        }
        self.newest = self.newest.max(time);
        true
    }
}
