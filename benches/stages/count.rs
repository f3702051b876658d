//! What each stage of a tick's way costs in instructions, for `benches/instructions.py`, which runs this under callgrind: it counts
//! inside `counted` and takes what it has at each `stage_ends`. In: nothing. Out: a line for each stage, its name and how often it was
//! done. Bounded: some hundred thousand steps.

use crate::encode::{Asking, ENCODINGS};
use crate::market::Market;
use crate::publish::{Crowd, ingesting};
use crate::{decode, flush, normalize, since, tls};
use std::hint::black_box;
use tickwire::encode::FrameBuilder;
use wire::request::{Encoding, Pace};

/// After these each buffer has its size, each ring has gone round.
const WARM_UP: u64 = 200;
const ROUNDS: u64 = 1_000;
/// So many that a round over them goes on where it began.
const INSTRUMENTS: usize = 16;
/// Kinds that are most of the traffic, and the dearest answer that is usual.
const ANSWERS: [&str; 5] = ["quote", "trade", "trade_100_behind", "book_10_levels", "book_20_snapshot"];

pub fn all() {
    decoding();
    publishing();
    answering();
    gathering();
    for size in tls::SIZES {
        stage(&format!("tls_write/{size}"), &mut tls::Writer::new(size), |_| {}, tls::Writer::write);
    }
}

fn decoding() {
    for (name, message) in decode::messages() {
        stage(&format!("decode/{name}"), &mut decode::Feed::new(), |_| {}, |feed| feed.take(&message));
    }
    stage("normalize/price_and_size", &mut (), |()| {}, |()| _ = black_box(normalize::price_and_size()));
}

fn publishing() {
    let mut market = Market::new(INSTRUMENTS);
    (0..INSTRUMENTS).for_each(|of| market.fill_book(of));
    let mut of = (market, 0);
    let next = |(_, of): &mut (Market, usize)| *of = (*of + 1) % INSTRUMENTS;
    stage("publish/quote", &mut of, next, |(market, of)| market.quote(*of));
    stage("publish/trade", &mut of, next, |(market, of)| market.trade(*of));
    stage("publish/book_10_levels", &mut of, next, |(market, of)| market.book(*of));
    stage("ingest/quote", &mut ingesting(), |_| {}, |next| next());
    // Sixteen topics of a hundred subscribers each, published before, sent after.
    let publish = |crowd: &mut Crowd| {
        crowd.send_all();
        crowd.publish();
    };
    stage("mark/1600", &mut Crowd::of(INSTRUMENTS, 100, Pace::Realtime), publish, Crowd::mark);
}

fn answering() {
    let subscribers = since::everyone();
    let usual = || subscribers.iter().filter(|behind| ANSWERS.contains(&behind.name));
    for behind in usual() {
        stage(&format!("since/{}", behind.name), &mut (), |()| {}, |()| _ = black_box(behind.ask()));
    }
    for (stage_name, same) in [("encode_miss", false), ("encode_hit", true)] {
        for behind in usual() {
            for (encoding, encoding_name) in ENCODINGS {
                let name = format!("{stage_name}/{}/{encoding_name}", behind.name);
                stage(&name, &mut Asking::new(behind, encoding), |_| {}, |asking| _ = black_box(asking.once(same)));
            }
        }
    }
}

fn gathering() {
    for topics in [1, 32] {
        for (name, counts) in [("first", true), ("next", false)] {
            let mut pair = flush::Pair::new(topics, Encoding::Binary);
            // The first session's frame has all bytes made, the next one's shares them.
            let (before, session) = if counts { (1, 0) } else { (0, 1) };
            let prepare = |pair: &mut flush::Pair| {
                if counts {
                    pair.gather(before);
                    pair.publish_and_mark();
                } else {
                    pair.publish_and_mark();
                    pair.gather(before);
                }
            };
            stage(&format!("gather/{name}_session/{topics}"), &mut pair, prepare, |pair| pair.gather(session));
        }
    }
    let (mut frame, chunk) = (FrameBuilder::new(Encoding::Binary, 65_536), flush::quote_chunk());
    stage("gather/assembly/32", &mut frame, |_| {}, |frame| _ = flush::assemble(frame, &chunk, 32));
}

fn stage<S>(name: &str, state: &mut S, prepare: impl Fn(&mut S), step: impl Fn(&mut S)) {
    for _ in 0..WARM_UP {
        prepare(state);
        step(state);
    }
    for _ in 0..ROUNDS {
        prepare(state);
        counted(&mut || step(state));
    }
    stage_ends();
    println!("{name} {ROUNDS}");
}

/// Callgrind knows both by their names, so they must not melt into their callers.
#[inline(never)]
fn counted(step: &mut dyn FnMut()) {
    step();
    black_box(());
}

#[inline(never)]
fn stage_ends() {
    black_box(());
}
