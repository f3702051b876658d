//! What the system says of a process. In: /proc. Out: resident memory and processor time, of the server over a run and of our own
//! threads. Bounded: a few small files a look. Linux only: elsewhere everything is unknown.

use serde_json::{Value, json};
use std::fs;
use std::time::{Duration, Instant};

/// How often the server is looked at.
const LOOK: Duration = Duration::from_millis(200);

/// Processor time of the calling thread; 0 where nobody tells.
pub fn own_thread_cpu_seconds() -> f64 {
    schedstat_ns("/proc/thread-self/schedstat").unwrap_or(0) as f64 / 1e9
}

/// The first number is the time on a processor, in ns.
fn schedstat_ns(path: &str) -> Option<u64> {
    fs::read_to_string(path).ok()?.split(' ').next()?.parse().ok()
}

/// Of all threads, also of those that have ended; to a hundredth of a second.
fn cpu_ns(pid: u32) -> Option<u64> {
    /// `USER_HZ`, which is 100 on every architecture.
    const TICK_NS: u64 = 10_000_000;
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // Behind the name, which may hold anything: the state is field 3, user and system time are 14 and 15.
    let mut fields = stat.rsplit_once(')')?.1.split_whitespace().skip(11);
    let (user, system) = (fields.next()?.parse::<u64>().ok()?, fields.next()?.parse::<u64>().ok()?);
    Some((user + system) * TICK_NS)
}

fn rss_kib(pid: u32) -> Option<u64> {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    line.trim().trim_end_matches(" kB").parse().ok()
}

/// Follows the server through a run.
pub struct Watch {
    pid: u32,
    looked: Instant,
    before_kib: u64,
    connected_kib: u64,
    measured: Option<Measured>,
    stall: Option<Stall>,
}

struct Measured {
    begin_kib: u64,
    most_kib: u64,
    end_kib: u64,
    begin_cpu_ns: u64,
    cpu_ns: u64,
}

struct Stall {
    begin_kib: u64,
    most_kib: u64,
}

/// Where in the run it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    Connecting,
    WarmingUp,
    Measuring { stalled: bool },
    Over,
}

impl Watch {
    /// Before the first connection. `None` if there is no such process, or no /proc.
    pub fn new(pid: u32) -> Option<Self> {
        let before_kib = rss_kib(pid)?;
        Some(Self { pid, looked: Instant::now(), before_kib, connected_kib: before_kib, measured: None, stall: None })
    }

    pub fn look(&mut self, phase: Phase) {
        let is_due = self.looked.elapsed() >= LOOK || (matches!(phase, Phase::Measuring { .. }) && self.measured.is_none());
        let (true, Some(kib), Some(cpu_ns)) = (is_due, rss_kib(self.pid), cpu_ns(self.pid)) else { return };
        self.looked = Instant::now();
        match phase {
            Phase::Connecting | Phase::WarmingUp => self.connected_kib = kib,
            Phase::Measuring { stalled } => {
                let measured = self.measured.get_or_insert(Measured {
                    begin_kib: kib,
                    most_kib: kib,
                    end_kib: kib,
                    begin_cpu_ns: cpu_ns,
                    cpu_ns,
                });
                measured.most_kib = measured.most_kib.max(kib);
                (measured.end_kib, measured.cpu_ns) = (kib, cpu_ns);
                if stalled {
                    let stall = self.stall.get_or_insert(Stall { begin_kib: kib, most_kib: kib });
                    stall.most_kib = stall.most_kib.max(kib);
                }
            }
            Phase::Over => {}
        }
    }

    /// `deliveries`: in the measured time.
    pub fn json(&self, connected: u64, stalled: u64, deliveries: u64) -> Value {
        let per = |kib: u64, from: u64, clients: u64| (kib as f64 - from as f64) / clients.max(1) as f64;
        let mut json = json!({
            "pid": self.pid,
            "rss_before_kib": self.before_kib,
            "rss_connected_kib": self.connected_kib,
            "rss_kib_per_connection": per(self.connected_kib, self.before_kib, connected),
        });
        if let Some(measured) = &self.measured {
            let cpu_seconds = measured.cpu_ns.saturating_sub(measured.begin_cpu_ns) as f64 / 1e9;
            json["rss_begin_kib"] = measured.begin_kib.into();
            json["rss_most_kib"] = measured.most_kib.into();
            json["rss_end_kib"] = measured.end_kib.into();
            json["rss_kib_per_connection_loaded"] = per(measured.most_kib, self.before_kib, connected).into();
            json["cpu_seconds"] = cpu_seconds.into();
            json["cpu_us_per_delivery"] = (cpu_seconds * 1e6 / deliveries.max(1) as f64).into();
        }
        if let Some(stall) = &self.stall {
            json["stall_rss_begin_kib"] = stall.begin_kib.into();
            json["stall_rss_most_kib"] = stall.most_kib.into();
            json["stall_rss_growth_kib_per_client"] = per(stall.most_kib, stall.begin_kib, stalled).into();
        }
        json
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_is_followed_through_a_run() {
        let mut watch = Watch::new(std::process::id()).expect("this one runs");
        watch.look(Phase::Measuring { stalled: true });
        watch.looked -= LOOK;
        let ballast = vec![1u8; 8 << 20];
        let before = own_thread_cpu_seconds();
        let sum: u64 = (0..20_000_000u64).map(|number| std::hint::black_box(number) & 1).sum();
        assert!(own_thread_cpu_seconds() > before && sum > 0);
        watch.look(Phase::Measuring { stalled: true });
        let json = watch.json(2, 1, 1_000);
        assert!(json["stall_rss_growth_kib_per_client"].as_f64().unwrap() > 7_000.0, "{json} {}", ballast.len());
        assert!(json["cpu_seconds"].as_f64().unwrap() > 0.0 && json["rss_most_kib"].as_u64() > json["rss_begin_kib"].as_u64());
        assert!(Watch::new(u32::MAX).is_none());
    }
}
