//! The documents against the tables they describe: a metric or an alert that is not documented shows here.

use std::path::Path;
use tickwire::metrics::catalogue;

fn read(path: &str) -> String {
    std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(path)).unwrap()
}

#[test]
fn operations_lists_the_catalogue_of_metrics() {
    let text = read("docs/operations.md");
    let found: Vec<_> = text
        .lines()
        .skip_while(|line| !line.starts_with("| metric |"))
        .skip(2)
        .take_while(|line| line.starts_with('|'))
        .collect();
    let expected: Vec<_> = catalogue::ALL
        .iter()
        .map(|row| {
            format!("| `{}` | {} | {} | {} |", row.name, row.kind.name(), row.labels.join(", "), row.help.trim_end_matches('.'))
        })
        .collect();
    assert!(found == expected, "docs/operations.md should hold these rows:\n{}", expected.join("\n"));
}

#[test]
fn operations_says_what_to_do_at_each_alert() {
    let rules = read("grafana/prometheus/rules.yml");
    let text = read("docs/operations.md");
    let alerts: Vec<_> = rules.lines().filter_map(|line| line.trim().strip_prefix("- alert: ")).collect();
    assert!(alerts.len() > 5);
    let missing: Vec<_> = alerts.iter().filter(|alert| !text.contains(&format!("| `{alert}` |"))).collect();
    assert!(missing.is_empty(), "docs/operations.md does not tell about {missing:?}");
}
