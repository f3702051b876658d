#!/usr/bin/env python3
"""Tickwire alone under different loads, the server on core 0, the load client on core 1. In: `[--once] [--only NAME;...]`. Out: the table, and
without --only benches/results/workloads.md and .json. Medians of three runs (`--once`: one). Bounded: runs that the host disturbed are repeated,
for ten minutes in all. Needs the release build, Linux and taskset."""

import json
import os
import sys
import time
import urllib.request

from pinned import ROOT, SETTLED_SECONDS, TRADE_RING, Repeats, Server, bench, cpu_name, median

RESULTS = ROOT / "benches/results"
TRADES, QUOTES = {"feeds__0__sim__trade_percent": 100}, {"feeds__0__sim__trade_percent": 0}
W1 = ["--clients", "1000", "--topics-per-client", "10", "--topics-from", "trade/sim:*", "--consecutive-ids"]
CONFLATED = ["--clients", "1000", "--topics-per-client", "100", "--topics-from", "quote/sim:*"]
MANY = ["--clients", "100", "--topics-per-client", "1000", "--shape", "many"]
IDLE = ["--topics-per-client", "1", "--topics-from", "quote/sim:*", "--sources", "127.0.0.1-127.0.0.20", "--for", "3s", "--warmup", "2s"]
TIMES = ["--for", "6s", "--warmup", "3s"]
# 100 topics, 2,000 trades a second: what fills up once is no growth by those who are stuck.
FULL_HISTORY = f"{TRADE_RING * 100 // 2_000 + 1}s"
# Long enough by itself: run once, whatever else runs three times.
MINUTE = "half load, a minute"
REPEATING_SECONDS = 600
# Of three runs: one loss is one too many, and the share that was stolen says how far the others can be believed.
WORST = ("lost", "failed checks", "gaps", "stolen_percent")


def rate(events, **more):
    return {"feeds__0__sim__events_per_second": events, **more}


# Name, what it is, settings of the server, arguments of the load client.
LOADS = [
    ("W1 trades", "1,000 clients on 10 of 100 trade topics, 500 trades/s: 50,000 deliveries/s", rate(500, **TRADES), [*W1, *TIMES]),
    ("W1 trades, busy", "the same, 20,000 trades/s: 2 M deliveries/s", rate(20_000, **TRADES), [*W1, *TIMES]),
    ("W1 trades, full", "the same, 80,000 trades/s: 8 M deliveries/s", rate(80_000, **TRADES), [*W1, *TIMES]),
    (MINUTE, "the same, 600 trades/s, which takes half of the core, for 60 s; always one run", rate(600, **TRADES),
     [*W1, "--for", "60s", "--warmup", "3s"]),
    ("W1 quotes", "1,000 clients on 10 of 100 quote topics, 80,000 quotes/s; merged updates count", rate(80_000, **QUOTES),
     ["--clients", "1000", "--topics-per-client", "10", "--topics-from", "quote/sim:*", *TIMES]),
    ("realtime", "1,000 clients on all of 100 quotes, 100,000 quotes/s, as fast as it goes", rate(100_000, **QUOTES), [*CONFLATED, *TIMES]),
    ("100 ms", "the same clients at a pace of 100 ms", rate(100_000, **QUOTES), [*CONFLATED, "--pace", "100ms", *TIMES]),
    ("W3 trades", "100 clients on 1,000 trade topics, 20,000 trades/s: 2 M deliveries/s", rate(20_000, feeds__0__sim__symbols=1000, **TRADES),
     [*MANY, "--topics-from", "trade/sim:*", "--consecutive-ids", *TIMES]),
    ("W4 stuck", "200 clients on 100 trade topics, 2,000 trades/s, one in ten reads nothing for 10 s; histories are full", rate(2_000, **TRADES, session__write_timeout_ms=30_000),
     ["--clients", "200", "--topics-per-client", "100", "--topics-from", "trade/sim:*", "--stall", "10%", "--stall-after", "1s", "--stall-for", "10s",
      "--for", "14s", "--warmup", FULL_HISTORY]),
    ("one client", "one client on one quote, 50 quotes/s, nothing else", rate(50, feeds__0__sim__symbols=1, **QUOTES),
     ["--clients", "1", "--topics-per-client", "1", "--topics-from", "quote/sim:*", *TIMES]),
    ("one client, 1,000/s", "the same, 1,000 quotes/s: caches and cores do not fall asleep in between", rate(1_000, feeds__0__sim__symbols=1, **QUOTES),
     ["--clients", "1", "--topics-per-client", "1", "--topics-from", "quote/sim:*", *TIMES]),
    *((f"W2 {clients}", f"{clients:,} clients on one quote each, one quote a second in all", rate(1, feeds__0__quiet_after_ms=3_600_000, **QUOTES), ["--clients", str(clients), *IDLE])
      for clients in (5_000, 10_000, 19_000)),
]  # fmt: skip


def measure(settings, arguments):
    looks = []
    with Server(**settings) as server:
        report, _ = bench(server, "--quiet", *arguments, look=lambda: looks.append(written(server)))
    counts = between(looks)
    latency, server = report["latency_us"]["healthy"], report["server"]
    return {
        "deliveries/s": report["deliveries_per_second"],
        "frames/s": report["frames_per_second"] if "frames_per_second" in report else None,
        "merged": report["merged"],
        "lost": report["lost"],
        "failed checks": report["check_mismatches"],
        "gaps": report["gaps"],
        "p50 ms": latency["event_to_client"]["p50"] / 1000,
        "p99 ms": latency["event_to_client"]["p99"] / 1000,
        "us CPU a delivery": server["cpu_us_per_delivery"],
        "CPU s": server["cpu_seconds"],
        "KiB a connection": server["rss_kib_per_connection"],
        "KiB grown while stuck": server["stall_rss_most_kib"] - server["stall_rss_begin_kib"] if "stall_rss_most_kib" in server else None,
        "connects/s": report["connections"]["per_second"],
        "written p50 us": quantile(counts, 0.5),
        "written p99 us": quantile(counts, 0.99),
        "written max us": quantile(counts, 1),
        "written above 5 ms": above(counts, 0.005),
        "load client busy": report["load_client"]["busy"],
        "stolen_percent": report["stolen_percent"],
    }


def written(server):
    """Of each bucket of publish to written: how many there were so far up to its bound, in seconds."""
    metrics = urllib.request.urlopen(f"http://127.0.0.1:{server.admin}/metrics", timeout=5).read().decode()
    counts = {}
    for line in metrics.splitlines():
        if line.startswith("tickwire_latency_published_to_written_seconds_bucket"):
            bound = float(line.split('le="')[1].split('"')[0])
            counts[bound] = counts.get(bound, 0) + float(line.rsplit(" ", 1)[1])
    return counts


def between(looks):
    """What came between the first two looks, of each bucket up to its bound; nothing if there was but one."""
    if len(looks) < 2:
        return {}
    before, after = looks[:2]
    return {bound: after[bound] - before[bound] for bound in sorted(after)}


def quantile(counts, share):
    """Upper bound of the bucket, in microseconds, in which the quantile of what came between two looks lies; of all of it: the largest."""
    total = max(counts.values(), default=0)
    return next((bound * 1e6 for bound, count in counts.items() if total and count >= share * total), None)


def above(counts, seconds):
    """Of what came between two looks: how many took longer than this, which is a bound of a bucket."""
    return counts[max(counts)] - counts[seconds] if counts else None


def page(rows, count, busy, repeats):
    def cell(value):
        if value is None:
            return "-"
        # Above the last bound, 10 s.
        if value == float("inf"):
            return "> 10,000,000"
        return f"{value:,.0f}" if value >= 100 or value == int(value) else f"{value:.3g}"

    keys = list(rows[0][2])
    lines = [
        "# Workloads",
        "",
        "Made by `just bench-workloads`; [docs/performance.md](../../docs/performance.md) says how it is measured.",
        "",
        f"Machine: {os.cpu_count()} cores, {cpu_name()}; server on core 0, load client on core 1, TLS 1.3 on loopback, all of it verified. "
        f"{time.strftime('%Y-%m-%d %H:%M', time.gmtime())} UTC, {'medians of three runs' if count > 1 else 'one run'}; load average {busy[0]:.1f} when it "
        f"began, {busy[1]:.1f} when it ended (one server and one load client alone make up to 2).",
        "",
        *(f"- **{name}**: {what}" for name, what, _ in rows),
        "",
        "| | " + " | ".join(name for name, _, _ in rows) + " |",
        "|---|" + "---:|" * len(rows),
        *(f"| {key.replace('stolen_percent', 'stolen %')} | " + " | ".join(cell(figures[key]) for _, _, figures in rows) + " |" for key in keys),
        "",
        "*Written*: from publish to written, the bound of the histogram's bucket in which the quantile lies (25, 40, 50, 100, 150, 250 us, …); *max*: of the "
        f"bucket of the latest. Counted over the measured time, less up to {1000 * SETTLED_SECONDS:.0f} ms at its begin and end, so clients that "
        "connect are not in it. *Load client busy*: near 1 it is the load client that limits, and latencies hold its own queue.",
        "",
        repeats.told() + (" The table has the worst of three." if count > 1 else ""),
    ]
    by_name = {name: figures for name, _, figures in rows}
    if "realtime" in by_name and "100 ms" in by_name:
        share = by_name["100 ms"]["CPU s"] / by_name["realtime"]["CPU s"]
        lines += ["", f"CPU time at a pace of 100 ms by CPU time in real time: **{share:.2f}**."]
    return "\n".join(lines) + "\n"


def finite(figures):
    """JSON knows no infinity."""
    return {key: "inf" if value == float("inf") else value for key, value in figures.items()}


def main(arguments):
    count = 1 if "--once" in arguments else 3
    only = arguments[arguments.index("--only") + 1].split(";") if "--only" in arguments else None
    before, rows, repeats = os.getloadavg()[0], [], Repeats(REPEATING_SECONDS)
    for name, what, settings, asked in LOADS:
        if only and name not in only:
            continue
        runs = [repeats.least_disturbed(lambda: measure(settings, asked)) for _ in range(1 if name == MINUTE else count)]
        figures = median(runs, WORST)
        print(f"{name}: {json.dumps(figures)}", flush=True)
        rows.append((name, what, figures))
    text = page(rows, count, (before, os.getloadavg()[0]), repeats)
    print(text)
    if not only:
        (RESULTS / "workloads.md").write_text(text)
        data = [{"name": name, "what": what, **finite(figures)} for name, what, figures in rows]
        (RESULTS / "workloads.json").write_text(json.dumps(data, indent=1) + "\n")


if __name__ == "__main__":
    if any(argument.startswith("-") and argument not in ("--once", "--only") for argument in sys.argv[1:]):
        sys.exit(__doc__)
    main(sys.argv[1:])
