//! What each stage of a tick's way costs (criterion): `just bench`. In: own small messages and values. Out: a time for each step, and
//! with `TICKWIRE_BENCH_RESULTS=FILE` a table of them. Bounded: one group a stage, some two minutes together.

mod binary;
mod count;
mod decode;
mod encode;
mod expand;
mod flush;
mod itch;
mod link;
mod market;
#[path = "../sessions/memory.rs"]
mod memory;
mod normalize;
mod publish;
mod report;
mod since;
mod tls;

use criterion::Criterion;
use std::path::PathBuf;
use std::time::Duration;

fn main() {
    if std::env::args().nth(1).is_some_and(|argument| argument == "--count") {
        return count::all();
    }
    let results = std::env::var_os("TICKWIRE_BENCH_RESULTS").map(PathBuf::from);
    let folder = report::samples_folder();
    if results.is_some() {
        // What a former run left must not end up in the table.
        let _ = std::fs::remove_dir_all(&folder);
    }
    let mut criterion = Criterion::default()
        .output_directory(&folder)
        .warm_up_time(Duration::from_millis(300))
        .measurement_time(Duration::from_millis(1_200))
        .sample_size(30)
        .configure_from_args();
    decode::group(&mut criterion);
    binary::group(&mut criterion);
    itch::group(&mut criterion);
    normalize::group(&mut criterion);
    publish::group(&mut criterion);
    link::group(&mut criterion);
    since::group(&mut criterion);
    encode::group(&mut criterion);
    expand::group(&mut criterion);
    flush::group(&mut criterion);
    tls::group(&mut criterion);
    criterion.final_summary();
    if let Some(file) = results {
        report::write(&folder, &file).expect("the results are written");
    }
}
