//! From a cursor to bytes. In: subscribers of each kind, both encodings. Out: the cost of bytes that are made (`miss`) and of bytes that
//! another subscriber at the same cursor has had made (`hit`). Bounded: values of usual size.

use crate::since::{Behind, everyone};
use criterion::{BenchmarkId, Criterion};
use std::rc::Rc;
use tickwire::encode::{Chunk, Chunks, Request};
use tickwire::topic::Cursor;
use wire::request::Encoding;

pub const ENCODINGS: [(Encoding, &str); 2] = [(Encoding::Binary, "binary"), (Encoding::Json, "json")];

pub fn group(criterion: &mut Criterion) {
    let subscribers = everyone();
    for (group, same) in [("encode_miss", false), ("encode_hit", true)] {
        let mut group = criterion.benchmark_group(group);
        for behind in &subscribers {
            for (encoding, name) in ENCODINGS {
                group.bench_function(BenchmarkId::new(behind.name, name), |bencher| {
                    let mut asking = Asking::new(behind, encoding);
                    bencher.iter(|| asking.once(same));
                });
            }
        }
        group.finish();
    }
}

pub struct Asking<'a> {
    behind: &'a Behind,
    cursor: Rc<Cursor>,
    encoding: Encoding,
    chunks: Chunks,
    spare: Chunk,
    second: i64,
}

impl<'a> Asking<'a> {
    pub fn new(behind: &'a Behind, encoding: Encoding) -> Self {
        Self { behind, cursor: Rc::new(behind.cursor), encoding, chunks: Chunks::default(), spare: Chunk::default(), second: 0 }
    }

    /// Asks as before, or as nobody has lately: relative to another second.
    pub fn once(&mut self, same: bool) -> usize {
        self.second = if same { 0 } else { (self.second + 1) % 10 };
        let request = Request {
            cursor: &self.cursor,
            mode: self.behind.mode,
            encoding: self.encoding,
            base_second: crate::market::NOW / 1_000_000_000 - self.second,
        };
        let (chunk, _) = self.chunks.get(self.behind.topic(), request, &mut self.spare);
        chunk.bytes.len()
    }
}
