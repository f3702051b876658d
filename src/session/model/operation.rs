//! What can happen in a case. In: what `generate` draws. Out: values that `stage` acts on, each meaningful whatever came before it, so
//! that a failing case can be cut down. Bounded by the generator.

use crate::config;
use crate::subs::Terms;
use crate::topic::TopicLimits;
use wire::event::{Cause, Channel, FeedState, Level, Quote, Trade, TradingState};
use wire::request::{Change, Encoding, Pace, TradeMode};
use wire::topic::Pattern;

#[derive(Clone, Debug)]
pub struct Setup {
    pub topics: TopicLimits,
    pub session: config::Session,
    /// Is all of each venue listed from the start?
    pub venues: [(&'static str, bool); 2],
    pub instruments: Vec<(&'static str, &'static str)>,
    /// Of these so many are listed at the start.
    pub listed: usize,
    pub clients: Vec<ClientSetup>,
}

#[derive(Clone, Debug)]
pub struct ClientSetup {
    pub encoding: Encoding,
    /// What its token covers; empty: everything.
    pub covered: Vec<Pattern>,
    /// The fastest pace that its token allows.
    pub fastest: Pace,
}

#[derive(Clone, Debug)]
pub enum Operation {
    Publish {
        at: usize,
        feed: Feed,
    },
    List,
    VenueKnown(usize),
    Pass {
        ms: i64,
    },
    WallStep {
        ms: i64,
    },
    Tick,
    Dispatch,
    Connect {
        who: usize,
        bare: Option<Bare>,
    },
    /// With a frame on its way that the client does not get, or without.
    Leave {
        who: usize,
        loses_frame: bool,
    },
    Stall {
        who: usize,
    },
    Fill {
        who: usize,
    },
    /// A frame that the link takes so long to take. Meanwhile everything goes on.
    SlowFill {
        who: usize,
        ms: i64,
    },
    /// The node is in trouble, or out of it.
    Pressure {
        floor_ms: u32,
        defers_deep: bool,
    },
    Drain {
        who: usize,
    },
    DrainAll,
    /// Remembers what the client holds, to resume from it later.
    Save {
        who: usize,
    },
    Ask {
        who: usize,
        ask: Ask,
        fills_between: bool,
    },
}

#[derive(Clone, Debug)]
pub enum Feed {
    Quote(Quote),
    Trades(Vec<Shot>),
    Gap {
        missing: Option<u64>,
        cause: Cause,
    },
    Book {
        bids: Vec<Level>,
        asks: Vec<Level>,
        snapshot: bool,
    },
    State {
        channel: Option<Channel>,
        feed: FeedState,
        cause: Cause,
    },
    /// Of the link that carries the instrument: lost, or back.
    Link {
        feed: FeedState,
        cause: Cause,
    },
    Trading(TradingState),
    Redefine(Redefine),
}

#[derive(Clone, Debug)]
pub struct Shot {
    pub trade: Trade,
    /// Made so long before it came; none: the venue gives no time.
    pub late_ms: Option<i64>,
}

#[derive(Clone, Debug)]
pub enum Redefine {
    Exponent(i8),
    Tick(i64),
    Timed(bool),
    Native(&'static str),
}

#[derive(Clone, Debug)]
pub struct Bare {
    pub topics: Vec<String>,
    pub pace: Pace,
    pub trades: TradeMode,
}

/// A request, but for what depends on where its client stands.
#[derive(Clone, Debug)]
pub enum Ask {
    Sub {
        topics: Vec<String>,
        terms: Terms,
        snapshot: bool,
        since: Option<u32>,
        strict: bool,
        resume: Resume,
    },
    Unsub(Vec<String>),
    Mod {
        topics: Vec<String>,
        change: Change,
    },
    Pause(Option<Vec<String>>),
    Continue(Option<Vec<String>>),
    Get {
        topics: Vec<String>,
        heal: bool,
    },
    Grant {
        frames: u32,
        answered: bool,
    },
    Budget {
        bytes_per_second: u32,
    },
    List {
        pattern: String,
        limit: Option<u32>,
    },
    Explain(String),
    Ping,
    Ticket,
    /// Gives its ticket back, with the places of what it holds now, or as it is.
    Redeem {
        with_places: bool,
    },
    Garbage(&'static str),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Resume {
    Not,
    /// From what the client holds.
    Newest,
    /// From what it had saved.
    Saved,
    /// From places that never were.
    Ahead,
    Foreign,
}
