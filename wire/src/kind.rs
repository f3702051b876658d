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
}

pub struct KindRow {
    pub kind: Kind,
    pub name: &'static str,
    pub class: Class,
    /// Number on the wire (in `meta`).
    pub number: u8,
    pub meaning: &'static str,
}

pub const KINDS: [KindRow; 5] = [
    KindRow { kind: Kind::Quote, name: "quote", class: Class::Last, number: 1, meaning: "best bid and ask with their sizes" },
    KindRow { kind: Kind::Trade, name: "trade", class: Class::Stream, number: 2, meaning: "single executions" },
    KindRow { kind: Kind::Book, name: "book", class: Class::Keyed, number: 3, meaning: "price levels with absolute sizes" },
    KindRow { kind: Kind::Status, name: "status", class: Class::Last, number: 4, meaning: "state of the feed and of trading" },
    KindRow {
        kind: Kind::Instrument,
        name: "instrument",
        class: Class::Last,
        number: 5,
        meaning: "what the symbol is and how its numbers scale",
    },
];

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
}
