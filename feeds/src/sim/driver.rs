//! Runs the simulator in real time. In: settings and a sink. Out: one batch every `CADENCE`. Bounded: after a pause at most
//! `MAX_CATCH_UP_NS` of market is made up, the rest is left out.

use super::Sim;
use crate::adapter::Sink;
use crate::settings::SimSettings;
use std::convert::Infallible;
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use tokio::time::MissedTickBehavior;
use wire::event::{Batch, Nanos};

/// Short enough that a burst looks like one, long enough that an idle market costs next to nothing.
const CADENCE: Duration = Duration::from_millis(2);
const MAX_CATCH_UP_NS: i64 = 100_000_000;

/// Simulates until it is dropped.
pub async fn run(settings: &SimSettings, sink: &mut dyn Sink) -> Infallible {
    let mut sim = Sim::new(settings);
    let mut batch = Batch::default();
    sim.advance(wall(), &mut batch);
    sink.publish(&batch);
    sink.instruments_known();
    let mut ticks = tokio::time::interval(CADENCE);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        batch.clear();
        let now = wall();
        sim.skip_to(now - MAX_CATCH_UP_NS);
        sim.advance(now, &mut batch);
        if !batch.is_empty() {
            sink.publish(&batch);
        }
    }
}

fn wall() -> Nanos {
    // A clock before 1970 gives 0: the simulator then waits instead of failing.
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_nanos() as Nanos)
}
