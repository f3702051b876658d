#!/usr/bin/env python3
"""A server on core 0, the load client on core 1. In: `load [bench arguments]` or `stuck [seconds]`. Out: the report; `stuck` also writes
benches/results/stuck.md. Needs the release build, Linux and taskset; the recipes bench-load and bench-stuck of the justfile see to that."""

import json
import os
import platform
import socket
import subprocess
import sys
import threading
import time
import urllib.request
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
TARGET = Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target"))
PROGRAM = TARGET / "release" / "tickwire"

# A host that gives the cores of this virtual machine to others makes latencies ten times as long: a run that lost more is repeated so often.
MOST_STOLEN_PERCENT, REPEATS = 1, 3
# Time for those that were counted as connected by their sockets to be subscribed.
SETTLED_SECONDS = 0.5
# Trades of a topic that the server keeps (topics.trade_ring of config/default.toml, which config/bench.toml leaves as it is).
TRADE_RING = 1024


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


def bench(server, *arguments, look=None):
    """The report of a run, and whether it was clean. `look` is called twice, just behind the begin of the measured time and just before its end."""
    command = [PROGRAM, "bench", "--insecure", "--url", f"wss://127.0.0.1:{server.port}", "--server-pid", server.process.pid]
    before = ticks()
    run = subprocess.Popen(pinned(1, [*command, *arguments]), stdout=subprocess.PIPE, text=True)
    if look:
        threading.Thread(target=look_twice, args=(run, arguments, look), daemon=True).start()
    out, _ = run.communicate()
    if not out:
        raise SystemExit("the load client did not finish")
    return {**json.loads(out), "stolen_percent": stolen_percent(before)}, run.returncode


def look_twice(run, arguments, look):
    """The load client warms up from when all are connected, which its open descriptors tell."""
    value = {name: text for name, text in zip(arguments, arguments[1:])}
    clients = int(value["--clients"])
    warmup, measured = (float(value[name].removesuffix("s")) for name in ("--warmup", "--for"))
    try:
        while open_files(run.pid) < clients:
            time.sleep(0.05)
        time.sleep(warmup + SETTLED_SECONDS)
        look()
        time.sleep(measured - 2 * SETTLED_SECONDS)
        look()
    except OSError:
        # It has ended, or the server has: there is nothing to look at.
        pass


def open_files(pid):
    folder = f"/proc/{pid}/fd"
    # Linux before 6.2 does not say their number without listing them.
    return os.stat(folder).st_size or len(os.listdir(folder))


def ticks():
    """Of both cores so far: those that the host gave to others ("steal"), and all."""
    used = {"cpu0", f"cpu{min(1, os.cpu_count() - 1)}"}
    lines = [line.split() for line in Path("/proc/stat").read_text().splitlines()]
    cores = [[int(count) for count in counts[:8]] for name, *counts in lines if name in used]
    return sum(core[7] for core in cores), sum(map(sum, cores))


def stolen_percent(before):
    stolen, all_ = (now - then for now, then in zip(ticks(), before))
    return 100 * stolen / max(all_, 1)


class Repeats:
    """Repeats runs that the host disturbed, with so many seconds for all repeats together, and counts them."""

    def __init__(self, seconds):
        self.seconds, self.runs, self.repeated, self.disturbed = seconds, 0, 0, 0

    def least_disturbed(self, run, until=float("inf"), is_enough=lambda figures: False):
        """What `run` returns, figures with "stolen_percent", of the first run with little stolen or that is enough all the same, or else of
        the least disturbed one."""
        tried = [run()]
        while not is_enough(tried[-1]) and tried[-1]["stolen_percent"] > MOST_STOLEN_PERCENT and len(tried) <= REPEATS:
            begin = time.monotonic()
            if self.seconds <= 0 or begin > until:
                break
            tried.append(run())
            self.seconds -= time.monotonic() - begin
        chosen = tried[-1] if is_enough(tried[-1]) else min(tried, key=lambda figures: figures["stolen_percent"])
        self.runs, self.repeated = self.runs + 1, self.repeated + len(tried) - 1
        self.disturbed += chosen["stolen_percent"] > MOST_STOLEN_PERCENT
        return chosen

    def told(self):
        return (
            "*Stolen*: the share of both cores that the machine's host gave to others while it ran; with more than "
            f"{MOST_STOLEN_PERCENT} % a run is repeated, at most {REPEATS} times, and the least disturbed one counts. "
            f"Repeats: {self.repeated}; of the {self.runs} runs that count {self.disturbed} had more all the same."
        )


def median(runs, worst):
    """Of each figure on its own; of those in `worst` the largest."""
    middle = {}
    for key in runs[0]:
        values = sorted(run[key] for run in runs if run[key] is not None)
        middle[key] = values[-1 if key in worst else len(values) // 2] if values else None
    return middle


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
        row("stolen by the host", lambda report: report["stolen_percent"], "{:.1f} %"),
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
