//! What a run came to. In: a plan, an outcome, the server as it was watched. Out: one JSON object for programs, some lines for people.

use crate::plan::Plan;
use crate::procfs::Watch;
use crate::tally::{Outcome, Progress, Tally};
use serde_json::{Value, json};
use wire::request::{Encoding, TradeMode};

/// `processes`: how many shared the clients.
pub fn json(plan: &Plan, processes: usize, outcome: &Outcome, server: Option<&Watch>) -> Value {
    let all = outcome.all();
    let seconds = outcome.seconds.max(1e-9);
    let faults = &outcome.faults;
    json!({
        "tool": "tickwire bench",
        "version": env!("CARGO_PKG_VERSION"),
        "ok": is_ok(outcome),
        "parameters": parameters(plan, processes),
        "seconds": outcome.seconds,
        "deliveries": all.records,
        "deliveries_per_second": all.records as f64 / seconds,
        "updates": all.updates,
        "frames": all.frames,
        "frames_per_second": all.frames as f64 / seconds,
        "bytes": all.bytes,
        "bytes_per_delivery": all.bytes as f64 / all.records.max(1) as f64,
        "socket_bytes": all.socket_bytes,
        "reads": all.reads,
        "merged": all.merged,
        "snapshots": all.snapshots,
        "gaps": all.gaps,
        "missing": all.missing,
        "checks_ok": all.checks_ok,
        "lost": faults.lost,
        "order_errors": faults.order_errors,
        "check_mismatches": faults.check_mismatches,
        "decode_errors": faults.decode_errors,
        "refused": faults.refused,
        "first_fault": faults.first,
        "latency_us": { "healthy": latency(&outcome.healthy), "stalled": latency(&outcome.stalled) },
        "connections": {
            "connected": outcome.connected,
            "failures": faults.connect_failures,
            "seconds": outcome.connect_seconds,
            "per_second": outcome.connected as f64 / outcome.connect_seconds.max(1e-9),
            "time_us": outcome.connect.json(),
            "lost": faults.lost_connections,
            "closes": outcome.closes,
        },
        "stall": plan.stall.map(|_| stall(outcome)),
        "storm": plan.storm.map(|_| json!({ "clients": outcome.stormed, "back_us": outcome.back.json() })),
        "server": server.map(|watch| watch.json(outcome.connected, outcome.stalled_clients, all.records)),
        "load_client": {
            "cpu_seconds": outcome.cpu_seconds,
            "busy": outcome.cpu_seconds / seconds / (plan.threads * processes) as f64,
        },
    })
}

/// Whether the run may be believed and the server did what it must.
pub fn is_ok(outcome: &Outcome) -> bool {
    outcome.faults.is_none() && outcome.connected > 0
}

fn parameters(plan: &Plan, processes: usize) -> Value {
    json!({
        "url": plan.url,
        "dialect": plan.dialect,
        "clients": plan.clients,
        "connect_rate": plan.connect_rate,
        "topics": plan.topics.len(),
        "first_topic": plan.topics.first(),
        "topics_per_client": plan.topics_per_client,
        "shape": plan.shape,
        "seed": plan.seed,
        "pace": plan.pace,
        "trades": match plan.trades {
            TradeMode::Every => "every",
            TradeMode::Summary => "summary",
        },
        "encoding": match plan.encoding {
            Encoding::Binary => "bin",
            Encoding::Json => "json",
        },
        "verify": plan.verify,
        "consecutive_ids": plan.consecutive_ids,
        "warmup_seconds": plan.warmup.as_secs_f64(),
        "seconds": plan.time.as_secs_f64(),
        "stall": plan.stall.map(|stall| json!({
            "percent": stall.share.percent(), "after_seconds": stall.after.as_secs_f64(), "seconds": stall.time.as_secs_f64(),
            "slow_read_bytes_per_second": stall.slow_read, "receive_buffer_bytes": stall.receive_buffer_bytes,
        })),
        "storm": plan.storm.map(|storm| json!({ "percent": storm.share.percent(), "at_seconds": storm.at.as_secs_f64() })),
        "sources": plan.sources.len(),
        "threads": plan.threads,
        "processes": processes,
    })
}

fn latency(tally: &Tally) -> Value {
    json!({ "event_to_client": tally.event.json(), "sent_to_client": tally.sent.json() })
}

fn stall(outcome: &Outcome) -> Value {
    let times = &outcome.exact_again_us;
    let at = |share: f64| times.get(((times.len() as f64 * share) as usize).min(times.len().saturating_sub(1)));
    json!({
        "clients": outcome.stalled_clients,
        "exact_again": times.len(),
        "never_exact": outcome.faults.never_exact,
        "closed": outcome.stalled_clients.saturating_sub(times.len() as u64 + outcome.faults.never_exact),
        "exact_again_us": { "p50": at(0.5), "p90": at(0.9), "max": times.last() },
        "exact_again_each_us": times,
    })
}

/// One line a second.
pub fn progress_line(now: &Progress, before: &Progress, clients: usize) -> String {
    let failed = if now.failed > 0 { format!(", {} failed", now.failed) } else { String::new() };
    let lost = if now.lost > 0 { format!(", LOST {}", now.lost) } else { String::new() };
    format!(
        "{}/{clients} clients{failed}, {} deliveries/s, {} frames/s, {:.1} MB/s, p99 {:.1} ms{lost}",
        now.connected,
        now.records.saturating_sub(before.records),
        now.frames.saturating_sub(before.frames),
        now.bytes.saturating_sub(before.bytes) as f64 / 1e6,
        now.p99_us as f64 / 1e3,
    )
}

/// The end, for people.
pub fn summary(report: &Value) -> Vec<String> {
    let number = |path: &str| report.pointer(path).and_then(Value::as_f64).unwrap_or(0.0);
    let latency = |group: &str, kind: &str| {
        let at = |key: &str| number(&format!("/latency_us/{group}/{kind}/{key}")) / 1e3;
        format!(
            "p50 {:.2}  p90 {:.2}  p99 {:.2}  p99.9 {:.2}  max {:.2} ms",
            at("p50"),
            at("p90"),
            at("p99"),
            at("p999"),
            at("max")
        )
    };
    let mut lines = vec![
        format!(
            "{:.0} deliveries/s in {:.0} frames/s, {:.1} bytes a delivery; merged {}, gaps {} (missing {}), checks {}",
            number("/deliveries_per_second"),
            number("/frames_per_second"),
            number("/bytes_per_delivery"),
            report["merged"],
            report["gaps"],
            report["missing"],
            report["checks_ok"],
        ),
        format!(
            "lost {}, out of order {}, checks failed {}, unreadable {}",
            report["lost"], report["order_errors"], report["check_mismatches"], report["decode_errors"]
        ),
        format!("event to client: {}", latency("healthy", "event_to_client")),
        format!("sent to client:  {}", latency("healthy", "sent_to_client")),
        format!(
            "connected {} at {:.0}/s; connections lost {}, closes {}",
            report["connections"]["connected"],
            number("/connections/per_second"),
            report["connections"]["lost"],
            report["connections"]["closes"]
        ),
    ];
    if !report["stall"].is_null() {
        lines.push(format!("stalled, event:  {}", latency("stalled", "event_to_client")));
        lines.push(format!(
            "stalled {}: exact again {} (p50 {:.1}, max {:.1} ms), closed {}, never exact {}",
            report["stall"]["clients"],
            report["stall"]["exact_again"],
            number("/stall/exact_again_us/p50") / 1e3,
            number("/stall/exact_again_us/max") / 1e3,
            report["stall"]["closed"],
            report["stall"]["never_exact"],
        ));
    }
    if !report["storm"].is_null() {
        lines.push(format!(
            "reconnected {}: back after p50 {:.1}, max {:.1} ms",
            report["storm"]["clients"],
            number("/storm/back_us/p50") / 1e3,
            number("/storm/back_us/max") / 1e3
        ));
    }
    if !report["server"].is_null() {
        lines.push(format!(
            "server: {:.1} KiB a connection (loaded {:.1}), {:.2} us CPU a delivery",
            number("/server/rss_kib_per_connection"),
            number("/server/rss_kib_per_connection_loaded"),
            number("/server/cpu_us_per_delivery")
        ));
    }
    lines.push(format!("load client: {:.0} % of its threads' time", number("/load_client/busy") * 100.0));
    if let Some(first) = report["first_fault"].as_str() {
        lines.push(format!("first fault: {first}"));
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::Stall;
    use std::time::Duration;

    #[test]
    fn the_report_has_what_is_promised() {
        let second = Duration::from_secs(1);
        let stall = Stall { share: "10%".parse().unwrap(), after: second, time: second, slow_read: 0, receive_buffer_bytes: 0 };
        let plan = Plan { stall: Some(stall), ..crate::test_plan() };
        let mut outcome = Outcome { connected: 10, seconds: 2.0, stalled_clients: 3, ..Outcome::default() };
        outcome.exact_again_us = vec![100, 300];
        outcome.healthy.records = 100;
        outcome.healthy.sent.record_us(40);
        let report = json(&plan, 2, &outcome, None);
        assert_eq!((report["ok"].as_bool(), report["deliveries_per_second"].as_f64()), (Some(true), Some(50.0)));
        assert_eq!(report["latency_us"]["healthy"]["sent_to_client"]["p99"], 40);
        assert_eq!((report["stall"]["closed"].as_u64(), report["stall"]["exact_again_us"]["max"].as_u64()), (Some(1), Some(300)));
        assert_eq!(report["parameters"]["stall"]["percent"], 10.0);
        assert!(report["storm"].is_null() && report["server"].is_null());
        assert!(summary(&report).iter().any(|line| line.contains("exact again 2")));
        outcome.faults.lost = 1;
        assert_eq!(json(&plan, 2, &outcome, None)["ok"], false);
    }
}
