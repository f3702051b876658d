#!/usr/bin/env python3
"""Tickwire beside the rivals, in one session, each server alone on core 0, the load client on core 1.
In: `[--quick] [--prove] [--minutes N] [--only NAME,...]`.
Out: the table, and benches/results/rivals.json and rivals.md (with --prove only as long as nothing was measured, with --only never).
Bounded: 25 minutes, with --quick 4, or as many as are said; what does not fit is left out and said. Installs what is missing from the
mirrors of Debian and npm; a rival that cannot be had is skipped, and the results say so."""

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
from jobs import IDLE, W1, W3, W4, holds
from pinned import PROGRAM, ROOT, TARGET, TRADE_RING, Repeats, cpu_name, free_ports, median, pinned, stolen_percent, ticks
from tables import page, proof_page

SCRATCH = Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "tickwire-rivals"
RESULTS = ROOT / "benches/results"

LIMIT_SECONDS, LIMIT_QUICK_SECONDS = 1500, 240
# Of the time: when no run of W1, and then none of the other loads, is repeated or begun any more, so that some is left for W1 max.
W1_SHARE, LOADS_SHARE = 0.4, 0.7


class Rival:
    """How a server is had, started and spoken to. `command`: from a port and a job. `only_w1`: the other loads would say nothing new.
    `history`: updates a topic that it keeps for who comes back."""

    def __init__(self, name, dialect, command, url="wss://127.0.0.1:{}", packages=(), build=None, beside=None, environment=None, only_w1=False, history=0):
        self.name, self.dialect, self.command, self.url, self.only_w1, self.history = name, dialect, command, url, only_w1, history
        self.packages, self.build, self.beside, self.environment = packages, build, beside, environment or (lambda port, job: {})


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
    return lambda port, job: [SCRATCH / "node_modules/bun/bin/bun.exe", HERE / "bun/server.js", port, SCRATCH, job.rate, job.topics, mode]


def go_command(folder, *mode):
    return lambda port, job: [SCRATCH / folder, port, SCRATCH, job.rate, job.topics, *mode]


def tickwire(name, only_w1=False, **session):
    def environment(port, job):
        return {
            "TICKWIRE__LISTEN__ADDRESS": f"127.0.0.1:{port}",
            "TICKWIRE__ADMIN__ADDRESS": f"127.0.0.1:{port + 1}",
            "TICKWIRE__FEEDS__0__SIM__SYMBOLS": str(job.topics),
            "TICKWIRE__FEEDS__0__SIM__EVENTS_PER_SECOND": str(job.rate),
            "TICKWIRE__FEEDS__0__SIM__TRADE_PERCENT": "100",
            **{f"TICKWIRE__SESSION__{key.upper()}": str(value) for key, value in session.items()},
        }

    command = [PROGRAM, "serve", "--config", ROOT / "config/bench.toml"]
    return Rival(name, "tickwire", lambda port, job: command, build=cargo(), environment=environment, only_w1=only_w1, history=TRADE_RING)


GO, GORILLA = "golang-go", "golang-github-gorilla-websocket-dev"
GIN = (GO, GORILLA, "golang-github-gin-gonic-gin-dev")
CENTRIFUGE = (
    GO, GORILLA, "golang-github-centrifugal-centrifuge-dev", "golang-github-centrifugal-protocol-dev", "golang-github-fzambia-eagle-dev",
    "golang-github-igm-sockjs-go-dev", "golang-github-mna-redisc-dev",
)  # fmt: skip

RIVALS = [
    tickwire("tickwire"),
    # Beside batching by hand, which is tuned too.
    tickwire("tickwire, gathering 20 ms", only_w1=True, gather_ms=20),
    Rival("bun publish", "fixed48", bun_command("publish"), build=bun),
    Rival("bun batched", "fixed48", bun_command("batch"), build=bun),
    Rival("gin plain", "fixed48", go_command("gin", "plain"), packages=GIN, build=go("gin")),
    Rival("gin batched", "fixed48", go_command("gin", "batch"), packages=GIN, build=go("gin")),
    Rival("centrifuge", "centrifuge", go_command("centrifuge"), url="wss://127.0.0.1:{}/connection/websocket?format=protobuf",
          packages=CENTRIFUGE, build=go("centrifuge")),
    Rival("nats", "nats", lambda port, job: ["nats-server", "--config", HERE / "nats/server.conf"], packages=(GO, "nats-server"),
          build=go("nats"), beside=lambda port, job: [SCRATCH / "nats", port + 1, job.rate, job.topics],
          environment=lambda port, job: {"RIVAL_PORT": str(port), "RIVAL_SOURCE_PORT": str(port + 1),
                                          "RIVAL_CERTIFICATE": str(SCRATCH / "certificate.pem"), "RIVAL_KEY": str(SCRATCH / "key.pem")}),
    Rival("naive", "fixed48", lambda port, job: [TARGET / "release/tickwire-rival-naive", port, SCRATCH, job.rate, job.topics],
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
            key = rival.command(0, W1)[0]
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
    """One of them, started for one job, on core 0."""

    def __init__(self, rival, job):
        self.rival, self.port = rival, free_ports()
        environment = {**os.environ, **rival.environment(self.port, job)}
        # What they have to say is kept, the newest of it.
        with open(SCRATCH / "server.log", "w") as log:
            self.processes = [subprocess.Popen(pinned(0, rival.command(self.port, job)), env=environment, stdout=log, stderr=log)]

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

    def start_beside(self, job):
        if self.rival.beside:
            self.processes.append(subprocess.Popen(pinned(0, self.rival.beside(self.port, job)), stdout=subprocess.DEVNULL))

    def __exit__(self, *_):
        for process in reversed(self.processes):
            process.terminate()
        for process in self.processes:
            try:
                process.wait(8)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def measure(rival, job):
    """One server, one load. What the tables need of it; if the load client did not finish, little more than that."""
    load_average = os.getloadavg()[0]
    with Server(rival, job) as server:
        server.start_beside(job)
        command = [PROGRAM, "bench", "--insecure", "--quiet", "--url", rival.url.format(server.port), "--clients", job.clients,
                   "--dialect", rival.dialect, "--topics-per-client", job.topics_per_client, "--server-pid", server.processes[0].pid,
                   "--verify", "sequence", "--warmup", f"{job.warmup}s", "--for", f"{job.seconds}s", *job.arguments]  # fmt: skip
        # Numbers of topics, or the same number of topics of the simulated market, each trade of which counts.
        command += ["--consecutive-ids"] if rival.dialect == "tickwire" else ["--topic-count", job.topics]
        before = ticks()
        try:
            out = subprocess.run(pinned(1, command), stdout=subprocess.PIPE, text=True, timeout=job.seconds + job.warmup + job.patience).stdout
        except subprocess.TimeoutExpired:
            out = ""
        stolen = stolen_percent(before)
    known = {"updates_per_second": job.rate, "stolen_percent": stolen, "load_average": load_average}
    if out:
        return {**known, **figures(json.loads(out), job)}
    say(f"{rival.name}: at {job.rate} updates/s the load client did not finish")
    return {**known, "ok": False, "p99_ms": None, "first_fault": "not all were connected in time"}


def figures(report, job):
    latency, server, stall = report["latency_us"]["healthy"]["event_to_client"], report["server"], report["stall"]
    return {
        "wanted_per_second": job.wanted_per_second(),
        "deliveries": report["deliveries"],
        "deliveries_per_second": report["deliveries_per_second"],
        "delivered_share": report["deliveries_per_second"] / job.wanted_per_second(),
        "p50_ms": latency["p50"] / 1000,
        "p99_ms": latency["p99"] / 1000,
        "lost": report["lost"],
        "gaps": report["gaps"],
        "ok": report["ok"],
        "first_fault": report["first_fault"],
        "cpu_us_per_delivery": server["cpu_us_per_delivery"],
        # How much of its core it had: near 1 it is at its limit, well below it somebody else was there too.
        "server_busy": server["cpu_us_per_delivery"] * report["deliveries_per_second"] / 1e6,
        "rss_kib_per_connection": server["rss_kib_per_connection"],
        "rss_kib_per_connection_loaded": server["rss_kib_per_connection_loaded"],
        "stuck_growth_kib": server["stall_rss_most_kib"] - server["stall_rss_begin_kib"] if stall else None,
        "stuck_closed": stall["closed"] if stall else None,
        "others_closed": report["connections"]["lost"],
        "not_connected": sum(report["connections"]["failures"].values()),
        "bytes_per_delivery": report["bytes_per_delivery"],
        "load_client_busy": report["load_client"]["busy"],
        "connects_per_second": report["connections"]["per_second"],
    }


def search(rival, job, steps, until, repeats):
    """W1 max: upwards from a guess by factors, then halfway (in ratio) between what holds and what does not. A rate that fails while the host
    takes part of the cores is tried again before it counts as failed."""
    rate, holding, failing, tried = FIRST_GUESS.get(rival.name, 2000), None, None, []
    for _ in range(steps):
        if time.monotonic() > until:
            break
        found = repeats.least_disturbed(lambda: measure(rival, job.but(rate=rate)), until, is_enough=holds)
        good = holds(found)
        tried.append({**found, "holds": good})
        say(f"  {rate} updates/s: {'holds' if good else 'does not hold'}, p99 {found['p99_ms']} ms, "
            f"{found.get('deliveries_per_second', 0):,.0f} deliveries/s, lost {found.get('lost')}, "
            f"stolen {found['stolen_percent']:.1f} %")  # fmt: skip
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
FIRST_GUESS = {
    "tickwire": 128000, "tickwire, gathering 20 ms": 128000, "bun publish": 16000, "bun batched": 80000,
    "gin plain": 1000, "gin batched": 1500, "centrifuge": 1000, "naive": 400, "nats": 800,
}  # fmt: skip


def middle(runs):
    """Of each figure of W1, of the runs that finished."""
    finished = [run for run in runs if "deliveries" in run]
    if not finished:
        return runs[0]
    # One fault is one too many.
    return {**median(finished, worst=("lost", "gaps", "stolen_percent")), "ok": all(run["ok"] for run in runs)}


def session(rivals, quick, limit):
    """What is compared is measured in turn, as the speed of a core changes from minute to minute; each server's own limits one after the other."""
    begin = time.monotonic()
    rows, repeats = [{"name": rival.name, "base_runs": []} for rival in rivals], Repeats(float("inf"))
    count, steps, w1 = (1, 3, W1.but(seconds=3)) if quick else (3, 6, W1)
    w1_limit, loads_limit = W1_SHARE * limit, LOADS_SHARE * limit
    for number in range(1, count + 1):
        in_turn(rivals, rows, begin + w1_limit * number / count, lambda rival, row, until: base(rival, row, w1, until, repeats))
    for name, end in () if quick else (("w3", (w1_limit + loads_limit) / 2), ("w4", loads_limit)):
        in_turn(rivals, rows, begin + end, lambda rival, row, until: other(name, rival, row, until, repeats))
    in_turn(rivals, rows, begin + limit, lambda rival, row, until: limits(rival, row, w1, steps, quick, until, repeats))
    return rows, repeats, time.monotonic() - begin


def in_turn(rivals, rows, until, run):
    """Each has a fair share of what is left, so that the last one is not the one that is cut. Who fails once is left out from then on."""
    for at, (rival, row) in enumerate(zip(rivals, rows)):
        if "failed" in row:
            continue
        now = time.monotonic()
        try:
            run(rival, row, now + (until - now) / (len(rivals) - at))
        except RuntimeError as error:
            row["failed"] = str(error)
            say(f"{rival.name}: SKIPPED: {error}")


def base(rival, row, job, until, repeats):
    if row["base_runs"] and time.monotonic() > until:
        return
    row.setdefault("load_average", os.getloadavg()[0])
    row["base_runs"].append(repeats.least_disturbed(lambda: measure(rival, job), until))
    row["base"] = middle(row["base_runs"])
    told = {key: row["base_runs"][-1].get(key) for key in ("cpu_us_per_delivery", "p99_ms", "lost", "stolen_percent")}
    say(f"{rival.name}: {told}")


def other(name, rival, row, until, repeats):
    """What a short session leaves out, as far as there is time."""
    if rival.only_w1 or time.monotonic() > until:
        return
    # What fills up once and no further is no growth by those who are stuck.
    job = {"w3": W3, "w4": W4.but(warmup=W4.warmup + filling(rival))}[name]
    row[name] = repeats.least_disturbed(lambda: measure(rival, job), until)
    told = {key: row[name].get(key) for key in ("delivered_share", "p50_ms", "p99_ms", "lost", "stuck_growth_kib", "stolen_percent")}
    say(f"{rival.name}, {name}: {told}")


def limits(rival, row, w1, steps, quick, until, repeats):
    """What a connection takes, and the highest rate."""
    say(f"{rival.name}: load average {os.getloadavg()[0]:.1f}")
    if not rival.only_w1:
        row["idle_1000"] = measure(rival, IDLE)
        if not quick and time.monotonic() < until:
            row["idle_5000"] = measure(rival, IDLE.but(clients=5 * IDLE.clients))
    # The last step may begin just before the end.
    row["max"], row["tried"] = search(rival, w1.but(patience=12), steps, until - 2 * w1.seconds, repeats)
    if not row["tried"]:
        say(f"{rival.name}: no time is left for W1 max")
    lossless = [found for found in row["tried"] if found["ok"]]
    row["most"] = max(lossless, key=lambda found: found["deliveries_per_second"], default=None)


def filling(rival):
    """Seconds of W4 until all that it keeps for later is there."""
    return 0 if rival.only_w1 else rival.history * W4.topics // W4.rate


def prove(rivals):
    """Each starts and serves 50 clients for 3 s without loss. Returns a row each."""
    rows = []
    for rival in rivals:
        try:
            found = measure(rival, W1.but(clients=50, seconds=3))
            why = found["first_fault"]
        except RuntimeError as error:
            found, why = None, str(error)
        run = found if found and "deliveries" in found else None
        row = {"name": rival.name, "proven": bool(run) and run["ok"] and run["deliveries"] > 0, "run": run}
        if run:
            why = (f"{run['deliveries_per_second']:,.0f} deliveries/s of {run['wanted_per_second']:,.0f}, p99 {run['p99_ms']:.1f} ms, "
                   f"lost {run['lost']}, {run['first_fault'] or 'no fault'}; load average {os.getloadavg()[0]:.1f}")  # fmt: skip
        print(f"{'ok ' if row['proven'] else 'BAD'} {rival.name}: {why}", flush=True)
        rows.append(row)
    return rows


def main(arguments):
    only = arguments[arguments.index("--only") + 1].split(",") if "--only" in arguments else None
    rivals = [rival for rival in RIVALS if only is None or rival.name in only or rival.name.replace(",", "").split()[0] in only]
    there, skipped = prepare(rivals)
    before, quick = os.getloadavg()[0], "--quick" in arguments
    facts = {"machine": cpu_name(), "cores": os.cpu_count(), "load_average_before": before, "skipped": skipped}
    if "--prove" in arguments:
        rows = prove(there)
        if only is None and not is_measured():
            write({**facts, "proof_only": True, "servers": rows}, proof_page(rows, skipped, (before, os.getloadavg()[0])))
        return 0 if all(row["proven"] for row in rows) else 1
    usual = LIMIT_QUICK_SECONDS if quick else LIMIT_SECONDS
    limit = 60 * float(arguments[arguments.index("--minutes") + 1]) if "--minutes" in arguments else usual
    rows, repeats, seconds = session(there, quick, limit)
    text = page(rows, skipped, repeats, seconds, quick, (before, os.getloadavg()[0]))
    print(text)
    if only is None:
        write({**facts, "quick": quick, "seconds": seconds, "repeats": repeats.repeated, "disturbed": repeats.disturbed, "servers": rows}, text)
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
