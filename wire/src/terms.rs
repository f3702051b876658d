//! In: the text of a subscription's terms: its pace, how trades are told, its share, the age it allows, a book's depth. Out: the same
//! as types, and changes of them. Bounded: every term is a word or two.

use crate::kind::Depth;
use serde::{Deserialize, Serialize};
use std::borrow::Cow;
use std::time::Duration;

/// Milliseconds of `250ms` or `1s`.
fn duration_ms(text: &str) -> Option<u32> {
    match text.strip_suffix("ms") {
        Some(number) => number.parse().ok(),
        None => text.strip_suffix('s')?.parse::<u32>().ok()?.checked_mul(1000),
    }
}

fn spell_ms(ms: u32, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
    if ms.is_multiple_of(1000) { write!(f, "{}s", ms / 1000) } else { write!(f, "{ms}ms") }
}

/// Conflation interval of one subscription.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Pace {
    /// As soon as the socket can take it.
    #[default]
    Realtime,
    /// At most one update in each interval of this many milliseconds; always a step of `LADDER_MS`.
    EveryMs(u32),
    /// With the frames that the client grants, one each.
    Credit,
}

/// Intervals are rounded up to one of these, so that clients move in step and share encodings.
pub const LADDER_MS: [u32; 9] = [10, 20, 50, 100, 250, 500, 1000, 2000, 5000];

impl Pace {
    /// Reads `realtime`, `credit`, `250ms`, `1s` and rounds up to the ladder; above its last step, to the last step.
    pub fn parse(text: &str) -> Option<Self> {
        match text {
            "realtime" => return Some(Self::Realtime),
            "credit" => return Some(Self::Credit),
            _ => {}
        }
        let ms = duration_ms(text).filter(|ms| *ms > 0)?;
        let last = LADDER_MS[LADDER_MS.len() - 1];
        Some(Self::EveryMs(LADDER_MS.into_iter().find(|step| *step >= ms).unwrap_or(last)))
    }

    pub fn interval(self) -> Option<Duration> {
        match self {
            Self::Realtime | Self::Credit => None,
            Self::EveryMs(ms) => Some(Duration::from_millis(u64::from(ms))),
        }
    }
}

impl std::fmt::Display for Pace {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Realtime => f.write_str("realtime"),
            Self::Credit => f.write_str("credit"),
            Self::EveryMs(ms) => spell_ms(*ms, f),
        }
    }
}

impl Serialize for Pace {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Pace {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        read_text(deserializer, Self::parse, "a pace: 'realtime', 'credit', or an interval such as '250ms' or '1s'")
    }
}

/// What a trade subscriber that was away gets.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum TradeMode {
    /// Each trade, and an explicit gap if the ring moved on.
    #[default]
    Every,
    /// One record for the whole window.
    Summary,
}

/// What a subscription is worth when the bytes of its session do not suffice for all: the larger the weight, the larger its share.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Focus {
    Focused,
    #[default]
    Visible,
    Background,
}

impl Focus {
    pub const ALL: [Self; 3] = [Self::Focused, Self::Visible, Self::Background];

    /// Its share of the bytes against that of the others.
    pub fn weight(self) -> u64 {
        match self {
            Self::Focused => 8,
            Self::Visible => 4,
            Self::Background => 1,
        }
    }
}

/// The age from which a client wants to be told that what it shows is old.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum MaxAge {
    /// It does not.
    #[default]
    Off,
    Ms(u32),
}

impl MaxAge {
    /// Finer would tell of every pause between two updates.
    pub const SHORTEST_MS: u32 = 100;

    /// Reads `off`, `500ms`, `2s`; at least `SHORTEST_MS`.
    pub fn parse(text: &str) -> Option<Self> {
        match text {
            "off" => Some(Self::Off),
            _ => Some(Self::Ms(duration_ms(text)?.max(Self::SHORTEST_MS))),
        }
    }

    pub fn is_off(&self) -> bool {
        *self == Self::Off
    }
}

impl std::fmt::Display for MaxAge {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Off => f.write_str("off"),
            Self::Ms(ms) => spell_ms(*ms, f),
        }
    }
}

impl Serialize for MaxAge {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for MaxAge {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        read_text(deserializer, Self::parse, "an age: 'off', '500ms' or '2s'")
    }
}

/// How many of the last events of a stream a new subscriber gets first; spelled `"-50"`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Since(pub u32);

impl Serialize for Since {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&format_args!("-{}", self.0))
    }
}

impl<'de> Deserialize<'de> for Since {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let parse = |text: &str| text.strip_prefix('-').and_then(|count| count.parse().ok()).map(Self);
        read_text(deserializer, parse, "a place: give a number of last events, such as '-50'")
    }
}

impl Serialize for Depth {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.name())
    }
}

impl<'de> Deserialize<'de> for Depth {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        read_text(deserializer, Self::from_name, "a depth: 5, 10, 20, 50 or full")
    }
}

/// A change of subscriptions in place. What is `None` stays as it is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Change {
    pub pace: Option<Pace>,
    pub trades: Option<TradeMode>,
    /// Of books: another depth, which is another topic: the former one ends.
    pub depth: Option<Depth>,
    pub trade_safe: Option<bool>,
    pub focus: Option<Focus>,
    pub max_age: Option<MaxAge>,
}

/// A term that is spelled as text; `what` says what should stand there.
fn read_text<'de, T, D: serde::Deserializer<'de>>(
    deserializer: D,
    parse: impl FnOnce(&str) -> Option<T>,
    what: &str,
) -> Result<T, D::Error> {
    let text = Cow::<'de, str>::deserialize(deserializer)?;
    parse(&text).ok_or_else(|| serde::de::Error::custom(format_args!("'{text}' is not {what}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paces_round_up_to_the_ladder() {
        for (text, expected) in [
            ("realtime", Some(Pace::Realtime)),
            ("credit", Some(Pace::Credit)),
            ("1ms", Some(Pace::EveryMs(10))),
            ("100ms", Some(Pace::EveryMs(100))),
            ("101ms", Some(Pace::EveryMs(250))),
            ("3s", Some(Pace::EveryMs(5000))),
            ("60s", Some(Pace::EveryMs(5000))),
            ("0ms", None),
            ("fast", None),
            ("-1s", None),
            ("99999999999s", None),
        ] {
            assert_eq!(Pace::parse(text), expected, "{text}");
        }
    }

    #[test]
    fn ages_and_places_say_what_is_wrong() {
        assert_eq!(MaxAge::parse("2s"), Some(MaxAge::Ms(2000)));
        assert_eq!(MaxAge::parse("1ms"), Some(MaxAge::Ms(MaxAge::SHORTEST_MS)));
        assert_eq!(MaxAge::parse("off"), Some(MaxAge::Off));
        assert!(MaxAge::parse("old").is_none());
        assert_eq!(serde_json::from_str::<Since>("\"-50\"").unwrap(), Since(50));
        for wrong in ["\"50\"", "\"-\"", "\"--5\"", "\"-x\""] {
            let problem = serde_json::from_str::<Since>(wrong).unwrap_err().to_string();
            assert!(problem.contains("such as '-50'"), "{wrong}: {problem}");
        }
        assert_eq!(serde_json::from_str::<Depth>("\"full\"").unwrap(), Depth::Full);
        let problem = serde_json::from_str::<Depth>("\"7\"").unwrap_err().to_string();
        assert!(problem.starts_with("'7' is not a depth: 5, 10, 20, 50 or full"), "{problem}");
    }
}
