#!/usr/bin/env python3
"""Tickwire beside the rivals, in one session, each server alone on core 0, the load client on core 1. In: `[--quick] [--prove] [--only NAME,...]`.
Out: the table, and benches/results/rivals.json and rivals.md (with --prove only as long as nothing was measured, with --only never).
Bounded: 15 minutes, with --quick 4; what does not fit is left out and said. Installs what is missing from the mirrors of Debian and npm; a
rival that cannot be had is skipped, and the results say so."""

import json
import os
import shutil
import socket
import ssl
import subprocess
import sys
import time
from pathlib import Path

HERE = Path(__file__).resolve().parent
# A script finds only what lies beside it.
sys.path.insert(0, str(HERE.parent))
from pinned import PROGRAM, ROOT, TARGET, cpu_name, free_ports, pinned

SCRATCH = Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "tickwire-rivals"
RESULTS = ROOT / "benches/results"

TOPICS, TOPICS_PER_CLIENT, CLIENTS = 100, 10, 1000
# 500 updates/s to 100 clients each.
BASE_RATE = 500
TOO_LATE_MS = 50.0


class Rival:
    """How a server is had, started and spoken to. `command`: from a port, an update rate."""

    def __init__(self, name, dialect, command, url="wss://127.0.0.1:{}", packages=(), build=None, beside=None, environment=None):
        self.name, self.dialect, self.command, self.url = name, dialect, command, url
        self.packages, self.build, self.beside, self.environment = packages, build, beside, environment or (lambda port, rate: {})


def go(folder):
    def build():
        environment = {**os.environ, "GOPATH": "/usr/share/gocode", "GO111MODULE": "off"}
        run(["go", "build", "-o", SCRATCH / folder, "."], cwd=HERE / folder, env=environment)

    return build


def bun():
    program = SCRATCH / "node_modules/bun/bin/bun.exe"
    if not program.exists():
        run(["npm", "install", "--no-audit", "--no-fund", "--prefix", SCRATCH, "bun"])
    run([program, "--version"])


def cargo(*arguments):
    return lambda: run(["cargo", "build", "--release", "--locked", *arguments], cwd=ROOT, env={**os.environ, "CARGO_TARGET_DIR": str(TARGET)})


def bun_command(mode):
    return lambda port, rate: [SCRATCH / "node_modules/bun/bin/bun.exe", HERE / "bun/server.js", port, SCRATCH, rate, TOPICS, mode]


def go_command(folder, *mode):
    return lambda port, rate: [SCRATCH / folder, port, SCRATCH, rate, TOPICS, *mode]


def tickwire_environment(port, rate):
    return {
        "TICKWIRE__LISTEN__ADDRESS": f"127.0.0.1:{port}",
        "TICKWIRE__ADMIN__ADDRESS": f"127.0.0.1:{port + 1}",
        "TICKWIRE__FEEDS__0__SIM__SYMBOLS": str(TOPICS),
        "TICKWIRE__FEEDS__0__SIM__EVENTS_PER_SECOND": str(rate),
        "TICKWIRE__FEEDS__0__SIM__TRADE_PERCENT": "100",
    }


GO, GORILLA = "golang-go", "golang-github-gorilla-websocket-dev"
GIN = (GO, GORILLA, "golang-github-gin-gonic-gin-dev")
CENTRIFUGE = (
    GO, GORILLA, "golang-github-centrifugal-centrifuge-dev", "golang-github-centrifugal-protocol-dev", "golang-github-fzambia-eagle-dev",
    "golang-github-igm-sockjs-go-dev", "golang-github-mna-redisc-dev",
)  # fmt: skip

RIVALS = [
    Rival("tickwire", "tickwire", lambda port, rate: [PROGRAM, "serve", "--config", ROOT / "config/bench.toml"], build=cargo(),
          environment=tickwire_environment),
    Rival("bun publish", "fixed48", bun_command("publish"), build=bun),
    Rival("bun batched", "fixed48", bun_command("batch"), build=bun),
    Rival("gin plain", "fixed48", go_command("gin", "plain"), packages=GIN, build=go("gin")),
    Rival("gin batched", "fixed48", go_command("gin", "batch"), packages=GIN, build=go("gin")),
    Rival("centrifuge", "centrifuge", go_command("centrifuge"), url="wss://127.0.0.1:{}/connection/websocket?format=protobuf",
          packages=CENTRIFUGE, build=go("centrifuge")),
    Rival("nats", "nats", lambda port, rate: ["nats-server", "--config", HERE / "nats/server.conf"], packages=(GO, "nats-server"),
          build=go("nats"), beside=lambda port, rate: [SCRATCH / "nats", port + 1, rate, TOPICS],
          environment=lambda port, rate: {"RIVAL_PORT": str(port), "RIVAL_SOURCE_PORT": str(port + 1),
                                          "RIVAL_CERTIFICATE": str(SCRATCH / "certificate.pem"), "RIVAL_KEY": str(SCRATCH / "key.pem")}),
    Rival("naive", "fixed48", lambda port, rate: [TARGET / "release/tickwire-rival-naive", port, SCRATCH, rate, TOPICS],
          build=cargo("--manifest-path", HERE / "naive/Cargo.toml")),
]  # fmt: skip


def run(command, **more):
    subprocess.run([str(word) for word in command], check=True, stdout=sys.stderr, **more)


def say(text):
    print(text, file=sys.stderr, flush=True)


def prepare(rivals):
    """Certificate, packages, builds. Returns who is there, and why the others are not."""
    SCRATCH.mkdir(parents=True, exist_ok=True)
    run([HERE / "certificate.sh", SCRATCH])
    there, skipped, built = [], {}, {}
    for rival in rivals:
        try:
            missing = [package for package in rival.packages if not installed(package)]
            if missing:
                say(f"installing {' '.join(missing)}")
                command = ["apt-get", "install", "-y", "-qq", "--no-install-recommends", *missing]
                run(command, env={**os.environ, "DEBIAN_FRONTEND": "noninteractive"})
            # Two modes of one program are built once.
            key = rival.command(0, 0)[0]
            if key not in built:
                rival.build()
                built[key] = True
            there.append(rival)
        except (OSError, subprocess.CalledProcessError) as error:
            skipped[rival.name] = str(error)
            say(f"SKIPPED: {rival.name}: {error}")
    return there, skipped


def installed(package):
    state = subprocess.run(["dpkg-query", "-W", "-f", "${Status}", package], capture_output=True, text=True)
    return state.stdout.endswith(" installed")


class Server:
    """One of them, started for one update rate, on core 0."""

    def __init__(self, rival, rate):
        self.rival, self.port = rival, free_ports()
        environment = {**os.environ, **rival.environment(self.port, rate)}
        # What they have to say is kept, the newest of it.
        with open(SCRATCH / "server.log", "w") as log:
            self.processes = [subprocess.Popen(pinned(0, rival.command(self.port, rate)), env=environment, stdout=log, stderr=log)]

    def __enter__(self):
        try:
            self.wait()
        except BaseException:
            self.__exit__()
            raise
        return self

    def wait(self):
        """Until a TLS handshake succeeds."""
        context = ssl.create_default_context()
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        context.minimum_version = ssl.TLSVersion.TLSv1_3
        deadline = time.monotonic() + 15
        while True:
            try:
                with socket.create_connection(("127.0.0.1", self.port), 5) as tcp:
                    context.wrap_socket(tcp, server_hostname="localhost").close()
                # Topics and sources, too, are there a moment later.
                time.sleep(0.5)
                return
            except OSError:
                if self.processes[0].poll() is not None or time.monotonic() > deadline:
                    raise RuntimeError(f"{self.rival.name} did not start, see {SCRATCH / 'server.log'}") from None
                time.sleep(0.05)

    def start_beside(self, rate):
        if self.rival.beside:
            self.processes.append(subprocess.Popen(pinned(0, self.rival.beside(self.port, rate)), stdout=subprocess.DEVNULL))

    def __exit__(self, *_):
        for process in reversed(self.processes):
            process.terminate()
        for process in self.processes:
            try:
                process.wait(8)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def measure(rival, rate, seconds, clients=CLIENTS, warmup=1, patience=40):
    """One server, one load. The report of the load client with the machine's load, or None if it did not finish. `patience`: seconds for all
    to connect, beside the time measured; who does not keep up also connects slowly."""
    before = os.getloadavg()[0]
    with Server(rival, rate) as server:
        server.start_beside(rate)
        command = [PROGRAM, "bench", "--insecure", "--quiet", "--url", rival.url.format(server.port), "--clients", clients,
                   "--dialect", rival.dialect, "--topics-per-client", TOPICS_PER_CLIENT, "--server-pid", server.processes[0].pid,
                   "--verify", "sequence", "--warmup", f"{warmup}s", "--for", f"{seconds}s"]  # fmt: skip
        # Numbers of topics, or the same number of topics of the simulated market, each trade of which counts.
        command += ["--consecutive-ids"] if rival.dialect == "tickwire" else ["--topic-count", TOPICS]
        try:
            done = subprocess.run(pinned(1, command), stdout=subprocess.PIPE, text=True, timeout=seconds + warmup + patience)
        except subprocess.TimeoutExpired:
            say(f"{rival.name}: at {rate} updates/s the load client did not finish")
            return None
    if not done.stdout:
        return None
    report = json.loads(done.stdout)
    report["load_average"] = before
    report["updates_per_second"] = rate
    return report


def figures(report):
    """What the table needs of a report."""
    latency = report["latency_us"]["healthy"]["event_to_client"]
    wanted = report["updates_per_second"] * report["parameters"]["clients"] * TOPICS_PER_CLIENT / TOPICS
    return {
        "updates_per_second": report["updates_per_second"],
        "wanted_per_second": wanted,
        "deliveries": report["deliveries"],
        "deliveries_per_second": report["deliveries_per_second"],
        "p50_ms": latency["p50"] / 1000,
        "p99_ms": latency["p99"] / 1000,
        "lost": report["lost"],
        "gaps": report["gaps"],
        "ok": report["ok"],
        "first_fault": report["first_fault"],
        "cpu_us_per_delivery": report["server"]["cpu_us_per_delivery"],
        # How much of its core it had: near 1 it is at its limit, well below it somebody else was there too.
        "server_busy": report["server"]["cpu_us_per_delivery"] * report["deliveries_per_second"] / 1e6,
        "rss_kib_per_connection": report["server"]["rss_kib_per_connection"],
        "rss_kib_per_connection_loaded": report["server"]["rss_kib_per_connection_loaded"],
        "bytes_per_delivery": report["bytes_per_delivery"],
        "load_client_busy": report["load_client"]["busy"],
        "connects_per_second": report["connections"]["per_second"],
        "load_average": report["load_average"],
    }


def holds(figures):
    """Everything that was made came, in time. A source that falls behind its rate is a server that does not keep up."""
    enough = figures["deliveries_per_second"] >= 0.97 * figures["wanted_per_second"]
    return enough and figures["ok"] and not figures["gaps"] and figures["p99_ms"] < TOO_LATE_MS


def search(rival, seconds, steps, until):
    """W1 max: upwards from a guess by factors, then halfway (in ratio) between what holds and what does not."""
    rate, holding, failing, tried = FIRST_GUESS.get(rival.name, 2000), None, None, []
    for _ in range(steps):
        if time.monotonic() > until:
            break
        report = measure(rival, rate, seconds, patience=12)
        found = figures(report) if report else {"updates_per_second": rate, "ok": False, "p99_ms": None, "first_fault": "not all were connected in time"}
        good = bool(report) and holds(found)
        tried.append({**found, "holds": good})
        say(f"  {rate} updates/s: {'holds' if good else 'does not hold'}, p99 {found['p99_ms']} ms, "
            f"{found.get('deliveries_per_second', 0):,.0f} deliveries/s, lost {found.get('lost')}")  # fmt: skip
        if good and (holding is None or rate > holding["updates_per_second"]):
            holding = found
        if not good and (failing is None or rate < failing):
            failing = rate
        if failing is None:
            rate *= 2
        elif holding is None:
            rate = max(rate // 2, 50)
        else:
            between = int((holding["updates_per_second"] * failing) ** 0.5)
            if failing / holding["updates_per_second"] < 1.1:
                break
            rate = between
    return holding, tried


# Where to begin, so that few steps are enough; wherever it begins, it goes up or down from there.
FIRST_GUESS = {"tickwire": 64000, "bun publish": 16000, "bun batched": 40000, "naive": 500, "nats": 1000}


def idle(rival, clients):
    """Resident memory of a server with clients that are subscribed and get next to nothing."""
    report = measure(rival, 1, 1, clients=clients)
    return figures(report) if report else None


def session(rivals, quick):
    limit = 240 if quick else 900
    begin = time.monotonic()
    # A fair share of what is left each, so that the last one is not the one that is cut.
    rows, base_seconds, step_seconds, steps = [], (3, 3, 3) if quick else (8, 6, 6), 3 if quick else 6, 3 if quick else 6
    for at, rival in enumerate(rivals):
        left = limit - (time.monotonic() - begin)
        until = time.monotonic() + left / (len(rivals) - at)
        say(f"{rival.name}: load average {os.getloadavg()[0]:.1f}")
        row = {"name": rival.name, "load_average": os.getloadavg()[0]}
        try:
            base = measure(rival, BASE_RATE, base_seconds[0])
            row["base"] = figures(base) if base else None
            row["idle_1000"] = idle(rival, CLIENTS)
            row["idle_5000"] = None if quick or time.monotonic() > until else idle(rival, 5 * CLIENTS)
            # The last step may begin just before the end.
            row["max"], row["tried"] = search(rival, step_seconds, steps, until - 2 * step_seconds)
            lossless = [found for found in row["tried"] if found["ok"]]
            row["most"] = max(lossless, key=lambda found: found["deliveries_per_second"], default=None)
        except RuntimeError as error:
            row["failed"] = str(error)
            say(f"SKIPPED: {error}")
        rows.append(row)
    return rows, time.monotonic() - begin


def page(rows, skipped, seconds, quick, loads):
    ours = next((row for row in rows if row["name"] == "tickwire"), {})

    def at(row, part, key):
        return (row.get(part) or {}).get(key)

    def cell(value, form):
        return "-" if value is None else form.format(value)

    def ratio(row, part, key):
        mine, theirs = at(ours, part, key), at(row, part, key)
        return f" ({mine / theirs:.2f})" if mine and theirs and row is not ours else ""

    lines = [
        "# Rivals", "",
        "Made by `just rivals" + (" --quick" if quick else "") + "`; [docs/performance.md](../../docs/performance.md) says how they are run, what is fair and what is not.", "",
        f"Machine: {os.cpu_count()} cores, {cpu_name()}; server on core 0, load client on core 1, TLS 1.3 on loopback. "
        f"{time.strftime('%Y-%m-%d %H:%M', time.gmtime())} UTC, {seconds / 60:.1f} minutes. **Load average from {loads[0]:.1f} to {loads[1]:.1f}**: "
        "what else ran on these cores is in all numbers below, more in those of the servers that need most.", "",
        f"{CLIENTS:,} clients, {TOPICS_PER_CLIENT} of {TOPICS} topics each. *W1*: {BASE_RATE} updates/s, {BASE_RATE * CLIENTS * TOPICS_PER_CLIENT // TOPICS:,} "
        f"deliveries/s. *W1 max*: the highest rate tried at which everything came, p99 below {TOO_LATE_MS:.0f} ms. *Most delivered*: the highest rate of deliveries seen in any of these runs, "
        "without loss but however late. In brackets: Tickwire's number divided by the rival's.", "",
        "| server | W1 max, deliveries/s | p99 there, ms | most delivered/s | us CPU a delivery there | W1, us CPU a delivery | W1 p50, ms | W1 p99, ms | W1 lost | KiB RSS idle, 1,000 | 5,000 | loaded | load |",
        "|---|" + 12 * "---:|",
    ]  # fmt: skip
    for row in rows:
        lines.append("| " + " | ".join([
            row["name"],
            cell(at(row, "max", "deliveries_per_second"), "{:,.0f}") + ratio(row, "max", "deliveries_per_second"),
            cell(at(row, "max", "p99_ms"), "{:.1f}"),
            cell(at(row, "most", "deliveries_per_second"), "{:,.0f}") + ratio(row, "most", "deliveries_per_second"),
            cell(at(row, "most", "cpu_us_per_delivery"), "{:.2f}") + ratio(row, "most", "cpu_us_per_delivery"),
            cell(at(row, "base", "cpu_us_per_delivery"), "{:.1f}") + ratio(row, "base", "cpu_us_per_delivery"),
            cell(at(row, "base", "p50_ms"), "{:.2f}"),
            cell(at(row, "base", "p99_ms"), "{:.1f}") + ratio(row, "base", "p99_ms"),
            cell(at(row, "base", "lost"), "{}"),
            cell(at(row, "idle_1000", "rss_kib_per_connection"), "{:.1f}") + ratio(row, "idle_1000", "rss_kib_per_connection"),
            cell(at(row, "idle_5000", "rss_kib_per_connection"), "{:.1f}") + ratio(row, "idle_5000", "rss_kib_per_connection"),
            cell(at(row, "base", "rss_kib_per_connection_loaded"), "{:.1f}"),
            f"{row['load_average']:.1f}",
        ]) + " |")  # fmt: skip
    lines += ["", "*load*: load average of the machine when the server's turn came (1 or 2 are the bench itself). `-`: no rate that was tried held, or there was no time.", ""]
    for row in rows:
        most = at(row, "max", "load_client_busy")
        if most and most > 0.9:
            lines.append(f"- {row['name']}: the load client was busy for {most * 100:.0f} % of the time at W1 max, so its own limit may be what is seen.")
        if row.get("failed"):
            lines.append(f"- {row['name']}: {row['failed']}")
    lines += [f"- {name}: skipped, {why}" for name, why in skipped.items()]
    return "\n".join(lines).rstrip() + "\n"


def prove(rivals):
    """Each starts and serves 50 clients for 3 s without loss. Returns a row each."""
    rows = []
    for rival in rivals:
        try:
            report, why = measure(rival, BASE_RATE, 3, clients=50), "the load client did not finish"
        except RuntimeError as error:
            report, why = None, str(error)
        found = figures(report) if report else None
        row = {"name": rival.name, "proven": bool(found) and found["ok"] and found["deliveries_per_second"] > 0, "run": found}
        if found:
            why = (f"{found['deliveries_per_second']:,.0f} deliveries/s of {found['wanted_per_second']:,.0f}, p99 {found['p99_ms']:.1f} ms, "
                   f"lost {found['lost']}, {found['first_fault'] or 'no fault'}; load average {os.getloadavg()[0]:.1f}")  # fmt: skip
        print(f"{'ok ' if row['proven'] else 'BAD'} {rival.name}: {why}", flush=True)
        rows.append(row)
    return rows


def proof_page(rows, skipped, loads):
    """Stands where no session was run yet."""
    lines = [
        "# Rivals", "",
        "**Not measured yet.** Made by `just rivals --prove`: each server started and served 50 clients, 10 of 100 topics each, at "
        f"{BASE_RATE} updates/s for 3 s, verified. `just rivals` on a machine that does nothing else writes the comparison in place of this page.", "",
        f"Machine: {os.cpu_count()} cores, {cpu_name()}. {time.strftime('%Y-%m-%d %H:%M', time.gmtime())} UTC. Load average from "
        f"{loads[0]:.1f} to {loads[1]:.1f}: times would say nothing and are left out.", "",
        "| server | works | deliveries | lost | out of order or unreadable |", "|---|---|---:|---:|---|",
    ]  # fmt: skip
    for row in rows:
        run = row["run"]
        numbers = f"{run['deliveries']:,} | {run['lost']} | {run['first_fault'] or 'none'}" if run else "- | - | -"
        lines.append(f"| {row['name']} | {'yes' if row['proven'] else 'NO'} | {numbers} |")
    lines += [""] + [f"- {name}: skipped, {why}" for name, why in skipped.items()]
    return "\n".join(lines).rstrip() + "\n"


def main(arguments):
    only = arguments[arguments.index("--only") + 1].split(",") if "--only" in arguments else None
    rivals = [rival for rival in RIVALS if only is None or rival.name in only or rival.name.split()[0] in only]
    there, skipped = prepare(rivals)
    before, quick = os.getloadavg()[0], "--quick" in arguments
    facts = {"machine": cpu_name(), "cores": os.cpu_count(), "load_average_before": before, "skipped": skipped}
    if "--prove" in arguments:
        rows = prove(there)
        if only is None and not is_measured():
            write({**facts, "proof_only": True, "servers": rows}, proof_page(rows, skipped, (before, os.getloadavg()[0])))
        return 0 if all(row["proven"] for row in rows) else 1
    rows, seconds = session(there, quick)
    text = page(rows, skipped, seconds, quick, (before, os.getloadavg()[0]))
    print(text)
    if only is None:
        write({**facts, "quick": quick, "seconds": seconds, "servers": rows}, text)
    return 0


def is_measured():
    try:
        return not json.loads((RESULTS / "rivals.json").read_text()).get("proof_only")
    except (OSError, ValueError):
        return False


def write(everything, text):
    (RESULTS / "rivals.json").write_text(json.dumps(everything, indent=1) + "\n")
    (RESULTS / "rivals.md").write_text(text)


if __name__ == "__main__":
    if {"-h", "--help"} & set(sys.argv[1:]):
        sys.exit(__doc__)
    sys.exit(main(sys.argv[1:]))
