#!/usr/bin/env python3
"""A server on core 0, the load client on core 1. In: `load [bench arguments]` or `stuck [seconds]`. Out: the report; `stuck` also writes
benches/results/stuck.md. Needs the release build, Linux and taskset; the recipes bench-load and bench-stuck of the justfile see to that."""

import json
import os
import platform
import socket
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
TARGET = Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target"))
PROGRAM = TARGET / "release" / "tickwire"


class Server:
    """config/bench.toml on free ports, with some keys set from here."""

    def __init__(self, **keys):
        self.port = free_ports()
        self.admin = self.port + 1
        keys = {"listen__address": f"127.0.0.1:{self.port}", "admin__address": f"127.0.0.1:{self.admin}", **keys}
        overlay = {f"TICKWIRE__{key.upper()}": str(value) for key, value in keys.items()}
        command = pinned(0, [PROGRAM, "serve", "--config", ROOT / "config/bench.toml"])
        # Variables that the caller has set win: that is how rates are changed for `load`.
        self.process = subprocess.Popen(command, env={**overlay, **os.environ})

    def __enter__(self):
        deadline = time.monotonic() + 10
        while True:
            try:
                urllib.request.urlopen(f"http://127.0.0.1:{self.admin}/readyz", timeout=1).close()
                return self
            except OSError:
                if self.process.poll() is not None or time.monotonic() > deadline:
                    self.process.kill()
                    raise SystemExit("the server did not start")
                time.sleep(0.05)

    def __exit__(self, *_):
        self.process.terminate()
        try:
            self.process.wait(20)
        except subprocess.TimeoutExpired:
            self.process.kill()


def free_ports():
    """A port that is free, and so is the next one."""
    while True:
        with socket.socket() as one, socket.socket() as other:
            one.bind(("127.0.0.1", 0))
            port = one.getsockname()[1]
            try:
                other.bind(("127.0.0.1", port + 1))
                return port
            except (OSError, OverflowError):
                continue


def pinned(core, command):
    # On a machine with one core both share it.
    return ["taskset", "-c", str(min(core, os.cpu_count() - 1)), *map(str, command)]


def bench(server, *arguments):
    """The report of a run, and whether it was clean."""
    command = [PROGRAM, "bench", "--insecure", "--url", f"wss://127.0.0.1:{server.port}", "--server-pid", server.process.pid]
    run = subprocess.run(pinned(1, [*command, *arguments]), stdout=subprocess.PIPE, text=True)
    if not run.stdout:
        raise SystemExit("the load client did not finish")
    return json.loads(run.stdout), run.returncode


def load(arguments):
    with Server() as server:
        report, code = bench(server, *arguments)
    print(json.dumps(report))
    return code


# 3,000 events a second, half quotes, half trades, each to 50 of 1,000 clients.
SHAPE = ["--clients", "1000", "--topics-from", "quote/sim:*", "--topics-from", "trade/sim:*", "--consecutive-ids", "--warmup", "5s"]
# Small buffers in the kernel, so that for stuck clients they are full within seconds and the server has to do without them.
KERNEL = {"listen__send_buffer_bytes": 16384}
STALL_AFTER, AFTER_STALL = 5, 10


def stuck(seconds):
    time_ = ["--for", f"{STALL_AFTER + seconds + AFTER_STALL}s"]
    stall = ["--stall", "10%", "--stall-after", f"{STALL_AFTER}s", "--stall-for", f"{seconds}s", "--stall-buffer", "49152"]
    busy, runs = os.getloadavg()[0], []
    for more in [[], stall]:
        with Server(feeds__0__sim__events_per_second=3000, **KERNEL) as server:
            runs.append(bench(server, *SHAPE, *time_, *more))
    (without, _), (with_stuck, _) = runs
    text = page(without, with_stuck, seconds, busy)
    print(text)
    (ROOT / "benches/results/stuck.md").write_text(text)
    return max(code for _, code in runs)


def page(without, with_stuck, seconds, busy):
    def latency(report, key, group="healthy"):
        return report["latency_us"][group]["event_to_client"][key] / 1000

    def row(name, of, form="{:.2f}"):
        return f"| {name} | {form.format(of(without))} | {form.format(of(with_stuck))} |"

    stall, server = with_stuck["stall"], with_stuck["server"]
    again = stall["exact_again_us"]
    growth = server["stall_rss_most_kib"] - server["stall_rss_begin_kib"]
    alone = without["server"]["rss_most_kib"] - without["server"]["rss_begin_kib"]
    lines = [
        "# One client in ten is stuck",
        "",
        "Made by `just bench-stuck`; [docs/performance.md](../../docs/performance.md) says how it is measured.",
        "",
        f"Machine: {os.cpu_count()} cores, {cpu_name()}; server on core 0, load client on core 1, TLS 1.3 on loopback. "
        f"Load average when it began: {busy:.1f}. What else ran on these cores is in all times below, and in the ratio of the two runs.",
        "",
        f"1,000 clients, 10 of 200 topics each (quotes and trades in mode `every`), 3,000 events/s, all checks verified. In the second run "
        f"100 clients read nothing for {seconds} s, then go on. Buffers in the kernel are small (16 KiB on the server, 48 KiB on "
        "stuck clients), so that they are full within seconds.",
        "",
        "| | none stuck | 10 % stuck |",
        "|---|---:|---:|",
        row("deliveries/s", lambda report: report["deliveries_per_second"], "{:,.0f}"),
        row("healthy clients, event to client, p50 ms", lambda report: latency(report, "p50")),
        row("p99 ms", lambda report: latency(report, "p99")),
        row("p99.9 ms", lambda report: latency(report, "p999")),
        row("max ms", lambda report: latency(report, "max")),
        row("server CPU, us a delivery", lambda report: report["server"]["cpu_us_per_delivery"]),
        row("server RSS, KiB a connection", lambda report: report["server"]["rss_kib_per_connection"], "{:.1f}"),
        row("load client busy", lambda report: report["load_client"]["busy"] * 100, "{:.0f} %"),
        row("lost", lambda report: report["lost"], "{}"),
        row("failed checks", lambda report: report["check_mismatches"], "{}"),
        row("passed checks", lambda report: report["checks_ok"], "{:,}"),
        row("gaps told", lambda report: report["gaps"], "{}"),
        row("merged updates told", lambda report: report["merged"], "{:,}"),
        "",
        f"- healthy p99 with stuck clients / without: **{latency(with_stuck, 'p99') / latency(without, 'p99'):.2f}**",
        f"- RSS growth of the server while they were stuck: **{growth:,} KiB**, {growth / max(stall['clients'], 1):.1f} KiB a stuck client "
        f"(in the whole run without any: {alone:,} KiB; buffers of the kernel are not in RSS)",
        f"- exact again after reading on: **{stall['exact_again']} of {stall['clients']}**, p50 {ms(again['p50'])}, p90 {ms(again['p90'])}, "
        f"max {ms(again['max'])}; closed by the server: {stall['closed']}, never: {stall['never_exact']}",
        "- a receive buffer so small that its kernel drops segments (`--stall-buffer 16384`, at 1,000 events/s) makes one client in ten come back "
        "only after up to 13 s: the sender's TCP timer, doubled again and again meanwhile, has to run out first (`ss -tnoi` shows it); Linux 6.15 "
        "and later bound it with `sysctl net.ipv4.tcp_rto_max_ms`",
        f"- the stuck clients' own latency, their waiting included: p99 {latency(with_stuck, 'p99', 'stalled') / 1000:.1f} s",
        "",
    ]
    return "\n".join(lines)


def ms(micros):
    return "none" if micros is None else f"{micros / 1000:.1f} ms"


def cpu_name():
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        return next(line.split(":", 1)[1].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        return platform.machine()


if __name__ == "__main__":
    match sys.argv[1:]:
        case ["load", *arguments]:
            sys.exit(load(arguments))
        case ["stuck"]:
            sys.exit(stuck(30))
        case ["stuck", seconds]:
            sys.exit(stuck(int(seconds)))
        case _:
            sys.exit(__doc__)
