# Every command of the project by one name. `just --list` shows them.

# What a change must pass before it is offered.
default: fmt-check lint test

fmt:
    cargo fmt --all

fmt-check:
    cargo fmt --all --check

lint:
    cargo clippy --workspace --all-targets --locked -- --deny warnings

test *ARGS:
    cargo test --workspace --locked {{ARGS}}

# The subscription manager against its reference model, at length: `just soak-model 100000`. `MODEL_SEED` repeats a run.
soak-model CASES="5000000":
    MODEL_CASES={{CASES}} cargo test --release --locked --lib session::model

# Layers, bans, sizes of files: fast.
tidy:
    cargo test --locked --test tidy

# Everything embedded, on this machine only.
demo *ARGS:
    cargo run --release -- demo {{ARGS}}

# One recording, three subscribers at different paces: their totals agree to the last digit.
three-paces *ARGS:
    cargo build --release
    TICKWIRE="${CARGO_TARGET_DIR:-target}/release/tickwire" docs/three-paces.sh {{ARGS}}

serve CONFIG="config/demo.toml":
    cargo run --release -- serve --config {{CONFIG}}

check CONFIG="config/production.toml":
    cargo run -- check --config {{CONFIG}}

# Every stage of a tick's way; writes benches/results/stages.md.
bench:
    TICKWIRE_BENCH_RESULTS=benches/results/stages.md cargo bench --locked --bench stages

# Some of the stages, by a part of their name: `just bench-only since`. Writes nothing.
bench-only FILTER:
    cargo bench --locked --bench stages -- {{FILTER}}

# Instructions of every stage, which no other work of the machine changes; writes benches/results/instructions.md. Needs valgrind.
instructions:
    python3 benches/instructions.py write

# Counts again, and fails if a stage is off that table by more than 5 %.
instructions-check:
    python3 benches/instructions.py check

# Very many sessions in one process over memory instead of sockets: resident memory, heap and CPU of each; `just bench-sessions 5000` for a try.
bench-sessions COUNT="100000":
    cargo bench --locked --bench sessions -- {{COUNT}}

# Memory of the server per idle session.
bench-idle:
    cargo bench --locked --bench idle

# Many clients on a server on a core of its own: `just bench-load --clients 1000 --for 10s`; `tickwire bench --help` has the rest.
bench-load *ARGS:
    cargo build --release --locked
    python3 benches/pinned.py load {{ARGS}}

# 1,000 clients, one in ten stuck for 30 s, beside the same without; writes benches/results/stuck.md.
bench-stuck *SECONDS:
    cargo build --release --locked
    python3 benches/pinned.py stuck {{SECONDS}}

# Tickwire under different loads (a thousand clients, thousands of topics, 19,000 idle ones, …), in 10 minutes, 20 if the host takes
# part of the cores; writes benches/results/workloads.md. `--once`: one run each instead of three.
bench-workloads *ARGS:
    cargo build --release --locked
    python3 benches/workloads.py {{ARGS}}

# The same job done by Bun, Gin, centrifuge, NATS and a naive server, beside Tickwire, in 15 to 25 minutes (`just rivals --quick`: 4); installs what
# is missing from the mirrors of Debian and npm; writes benches/results/rivals.json and rivals.md. `--prove`: only that each works.
rivals *ARGS:
    python3 benches/rivals/run.py {{ARGS}}

# Licences, bans and advisories; the advisory database must have been fetched once (`cargo deny fetch`).
deny:
    cargo deny --offline check --hide-inclusion-graph

doc:
    cargo doc --workspace --no-deps --locked

# The page's own tests.
web:
    node --test web/

# The Python client against the golden vectors.
python:
    python3 -m unittest discover clients/python

# Dashboard, alerts and scrape configuration against a real Prometheus.
grafana:
    cargo test --locked --test grafana
    promtool test rules grafana/prometheus/rules_test.yml

# What CI runs.
ci:
    bash .ci/run
