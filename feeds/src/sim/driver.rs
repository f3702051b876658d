//! Runs the simulator in real time. In: settings and a sink. Out: batches, at most one every `CADENCE` or `STEADY_CADENCE`. Bounded: after a pause at most
//! `MAX_CATCH_UP_NS` of market is made up, the rest is left out.

use super::steady::Steady;
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

/// Short enough that a burst looks like one, long enough that a busy market costs next to nothing.
const CADENCE: Duration = Duration::from_millis(2);
/// The finest the runtime's timer can do: latencies count from when an event was due.
const STEADY_CADENCE: Duration = Duration::from_millis(1);
/// The wall clock may step back, and forward again.
const LONGEST_SLEEP: Duration = Duration::from_millis(100);
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
    if sim.trade_percent > 100 {
        return Err(complaint("trade_percent must be between 0 and 100"));
    }
    Ok(Box::pin(async move {
        tokio::select! {
            never = run(&sim, sink) => match never {},
            _ = stop.wait_for(|stop| *stop) => {}
        }
    }))
}

/// Which market it is.
enum Market {
    Lively(Box<Sim>),
    Steady(Steady),
}

impl Market {
    fn advance(&mut self, now: Nanos, batch: &mut Batch) {
        match self {
            Self::Lively(sim) => sim.advance(now, batch),
            Self::Steady(steady) => steady.advance(now, batch),
        }
    }

    /// When something happens next.
    fn next(&self) -> Nanos {
        match self {
            Self::Lively(sim) => sim.next(),
            Self::Steady(steady) => steady.next(),
        }
    }

    fn skip_to(&mut self, time: Nanos) {
        match self {
            Self::Lively(sim) => sim.skip_to(time),
            Self::Steady(steady) => steady.skip_to(time),
        }
    }
}

async fn run(settings: &SimSettings, mut sink: Box<dyn Sink>) -> Infallible {
    let (mut market, cadence) = match settings.steady {
        false => (Market::Lively(Box::new(Sim::new(settings))), CADENCE),
        true => (Market::Steady(Steady::new(settings)), STEADY_CADENCE),
    };
    let mut batch = Batch::default();
    market.advance(wall(), &mut batch);
    sink.publish(&batch);
    sink.instruments_known();
    let mut ticks = tokio::time::interval(cadence);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        batch.clear();
        let now = wall();
        market.skip_to(now - MAX_CATCH_UP_NS);
        market.advance(now, &mut batch);
        if !batch.is_empty() {
            sink.publish(&batch);
        }
        let quiet = Duration::from_nanos(u64::try_from(market.next() - wall()).unwrap_or(0));
        if quiet > cadence {
            ticks.reset_after(quiet.min(LONGEST_SLEEP));
        }
    }
}

fn wall() -> Nanos {
    // A clock before 1970 gives 0: the simulator then waits instead of failing.
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_nanos() as Nanos)
}
