//! The table of one run. In: the samples that criterion left in a folder. Out: a Markdown file with the machine and, for each benchmark,
//! the fastest and the middle sample beside what is wanted. Bounded by the number of benchmarks.

use serde_json::Value;
use std::fmt::Write;
use std::io::{Error, Result};
use std::path::{Path, PathBuf};

/// What is wanted of some benchmarks, in ns.
const WANTED: &[(&str, f64)] = &[
    ("publish_unwatched/quote/16", 150.0),
    ("publish_unwatched/trade/16", 150.0),
    ("publish_unwatched/quote/1024", 150.0),
    ("publish_unwatched/trade/1024", 150.0),
    ("itch/decode_2m_messages", 200e6),
    ("expand/all_of_one_kind_in_50k_topics", 100e6),
    ("expand/50k_matches_in_700k_topics", 100e6),
];

struct Measured {
    name: String,
    fastest_ns: f64,
    median_ns: f64,
    modified: std::time::SystemTime,
}

/// Beside the program, so below the target folder whatever its name.
pub fn samples_folder() -> PathBuf {
    let program = std::env::current_exe().expect("a program knows where it is");
    program.ancestors().nth(3).expect("it lies in target/release/deps").join("criterion-stages")
}

pub fn write(samples: &Path, file: &Path) -> Result<()> {
    let mut found = Vec::new();
    collect(samples, &mut found)?;
    found.sort_by_key(|measured| measured.modified);
    let mut out = String::from("# What each stage costs\n\n");
    let _ = writeln!(out, "Made by `just bench`; see [README.md](README.md) for how to read it.\n\n{}\n", machine());
    out.push_str("| benchmark | fastest | median | wanted |\n|---|---:|---:|---:|\n");
    for measured in &found {
        let wanted = WANTED.iter().find(|(name, _)| *name == measured.name);
        let wanted = wanted.map_or(String::new(), |(_, ns)| format!("< {}", time(*ns)));
        let _ = writeln!(out, "| {} | {} | {} | {wanted} |", measured.name, time(measured.fastest_ns), time(measured.median_ns));
    }
    std::fs::write(file, out)
}

/// Each benchmark has a folder `new` with what it was and its samples.
fn collect(folder: &Path, found: &mut Vec<Measured>) -> Result<()> {
    for entry in std::fs::read_dir(folder)? {
        let path = entry?.path();
        if path.file_name().is_some_and(|name| name == "new") {
            found.push(measured(&path)?);
        } else if path.is_dir() {
            collect(&path, found)?;
        }
    }
    Ok(())
}

fn measured(folder: &Path) -> Result<Measured> {
    let file = folder.join("sample.json");
    let read = |path: &Path| -> Result<Value> { serde_json::from_slice(&std::fs::read(path)?).map_err(Error::other) };
    let sample = read(&file)?;
    let numbers = |key: &str| sample[key].as_array().into_iter().flatten().filter_map(Value::as_f64).collect::<Vec<_>>();
    let mut each: Vec<_> = numbers("times").iter().zip(numbers("iters")).map(|(time, iterations)| time / iterations).collect();
    each.sort_by(f64::total_cmp);
    let name = read(&folder.join("benchmark.json"))?["full_id"].as_str().unwrap_or("?").to_owned();
    let (Some(fastest_ns), Some(median_ns)) = (each.first(), each.get(each.len() / 2)) else {
        return Err(Error::other(format!("{name} has no samples")));
    };
    let modified = std::fs::metadata(&file)?.modified()?;
    Ok(Measured { name, fastest_ns: *fastest_ns, median_ns: *median_ns, modified })
}

fn time(ns: f64) -> String {
    match ns {
        ns if ns < 1_000.0 => format!("{ns:.1} ns"),
        ns if ns < 1_000_000.0 => format!("{:.2} us", ns / 1_000.0),
        ns => format!("{:.2} ms", ns / 1_000_000.0),
    }
}

fn machine() -> String {
    let cores = std::thread::available_parallelism().map_or(0, usize::from);
    let info = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = info.lines().find(|line| line.starts_with("model name")).and_then(|line| line.split(": ").nth(1));
    let compiler = std::process::Command::new("rustc").arg("--version").output();
    let compiler =
        compiler.map_or_else(|_| "rustc ?".to_owned(), |output| String::from_utf8_lossy(&output.stdout).trim().to_owned());
    format!("Machine: {cores} cores, {}; {compiler}.", model.unwrap_or("unknown CPU"))
}
