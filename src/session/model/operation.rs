//! What can happen in a case. In: what `generate` draws. Out: values that `stage` acts on, each meaningful whatever came before it, so
//! that a failing case can be cut down. Bounded by the generator.

use crate::config;
use crate::topic::TopicLimits;
use wire::event::{Cause, Channel, FeedState, Level, Quote, Trade, TradingState};
use wire::request::{Encoding, Pace, TradeMode};
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
    Sub { topics: Vec<String>, pace: Pace, trades: TradeMode, snapshot: bool, strict: bool, resume: Resume },
    Unsub(Vec<String>),
    Mod { topics: Vec<String>, pace: Option<Pace>, trades: Option<TradeMode> },
    Pause(Option<Vec<String>>),
    Continue(Option<Vec<String>>),
    Get(Vec<String>),
    List { pattern: String, limit: Option<u32> },
    Explain(String),
    Ping,
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
