//! What was counted. In: each frame, record and connection. Out: sums that add up over threads and processes.
//! Bounded: fixed counters, histograms, one number a close code or cause, one a stalled client.

use crate::latency::Latency;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Of the measured time, for one group of clients.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Tally {
    pub frames: u64,
    /// Payload of data frames.
    pub bytes: u64,
    /// Bytes read from sockets, TLS included.
    pub socket_bytes: u64,
    pub reads: u64,
    /// Records that moved a sequence: what was delivered.
    pub records: u64,
    /// How far they moved it, snapshots left out; with `merged`, what was published.
    pub updates: u64,
    pub merged: u64,
    pub snapshots: u64,
    pub gaps: u64,
    /// Events that gaps say are missing, where they say it.
    pub missing: u64,
    pub checks_ok: u64,
    /// From the event to the client.
    pub event: Latency,
    /// From the server's write of a frame to the client.
    pub sent: Latency,
}

impl Tally {
    pub fn add(&mut self, other: &Self) {
        for (sum, more) in [
            (&mut self.frames, other.frames),
            (&mut self.bytes, other.bytes),
            (&mut self.socket_bytes, other.socket_bytes),
            (&mut self.reads, other.reads),
            (&mut self.records, other.records),
            (&mut self.updates, other.updates),
            (&mut self.merged, other.merged),
            (&mut self.snapshots, other.snapshots),
            (&mut self.gaps, other.gaps),
            (&mut self.missing, other.missing),
            (&mut self.checks_ok, other.checks_ok),
        ] {
            *sum += more;
        }
        self.event.add(&other.event);
        self.sent.add(&other.sent);
    }
}

/// What must not be, of the whole run from the first connection on.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Faults {
    /// Updates that neither came nor were told of.
    pub lost: u64,
    /// Frames out of turn, trades out of order, sequences that went back.
    pub order_errors: u64,
    pub check_mismatches: u64,
    /// Frames that could not be read to their end.
    pub decode_errors: u64,
    /// Healthy clients whose connection ended.
    pub lost_connections: u64,
    /// Stalled clients that were not at the head again when the run ended.
    pub never_exact: u64,
    pub connect_failures: BTreeMap<String, u64>,
    /// Topics and requests that the server refused, by code.
    pub refused: BTreeMap<String, u64>,
    /// The first of them, in words.
    pub first: Option<String>,
}

impl Faults {
    pub fn note(&mut self, what: impl FnOnce() -> String) {
        self.first.get_or_insert_with(what);
    }

    pub fn add(&mut self, other: &Self) {
        for (sum, more) in [
            (&mut self.lost, other.lost),
            (&mut self.order_errors, other.order_errors),
            (&mut self.check_mismatches, other.check_mismatches),
            (&mut self.decode_errors, other.decode_errors),
            (&mut self.lost_connections, other.lost_connections),
            (&mut self.never_exact, other.never_exact),
        ] {
            *sum += more;
        }
        add_counts(&mut self.connect_failures, &other.connect_failures);
        add_counts(&mut self.refused, &other.refused);
        if self.first.is_none() {
            self.first.clone_from(&other.first);
        }
    }

    pub fn is_none(&self) -> bool {
        *self == Self::default()
    }
}

/// The end of one thread or process, and of all together.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Outcome {
    pub healthy: Tally,
    pub stalled: Tally,
    pub faults: Faults,
    pub connected: u64,
    /// TCP, TLS, upgrade and greeting of each client.
    pub connect: Latency,
    /// From the first attempt to the last client that was ready.
    pub connect_seconds: f64,
    pub seconds: f64,
    /// By the number a server gave.
    pub closes: BTreeMap<u16, u64>,
    pub stalled_clients: u64,
    /// Of each stalled client: from reading again to being at the head.
    pub exact_again_us: Vec<u64>,
    pub stormed: u64,
    /// Of each client that was made to reconnect: from the drop to being subscribed again.
    pub back: Latency,
    /// Processor time of the load client itself.
    pub cpu_seconds: f64,
}

impl Outcome {
    pub fn add(&mut self, other: &Self) {
        self.healthy.add(&other.healthy);
        self.stalled.add(&other.stalled);
        self.faults.add(&other.faults);
        self.connected += other.connected;
        self.connect.add(&other.connect);
        // They ran side by side.
        self.connect_seconds = self.connect_seconds.max(other.connect_seconds);
        self.seconds = self.seconds.max(other.seconds);
        add_counts(&mut self.closes, &other.closes);
        self.stalled_clients += other.stalled_clients;
        self.exact_again_us.extend_from_slice(&other.exact_again_us);
        self.stormed += other.stormed;
        self.back.add(&other.back);
        self.cpu_seconds += other.cpu_seconds;
    }

    /// Of both groups.
    pub fn all(&self) -> Tally {
        let mut sum = self.healthy.clone();
        sum.add(&self.stalled);
        sum
    }
}

fn add_counts<K: Ord + Clone>(sums: &mut BTreeMap<K, u64>, more: &BTreeMap<K, u64>) {
    for (key, count) in more {
        *sums.entry(key.clone()).or_default() += count;
    }
}

/// How far a thread or process is, once a second.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize)]
pub struct Progress {
    pub connected: u64,
    pub failed: u64,
    pub records: u64,
    pub frames: u64,
    pub bytes: u64,
    pub lost: u64,
    /// Healthy clients, so far.
    pub p99_us: u64,
}

impl Progress {
    pub fn add(&mut self, other: &Self) {
        self.connected += other.connected;
        self.failed += other.failed;
        self.records += other.records;
        self.frames += other.frames;
        self.bytes += other.bytes;
        self.lost += other.lost;
        self.p99_us = self.p99_us.max(other.p99_us);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn outcomes_add_up() {
        let mut one = Outcome { connected: 3, seconds: 2.0, exact_again_us: vec![5], ..Outcome::default() };
        one.healthy.records = 10;
        one.healthy.event.record_us(100);
        one.faults.refused.insert("bad_topic".to_owned(), 1);
        one.closes.insert(4001, 2);
        let mut other = Outcome { connected: 4, seconds: 2.5, exact_again_us: vec![7], ..Outcome::default() };
        other.stalled.records = 5;
        other.stalled.event.record_us(900);
        other.faults.lost = 2;
        other.faults.first = Some("two trades".to_owned());
        other.faults.refused.insert("bad_topic".to_owned(), 1);
        other.closes.insert(4001, 1);
        // As it comes from another process.
        let told: Outcome = serde_json::from_str(&serde_json::to_string(&other).unwrap()).unwrap();
        one.add(&told);
        assert_eq!((one.connected, one.seconds, one.closes[&4001]), (7, 2.5, 3));
        assert_eq!((one.all().records, one.all().event.count(), one.all().event.max_us()), (15, 2, 900));
        assert_eq!((one.faults.lost, one.faults.refused["bad_topic"]), (2, 2));
        assert_eq!((one.faults.first.as_deref(), &one.exact_again_us[..]), (Some("two trades"), &[5, 7][..]));
        assert!(!one.faults.is_none() && Faults::default().is_none());
    }
}
