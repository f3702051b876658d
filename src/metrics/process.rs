//! In: `/proc/self`. Out: memory, CPU time, descriptors and threads of this process; 0 where the system does not tell.
//! Bounded: three small files and one directory a scrape.

use super::cell::Gauge;
use std::fs;
use std::time::Instant;

#[derive(Debug)]
pub struct ProcessMetrics {
    started: Instant,
    pub(super) version: &'static str,
    /// Set once at start.
    pub memory_budget: Gauge,
}

impl Default for ProcessMetrics {
    fn default() -> Self {
        Self { started: Instant::now(), version: env!("CARGO_PKG_VERSION"), memory_budget: Gauge::default() }
    }
}

#[derive(Debug, Default)]
pub(super) struct ProcessNow {
    pub uptime_s: f64,
    pub resident_bytes: u64,
    pub cpu_s: f64,
    pub open_fds: u64,
    pub max_fds: u64,
    pub threads: u64,
}

/// The unit of CPU times in /proc; Linux fixes it for programs whatever the kernel's own tick is.
const USER_HZ: f64 = 100.0;

impl ProcessMetrics {
    pub fn uptime_s(&self) -> f64 {
        self.started.elapsed().as_secs_f64()
    }

    pub(super) fn read(&self) -> ProcessNow {
        let mut now = ProcessNow { uptime_s: self.uptime_s(), ..ProcessNow::default() };
        if let Ok(status) = fs::read_to_string("/proc/self/status") {
            now.resident_bytes = field(&status, "VmRSS:") * 1_024;
            now.threads = field(&status, "Threads:");
        }
        if let Ok(limits) = fs::read_to_string("/proc/self/limits") {
            now.max_fds = field(&limits, "Max open files");
        }
        if let Ok(stat) = fs::read_to_string("/proc/self/stat") {
            now.cpu_s = cpu_ticks(&stat) as f64 / USER_HZ;
        }
        now.open_fds = fs::read_dir("/proc/self/fd").map_or(0, |files| files.count() as u64);
        now
    }
}

/// Resident memory of this process; 0 where the system does not tell. One small file.
pub fn resident_bytes() -> u64 {
    fs::read_to_string("/proc/self/status").map_or(0, |status| field(&status, "VmRSS:") * 1_024)
}

/// First number after `name` at the start of a line.
fn field(text: &str, name: &str) -> u64 {
    let rest = text.lines().find_map(|line| line.strip_prefix(name)).unwrap_or_default();
    rest.split_whitespace().next().and_then(|number| number.parse().ok()).unwrap_or(0)
}

/// Fields 14 and 15; the name in field 2 may hold blanks, so counting starts behind its bracket.
fn cpu_ticks(stat: &str) -> u64 {
    let rest = stat.rsplit_once(')').map_or("", |(_, rest)| rest);
    rest.split_whitespace().skip(11).take(2).filter_map(|number| number.parse::<u64>().ok()).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_this_process() {
        let now = ProcessMetrics::default().read();
        assert!(resident_bytes() > 1_000_000);
        assert!(now.resident_bytes > 1_000_000 && now.open_fds > 2 && now.max_fds >= now.open_fds && now.threads > 0, "{now:?}");
    }

    #[test]
    fn cpu_time_of_a_process_with_a_blank_in_its_name() {
        assert_eq!(cpu_ticks("42 (a (b) c) S 1 2 3 4 5 6 7 8 9 10 250 50 0 0"), 300);
    }
}
