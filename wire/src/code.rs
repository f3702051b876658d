//! The tables of stable codes: results of requests and close codes of connections. Docs and tests are made from them.

/// Why a request, or one topic of it, was refused. The text is stable; clients may switch on it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Code {
    BadTopic,
    UnknownKind,
    UnknownVenue,
    UnknownSymbol,
    NotSubscribed,
    NotEntitled,
    TooManyTopics,
    PatternTooWide,
    BadRequest,
    UnknownRequest,
    BadPace,
    RateLimited,
    Draining,
    NotAllGranted,
    NotReady,
    BadTicket,
    TicketExpired,
}

crate::event::wire_enum!(Code {
    BadTopic = 1 "bad_topic",
    UnknownKind = 2 "unknown_kind",
    UnknownVenue = 3 "unknown_venue",
    UnknownSymbol = 4 "unknown_symbol",
    NotSubscribed = 5 "not_subscribed",
    NotEntitled = 6 "not_entitled",
    TooManyTopics = 7 "too_many_topics",
    PatternTooWide = 8 "pattern_too_wide",
    BadRequest = 9 "bad_request",
    UnknownRequest = 10 "unknown_request",
    BadPace = 11 "bad_pace",
    RateLimited = 12 "rate_limited",
    Draining = 13 "draining",
    NotAllGranted = 14 "not_all_granted",
    NotReady = 15 "not_ready",
    BadTicket = 16 "bad_ticket",
    TicketExpired = 17 "ticket_expired",
});

/// Whether and when a client should come back after a close.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ComeBack {
    /// At once, with a jitter of a second.
    Now,
    /// With growing, jittered pauses from this many seconds on.
    After(u16),
    /// Not without a change on the client's side.
    Never,
}

pub struct CloseRow {
    pub close: Close,
    pub number: u16,
    pub name: &'static str,
    pub reason: &'static str,
    pub come_back: ComeBack,
}

/// Why the server closed a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Close {
    Draining,
    SlowConsumer,
    Overloaded,
    IdleTimeout,
    TokenExpired,
    BadFrame,
    TooManyCommands,
    FrameTooLarge,
    Unauthorized,
}

pub const CLOSES: [CloseRow; 9] = [
    CloseRow {
        close: Close::Draining,
        number: 4000,
        name: "draining",
        reason: "the server is shutting down",
        come_back: ComeBack::Now,
    },
    CloseRow {
        close: Close::SlowConsumer,
        number: 4001,
        name: "slow_consumer",
        reason: "one frame was not taken within the write timeout",
        come_back: ComeBack::After(1),
    },
    CloseRow {
        close: Close::Overloaded,
        number: 4002,
        name: "overloaded",
        reason: "the server is over its limits",
        come_back: ComeBack::After(5),
    },
    CloseRow {
        close: Close::IdleTimeout,
        number: 4003,
        name: "idle_timeout",
        reason: "no pong within the idle timeout",
        come_back: ComeBack::Now,
    },
    CloseRow {
        close: Close::TokenExpired,
        number: 4500,
        name: "token_expired",
        reason: "the token has expired",
        come_back: ComeBack::Never,
    },
    CloseRow {
        close: Close::BadFrame,
        number: 4501,
        name: "bad_frame",
        reason: "clients send JSON text frames only",
        come_back: ComeBack::Never,
    },
    CloseRow {
        close: Close::TooManyCommands,
        number: 4502,
        name: "too_many_commands",
        reason: "the command rate limit was exceeded for too long",
        come_back: ComeBack::Never,
    },
    CloseRow {
        close: Close::FrameTooLarge,
        number: 4503,
        name: "frame_too_large",
        reason: "a frame is larger than the limit",
        come_back: ComeBack::Never,
    },
    CloseRow {
        close: Close::Unauthorized,
        number: 4504,
        name: "unauthorized",
        reason: "the token does not allow this",
        come_back: ComeBack::Never,
    },
];

impl Close {
    pub fn row(self) -> &'static CloseRow {
        &CLOSES[self as usize]
    }

    pub fn from_number(number: u16) -> Option<Self> {
        CLOSES.iter().find(|row| row.number == number).map(|row| row.close)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn close_codes_say_by_their_range_whether_to_come_back() {
        for (at, row) in CLOSES.iter().enumerate() {
            assert_eq!(row.close as usize, at);
            assert_eq!(row.number >= 4500, row.come_back == ComeBack::Never, "{}", row.name);
            assert!((4000..5000).contains(&row.number));
        }
    }
}
