//! What a run is to do. In: the command line's words. Out: plain data with its ranges checked. Bounded: plain data.

use client::Trust;
use serde::Serialize;
use std::net::{IpAddr, Ipv4Addr};
use std::str::FromStr;
use std::time::Duration;
use wire::request::{Encoding, Pace, TradeMode};

/// One run. The same plan with the same seed gives each client the same topics, in however many threads or processes.
#[derive(Clone, Debug)]
pub struct Plan {
    pub dialect: Speech,
    /// `wss://host:port`; without a path, `/v1/stream` is meant.
    pub url: String,
    pub trust: Trust,
    /// Bearer token, for servers that ask for one.
    pub token: Option<String>,
    /// Clients of all processes together.
    pub clients: usize,
    /// Connections begun a second, all threads and processes together; 0 = as fast as they succeed.
    pub connect_rate: u32,
    pub topics: Vec<String>,
    pub topics_per_client: usize,
    pub shape: Shape,
    pub seed: u64,
    pub pace: Pace,
    pub trades: TradeMode,
    pub encoding: Encoding,
    pub verify: Verify,
    /// The venue numbers its trades without holes, as the simulator does: one that lacks is lost, whatever the server says.
    pub consecutive_ids: bool,
    pub warmup: Duration,
    pub time: Duration,
    pub stall: Option<Stall>,
    pub storm: Option<Storm>,
    /// Addresses to connect from, in turn; empty: the system's choice.
    pub sources: Vec<IpAddr>,
    pub threads: usize,
    /// Which of the processes this is.
    pub part: Part,
}

/// One of `of` processes that share the clients.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Part {
    pub number: usize,
    pub of: usize,
}

/// Clients that read nothing for a while, or little.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Stall {
    pub share: Share,
    /// After the warm-up.
    pub after: Duration,
    pub time: Duration,
    /// Bytes a second they still read; 0 = none.
    pub slow_read: u32,
    /// Size of their kernel's receive buffer; 0 = the system's choice.
    pub receive_buffer_bytes: u32,
}

/// Clients that drop their connection at once and come back with what they hold.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Storm {
    pub share: Share,
    /// After the warm-up.
    pub at: Duration,
}

/// What the server speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Speech {
    /// `tickwire.v1`.
    Tickwire,
    /// Quotes of 48 bytes, as the small servers in `benches/rivals` send them. Its topics are numbers.
    Fixed48,
    /// Centrifuge, with such quotes as payload. Its topics are numbers.
    Centrifuge,
    /// NATS, with such quotes as payload. Its topics are numbers.
    Nats,
}

/// How topics are spread over clients.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Shape {
    /// All clients on the same topics: the first ones.
    AllOnOne,
    /// Each topic has the same number of clients.
    Uniform,
    /// Some topics are wanted by many, most by few (Zipf, exponent 1).
    Zipf,
    /// Every client on every topic.
    Many,
}

/// How much is checked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Verify {
    /// Frames are decoded and counted.
    Off,
    /// And sequences add up: no trade lacks without a gap, checks of trades agree.
    Sequence,
    /// And views are kept, and all checks agree.
    Full,
}

/// A part of the clients, as `10%` or `0.1`; kept in millionths so that it has one meaning everywhere.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Share(u32);

const WHOLE: u64 = 1_000_000;

impl Share {
    /// Which of the clients belong to it: exactly so many, drawn, so that they are spread over topics as the others are.
    pub fn members(self, clients: usize, seed: u64) -> Vec<bool> {
        let wanted = (clients as u64 * u64::from(self.0) + WHOLE / 2) / WHOLE;
        let mut members: Vec<_> = (0..clients as u64).map(|client| client < wanted).collect();
        fastrand::Rng::with_seed(seed).shuffle(&mut members);
        members
    }

    pub fn percent(self) -> f64 {
        f64::from(self.0) / 10_000.0
    }
}

impl FromStr for Share {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (number, whole) = match text.strip_suffix('%') {
            Some(percent) => (percent, 100.0),
            None => (text, 1.0),
        };
        let share = number.trim().parse::<f64>().ok().filter(|share| (0.0..=whole).contains(share));
        let share = share.ok_or_else(|| "give a share such as 10% or 0.1".to_owned())?;
        Ok(Self((share / whole * WHOLE as f64).round() as u32))
    }
}

impl Part {
    pub const WHOLE: Self = Self { number: 0, of: 1 };

    /// Whether this process runs the client.
    pub fn has(self, client: usize) -> bool {
        client % self.of == self.number
    }
}

impl FromStr for Part {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let parts = text.split_once('/').and_then(|(number, of)| Some((number.parse().ok()?, of.parse().ok()?)));
        let part = parts.map(|(number, of)| Self { number, of }).filter(|part| part.number < part.of);
        part.ok_or_else(|| "give a part such as 0/2".to_owned())
    }
}

/// Reads `127.0.0.1-127.0.0.20`, or one address.
pub fn parse_sources(text: &str) -> Result<Vec<IpAddr>, String> {
    /// More would only be a typing error.
    const MOST: u32 = 65_536;
    let wrong = || "give an address, or a range such as 127.0.0.1-127.0.0.20".to_owned();
    let Some((first, last)) = text.split_once('-') else {
        return text.parse().map(|address| vec![address]).map_err(|_| wrong());
    };
    let parse = |text: &str| text.trim().parse::<Ipv4Addr>().map(u32::from).map_err(|_| wrong());
    let (first, last) = (parse(first)?, parse(last)?);
    if last < first || last - first >= MOST {
        return Err(wrong());
    }
    Ok((first..=last).map(|address| IpAddr::V4(address.into())).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_take_so_many() {
        for (text, of, expected) in [("10%", 1_000, 100), ("0.1", 20, 2), ("100%", 7, 7), ("0%", 7, 0), ("33%", 100, 33)] {
            let share: Share = text.parse().unwrap();
            let members = share.members(of, 1);
            assert_eq!(members.iter().filter(|is_member| **is_member).count(), expected, "{text}");
            assert_eq!(members, share.members(of, 1));
        }
        for text in ["", "%", "101%", "1.5", "-1%", "x"] {
            assert!(text.parse::<Share>().is_err(), "{text}");
        }
    }

    #[test]
    fn parts_share_the_clients() {
        let parts: Vec<Part> = ["0/3", "1/3", "2/3"].iter().map(|text| text.parse().unwrap()).collect();
        for client in 0..10 {
            assert_eq!(parts.iter().filter(|part| part.has(client)).count(), 1);
        }
        assert!("3/3".parse::<Part>().is_err() && "0/0".parse::<Part>().is_err() && "1".parse::<Part>().is_err());
    }

    #[test]
    fn sources_are_ranges() {
        assert_eq!(parse_sources("127.0.0.7").unwrap().len(), 1);
        let range = parse_sources("127.0.0.250-127.0.1.2").unwrap();
        assert_eq!((range.len(), range[6].to_string()), (9, "127.0.1.0".to_owned()));
        for text in ["", "127.0.0.2-127.0.0.1", "a-b", "1.0.0.0-2.0.0.0"] {
            assert!(parse_sources(text).is_err(), "{text}");
        }
    }
}
