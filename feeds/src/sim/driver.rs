//! Runs the simulator in real time. In: settings and a sink. Out: one batch every `CADENCE`. Bounded: after a pause at most
//! `MAX_CATCH_UP_NS` of market is made up, the rest is left out.

use super::{LEVELS, MAX_SYMBOLS, Sim};
use crate::adapter::Sink;
use crate::error::FeedError;
use crate::run::Running;
use crate::settings::{FeedSettings, SimSettings};
use std::convert::Infallible;
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use tokio::sync::watch;
use tokio::time::MissedTickBehavior;
use wire::event::{Batch, Nanos};

/// Short enough that a burst looks like one, long enough that an idle market costs next to nothing.
const CADENCE: Duration = Duration::from_millis(2);
const MAX_CATCH_UP_NS: i64 = 100_000_000;

/// Makes the feed; it runs until `stop` becomes true.
pub fn start(settings: &FeedSettings, sink: Box<dyn Sink>, mut stop: watch::Receiver<bool>) -> Result<Running, FeedError> {
    let sim = settings.sim.clone().unwrap_or_default();
    let complaint = |reason: &str| FeedError::Settings { venue: "sim".to_owned(), reason: reason.to_owned() };
    if sim.symbols == 0 || sim.symbols > MAX_SYMBOLS {
        return Err(complaint("symbols must be between 1 and 20000"));
    }
    if !LEVELS.contains(&sim.levels) {
        return Err(complaint("levels must be between 5 and 5000"));
    }
    if !(0.0..=4.0).contains(&sim.zipf) {
        return Err(complaint("zipf must be between 0 and 4"));
    }
    Ok(Box::pin(async move {
        tokio::select! {
            never = run(&sim, sink) => match never {},
            _ = stop.wait_for(|stop| *stop) => {}
        }
    }))
}

async fn run(settings: &SimSettings, mut sink: Box<dyn Sink>) -> Infallible {
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
