//! The table of kinds: what a topic can be, how it behaves when a subscriber was away, and what its argument means.
//! Every list of kinds in help, docs and tests is made from `KINDS`.

use std::fmt;

/// How a topic answers a cursor that is behind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Class {
    /// One current value: changed fields, newest value.
    Last,
    /// Single events in a bounded ring: each one, or an explicit gap.
    Stream,
    /// A map from price to size: changed entries, or a snapshot.
    Keyed,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Kind {
    Quote,
    Trade,
    Book,
    Status,
    Instrument,
    Bar,
    Stats,
}

pub struct KindRow {
    pub kind: Kind,
    pub name: &'static str,
    pub class: Class,
    /// Number on the wire (in `meta`).
    pub number: u8,
    pub meaning: &'static str,
    /// What may stand behind the symbol, and one of them must; none for kinds that take no argument.
    pub arguments: &'static [Argument],
}

pub const KINDS: [KindRow; 7] = [
    row(Kind::Quote, "quote", Class::Last, 1, "best bid and ask with their sizes", &[]),
    row(Kind::Trade, "trade", Class::Stream, 2, "single executions", &[]),
    row(Kind::Book, "book", Class::Keyed, 3, "price levels with absolute sizes", &Argument::DEPTHS),
    row(Kind::Status, "status", Class::Last, 4, "state of the feed and of trading", &[]),
    row(Kind::Instrument, "instrument", Class::Last, 5, "what the symbol is and how its numbers scale", &[]),
    row(Kind::Bar, "bar", Class::Last, 6, "open, high, low, close, volume and count of each interval", &Argument::INTERVALS),
    row(Kind::Stats, "stats", Class::Last, 7, "the last 24 hours of trading", &[]),
];

const fn row(
    kind: Kind,
    name: &'static str,
    class: Class,
    number: u8,
    meaning: &'static str,
    arguments: &'static [Argument],
) -> KindRow {
    KindRow { kind, name, class, number, meaning, arguments }
}

impl Kind {
    pub fn row(self) -> &'static KindRow {
        &KINDS[self as usize]
    }

    pub fn name(self) -> &'static str {
        self.row().name
    }

    pub fn from_name(name: &str) -> Option<Self> {
        KINDS.iter().find(|row| row.name == name).map(|row| row.kind)
    }

    pub fn from_number(number: u8) -> Option<Self> {
        KINDS.iter().find(|row| row.number == number).map(|row| row.kind)
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// All kind names, comma separated, for messages.
pub fn names() -> String {
    KINDS.iter().map(|row| row.name).collect::<Vec<_>>().join(", ")
}

/// Depth of a book view: the best N levels of each side, or all of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Depth {
    Top5,
    Top10,
    Top20,
    Top50,
    Full,
}

impl Depth {
    pub const ALL: [Self; 5] = [Self::Top5, Self::Top10, Self::Top20, Self::Top50, Self::Full];

    /// Levels a side; `usize::MAX` for the full book.
    pub fn levels(self) -> usize {
        match self {
            Self::Top5 => 5,
            Self::Top10 => 10,
            Self::Top20 => 20,
            Self::Top50 => 50,
            Self::Full => usize::MAX,
        }
    }

    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|depth| depth.name() == name)
    }

    pub fn name(self) -> &'static str {
        match self {
            Self::Top5 => "5",
            Self::Top10 => "10",
            Self::Top20 => "20",
            Self::Top50 => "50",
            Self::Full => "full",
        }
    }
}

impl fmt::Display for Depth {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// How long a bar is. Bars are aligned to the Unix epoch, so all of these to the UTC day.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Interval {
    Second,
    Minute,
    FiveMinutes,
    Hour,
}

impl Interval {
    pub const ALL: [Self; 4] = [Self::Second, Self::Minute, Self::FiveMinutes, Self::Hour];

    pub const fn seconds(self) -> i64 {
        match self {
            Self::Second => 1,
            Self::Minute => 60,
            Self::FiveMinutes => 300,
            Self::Hour => 3_600,
        }
    }

    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|interval| interval.name() == name)
    }

    pub fn name(self) -> &'static str {
        match self {
            Self::Second => "1s",
            Self::Minute => "1m",
            Self::FiveMinutes => "5m",
            Self::Hour => "1h",
        }
    }
}

impl fmt::Display for Interval {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// What stands behind the symbol of a topic.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Argument {
    Depth(Depth),
    Interval(Interval),
}

impl Argument {
    const DEPTHS: [Self; 5] = [
        Self::Depth(Depth::Top5),
        Self::Depth(Depth::Top10),
        Self::Depth(Depth::Top20),
        Self::Depth(Depth::Top50),
        Self::Depth(Depth::Full),
    ];
    const INTERVALS: [Self; 4] = [
        Self::Interval(Interval::Second),
        Self::Interval(Interval::Minute),
        Self::Interval(Interval::FiveMinutes),
        Self::Interval(Interval::Hour),
    ];

    pub fn name(self) -> &'static str {
        match self {
            Self::Depth(depth) => depth.name(),
            Self::Interval(interval) => interval.name(),
        }
    }

    pub fn depth(self) -> Option<Depth> {
        if let Self::Depth(depth) = self { Some(depth) } else { None }
    }

    pub fn interval(self) -> Option<Interval> {
        if let Self::Interval(interval) = self { Some(interval) } else { None }
    }
}

impl From<Depth> for Argument {
    fn from(depth: Depth) -> Self {
        Self::Depth(depth)
    }
}

impl From<Interval> for Argument {
    fn from(interval: Interval) -> Self {
        Self::Interval(interval)
    }
}

impl fmt::Display for Argument {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_is_in_the_order_of_the_enum() {
        for (at, row) in KINDS.iter().enumerate() {
            assert_eq!(row.kind as usize, at);
            assert_eq!(Kind::from_name(row.name), Some(row.kind));
            assert_eq!(Kind::from_number(row.number), Some(row.kind));
        }
    }

    #[test]
    fn the_table_lists_every_argument() {
        let depths: Vec<_> = Kind::Book.row().arguments.iter().filter_map(|argument| argument.depth()).collect();
        let intervals: Vec<_> = Kind::Bar.row().arguments.iter().filter_map(|argument| argument.interval()).collect();
        assert_eq!((&depths[..], &intervals[..]), (&Depth::ALL[..], &Interval::ALL[..]));
    }
}
