//! From names to topics. In: a pattern, a name. Out: the cost of finding what they mean. Bounded: fifty thousand instruments.

use crate::market::Market;
use criterion::Criterion;
use std::hint::black_box;
use tickwire::topic::InstrumentTopics;
use wire::topic::{Pattern, TopicKey};

/// So many that all their topics are just over fifty thousand.
const FEW: usize = 50_000_usize.div_ceil(InstrumentTopics::COUNT as usize);
const MANY: usize = 50_000;

pub fn group(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("expand");
    group.sample_size(10);
    for (name, instruments) in [("all_of_one_kind_in_50k_topics", FEW), ("50k_matches_in_700k_topics", MANY)] {
        let market = Market::new(instruments);
        let pattern = Pattern::parse("quote/sim:*-USD").expect("a pattern");
        group.bench_function(name, |bencher| {
            let mut matched = Vec::with_capacity(instruments);
            bencher.iter(|| {
                matched.clear();
                market.map.matching(black_box(&pattern), &mut |id| matched.push(id));
                assert_eq!(matched.len(), instruments);
            });
        });
        if instruments == MANY {
            let keys: Vec<_> =
                (0..1_000).map(|at| TopicKey::parse(&format!("quote/sim:S{:05}-USD", at * 37)).expect("a name")).collect();
            let mut at = 0;
            group.bench_function("resolve_one_name_of_700k", |bencher| {
                bencher.iter(|| {
                    at = (at + 1) % keys.len();
                    market.map.resolve(black_box(&keys[at]))
                });
            });
        }
    }
    group.finish();
}
