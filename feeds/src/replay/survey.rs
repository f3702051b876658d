//! One pass over a recording before it is replayed. In: entries. Out: which symbols and channels it holds, how fine their numbers
//! are, which REST answers it has, and an exchangeInfo if none was recorded. Bounded by the number of symbols.

use super::ReplayError;
use super::binance::{Snapshot, StreamKind, StreamMessage, address_key, split_symbol};
use crate::recording::{Body, Recording, Tear};
use std::collections::{BTreeMap, HashMap};
use std::path::PathBuf;
use wire::decimal::{Decimal, plain};
use wire::event::Nanos;

/// What a recording holds.
#[derive(Debug, Default)]
pub struct Survey {
    pub first: Nanos,
    pub last: Nanos,
    pub entries: u64,
    /// By native symbol.
    pub symbols: BTreeMap<String, SurveyedSymbol>,
    pub has_exchange_info: bool,
    pub tears: Vec<Tear>,
    /// Entries the recorder had to leave out.
    pub dropped: u64,
    answers: HashMap<String, u32>,
}

#[derive(Clone, Debug, Default)]
pub struct SurveyedSymbol {
    pub depth_messages: u64,
    pub trades: u64,
    pub aggregated_trades: u64,
    pub book_tickers: u64,
    /// Exponents of the finest price and size seen.
    pub price_exponent: i8,
    pub size_exponent: i8,
}

impl Survey {
    pub fn take(files: &[PathBuf]) -> Result<Self, ReplayError> {
        let mut survey = Self::default();
        let mut recording = Recording::open(files)?;
        for entry in recording.by_ref() {
            let entry = entry?;
            if survey.entries == 0 {
                survey.first = entry.time;
            }
            survey.entries += 1;
            survey.last = survey.last.max(entry.time);
            survey.note(&entry.body);
        }
        survey.tears = recording.tears().to_vec();
        Ok(survey)
    }

    /// How many answers to this address the recording holds, refusals included.
    pub(super) fn answers(&self, key: &str) -> u32 {
        self.answers.get(key).copied().unwrap_or(0)
    }

    /// True if the recording holds merged trades and no single ones.
    pub fn only_aggregated_trades(&self) -> bool {
        let any = |count: fn(&SurveyedSymbol) -> u64| self.symbols.values().any(|symbol| count(symbol) > 0);
        any(|symbol| symbol.aggregated_trades) && !any(|symbol| symbol.trades)
    }

    /// An exchangeInfo made from the data: tick and lot are the largest powers of ten that divide every price and size of the
    /// recording, base and quote are split by the usual quote assets.
    pub fn synthesize_exchange_info(&self) -> String {
        let symbols: Vec<String> = self.symbols.iter().map(|(native, symbol)| symbol.exchange_info(native)).collect();
        format!(
            r#"{{"timezone":"UTC","serverTime":{},"rateLimits":[],"exchangeFilters":[],"symbols":[{}]}}"#,
            self.first / 1_000_000,
            symbols.join(",")
        )
    }

    fn note(&mut self, body: &Body) {
        match body {
            Body::Received { bytes, .. } => {
                if let Some(message) = StreamMessage::parse(bytes) {
                    self.note_message(&message);
                }
            }
            Body::Response { url, status, bytes } => {
                let key = address_key(url);
                if *status == 200 {
                    self.note_answer(&key, bytes);
                }
                *self.answers.entry(key).or_default() += 1;
            }
            Body::Dropped { entries } => self.dropped += entries,
            _ => {}
        }
    }

    fn note_message(&mut self, message: &StreamMessage<'_>) {
        if matches!(message.kind, StreamKind::Other) {
            return;
        }
        let symbol = self.symbol(&message.symbol);
        match &message.kind {
            StreamKind::Depth { bids, asks, .. } => {
                symbol.depth_messages += 1;
                bids.iter().chain(asks).for_each(|level| symbol.note(level));
            }
            StreamKind::Trade { price, size } => {
                symbol.trades += 1;
                symbol.note(&[price, size]);
            }
            StreamKind::AggregatedTrade { price, size } => {
                symbol.aggregated_trades += 1;
                symbol.note(&[price, size]);
            }
            StreamKind::BookTicker { bid, ask } => {
                symbol.book_tickers += 1;
                [bid, ask].into_iter().for_each(|level| symbol.note(level));
            }
            StreamKind::Other => {}
        }
    }

    fn note_answer(&mut self, key: &str, bytes: &[u8]) {
        self.has_exchange_info |= key == "exchangeInfo";
        if let Some(native) = key.strip_prefix("depth?symbol=")
            && let Ok(snapshot) = serde_json::from_slice::<Snapshot<'_>>(bytes)
        {
            let symbol = self.symbol(native);
            snapshot.bids.iter().chain(&snapshot.asks).for_each(|level| symbol.note(level));
        }
    }

    fn symbol(&mut self, native: &str) -> &mut SurveyedSymbol {
        if !self.symbols.contains_key(native) {
            self.symbols.insert(native.to_owned(), SurveyedSymbol::default());
        }
        self.symbols.get_mut(native).expect("it was put there just now")
    }
}

impl SurveyedSymbol {
    fn note(&mut self, level: &[&str; 2]) {
        for (text, finest) in level.iter().zip([&mut self.price_exponent, &mut self.size_exponent]) {
            if let Ok(value) = Decimal::parse(text.as_bytes()) {
                *finest = (*finest).min(value.normalized().exponent);
            }
        }
    }

    fn exchange_info(&self, native: &str) -> String {
        let (base, quote) = split_symbol(native);
        let (tick, lot) = (plain(1, self.price_exponent), plain(1, self.size_exponent));
        format!(
            concat!(
                r#"{{"symbol":"{native}","status":"TRADING","baseAsset":"{base}","baseAssetPrecision":8,"quoteAsset":"{quote}","#,
                r#""quotePrecision":8,"quoteAssetPrecision":8,"orderTypes":["LIMIT","MARKET"],"isSpotTradingAllowed":true,"#,
                r#""isMarginTradingAllowed":false,"filters":[{{"filterType":"PRICE_FILTER","minPrice":"{tick}","#,
                r#""maxPrice":"1000000000","tickSize":"{tick}"}},{{"filterType":"LOT_SIZE","minQty":"{lot}","#,
                r#""maxQty":"1000000000","stepSize":"{lot}"}}],"permissions":["SPOT"]}}"#
            ),
            native = native,
            base = base,
            quote = quote,
            tick = tick,
            lot = lot,
        )
    }
}
