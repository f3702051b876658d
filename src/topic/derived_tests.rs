//! What subscribers of bars and stats are told, by example. The general case is in `law`.

use super::*;
use wire::event::{Aggressor, Cause, Channel, Flags, Trade};
use wire::instrument::Instrument;
use wire::record::{RecordBody, StatsChange};
use wire::request::TradeMode;
use wire::topic::TopicKey;

const SECOND: i64 = 1_000_000_000;
/// 2024-08-09 00:00:00 UTC.
const START: i64 = 1_723_161_600 * SECOND;
/// Our clock is so far ahead of the venue's.
const SKEW: i64 = 30 * SECOND;

struct Rig {
    map: std::sync::Arc<TopicMap>,
    topics: InstrumentTopics,
    cursor: Cursor,
    id: u32,
}

impl Rig {
    fn new(name: &str) -> Self {
        let map = TopicMap::new(TopicLimits { max_topics: InstrumentTopics::COUNT, ..TopicLimits::default() }, 1, 1);
        let instrument = Instrument { symbol: "A".into(), trade_has_event_time: true, ..Instrument::default() };
        let topics = map.list("sim", &instrument).unwrap();
        let Resolve::Found(id) = map.resolve(&TopicKey::parse(name).unwrap()) else { panic!("{name} is there") };
        Self { map, topics, cursor: Cursor::NEW, id }
    }

    /// A trade made so many ms after `START`.
    fn trade(&self, ms: i64, price: i64, size: i64) {
        let trade = Trade { price, size, aggressor: Aggressor::Buy, id: None, aggregated: false };
        self.map.publish_trade(&self.topics, &trade, &at(ms));
    }

    /// So many ms after `START` on the venue's clock.
    fn tick(&self, ms: i64) {
        self.map.tick(at(ms).published);
    }

    fn gap(&self, ms: i64) {
        self.map.publish_gap(&self.topics, Channel::Trade, Some(3), Cause::SequenceGap, &at(ms));
    }

    /// What there is to tell, without `Meta` and `State`.
    fn told(&mut self) -> Vec<String> {
        let mut lines = Vec::new();
        let topic = self.map.get(self.id).unwrap();
        self.cursor = topic.since(&self.cursor, TradeMode::Every, 9, &mut |_, record| {
            let step = if record.flags.has(Flags::SNAPSHOT) { "=" } else { "+" };
            match record.body {
                RecordBody::Bars(bars) => {
                    let bar = |bar: &wire::record::Bar| {
                        let state = ["", " closed", " incomplete", " closed incomplete"][usize::from(bar.state())];
                        let (start, vwap) = ((bar.start - START) / SECOND, (bar.notional, bar.volume));
                        format!("{start}s {} {} {} {} x{} {vwap:?}{state}", bar.open, bar.high, bar.low, bar.close, bar.count)
                    };
                    lines.push(format!("{step}{} {}", record.sequence, bars.iter().map(bar).collect::<Vec<_>>().join(", ")));
                }
                RecordBody::Stats(change) => lines.push(format!("{step}{} {}", record.sequence, shown(change))),
                _ => {}
            }
        });
        lines
    }
}

fn at(ms: i64) -> Stamp {
    let event = START + ms * 1_000_000;
    Stamp { event, received: event + SKEW, published: event + SKEW, flags: Flags::default() }
}

/// Only what changed.
fn shown(change: &StatsChange) -> String {
    let mut parts = Vec::new();
    for (name, price) in [("last", change.last), ("open", change.open), ("high", change.high), ("low", change.low)] {
        parts.extend(price.map(|price| format!("{name} {}", price.map_or("-".into(), |price| price.to_string()))));
    }
    parts.extend(change.volume.map(|volume| format!("volume {volume}")));
    parts.extend(change.notional.map(|notional| format!("notional {notional}")));
    parts.extend(change.count.map(|count| format!("count {count}")));
    parts.extend(change.gaps.map(|gaps| format!("gaps {gaps}")));
    parts.extend(change.from.map(|from| format!("from {}", from - START)));
    parts.join(", ")
}

#[test]
fn a_later_trade_closes_a_bar() {
    let mut rig = Rig::new("bar/sim:A/1m");
    assert_eq!(rig.told(), ["=0 "]);
    rig.trade(1_000, 10, 5);
    rig.trade(2_000, 12, 1);
    rig.trade(59_999, 11, 1);
    assert_eq!(rig.told(), ["+3 0s 10 12 10 11 x3 (73, 7) incomplete"], "nobody knows what came before the first trade");
    rig.trade(60_000, 9, 1);
    assert_eq!(rig.told(), ["+1 0s 10 12 10 11 x3 (73, 7) closed incomplete, 60s 9 9 9 9 x1 (9, 1)"]);
    rig.trade(200_000, 8, 1);
    assert_eq!(rig.told(), ["+1 60s 9 9 9 9 x1 (9, 1) closed, 180s 8 8 8 8 x1 (8, 1)"], "no bar for two minutes without trades");
    rig.cursor = Cursor::NEW;
    assert_eq!(rig.told().concat().matches("s ").count(), 3);
}

#[test]
fn the_venues_clock_closes_a_bar_after_a_grace() {
    let mut rig = Rig::new("bar/sim:A/1s");
    rig.trade(100, 10, 1);
    rig.told();
    rig.tick(2_999);
    assert!(rig.told().is_empty());
    rig.tick(3_000);
    assert_eq!(rig.told(), ["+1 0s 10 10 10 10 x1 (10, 1) closed incomplete"]);
    rig.tick(90_000);
    assert!(rig.told().is_empty());
}

#[test]
fn late_trades_correct_bars_that_are_kept() {
    let mut rig = Rig::new("bar/sim:A/1s");
    for second in 0..8 {
        rig.trade(second * 1_000 + 500, 10, 1);
    }
    rig.told();
    rig.trade(3_900, 20, 2);
    rig.trade(3_100, 5, 1);
    assert_eq!(rig.told(), ["+2 3s 5 20 5 20 x3 (55, 4) closed"], "the first in time opens, the last one closes");
    assert_eq!(rig.map.trades_too_late(), 0);
    rig.trade(8_500, 10, 1);
    rig.told();
    rig.trade(999, 10, 1);
    assert!(rig.told().is_empty());
    assert_eq!(rig.map.trades_too_late(), 1, "for the seconds, not for the longer bars and the day");
}

#[test]
fn a_gap_marks_the_bars_on_both_sides() {
    let mut rig = Rig::new("bar/sim:A/1s");
    rig.trade(0, 10, 1);
    rig.trade(1_000, 10, 1);
    rig.told();
    rig.gap(1_500);
    assert_eq!(rig.told(), ["+1 1s 10 10 10 10 x1 (10, 1) incomplete"]);
    rig.trade(5_000, 10, 1);
    rig.trade(6_000, 10, 1);
    let after = "5s 10 10 10 10 x1 (10, 1) closed incomplete, 6s 10 10 10 10 x1 (10, 1)";
    assert_eq!(rig.told(), [format!("+2 1s 10 10 10 10 x1 (10, 1) closed incomplete, {after}")]);
    rig.trade(3_000, 10, 1);
    assert_eq!(rig.told(), ["+1 3s 10 10 10 10 x1 (10, 1) closed incomplete"], "it lies inside the gap");
}

#[test]
fn stats_roll_by_the_minute() {
    let mut rig = Rig::new("stats/sim:A");
    assert_eq!(rig.told(), [format!("=0 last -, open -, high -, low -, volume 0, notional 0, count 0, gaps 0, from {}", -START)]);
    rig.trade(0, 10, 2);
    rig.trade(59_000, 30, 1);
    assert_eq!(rig.told(), ["+2 last 30, open 10, high 30, low 10, volume 3, notional 50, count 2, from 0"]);
    rig.gap(60_000);
    rig.trade(61_000, 20, 1);
    assert_eq!(rig.told(), ["+2 last 20, volume 4, notional 70, count 3, gaps 1"]);
    let day = 86_400_000;
    rig.tick(day - 1);
    assert!(rig.told().is_empty());
    rig.tick(day);
    assert_eq!(rig.told(), ["+1 open 20, high 20, low 20, volume 1, notional 20, count 1"]);
    rig.trade(59_999, 1, 1);
    assert_eq!((rig.told().len(), rig.map.trades_too_late()), (0, 1), "older than the window");
    rig.tick(day + 60_000);
    assert_eq!(rig.told(), ["+1 open -, high -, low -, volume 0, notional 0, count 0, gaps 0"], "the last price stays");
}

#[test]
fn a_new_scale_starts_over() {
    for name in ["bar/sim:A/1h", "stats/sim:A"] {
        let mut rig = Rig::new(name);
        rig.trade(0, 10, 2);
        rig.told();
        let rescaled = Instrument { symbol: "A".into(), price_exponent: -1, trade_has_event_time: true, ..Instrument::default() };
        rig.map.list("sim", &rescaled).unwrap();
        let told = rig.told();
        assert!(told.len() == 1 && told[0].starts_with("=0 "), "{told:?}");
        rig.trade(5, 100, 2);
        let told = rig.told().concat();
        assert!(told.contains("100") && told.contains("200"), "{told}");
    }
}
