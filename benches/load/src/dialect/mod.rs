//! What a server speaks. In: messages of one connection. Out: requests, and what the messages say, counted and verified.
//! Another protocol is another implementation of `Session` and a line in `Dialect::session`.

mod centrifuge;
mod fixed48;
mod nats;
mod tickwire;

use crate::plan::{Plan, Speech};
use crate::tally::{Faults, Tally};
use std::collections::HashMap;
use std::sync::Arc;
use wire::event::Nanos;

/// What all sessions of a run share.
pub struct Dialect {
    pub plan: Arc<Plan>,
    /// From the name of a topic to its index in the plan.
    pub names: HashMap<String, u32>,
}

/// One client's side of the protocol. It outlives its connections.
pub trait Session {
    /// Header lines of the upgrade, beside those that every WebSocket needs.
    fn headers(&self) -> Vec<String>;

    /// A connection was opened; `ask` takes requests.
    fn connected(&mut self, ask: &mut Vec<String>);

    /// Takes one message in. An error ends the connection: it can no longer be read.
    fn on_message(&mut self, text: bool, payload: &[u8], turn: &mut Turn<'_>) -> Result<(), String>;

    /// Everything that was asked for is granted or refused.
    fn is_ready(&self) -> bool;

    /// Every topic is where healthy clients were at that moment; or, where there are none, a frame came that was sent after it.
    fn has_reached(&self, mark: &Mark) -> bool;
}

/// What a message may change.
pub struct Turn<'a> {
    /// When the bytes were read.
    pub now: Nanos,
    pub tally: &'a mut Tally,
    pub faults: &'a mut Faults,
    /// The newest sequence of each topic at healthy clients; `None` while a stalled client reads.
    pub heads: Option<&'a mut [u64]>,
    pub ask: &'a mut Vec<String>,
}

/// Where healthy clients were at one moment, by topic; 0 = nobody knows.
#[derive(Debug)]
pub struct Mark {
    pub time: Nanos,
    pub heads: Vec<u64>,
}

impl Dialect {
    pub fn new(plan: &Arc<Plan>) -> Self {
        let names = plan.topics.iter().zip(0..).map(|(name, index)| (name.clone(), index)).collect();
        Self { plan: plan.clone(), names }
    }

    /// `topics`: indexes into the plan's.
    pub fn session(self: &Arc<Self>, topics: Vec<u32>) -> Box<dyn Session> {
        match self.plan.dialect {
            Speech::Tickwire => Box::new(tickwire::Tickwire::new(self.clone(), topics)),
            Speech::Fixed48 => Box::new(fixed48::Fixed48::new(self, topics)),
            Speech::Centrifuge => Box::new(centrifuge::Centrifuge::new(self, topics)),
            Speech::Nats => Box::new(nats::Nats::new(self, topics)),
        }
    }
}
