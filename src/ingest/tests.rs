//! A feed's batches through the sink into a topic map, as a subscriber and the metrics see them.

use super::Ingest;
use crate::clock::Clock;
use crate::metrics::Metrics;
use crate::topic::{Cursor, Resolve, TopicLimits, TopicMap};
use feeds::adapter::{Action, Adapter, FaultKind, Line, Now, Output, Sink};
use feeds::registry;
use feeds::settings::{ChannelName, FeedSettings};
use std::sync::Arc;
use wire::event::{Batch, Cause, Channel, Event, EventBody, FeedState, Flags, Level, Quote, Side};
use wire::instrument::Instrument;
use wire::record::RecordBody;
use wire::request::TradeMode;
use wire::topic::TopicKey;
use wire::view::View;

struct Rig {
    map: Arc<TopicMap>,
    metrics: Arc<Metrics>,
    ingest: Ingest,
}

fn rig(max_topics: u32) -> Rig {
    let map = TopicMap::new(TopicLimits { max_topics, ..TopicLimits::default() }, 1, 1);
    let metrics = Metrics::new(1);
    let ingest = Ingest::new(map.clone(), "sim", &metrics, Clock::new());
    Rig { map, metrics, ingest }
}

fn event(instrument: u32, body: EventBody) -> Event {
    Event { instrument, event_time: 1_000, received: 3_000, flags: Flags::default(), body }
}

fn listed(instrument: u32, symbol: &str) -> Event {
    let listed = Instrument { symbol: symbol.into(), native: symbol.replace('-', ""), ..Instrument::default() };
    event(instrument, EventBody::Instrument(Box::new(listed)))
}

impl Rig {
    fn publish(&mut self, events: Vec<Event>) {
        self.ingest.publish(&Batch { events, levels: Vec::new() });
    }

    fn resolve(&self, name: &str) -> Resolve {
        self.map.resolve(&TopicKey::parse(name).unwrap())
    }

    fn view(&self, name: &str) -> View {
        let Resolve::Found(id) = self.resolve(name) else { panic!("{name} is not there") };
        let topic = self.map.get(id).unwrap();
        let mut view = View::new(&topic.meta());
        topic.since(&Cursor::NEW, TradeMode::Every, 9, &mut |_, record| {
            view.apply(record).unwrap();
        });
        view
    }
}

#[test]
fn a_batch_reaches_its_topics_in_order() {
    let mut rig = rig(90);
    let quote = |bid| Quote { bid_price: Some(bid), bid_size: Some(1), ask_price: None, ask_size: None };
    rig.publish(vec![
        listed(0, "A-B"),
        event(0, EventBody::Quote(quote(5))),
        event(0, EventBody::Quote(quote(6))),
        listed(1, "C-D"),
        event(1, EventBody::Quote(quote(7))),
    ]);
    let level = |price, size| Level { price, size };
    rig.ingest.publish(&Batch {
        events: vec![event(1, EventBody::Book { bids: 1..2, asks: 2..3, snapshot: true })],
        levels: vec![level(1, 1), level(5, 2), level(6, 3)],
    });
    assert_eq!(rig.view("quote/sim:A-B").quote(), Some(&quote(6)));
    assert_eq!(rig.view("quote/sim:!CD").quote(), Some(&quote(7)));
    assert_eq!(rig.view("book/sim:C-D/5").book().unwrap().best(Side::Bid), Some(level(5, 2)));
    let metrics = rig.metrics.feed("sim");
    assert_eq!((metrics.events.get(), metrics.instruments.get(), metrics.fault_count()), (4, 2, 0));
}

#[test]
fn the_times_of_a_recording_are_no_latency() {
    let quote = |bid| event(0, EventBody::Quote(Quote { bid_price: Some(bid), ..Quote::default() }));
    let mut rig = rig(90);
    rig.publish(vec![listed(0, "A-B"), quote(5)]);
    let counts = |rig: &Rig| {
        let metrics = rig.metrics.feed("sim");
        (metrics.events.get(), metrics.received_to_published.read().count())
    };
    assert_eq!(counts(&rig), (1, 1));
    rig.ingest = rig.ingest.of_recording();
    rig.publish(vec![quote(6)]);
    assert_eq!(counts(&rig), (2, 1));
    let Resolve::Found(id) = rig.resolve("quote/sim:A-B") else { panic!("it is listed") };
    assert_eq!(rig.map.get(id).unwrap().received(), 3_000, "the data keeps its time");
}

#[test]
fn unknown_symbols_are_pending_until_all_instruments_are_known() {
    let mut rig = rig(90);
    assert_eq!(rig.resolve("quote/sim:A-B"), Resolve::Pending);
    assert_eq!(rig.resolve("quote/other:A-B"), Resolve::UnknownVenue);
    rig.ingest.instruments_known();
    assert_eq!(rig.resolve("quote/sim:A-B"), Resolve::UnknownSymbol);
}

#[test]
fn what_was_not_announced_or_has_no_room_is_counted_and_ignored() {
    let mut rig = rig(14);
    rig.publish(vec![
        event(7, EventBody::Trading(wire::event::TradingState::Open)),
        listed(5, "X-Y"),
        listed(0, "A-B"),
        listed(1, "C-D"),
        event(1, EventBody::Gap { channel: Channel::Trade, missing: None, cause: Cause::SequenceGap }),
    ]);
    assert_eq!(rig.resolve("quote/sim:C-D"), Resolve::Pending);
    assert_eq!(rig.metrics.topics.refused.get(), 1);
    assert_eq!(rig.metrics.feed("sim").fault_count(), 2);
    rig.ingest.faults(&[feeds::adapter::Fault { kind: FaultKind::Duplicate, detail: String::new() }]);
    assert_eq!(rig.metrics.feed("sim").fault_count(), 3);
}

#[test]
fn channels_are_counted_by_state() {
    let mut rig = rig(100);
    rig.publish(vec![listed(0, "A-USD"), listed(1, "B-USD")]);
    let state = |instrument, channel, state| event(instrument, EventBody::State { channel, state, cause: Cause::None });
    rig.publish(vec![state(0, None, FeedState::Live), state(1, Some(Channel::Book), FeedState::Live)]);
    let count = |rig: &Rig, state: FeedState| rig.map.channels()[0].1[state as usize];
    assert_eq!(count(&rig, FeedState::Live), 4);
    rig.publish(vec![state(0, Some(Channel::Book), FeedState::Resyncing)]);
    assert_eq!((count(&rig, FeedState::Live), count(&rig, FeedState::Resyncing)), (3, 1));
    rig.publish(vec![state(0, None, FeedState::Down)]);
    assert_eq!((count(&rig, FeedState::Live), count(&rig, FeedState::Resyncing), count(&rig, FeedState::Down)), (1, 0, 3));
}

/// A feed that takes only books, by its settings, from the venue's own messages on.
#[test]
fn a_feed_without_quotes_has_those_of_its_books() {
    let channels = vec![ChannelName::Book];
    let settings = FeedSettings { symbols: vec!["A-B".into()], channels, ..FeedSettings::of_venue("binance") };
    assert!(registry::quotes_from_books(&settings) && !registry::quotes_from_books(&FeedSettings::of_venue("binance")));
    let mut rig = rig(90);
    rig.ingest = rig.ingest.with_quotes_from_books();
    let mut adapter = registry::adapter("binance", &settings).unwrap();
    let (now, line, mut out) = (Now { wall: 1_000, mono: 0 }, Line(0), Output::default());
    adapter.start(now, &mut out);
    answer(
        &mut *adapter,
        &mut out,
        r#"{"symbols":[{"symbol":"AB","status":"TRADING","baseAsset":"A","quoteAsset":"B","filters":[
        {"filterType":"PRICE_FILTER","tickSize":"0.01"},{"filterType":"LOT_SIZE","stepSize":"0.1"}]}]}"#,
    );
    adapter.on_open(now, line, &mut out);
    let say = |adapter: &mut dyn Adapter, out: &mut Output, text: &str| {
        adapter.on_message(now, line, &mut text.as_bytes().to_vec(), out)
    };
    let depth = |number: u64, bids: &str, asks: &str| {
        format!(
            r#"{{"stream":"ab@depth@100ms","data":{{"e":"depthUpdate","E":1767225600001,"s":"AB","U":{number},"u":{number},"b":{bids},"a":{asks}}}}}"#
        )
    };
    say(&mut *adapter, &mut out, r#"{"result":null,"id":1}"#);
    say(&mut *adapter, &mut out, &depth(7, "[]", r#"[["5.02","1.5"]]"#));
    answer(&mut *adapter, &mut out, r#"{"lastUpdateId":6,"bids":[["5.01","2"],["5.00","1"]],"asks":[["5.03","4"]]}"#);
    rig.ingest.publish(&out.batch);
    let quote = |bid_price, bid_size| Quote {
        bid_price: Some(bid_price),
        bid_size: Some(bid_size),
        ask_price: Some(502),
        ask_size: Some(15),
    };
    let view = rig.view("quote/sim:A-B");
    assert_eq!(view.quote(), Some(&quote(501, 20)));
    assert_eq!(view.state.map(|state| state.feed), Some(FeedState::Live));
    assert_eq!(view.time, 1_767_225_600_001_000_000, "the time is that of the book");
    out.clear();
    say(&mut *adapter, &mut out, &depth(8, r#"[["5.01","0"]]"#, "[]"));
    rig.ingest.publish(&out.batch);
    assert_eq!(rig.view("quote/sim:A-B").quote(), Some(&quote(500, 10)));
    out.clear();
    // A hole: the book is fetched anew, and what it says of the quote is old until then.
    say(&mut *adapter, &mut out, &depth(20, "[]", "[]"));
    rig.ingest.publish(&out.batch);
    assert_eq!(rig.view("quote/sim:A-B").state.map(|state| state.feed), Some(FeedState::Resyncing));
    assert_eq!(rig.map.channels()[0].1[FeedState::Resyncing as usize], 1, "it is no channel of its own");
}

/// Answers what the adapter asked for last.
fn answer(adapter: &mut dyn Adapter, out: &mut Output, json: &str) {
    let asked = |action: &Action| if let Action::Fetch { fetch, .. } = action { Some(*fetch) } else { None };
    let fetch = out.actions.iter().rev().find_map(asked).expect("it asked");
    adapter.on_response(Now { wall: 1_000, mono: 0 }, fetch, Ok(json.as_bytes().to_vec()), out);
}

#[test]
fn a_redefinition_restarts_the_values() {
    let mut rig = rig(90);
    let quote = Quote { bid_price: Some(5), ..Quote::default() };
    rig.publish(vec![listed(0, "A-B"), event(0, EventBody::Quote(quote))]);
    let finer = Instrument { symbol: "A-B".into(), native: "AB".into(), price_exponent: -1, ..Instrument::default() };
    rig.publish(vec![event(0, EventBody::Instrument(Box::new(finer)))]);
    let view = rig.view("quote/sim:A-B");
    assert_eq!((view.epoch, view.quote()), (2, Some(&Quote::default())));
    assert_eq!(rig.metrics.feed("sim").instruments.get(), 1);
    assert_eq!(rig.map.redefinitions(), 1);
    let Resolve::Found(id) = rig.resolve("instrument/sim:A-B") else { panic!("it is listed") };
    let mut told = None;
    rig.map.get(id).unwrap().since(&Cursor::resume(1, 1), TradeMode::Every, 9, &mut |_, record| {
        if let RecordBody::Instrument(instrument) = record.body {
            told = Some((record.flags.has(Flags::SNAPSHOT), instrument.price_exponent));
        }
    });
    assert_eq!(told, Some((true, -1)));
}
