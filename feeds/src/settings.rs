//! What an operator configures of a feed: one `[[feeds]]` block. In: TOML values. Out: settings that `run::start` checks and runs.
//! Bounded: unknown keys are refused by name.

use crate::files::settings::{DatabentoSettings, FileSettings};
use crate::itch::settings::ItchSettings;
use crate::relay::RelaySettings;
use serde::{Deserialize, Serialize};
use std::path::PathBuf;
use wire::event::Channel;

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FeedSettings {
    /// Which protocol: a name of `registry::VENUES`, or one of `registry::BUILT_IN`.
    pub venue: String,
    /// Venue name in topics; the protocol's own name if left out.
    #[serde(default)]
    pub name: Option<String>,
    /// Normalized (`BTC-USDT`) or native (`!BTCUSDT`) symbols.
    #[serde(default)]
    pub symbols: Vec<String>,
    /// WebSocket base address; the venue's own if left out. `ws://` is accepted for loopback addresses only.
    #[serde(default)]
    pub ws_url: Option<String>,
    /// Further WebSocket base addresses (other regions or hosts of the venue): a line to each carries the same data, and what comes
    /// first is taken.
    #[serde(default)]
    pub ws_urls: Vec<String>,
    /// How many lines carry the same data; as many as there are addresses if left out.
    #[serde(default)]
    pub lines: Option<u32>,
    /// REST base address; the venue's own if left out.
    #[serde(default)]
    pub rest_url: Option<String>,
    /// File with the API key, for venues whose streams need one; line ends behind it are ignored.
    #[serde(default)]
    pub api_key_file: Option<PathBuf>,
    /// Which data to take.
    #[serde(default = "all_channels")]
    pub channels: Vec<ChannelName>,
    /// Take the venue's merged trades (Binance `aggTrade`) instead of single ones.
    #[serde(default)]
    pub aggregated_trades: bool,
    /// Levels a side to subscribe books with, where the venue lets choose; its own default if left out.
    #[serde(default)]
    pub depth: Option<u32>,
    /// Silence on a connection after which its data is stale; the venue's own default if left out.
    #[serde(default)]
    pub silence_ms: Option<u64>,
    /// Milliseconds without an update after which a quote or a book is quiet, and after six times as long the trades; 0 = never.
    #[serde(default = "ten_seconds")]
    pub quiet_after_ms: u64,
    /// Settings of the simulator (venue `sim`).
    #[serde(default)]
    pub sim: Option<SimSettings>,
    /// Settings of a recording (venue `replay`).
    #[serde(default)]
    pub replay: Option<ReplaySettings>,
    /// Captures of IEX (venue `iex`).
    #[serde(default)]
    pub iex: Option<FileSettings>,
    /// DBN files or Databento's live gateway (venue `databento`).
    #[serde(default)]
    pub databento: Option<DatabentoSettings>,
    /// Files or lines of Nasdaq ITCH (venue `itch`).
    #[serde(default)]
    pub itch: Option<ItchSettings>,
    /// Another Tickwire (venue `tickwire`).
    #[serde(default)]
    pub tickwire: Option<RelaySettings>,
}

impl FeedSettings {
    /// Every path in these settings.
    pub fn files_mut(&mut self) -> impl Iterator<Item = &mut PathBuf> {
        let replay = self.replay.as_mut().map(|replay| &mut replay.files);
        let iex = self.iex.as_mut().map(|iex| &mut iex.files);
        let databento = self.databento.as_mut().map(|databento| &mut databento.files);
        let (itch, password) = match &mut self.itch {
            Some(itch) => (Some(&mut itch.files), itch.password_file.as_mut()),
            None => (None, None),
        };
        let upstream = self.tickwire.as_mut().map(|own| [own.ca_file.as_mut(), own.token_file.as_mut()].into_iter().flatten());
        [replay, iex, databento, itch]
            .into_iter()
            .flatten()
            .flatten()
            .chain(password)
            .chain(upstream.into_iter().flatten())
            .chain(&mut self.api_key_file)
    }

    /// A feed of this venue with everything else left out.
    pub fn of_venue(venue: &str) -> Self {
        Self {
            venue: venue.to_owned(),
            name: None,
            symbols: Vec::new(),
            ws_url: None,
            ws_urls: Vec::new(),
            lines: None,
            rest_url: None,
            api_key_file: None,
            channels: all_channels(),
            aggregated_trades: false,
            depth: None,
            silence_ms: None,
            quiet_after_ms: ten_seconds(),
            sim: None,
            replay: None,
            iex: None,
            databento: None,
            itch: None,
            tickwire: None,
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ChannelName {
    Quote,
    Trade,
    Book,
}

impl ChannelName {
    pub fn channel(self) -> Channel {
        match self {
            Self::Quote => Channel::Quote,
            Self::Trade => Channel::Trade,
            Self::Book => Channel::Book,
        }
    }
}

fn ten_seconds() -> u64 {
    10_000
}

pub fn all_channels() -> Vec<ChannelName> {
    vec![ChannelName::Quote, ChannelName::Trade, ChannelName::Book]
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct SimSettings {
    /// Same seed, same market.
    pub seed: u64,
    pub symbols: u32,
    /// Mean of all events of all symbols together.
    pub events_per_second: u32,
    /// Exponent of the Zipf law that spreads activity over symbols; 0 = all alike.
    pub zipf: f64,
    /// Price levels a side in each book.
    pub levels: u32,
    /// For measurements: exactly `events_per_second` single quotes and trades, in turn over all symbols, without books or bursts
    /// (`zipf` and `levels` then mean nothing).
    pub steady: bool,
    /// Share of trades in a steady market; the rest are quotes.
    pub trade_percent: u32,
}

impl Default for SimSettings {
    fn default() -> Self {
        Self { seed: 1, symbols: 50, events_per_second: 2_000, zipf: 1.0, levels: 200, steady: false, trade_percent: 50 }
    }
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ReplaySettings {
    /// The venue protocol the recording speaks.
    pub venue: String,
    pub files: Vec<PathBuf>,
    /// 1 = as recorded, N = N times as fast, 0 = as fast as possible.
    #[serde(default = "one")]
    pub speed: f64,
    /// Start over at the end.
    #[serde(default)]
    pub repeat: bool,
}

fn one() -> f64 {
    1.0
}
