//! The exported text against the catalogue: nothing missing, nothing more, right types, right numbers.

use super::catalogue::{ALL, Type};
use super::*;
use feeds::adapter::{FaultKind, Race};
use std::collections::{BTreeMap, BTreeSet};
use wire::code::{Close, Code};
use wire::event::FeedState;

/// Name -> word of the `# TYPE` line.
fn types(text: &str) -> BTreeMap<&str, &str> {
    text.lines().filter_map(|line| line.strip_prefix("# TYPE ")).filter_map(|line| line.split_once(' ')).collect()
}

fn has(text: &str, line: &str) {
    assert!(text.lines().any(|found| found == line), "no line '{line}' in\n{text}");
}

#[test]
fn what_is_exported_is_the_catalogue() {
    let metrics = Metrics::new(1);
    metrics.feed("sim");
    let text = metrics.render();
    let expected: BTreeMap<_, _> = ALL.iter().map(|row| (row.name, row.kind.name())).collect();
    assert_eq!(types(&text), expected);
    for row in ALL {
        has(&text, &format!("# HELP {} {}", row.name, row.help));
    }
}

#[test]
fn each_series_has_the_labels_of_its_row() {
    let metrics = Metrics::new(2);
    metrics.feed("sim");
    let text = metrics.render();
    for line in text.lines().filter(|line| !line.starts_with('#') && !line.is_empty()) {
        let series = line.rsplit_once(' ').unwrap().0;
        let (name, labels) = series.split_once('{').unwrap_or((series, ""));
        let found: BTreeSet<_> = labels.split(',').filter_map(|label| Some(label.split_once('=')?.0)).collect();
        let row = ALL.iter().find(|row| {
            name == row.name
                || (matches!(row.kind, Type::Seconds | Type::Bytes)
                    && ["_bucket", "_sum", "_count"].iter().any(|end| name.strip_suffix(end) == Some(row.name)))
        });
        let row = row.unwrap_or_else(|| panic!("{name} is not in the catalogue"));
        let mut expected: BTreeSet<_> = row.labels.iter().copied().collect();
        if name.ends_with("_bucket") {
            expected.insert("le");
        }
        assert_eq!(found, expected, "{line}");
    }
}

#[test]
fn numbers_arrive() {
    let metrics = Metrics::new(2);
    let (shard, feed) = (metrics.shard(1), metrics.feed("binance"));
    shard.frames.add(3);
    shard.sessions.set(7);
    shard.refused(Code::BadTopic);
    shard.closed(Close::SlowConsumer);
    shard.published_to_written.record_ns(1_000);
    shard.published_to_written.record_ns(3_000_000);
    feed.fault(FaultKind::SequenceGap);
    feed.set_channels(FeedState::Starting, 0);
    feed.set_channels(FeedState::Live, 1);
    feed.races(&[
        Race::Won { line: 1 },
        Race::Lead { line: 1, over: 0, lead_ns: 2_000_000 },
        Race::Health { line: 0, behind_ns: 500_000_000, open: 2, lost: 1 },
    ]);
    metrics.gate.request(Route::Stream, 101);
    metrics.gate.request(Route::Stream, 599);
    for _ in 0..2 {
        let text = metrics.render();
        has(&text, "tickwire_frames_total{shard=\"1\"} 3");
        has(&text, "tickwire_sessions{shard=\"1\"} 7");
        has(&text, "tickwire_refusals_total{shard=\"1\",code=\"bad_topic\"} 1");
        has(&text, "tickwire_closes_total{shard=\"1\",code=\"slow_consumer\"} 1");
        has(&text, "tickwire_latency_published_to_written_seconds_bucket{shard=\"1\",le=\"0.000001\"} 1");
        has(&text, "tickwire_latency_published_to_written_seconds_bucket{shard=\"1\",le=\"0.0025\"} 1");
        has(&text, "tickwire_latency_published_to_written_seconds_bucket{shard=\"1\",le=\"0.005\"} 2");
        has(&text, "tickwire_latency_published_to_written_seconds_bucket{shard=\"1\",le=\"+Inf\"} 2");
        has(&text, "tickwire_latency_published_to_written_seconds_sum{shard=\"1\"} 0.003001");
        has(&text, "tickwire_latency_published_to_written_seconds_count{shard=\"0\"} 0");
        has(&text, "tickwire_feed_faults_total{venue=\"binance\",kind=\"sequence_gap\"} 1");
        has(&text, "tickwire_feed_channels{venue=\"binance\",state=\"live\"} 1");
        has(&text, "tickwire_feed_channels{venue=\"binance\",state=\"starting\"} 0");
        has(&text, "tickwire_feed_line_won_total{venue=\"binance\",line=\"b\"} 1");
        has(&text, "tickwire_feed_line_lead_seconds_sum{venue=\"binance\",line=\"b\"} 0.002");
        has(&text, "tickwire_feed_line_behind_seconds{venue=\"binance\",line=\"a\"} 0.5");
        has(&text, "tickwire_feed_lines{venue=\"binance\",line=\"a\",state=\"lost\"} 1");
        has(&text, "tickwire_http_requests_total{route=\"stream\",status=\"101\"} 1");
        has(&text, "tickwire_http_requests_total{route=\"stream\",status=\"other\"} 1");
    }
}

#[test]
fn a_feed_may_join_late_and_two_servers_do_not_meet() {
    let (one, other) = (Metrics::new(1), Metrics::new(1));
    one.feed("sim").messages.add(1);
    assert!(one.render().contains("tickwire_feed_messages_total{venue=\"sim\"} 1"));
    one.feed("binance").messages.add(5);
    one.feed("sim").messages.add(1);
    let text = one.render();
    has(&text, "tickwire_feed_messages_total{venue=\"sim\"} 2");
    has(&text, "tickwire_feed_messages_total{venue=\"binance\"} 5");
    assert!(!other.render().contains("venue="));
}

#[test]
fn a_venue_whose_clock_is_ahead_shows_as_negative_skew() {
    let metrics = Metrics::new(0);
    let feed = metrics.feed("sim");
    feed.received(0, 5);
    has(&metrics.render(), "tickwire_latency_event_to_received_seconds_count{venue=\"sim\"} 0");
    feed.received(2_000_000_000, 1_000_000_000);
    feed.received(1_000_000_000, 1_250_000_000);
    let text = metrics.render();
    has(&text, "tickwire_feed_clock_skew_seconds{venue=\"sim\"} -1");
    has(&text, "tickwire_latency_event_to_received_seconds_bucket{venue=\"sim\",le=\"0.000001\"} 1");
    has(&text, "tickwire_latency_event_to_received_seconds_sum{venue=\"sim\"} 0.25");
    // Two windows later the bad stamp is forgotten.
    for second in [12, 23] {
        feed.received(second * 1_000_000_000, second * 1_000_000_000 + 30_000_000);
    }
    has(&metrics.render(), "tickwire_feed_clock_skew_seconds{venue=\"sim\"} 0.03");
}
