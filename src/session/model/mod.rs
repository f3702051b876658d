//! The whole subscription manager against a plain, slow, obviously right one: random feeds, random clients, virtual time, no sockets.
//! In: `MODEL_SEED` and `MODEL_CASES`, if set. Out: the seed at the start, and of a case that fails its seed and the least of its operations
//! that still fail. Bounded: `CASES` cases, unless asked for more.
//!
//! `world` is the truth: everything that was ever published. `reference` is what each client holds and must be answered. `client` takes
//! frames apart and compares each record with the truth at that moment. `stage` plays a case: after its operations all becomes quiet,
//! and then every view is the truth, every stream complete or its gaps stated exactly, and nothing is left behind by who leaves.

mod asking;
mod client;
mod derived;
mod generate;
mod held;
mod operation;
mod reference;
mod runner;
mod script;
mod stage;
mod tape;
mod tickets;
mod told;
mod truth;
mod world;

/// Cases of a usual run.
const CASES: u64 = 10_000;

#[test]
fn every_subscriber_sees_exactly_what_it_should() {
    runner::run(CASES);
}
