//! From a venue's text to the integers of an event. In: a price and a size as venues write them. Out: the cost of both, exactness checked.
//! Bounded: two numbers. The rest of normalizing is part of `decode`.

use criterion::Criterion;
use std::hint::black_box;
use wire::decimal::parse_at;

pub fn group(criterion: &mut Criterion) {
    criterion.benchmark_group("normalize").bench_function("price_and_size", |bencher| bencher.iter(price_and_size));
}

pub fn price_and_size() -> (i64, i64) {
    let price = parse_at(black_box(b"64210.51000000"), black_box(-2)).expect("a price");
    let size = parse_at(black_box(b"0.78213000"), black_box(-5)).expect("a size");
    (price, size)
}
