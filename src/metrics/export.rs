//! In: a walk over all groups. Out: Prometheus text. Counters and gauges go through the exporter's recorder (registered once, set
//! at each scrape), histograms are written here. Bounded: one handle a series; the recorder is the server's own, never the process's.

use super::catalogue::{ALL, Row, Type};
use super::cell::Distribution;
use super::visit::{Emit, Value};
use ::metrics::{Counter, Gauge, Key, KeyName, Label, Level, Metadata, Recorder};
use metrics_exporter_prometheus::{PrometheusBuilder, PrometheusHandle, PrometheusRecorder};
use parking_lot::Mutex;
use std::fmt::Write;

/// Upper bounds of the latency histograms, in ns: 1, 2.5 and 5 of each decade from 1 us to 10 s, and 40 and 150 us, between which an idle
/// node should stay. All are bounds of the cells.
const LATENCY_BOUNDS_NS: [u64; 24] = [
    1_000,
    2_500,
    5_000,
    10_000,
    25_000,
    40_000,
    50_000,
    100_000,
    150_000,
    250_000,
    500_000,
    1_000_000,
    2_500_000,
    5_000_000,
    10_000_000,
    25_000_000,
    50_000_000,
    100_000_000,
    250_000_000,
    500_000_000,
    1_000_000_000,
    2_500_000_000,
    5_000_000_000,
    10_000_000_000,
];
const SIZE_BOUNDS_BYTES: [u64; 13] =
    [50, 100, 250, 500, 1_000, 2_500, 5_000, 10_000, 25_000, 50_000, 100_000, 250_000, 1_000_000];

pub(super) struct Exporter {
    recorder: PrometheusRecorder,
    text: PrometheusHandle,
    /// By position in the walk.
    handles: Mutex<Vec<Handle>>,
}

enum Handle {
    Counter(Counter),
    Gauge(Gauge),
    /// Written here, not by the exporter.
    None,
}

const METADATA: Metadata<'static> = Metadata::new("tickwire", Level::INFO, None);

impl Exporter {
    pub fn new() -> Self {
        let recorder = PrometheusBuilder::new().build_recorder();
        for row in ALL {
            let name = KeyName::from_const_str(row.name);
            match row.kind {
                Type::Counter => recorder.describe_counter(name, None, row.help.into()),
                Type::Gauge => recorder.describe_gauge(name, None, row.help.into()),
                Type::Seconds | Type::Bytes => {}
            }
        }
        Self { text: recorder.handle(), recorder, handles: Mutex::default() }
    }

    /// `walk` must visit the series of earlier calls first and in the same order; new ones may follow.
    pub fn render(&self, walk: impl FnOnce(&mut Emit<'_>)) -> String {
        let mut handles = self.handles.lock();
        let mut own = Vec::new();
        let mut at = 0;
        walk(&mut |row, labels, value| {
            if at == handles.len() {
                handles.push(self.register(row, labels, &value));
            }
            match (&handles[at], value) {
                (Handle::Counter(counter), Value::Counter(count)) => counter.absolute(count),
                (Handle::Gauge(gauge), Value::Gauge(level)) => gauge.set(level),
                (_, Value::Histogram(cells)) => own.push((row, label_text(row, labels), Own::Distribution(cells.read()))),
                (_, Value::Seconds(seconds)) => own.push((row, label_text(row, labels), Own::Seconds(seconds))),
                _ => debug_assert!(false, "{} changed its place in the walk", row.name),
            }
            at += 1;
        });
        let mut out = self.text.render();
        // All series of a metric must stand together.
        own.sort_by_key(|(row, ..)| row.name);
        let mut last = "";
        for (row, labels, value) in own {
            if row.name != last {
                last = row.name;
                let _ = writeln!(out, "# HELP {} {}\n# TYPE {} {}", row.name, row.help, row.name, row.kind.name());
            }
            match value {
                Own::Seconds(seconds) => write_line(&mut out, row.name, "", &labels, "", seconds),
                Own::Distribution(distribution) => write_histogram(&mut out, row, &labels, &distribution),
            }
        }
        out
    }

    fn register(&self, row: &'static Row, labels: &[&str], value: &Value<'_>) -> Handle {
        debug_assert_eq!(row.labels.len(), labels.len(), "{}", row.name);
        let labels =
            row.labels.iter().zip(labels).map(|(name, value)| Label::new(*name, (*value).to_owned())).collect::<Vec<_>>();
        let key = Key::from_parts(row.name, labels);
        match value {
            Value::Counter(_) => Handle::Counter(self.recorder.register_counter(&key, &METADATA)),
            Value::Gauge(_) => Handle::Gauge(self.recorder.register_gauge(&key, &METADATA)),
            Value::Seconds(_) | Value::Histogram(_) => Handle::None,
        }
    }
}

/// A value that is written here.
enum Own {
    Seconds(f64),
    Distribution(Distribution),
}

fn write_histogram(out: &mut String, row: &Row, labels: &str, distribution: &Distribution) {
    let (bounds, per_unit) = match row.kind {
        Type::Bytes => (SIZE_BOUNDS_BYTES.as_slice(), 1.0),
        _ => (LATENCY_BOUNDS_NS.as_slice(), 1e9),
    };
    let comma = if labels.is_empty() { "" } else { "," };
    for bound in bounds {
        let le = format!("{comma}le=\"{}\"", *bound as f64 / per_unit);
        write_line(out, row.name, "_bucket", labels, &le, distribution.at_most(*bound) as f64);
    }
    let total = distribution.count() as f64;
    write_line(out, row.name, "_bucket", labels, &format!("{comma}le=\"+Inf\""), total);
    write_line(out, row.name, "_sum", labels, "", distribution.sum as f64 / per_unit);
    write_line(out, row.name, "_count", labels, "", total);
}

fn write_line(out: &mut String, name: &str, suffix: &str, labels: &str, more: &str, value: f64) {
    let _ = match labels.is_empty() && more.is_empty() {
        true => writeln!(out, "{name}{suffix} {value}"),
        false => writeln!(out, "{name}{suffix}{{{labels}{more}}} {value}"),
    };
}

fn label_text(row: &Row, values: &[&str]) -> String {
    let mut text = String::new();
    for (name, value) in row.labels.iter().zip(values) {
        let comma = if text.is_empty() { "" } else { "," };
        let value = value.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n");
        let _ = write!(text, "{comma}{name}=\"{value}\"");
    }
    text
}
