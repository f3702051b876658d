//! A venue in the hands of a test: plain calls in, events of one or more instruments out, into a real server.

use feeds::adapter::Sink;
use std::time::{SystemTime, UNIX_EPOCH};
use tickwire::ingest::Ingest;
use wire::event::{
    Aggressor, Batch, Cause, Channel, Event, EventBody, FeedState, Flags, Level, Nanos, Quote, Trade, TradingState,
};
use wire::instrument::Instrument;

/// Prices in the tests are cents, sizes thousandths.
pub const PRICE_EXPONENT: i8 = -2;
pub const SIZE_EXPONENT: i8 = -3;

pub struct Market {
    ingest: Ingest,
    batch: Batch,
    listed: u32,
    next_trade: i64,
}

impl Market {
    /// Lists `BTC-USD` as instrument 0 and says that this is all.
    pub fn open(ingest: Ingest) -> Self {
        let mut market = Self { ingest, batch: Batch::default(), listed: 0, next_trade: 1 };
        market.list("BTC-USD");
        market.known();
        market
    }

    /// Announces another instrument and returns its index.
    pub fn list(&mut self, symbol: &str) -> u32 {
        let index = self.listed;
        self.listed += 1;
        let instrument = Instrument {
            symbol: symbol.to_owned(),
            native: symbol.replace('-', ""),
            price_exponent: PRICE_EXPONENT,
            size_exponent: SIZE_EXPONENT,
            tick: 1,
            lot: 1,
            quote_has_event_time: true,
            trade_has_event_time: true,
            book_has_event_time: true,
            event_time_exponent: -9,
            ..Instrument::default()
        };
        self.publish(index, EventBody::Instrument(Box::new(instrument)));
        self.state(index, None, FeedState::Live, Cause::None);
        index
    }

    pub fn known(&mut self) {
        self.ingest.instruments_known();
    }

    pub fn quote(&mut self, index: u32, bid: (i64, i64), ask: (i64, i64)) {
        let quote = Quote { bid_price: Some(bid.0), bid_size: Some(bid.1), ask_price: Some(ask.0), ask_size: Some(ask.1) };
        self.publish(index, EventBody::Quote(quote));
    }

    /// The next trade; ids count up by one.
    pub fn trade(&mut self, index: u32, price: i64, size: i64) {
        let id = self.next_trade;
        self.next_trade += 1;
        let trade = Trade { price, size, aggressor: Aggressor::Buy, id: Some(id), aggregated: false };
        self.publish(index, EventBody::Trade(trade));
    }

    pub fn trade_gap(&mut self, index: u32, missing: u64) {
        self.next_trade += missing as i64;
        self.publish(index, EventBody::Gap { channel: Channel::Trade, missing: Some(missing), cause: Cause::SequenceGap });
    }

    pub fn book(&mut self, index: u32, snapshot: bool, bids: &[(i64, i64)], asks: &[(i64, i64)]) {
        self.batch.clear();
        let level = |(price, size): &(i64, i64)| Level { price: *price, size: *size };
        self.batch.levels.extend(bids.iter().map(level));
        self.batch.levels.extend(asks.iter().map(level));
        let (middle, end) = (bids.len() as u32, (bids.len() + asks.len()) as u32);
        let body = EventBody::Book { bids: 0..middle, asks: middle..end, snapshot };
        self.batch.events.push(event(index, body));
        self.ingest.publish(&self.batch);
    }

    pub fn state(&mut self, index: u32, channel: Option<Channel>, state: FeedState, cause: Cause) {
        self.publish(index, EventBody::State { channel, state, cause });
    }

    pub fn trading(&mut self, index: u32, trading: TradingState) {
        self.publish(index, EventBody::Trading(trading));
    }

    /// The one connection that carries everything.
    pub fn link(&mut self, state: FeedState, cause: Cause) {
        self.publish(0, EventBody::Link { link: 0, state, cause });
    }

    fn publish(&mut self, index: u32, body: EventBody) {
        self.batch.clear();
        self.batch.events.push(event(index, body));
        self.ingest.publish(&self.batch);
    }
}

fn event(instrument: u32, body: EventBody) -> Event {
    let now = now();
    Event { instrument, event_time: now, received: now, flags: Flags::default(), body }
}

pub fn now() -> Nanos {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_nanos() as i64)
}
