//! The layering and the habits of the code, kept by a test. In: the source tree. Out: one line for each thing that breaks a rule.
//! Bounded by the tree; reads files, compiles nothing.

use std::fs;
use std::path::{Path, PathBuf};

/// Most lines of one file. The median should be below 300; what grows beyond this is two things.
const MAX_LINES: usize = 600;

/// Which modules of the server a module may name. What stands earlier in the list knows nothing of what stands later.
const LAYERS: &[(&str, &[&str])] = &[
    ("clock", &[]),
    ("cores", &[]),
    ("fetch", &[]),
    // Which cores there are belongs to what works here.
    ("config", &["cores"]),
    ("metrics", &[]),
    ("logging", &["config"]),
    // Looks at numbers, tells a level; what that leads to is not its matter.
    ("pressure", &["clock", "config", "metrics"]),
    // The narrow waist: producers and consumers meet here, and it knows neither.
    ("topic", &["clock", "config", "metrics"]),
    ("ingest", &["clock", "config", "metrics", "topic"]),
    // A client whose views are topics.
    ("relay", &["clock", "config", "metrics", "topic"]),
    ("encode", &["config", "metrics", "topic"]),
    ("subs", &["clock", "config", "encode", "fetch", "metrics", "topic"]),
    // A shard runs its sessions, a session wakes through its shard; neither knows how clients come in or data comes from.
    ("shard", &["clock", "config", "encode", "fetch", "metrics", "pressure", "session", "subs", "topic"]),
    ("session", &["clock", "config", "encode", "fetch", "metrics", "pressure", "shard", "subs", "topic"]),
    ("gate", &["clock", "config", "fetch", "metrics", "pressure", "session", "shard"]),
    ("admin", &["clock", "config", "metrics"]),
    // A venue's other side: shares nothing with the server.
    ("emulate", &["clock"]),
    (
        "app",
        &[
            "admin", "clock", "config", "cores", "gate", "ingest", "logging", "metrics", "pressure", "relay", "session", "shard",
            "topic",
        ],
    ),
    ("cli", &["admin", "app", "clock", "config", "emulate", "logging", "metrics", "topic"]),
    ("lib", &[]),
    ("main", &[]),
];

/// Words that must not stand in the code (tests left out) of a folder, and why.
const ABSENT: &[(&str, &[&str], &str)] = &[
    (
        "wire/src",
        &["tokio", "hyper", "rustls", "std::io", "std::fs", "std::net", "std::thread", "SystemTime", "Instant::now"],
        "wire is bytes and values: no I/O, no clock",
    ),
    ("wire/src", &["f64", "f32"], "no floating point between venue and client"),
    ("feeds/src", &["wire::codec", "wire::record", "wire::request", "wire::view"], "feeds know events, not what clients see"),
    (
        "src/topic",
        &["tokio::net", "hyper", "tungstenite", "rustls", "wire::codec", "feeds::", "f64"],
        "the topic map knows values and cursors: no sockets, no encodings, no feeds",
    ),
    ("src/ingest", &["tokio", "hyper", "f64"], "ingest is a function call on a feed's thread"),
    ("src/relay", &["hyper", "tungstenite", "f64"], "a relay is a client and a publisher: the wire is the client's matter"),
    ("src/pressure", &["hyper", "tungstenite", "feeds::"], "pressure knows numbers, not clients or data"),
    ("src/encode", &["tokio", "hyper", "tungstenite", "f64"], "encoding is pure"),
    ("src/session", &["feeds::"], "a session knows topics, not where they come from"),
    ("src/gate", &["feeds::"], "the gate knows clients, not data"),
];

/// Words that must not stand in any code, tests included. Split, so that this file does not break its own rule.
const BANNED: &[(&str, &str)] = &[
    (concat!("todo", "!("), "finish it or leave it out"),
    (concat!("unimplemented", "!("), "finish it or leave it out"),
    (concat!("dbg", "!("), "a leftover of debugging"),
    (concat!("FIX", "ME"), "mend it or write down the limit"),
    (concat!("XX", "X "), "say what is meant"),
    (concat!("/ho", "me/"), "a path of one machine"),
    (concat!("/ro", "ot/"), "a path of one machine"),
    (concat!("/wo", "rk/"), "a path of one machine"),
    (concat!("/Us", "ers/"), "a path of one machine"),
];

#[test]
fn each_file_says_in_its_first_line_what_it_is() {
    let no_doc = |source: &Source| (!source.text.starts_with("//! ")).then(|| "does not begin with '//! '".to_owned());
    report(rust_files().iter().filter_map(|source| Some((source, no_doc(source)?))));
}

#[test]
fn files_stay_small_enough_to_read() {
    let lines = |source: &Source| source.text.lines().count();
    report(
        rust_files().iter().filter(|source| lines(source) > MAX_LINES).map(|source| (source, format!("{} lines", lines(source)))),
    );
}

#[test]
fn modules_know_only_the_layers_below() {
    let files = rust_files();
    let server = files.iter().filter(|source| source.path.starts_with("src") && !source.is_test());
    report(server.flat_map(|source| {
        let module = source.path.iter().nth(1).unwrap_or_default().to_string_lossy().replace(".rs", "");
        let allowed = LAYERS.iter().find(|(name, _)| *name == module).map(|(_, allowed)| *allowed);
        let wrong = source.code_lines().flat_map(move |(number, line)| {
            let module = module.clone();
            named_modules(line).filter_map(move |named| match allowed {
                None => Some(format!("module '{module}' has no row in LAYERS")),
                Some(allowed) if named == module || allowed.contains(&named) => None,
                Some(_) => Some(format!("line {number}: '{module}' must not know '{named}'")),
            })
        });
        wrong.map(move |what| (source, what)).collect::<Vec<_>>()
    }));
}

/// The first parts of the paths behind `crate::` in a line, if they are modules.
fn named_modules(line: &str) -> impl Iterator<Item = &str> {
    let parts = line.split("crate::").skip(1).flat_map(|rest| match rest.strip_prefix('{') {
        Some(group) => group.split('}').next().unwrap_or_default().split(',').map(str::trim).collect(),
        None => vec![rest],
    });
    parts
        .map(|part| part.split(|letter: char| !letter.is_ascii_alphanumeric() && letter != '_').next().unwrap_or_default())
        .filter(|name| LAYERS.iter().any(|(module, _)| module == name))
}

#[test]
fn the_rules_bite() {
    assert_eq!(named_modules("use crate::{topic::Topic, gate};").collect::<Vec<_>>(), ["topic", "gate"]);
    assert_eq!(named_modules("let x: crate::shard::Shard = crate::other();").collect::<Vec<_>>(), ["shard"]);
    assert!(has_word("use feeds::adapter;", "feeds::") && has_word("a as f64", "f64"));
    assert!(!has_word("use myfeeds::x;", "feeds::") && !has_word("xf64", "f64") && !has_word("hyperbola", "hyper"));
    let text = "//! doc\nuse a; // crate::gate\n#[cfg(test)]\nmod tests {\nuse crate::gate;".to_owned();
    let source = Source { path: "src/topic/a.rs".into(), text };
    assert_eq!(source.code_lines().collect::<Vec<_>>(), [(1, ""), (2, "use a; ")]);
}

#[test]
fn what_must_be_absent_is_absent() {
    let files = rust_files();
    report(files.iter().filter(|source| !source.is_test()).flat_map(|source| {
        let rules = ABSENT.iter().filter(|(folder, ..)| source.path.starts_with(folder));
        let wrong = rules.flat_map(|(_, words, why)| {
            source.code_lines().flat_map(move |(number, line)| {
                words.iter().filter(|word| has_word(line, word)).map(move |word| format!("line {number}: '{word}' ({why})"))
            })
        });
        wrong.map(|what| (source, what)).collect::<Vec<_>>()
    }));
}

/// The word with no letter or digit at its ends.
fn has_word(line: &str, word: &str) -> bool {
    line.match_indices(word).any(|(at, _)| {
        let letter = |c: Option<char>| c.is_some_and(|c| c.is_ascii_alphanumeric() || c == '_');
        !letter(line[..at].chars().next_back()) && (word.ends_with(':') || !letter(line[at + word.len()..].chars().next()))
    })
}

#[test]
fn banned_words_do_not_stand_anywhere() {
    let files: Vec<_> = files_with(&["rs", "toml", "md", "js", "html", "css", "json", "yml", "py", "sh"]);
    report(files.iter().flat_map(|source| {
        source.text.lines().enumerate().flat_map(move |(at, line)| {
            BANNED
                .iter()
                .filter(|(word, _)| line.contains(word))
                .map(move |(word, why)| (source, format!("line {}: '{word}' ({why})", at + 1)))
        })
    }));
}

#[test]
fn crates_do_not_depend_upwards() {
    for (manifest, forbidden) in [
        ("wire/Cargo.toml", &["tokio", "hyper", "feeds", "client", "tickwire"][..]),
        ("feeds/Cargo.toml", &["client", "tickwire"][..]),
        ("clients/rust/Cargo.toml", &["feeds", "tickwire"][..]),
        ("benches/load/Cargo.toml", &["feeds", "tickwire"][..]),
    ] {
        let text = fs::read_to_string(root().join(manifest)).unwrap();
        let table: toml::Table = toml::from_str(&text).unwrap();
        let dependencies = table["dependencies"].as_table().unwrap();
        let wrong: Vec<_> = forbidden.iter().filter(|name| dependencies.contains_key(**name)).collect();
        assert!(wrong.is_empty(), "{manifest} must not depend on {wrong:?}");
    }
}

/// One text file, by its path from the root.
struct Source {
    path: PathBuf,
    text: String,
}

impl Source {
    /// Files of tests: `tests.rs`, `x_tests.rs`, `law.rs` beside the code, all below a `tests` or `benches` folder.
    fn is_test(&self) -> bool {
        let name = self.path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        name == "tests"
            || name == "law"
            || name.ends_with("_tests")
            || self.path.iter().any(|part| part == "tests" || part == "benches")
    }

    /// Numbered lines without comments, up to the test module at the end.
    fn code_lines(&self) -> impl Iterator<Item = (usize, &str)> {
        let end = self.text.find("#[cfg(test)]\nmod tests {").unwrap_or(self.text.len());
        let lines = self.text[..end].lines().enumerate();
        lines.map(|(at, line)| (at + 1, line.split("//").next().unwrap_or_default()))
    }
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn rust_files() -> Vec<Source> {
    let files = files_with(&["rs"]);
    assert!(files.len() > 50, "found only {} files", files.len());
    files
}

fn files_with(endings: &[&str]) -> Vec<Source> {
    let mut found = Vec::new();
    let mut folders = vec![PathBuf::new()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(root().join(&folder)).unwrap() {
            let entry = entry.unwrap();
            let name = entry.file_name().to_string_lossy().into_owned();
            let path = folder.join(&name);
            if entry.file_type().unwrap().is_dir() {
                if !name.starts_with('.') && !matches!(name.as_str(), "target" | "node_modules") {
                    folders.push(path);
                }
            } else if endings.iter().any(|ending| path.extension().is_some_and(|found| found == *ending)) {
                let text = fs::read_to_string(root().join(&path)).unwrap();
                found.push(Source { path, text });
            }
        }
    }
    found.sort_by(|one, other| one.path.cmp(&other.path));
    found
}

fn report<'s>(wrong: impl Iterator<Item = (&'s Source, String)>) {
    let lines: Vec<_> = wrong.map(|(source, what)| format!("{}: {what}", source.path.display())).collect();
    assert!(lines.is_empty(), "\n{}\n", lines.join("\n"));
}
