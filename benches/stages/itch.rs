//! From ITCH bytes to events. In: a made day with every type of message. Out: the cost of all of its messages: framed and decoded only, and
//! with order books, quotes and trades made of them. Bounded: one day in memory.

use criterion::{BatchSize, Criterion, Throughput};
use feeds::adapter::Output;
use feeds::itch::settings::{ItchSettings, options};
use feeds::settings::FeedSettings;
use feeds::venue::itch::generate::{Day, Settings};
use feeds::venue::itch::{BinaryFile, Framing, Market, Message, SessionDate};
use std::hint::black_box;
use wire::event::FeedState;

/// As many resting orders as do not fit a core's cache.
const DAY: Settings = Settings { seed: 1, stocks: 2_000, messages: 2_000_000 };

pub fn group(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("itch");
    group.sample_size(10);
    // Made when the first of the two runs; other groups' runs need not wait for it.
    let mut made: Option<(Vec<u8>, u64)> = None;
    for (name, with_books) in [("decode_2m_messages", false), ("books_2m_messages", true)] {
        group.throughput(Throughput::Elements(DAY.messages));
        group.bench_function(name, |bencher| {
            let (day, messages) = made.get_or_insert_with(make);
            if with_books {
                bencher.iter_batched(market, |mut market| assert_eq!(play(day, &mut market), *messages), BatchSize::PerIteration);
            } else {
                bencher.iter(|| assert_eq!(decode(day), *messages));
            }
        });
    }
    group.finish();
}

fn make() -> (Vec<u8>, u64) {
    let mut bytes = Vec::new();
    let messages = Day::new(DAY).write(&mut bytes).expect("memory takes it");
    (bytes, messages)
}

fn decode(day: &[u8]) -> u64 {
    let mut messages = 0;
    each(day, |message| {
        messages += u64::from(black_box(Message::decode(message)).is_ok());
    });
    messages
}

fn market() -> Market {
    let date = SessionDate::parse("2019-01-30").expect("a day");
    let options = options(&FeedSettings::of_venue("itch"), &ItchSettings::default(), date).expect("the settings are good");
    Market::new(options, FeedState::Replay)
}

fn play(day: &[u8], market: &mut Market) -> u64 {
    let mut out = Output::default();
    each(day, |message| {
        out.clear();
        market.on_message(0, message, &mut out);
        black_box(&out.batch.events);
        assert!(out.faults.is_empty(), "{:?}", out.faults);
    });
    market.counts().messages()
}

fn each(day: &[u8], mut take: impl FnMut(&[u8])) {
    let mut file = BinaryFile::new(day);
    while let Ok(Framing::Message(message)) = file.read() {
        take(message);
    }
}
