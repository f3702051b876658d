//! The documents against what they describe. In: the documents, the catalogue of metrics, the alert rules, the command line's parser.
//! Out: what is not documented, and each command in a document that the program would refuse. Runs no command.

use clap::error::ErrorKind;
use clap::{CommandFactory, Parser};
use std::collections::BTreeSet;
use std::path::Path;
use tickwire::cli::Cli;
use tickwire::metrics::catalogue;
use wire::request::{Reply, Request};

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

/// Everything that shows commands to somebody.
const SHOW_COMMANDS: &[&str] = &[
    "README.md",
    "CONTRIBUTING.md",
    "docs/operations.md",
    "docs/performance.md",
    "docs/protocol.md",
    "docs/demo-three-paces.md",
    "docs/venues/databento.md",
    "docs/venues/iex.md",
    "docs/venues/itch.md",
    "clients/rust/README.md",
    "clients/python/README.md",
    "feeds/samples/README.md",
    "grafana/README.md",
    "config/bench.toml",
    "config/default.toml",
    "config/demo.toml",
    "config/emulated.toml",
    "config/production.toml",
    "src/cli/demo.rs",
];

#[test]
fn commands_in_the_documents_are_commands() {
    let mut found = 0;
    for path in SHOW_COMMANDS {
        for command in commands(&read(path)) {
            found += 1;
            if let Err(problem) = parses(&command) {
                panic!("{path}: {command:?}\n{problem}");
            }
        }
    }
    assert!(found > 20, "found only {found}");
}

#[test]
fn each_command_is_in_the_readme() {
    let readme = read("README.md");
    for command in Cli::command().get_subcommands() {
        assert!(readme.contains(&format!("`{}`", command.get_name())), "README.md does not tell about '{}'", command.get_name());
    }
}

#[test]
fn commands_are_found_and_judged() {
    let text = "Use `tickwire demo\n--rate 5` or\n```sh\ncargo run --release -- check --config a.toml   # why\ntickwire nope | less\n```\n";
    let found = commands(text);
    assert_eq!(
        found,
        [vec!["tickwire", "check", "--config", "a.toml"], vec!["tickwire", "nope"], vec!["tickwire", "demo", "--rate", "5"]]
    );
    assert!(parses(&found[0]).is_ok() && parses(&found[1]).is_err() && parses(&found[2]).is_ok());
    assert_eq!(words("watch 'a b' c > d"), ["watch", "a b", "c"]);
}

/// Commands of this program in a text: lines of a block that begin with it, lines that a program prints, what stands between backticks.
fn commands(text: &str) -> Vec<Vec<String>> {
    let mut found = Vec::new();
    let mut prose = String::new();
    let mut fenced = false;
    for line in text.lines() {
        if line.starts_with("```") {
            fenced = !fenced;
        } else if fenced {
            let by_cargo = || Some(line.strip_prefix("cargo run")?.split_once(" -- ")?.1);
            found.extend(line.strip_prefix("tickwire ").or_else(by_cargo).map(words));
        } else if let Some((_, printed)) = line.split_once("  {program} ") {
            found.push(words(printed));
        } else {
            prose.push_str(line.trim_start_matches("# "));
            prose.push(' ');
        }
    }
    let between = prose.split('`').skip(1).step_by(2);
    found.extend(between.filter_map(|code| code.strip_prefix("tickwire ")).map(words));
    found.iter_mut().for_each(|command| command.insert(0, "tickwire".to_owned()));
    found
}

/// The words of a command line, up to a comment, a pipe or a redirection. Single quotes hold words together.
fn words(line: &str) -> Vec<String> {
    let mut words = Vec::new();
    for (at, part) in line.split('\'').enumerate() {
        if at % 2 == 1 {
            words.push(part.to_owned());
            continue;
        }
        for word in part.split_whitespace() {
            if word.starts_with(['#', '|', '>', '&', '\\']) {
                return words;
            }
            words.push(word.to_owned());
        }
    }
    words
}

/// A command that is only named needs no arguments; any other must be complete. `{}` stands for an address in a format string.
fn parses(command: &[String]) -> Result<(), String> {
    let named = command.len() == 2 && Cli::command().find_subcommand(&command[1]).is_some();
    let filled = command.iter().map(|word| word.replace("{public}", "127.0.0.1:8443"));
    match Cli::try_parse_from(filled) {
        Err(error) if !named && error.kind() != ErrorKind::DisplayHelp => Err(error.to_string()),
        _ => Ok(()),
    }
}

/// Each message of a kind stands in the specification as an example, and each example is one that the code would send or take.
#[test]
fn messages_in_the_protocol_are_messages() {
    let text = read("docs/protocol.md");
    let mut kinds = BTreeSet::new();
    for line in text.split("```json\n").skip(1).filter_map(|rest| rest.split("```").next()).flat_map(str::lines) {
        let shown: serde_json::Value = serde_json::from_str(line).unwrap_or_else(|problem| panic!("{line}\n{problem}"));
        // A budget is asked for and answered in the same words.
        let request = serde_json::from_str::<Request>(line).map(|_| ());
        let reply = serde_json::from_str::<Reply>(line).map(|reply| {
            assert_eq!(serde_json::to_value(&reply).unwrap(), shown, "the server would not say so");
        });
        assert!(request.is_ok() || reply.is_ok(), "{line}\n{request:?}\n{reply:?}");
        kinds.insert(shown["type"].as_str().unwrap_or_default().to_owned());
    }
    let expected = [
        "ack",
        "aged",
        "budget",
        "continue",
        "error",
        "explain",
        "explained",
        "get",
        "grant",
        "granted",
        "hello",
        "instruments",
        "list",
        "mod",
        "notice",
        "pause",
        "ping",
        "pong",
        "qos",
        "sub",
        "unsub",
    ];
    let missing: Vec<_> = expected.into_iter().filter(|kind| !kinds.contains(*kind)).collect();
    assert!(missing.is_empty(), "docs/protocol.md shows no {missing:?}");
}

const DOCUMENTS: &[&str] = &[
    "README.md",
    "ARCHITECTURE.md",
    "CONTRIBUTING.md",
    "CHANGELOG.md",
    "docs/operations.md",
    "docs/performance.md",
    "docs/protocol.md",
    "docs/demo-three-paces.md",
    "docs/decisions/README.md",
    "docs/venues/databento.md",
    "docs/venues/iex.md",
    "docs/venues/itch.md",
    "clients/rust/README.md",
    "clients/python/README.md",
    "feeds/samples/README.md",
    "grafana/README.md",
];

#[test]
fn what_the_documents_point_at_exists() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut missing = Vec::new();
    for path in DOCUMENTS {
        let text = read(path);
        let links = text.split("](").skip(1).filter_map(|rest| rest.split([')', '#']).next());
        let links = links.filter(|link| !link.is_empty() && !link.contains("://"));
        missing.extend(links.filter(|link| !root.join(path).with_file_name(link).exists()).map(|link| format!("{path}: {link}")));
        // Paths from the root, between backticks.
        let code = text.split('`').skip(1).step_by(2).filter(|code| !code.contains([' ', '<', '*', '…']));
        let paths = code.filter(|code| {
            ["src/", "feeds/", "wire/", "tests/", "config/", "benches/", "web/"].iter().any(|top| code.starts_with(top))
        });
        missing.extend(paths.filter(|named| !root.join(named).exists()).map(|named| format!("{path}: {named}")));
    }
    assert!(missing.is_empty(), "\n{}\n", missing.join("\n"));
}
