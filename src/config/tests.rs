//! What an operator reads: each fault is one line with file, line, column, key and remedy.

use super::*;
use feeds::files::settings::{DatabentoSettings, FileSettings};
use feeds::itch::settings::ItchSettings;
use feeds::relay::RelaySettings;
use feeds::settings::{FeedSettings, ReplaySettings, SimSettings};
use std::collections::BTreeSet;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};

const GOOD: &str = "[listen]\nself_signed = true\n[[feeds]]\nvenue = \"sim\"\n";

fn fault(text: &str) -> String {
    let text = Config::parse(text, "dir/t.toml").unwrap_err().to_string();
    assert_eq!(text.lines().count(), 1, "{text}");
    text
}

fn config_folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("config")
}

#[test]
fn a_fault_names_file_line_column_key_and_remedy() {
    for (text, expected) in [
        ("[listen\naddress = 1", "dir/t.toml:1:8: "),
        (
            "[listen]\naddress = \"here\"\n",
            "dir/t.toml:2:11: listen.address: invalid socket address syntax; write IP:PORT, for example \"127.0.0.1:8443\"",
        ),
        (
            "[session]\nframe_bytes = \"big\"\n",
            "dir/t.toml:2:15: session.frame_bytes: invalid type: string \"big\", expected usize; write a whole number of bytes",
        ),
        ("[session]\nframe_bytes = -1\n", "dir/t.toml:2:15: session.frame_bytes: "),
        (
            "[session]\nframe_byte = 1\n",
            "dir/t.toml:2:1: session.frame_byte: unknown field `frame_byte`, expected one of `max_subscriptions`, ",
        ),
        ("[sesion]\n", "dir/t.toml:1:2: sesion: unknown field `sesion`, expected one of `node`, "),
        ("[[feeds]]\nname = \"x\"\n", "dir/t.toml:1:1: feeds[0]: missing field `venue`; config/default.toml documents every key"),
        ("[log]\nformat = \"xml\"\n", "dir/t.toml:2:10: log.format: unknown variant `xml`, expected `text` or `json`; "),
    ] {
        let fault = fault(text);
        assert!(fault.starts_with(expected), "{fault}\nexpected {expected}");
    }
}

#[test]
fn values_that_cannot_work_are_refused_at_their_line() {
    for (more, expected) in [
        ("[node]\nshards = 65\n", "dir/t.toml:6:10: node.shards: 65 is too many; use 1 to 64, or 0 for one a core"),
        (
            "[node]\nshard_cores = [0, 9999]\n",
            "dir/t.toml:6:19: node.shard_cores[1]: 9999 is not a core that this process may use; use some of [",
        ),
        (
            "[node]\nfeeds_core = 9999\n",
            "dir/t.toml:6:14: node.feeds_core: 9999 is not a core that this process may use; use some of [",
        ),
        ("[node]\nname = \"\"\n", "dir/t.toml:6:8: node.name: \"\" is not a name; use 1 to 64 printable characters"),
        ("[topics]\nbook_levels = 0\n", "dir/t.toml:6:15: topics.book_levels: 0 is too small; use 50 or more"),
        (
            "[topics]\nmax_topics = 90\n",
            "dir/t.toml:6:14: topics.max_topics: 90 is too small: the feeds' 60 symbols have 840 topics; use 840 or more",
        ),
        ("[session]\nticket_lifetime_s = 0\n", "dir/t.toml:6:21: session.ticket_lifetime_s: 0 is too small; use 1 or more"),
        (
            "[session]\nticket_key_file = \"none\"\n",
            "dir/t.toml:6:19: session.ticket_key_file: dir/none: cannot be read: No such file or directory (os error 2); make one with ",
        ),
        ("[session]\nwrite_timeout_ms = 0\n", "dir/t.toml:6:20: session.write_timeout_ms: 0 is too small; use 1 or more"),
        ("[session]\nidle_timeout_ms = 20000\n", "dir/t.toml:6:19: session.idle_timeout_ms: 20000 ms is not longer than "),
        (
            "[admin]\naddress = \"0.0.0.0:9464\"\n",
            "dir/t.toml:6:11: admin.address: 0.0.0.0:9464 can be reached from other machines, and this port has no login; use a loopback",
        ),
        (
            "[admin]\naddress = \"127.0.0.1:8443\"\n",
            "dir/t.toml:6:11: admin.address: 127.0.0.1:8443 is listen.address too; give each its own port",
        ),
        (
            "[auth]\nrequired = true\n",
            "dir/t.toml:6:12: auth.required: there is no key to check tokens with; set auth.hs256_secret_file or ",
        ),
        (
            "[auth]\nhs256_secret_file = \"none\"\n",
            "dir/t.toml:6:21: auth.hs256_secret_file: dir/none: cannot be read: No such file",
        ),
        ("[pressure]\nraise_after_ms = 0\n", "dir/t.toml:6:18: pressure.raise_after_ms: 0 is too small; use 1 or more"),
        (
            "[pressure]\nlag_ms = [50, 50, 60]\n",
            "dir/t.toml:6:15: pressure.lag_ms[1]: 50 is not above 50, the value of the level before; make the values ascend",
        ),
        (
            "[pressure]\nmemory_percent = [80, 90, 101]\n",
            "dir/t.toml:6:27: pressure.memory_percent[2]: 101 is too large; use 100 or less",
        ),
        (
            "[pressure]\nmemory_lower_percent = [80, 85, 90]\n",
            "dir/t.toml:6:25: pressure.memory_lower_percent[0]: 80 is not between 0 and pressure.memory_percent[0] (80); use ",
        ),
        (
            "[pressure]\nfloors_ms = [100, 200, 500]\n",
            "dir/t.toml:6:19: pressure.floors_ms[1]: 200 is no step of the paces; use one of 10, ",
        ),
        ("[log]\nfilter = \"a=b=c\"\n", "dir/t.toml:6:10: log.filter: 'a=b=c' is not a filter: "),
        ("[[feeds]]\nvenue = \"bimance\"\n", "dir/t.toml:6:9: feeds[1].venue: unknown venue 'bimance'; known venues: binance, "),
        (
            "[[feeds]]\nvenue = \"sim\"\n",
            "dir/t.toml:6:9: feeds[1].venue: two feeds are named 'sim' in topics; give this one its own name, feeds[1].name",
        ),
        (
            "[[feeds]]\nvenue = \"binance\"\nsymbols = [\"A-B\"]\n[[feeds]]\nvenue = \"binance-spot\"\nsymbols = [\"C-D\"]\n",
            "dir/t.toml:9:9: feeds[2].venue: two feeds are named 'binance' in topics; give this one its own name, feeds[2].name",
        ),
        (
            "[[feeds]]\nvenue = \"binance\"\n",
            "dir/t.toml:5:1: feeds[1].symbols: names no symbol; write for example symbols = [\"BTC-USDT\"]",
        ),
        (
            "[[feeds]]\nvenue = \"binance\"\nsymbols = [\"BTC-USDT\", \"BTC USDT\"]\n",
            "dir/t.toml:7:24: feeds[1].symbols[1]: 'BTC USDT' is not a symbol: letters,",
        ),
        ("[[feeds]]\nvenue = \"binance\"\nsymbols = [\"*\"]\n", "dir/t.toml:7:12: feeds[1].symbols[0]: '*' may stand"),
        (
            "[[feeds]]\nvenue = \"binance\"\nsymbols = [\"A\"]\nws_url = \"ws://example.com\"\n",
            "dir/t.toml:8:10: feeds[1].ws_url: 'ws://example.com' is not encrypted; use wss://, ws:// is for loopback",
        ),
        (
            "[[feeds]]\nvenue = \"binance\"\nsymbols = [\"A-B\"]\nws_urls = [\"wss://a\", \"ws://example.com\"]\n",
            "dir/t.toml:8:23: feeds[1].ws_urls[1]: 'ws://example.com' is not encrypted; use wss://, ws:// is for loopback",
        ),
        (
            "[[feeds]]\nvenue = \"binance\"\nsymbols = [\"A-B\"]\nlines = 5\n",
            "dir/t.toml:8:9: feeds[1].lines: feed 'binance': 5 lines; use 1 to 4",
        ),
        (
            "[[feeds]]\nvenue = \"kucoin\"\nsymbols = [\"A-B\"]\nws_urls = [\"wss://a\"]\n",
            "dir/t.toml:8:11: feeds[1].ws_urls: feed 'kucoin': the venue itself names the address of each connection; leave ws_urls out",
        ),
        (
            "[[feeds]]\nvenue = \"sim\"\nname = \"two\"\nlines = 2\n",
            "dir/t.toml:8:9: feeds[1].lines: venue \"sim\" has no WebSocket lines to compare; remove it",
        ),
        (
            "[[feeds]]\nvenue = \"itch\"\nlines = 2\n",
            "dir/t.toml:7:9: feeds[1].lines: venue \"itch\" has no WebSocket lines to compare; remove it; the lines of [feeds.itch] are its listen",
        ),
        (
            "[[feeds]]\nvenue = \"tickwire\"\n",
            "dir/t.toml:5:1: feeds[1].ws_url: is missing for venue \"tickwire\"; write for example ws_url = \"wss://core.example:8443\"",
        ),
        (
            "[[feeds]]\nvenue = \"tickwire\"\nws_url = \"wss://a\"\nsymbols = [\"*\", \"BTC-USDT\"]\n",
            "dir/t.toml:8:17: feeds[1].symbols[1]: 'BTC-USDT' is not a symbol of tickwire: write \"*\", \"binance:*\"",
        ),
        (
            "[[feeds]]\nvenue = \"tickwire\"\nws_url = \"wss://a\"\ntickwire = { ca_file = \"none\" }\n",
            "dir/t.toml:8:24: feeds[1].tickwire.ca_file: dir/none: cannot be read: ",
        ),
        (
            "[[feeds]]\nvenue = \"itch\"\n",
            "dir/t.toml:5:1: feeds[1].itch: is missing for venue \"itch\"; add [feeds.itch] with files, listen or server",
        ),
        ("[[feeds]]\nvenue = \"itch\"\nitch = {}\n", "dir/t.toml:7:8: feeds[1].itch: feed 'itch': names no source: "),
        (
            "[[feeds]]\nvenue = \"itch\"\nitch = { files = [\"Cargo.toml\"] }\n",
            "dir/t.toml:7:19: feeds[1].itch.files[0]: dir/Cargo.toml: cannot be read: ",
        ),
        (
            "[[feeds]]\nvenue = \"itch\"\nsymbols = [\"NINELETTR\"]\nitch = { server = \"a:1\" }\n",
            "dir/t.toml:7:12: feeds[1].symbols[0]: 'NINELETTR' is not a symbol of itch: stocks have one to eight ASCII characters",
        ),
        (
            "[[feeds]]\nvenue = \"itch\"\nitch = { server = \"a:1\", password_file = \"none\" }\n",
            "dir/t.toml:7:42: feeds[1].itch.password_file: dir/none: cannot be read: ",
        ),
        (
            "[[feeds]]\nvenue = \"binance-sbe\"\nsymbols = [\"BTC-USDT\"]\napi_key_file = \"none\"\n",
            "dir/t.toml:8:16: feeds[1].api_key_file: the API key of feed 'binance-sbe': dir/none: cannot be read: ",
        ),
        (
            "[[feeds]]\nvenue = \"binance-sbe\"\nsymbols = [\"BTC-USDT\"]\n",
            "dir/t.toml:5:1: feeds[1].api_key_file: the API key of feed 'binance-sbe': name a file that holds it, api_key_file",
        ),
        (
            "[[feeds]]\nvenue = \"binance\"\nsymbols = [\"BTC-USDT\"]\napi_key_file = \"none\"\n",
            "dir/t.toml:8:16: feeds[1].api_key_file: venue \"binance\" asks for no key; remove it",
        ),
        (
            "[[feeds]]\nvenue = \"replay\"\n",
            "dir/t.toml:5:1: feeds[1].replay: is missing for venue \"replay\"; add [feeds.replay] ",
        ),
        (
            "[[feeds]]\nvenue = \"iex\"\n",
            "dir/t.toml:5:1: feeds[1].iex: is missing for venue \"iex\"; add [feeds.iex] with files",
        ),
        (
            "[[feeds]]\nvenue = \"iex\"\niex = { files = [\"x.pcap\"] }\n",
            "dir/t.toml:7:18: feeds[1].iex.files[0]: dir/x.pcap: cannot be read: ",
        ),
        (
            "[[feeds]]\nvenue = \"databento\"\nsymbols = [\"ESM4\"]\n",
            "dir/t.toml:5:1: feeds[1]: feed 'databento': needs files, or a dataset such as \"GLBX.MDP3\" for the live gateway",
        ),
        (
            "[[feeds]]\nvenue = \"sim\"\nname = \"x\"\ndatabento = { dataset = \"GLBX.MDP3\" }\n",
            "dir/t.toml:8:13: feeds[1].databento: is for venue \"databento\" only; remove it",
        ),
        (
            "[[feeds]]\nvenue = \"replay\"\nreplay = { venue = \"binance\", files = [\"x.gz\"] }\n",
            "dir/t.toml:7:40: feeds[1].replay.files[0]: dir/x.gz: cannot be read: ",
        ),
    ] {
        let text = GOOD
            .replace("venue = \"sim\"\n", "venue = \"sim\"\nsim = { symbols = 60 }\n")
            .replace("[listen]\nself_signed = true\n", "listen.self_signed = true\n");
        let fault = fault(&format!("{text}{more}"));
        assert!(fault.starts_with(expected), "{fault}\nexpected {expected}");
    }
}

#[test]
fn certificates_are_looked_at() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("t.toml");
    let feed = "\n[[feeds]]\nvenue = \"sim\"\n";
    let parse = |listen: &str| Config::parse(&format!("[listen]\n{listen}{feed}"), &file);
    let says = |listen: &str, part: &str| {
        let fault = parse(listen).unwrap_err().to_string();
        assert!(fault.contains(part), "{fault}\nexpected {part}");
    };
    says("", "listen.certificate: there is no certificate; set listen.certificate and listen.key, or listen.self_signed = true");
    says("certificate = \"c.pem\"", "listen.key: is missing beside listen.certificate");
    says("key = \"k.pem\"", "listen.certificate: is missing beside listen.key");
    says("certificate = \"c.pem\"\nkey = \"k.pem\"\nself_signed = true", "t.toml:4:15: listen.self_signed: stands beside");
    says("certificate = \"c.pem\"\nkey = \"k.pem\"", "t.toml:2:15: listen.certificate: ");
    says("certificate = \"c.pem\"\nkey = \"k.pem\"", "c.pem: cannot be read: No such file");
    std::fs::write(folder.path().join("c.pem"), "nothing\n").unwrap();
    says("certificate = \"c.pem\"\nkey = \"k.pem\"", "c.pem: holds no certificate");
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    std::fs::write(folder.path().join("c.pem"), made.cert.pem()).unwrap();
    std::fs::write(folder.path().join("k.pem"), made.cert.pem()).unwrap();
    says("certificate = \"c.pem\"\nkey = \"k.pem\"", "t.toml:3:7: listen.key: ");
    let other = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    std::fs::write(folder.path().join("k.pem"), other.signing_key.serialize_pem()).unwrap();
    says("certificate = \"c.pem\"\nkey = \"k.pem\"", "k.pem does not belong to the certificate in ");
    std::fs::write(folder.path().join("k.pem"), made.signing_key.serialize_pem()).unwrap();
    let config = parse("certificate = \"c.pem\"\nkey = \"k.pem\"").unwrap();
    assert_eq!(config.listen.key, Some(folder.path().join("k.pem")), "relative to the file");
}

#[test]
fn the_environment_overlays_the_file() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("t.toml");
    std::fs::write(&file, GOOD).unwrap();
    let load = |variables: &[(&str, &str)]| {
        Config::load_with(&file, variables.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())))
    };
    let config = load(&[
        ("TICKWIRE__SESSION__FRAME_BYTES", "2048"),
        ("TICKWIRE__NODE__NAME", "7"),
        ("TICKWIRE__LISTEN__ADDRESS", "0.0.0.0:443"),
        ("TICKWIRE__FEEDS__0__SYMBOLS", "[\"A\", \"B\"]"),
        ("TICKWIRE__FEEDS__0__SIM__SEED", "9"),
        ("TICKWIRES", "not ours"),
    ])
    .unwrap();
    assert_eq!((config.session.frame_bytes, config.node.name.as_str()), (2_048, "7"));
    assert_eq!((config.listen.address.port(), config.feeds[0].symbols.len()), (443, 2));
    assert_eq!(config.feeds[0].sim.as_ref().unwrap().seed, 9);
    for (name, value, expected) in [
        ("TICKWIRE__SESSION__FRAME", "1", "session.frame: unknown field `frame`, expected one of "),
        (
            "TICKWIRE__SESSION__FRAME_BYTES",
            "many",
            "session.frame_bytes: invalid type: string \"many\", expected usize; write a whole",
        ),
        ("TICKWIRE__SESSION__FRAME_BYTES", "0", "session.frame_bytes: 0 is too small; use 1024 or more"),
        ("TICKWIRE__FEEDS__3__VENUE", "sim", "feeds[3].venue: '3' is not the number of one of 1 items"),
        ("TICKWIRE__FEEDS__0__VENUE", "x", "feeds[0].venue: unknown venue 'x'; known"),
        ("TICKWIRE__LISTEN__SELF_SIGNED__X", "1", "listen.self_signed.x: has no part 'x'"),
    ] {
        let fault = load(&[(name, value)]).unwrap_err().to_string();
        assert!(fault.starts_with(&format!("environment variable {name}: {expected}")), "{fault}");
    }
}

#[test]
fn files_that_are_none() {
    let fault = |path: &str| Config::load_with(Path::new(path), []).unwrap_err().to_string();
    assert!(fault("/none.toml").starts_with("/none.toml: cannot be read: No such file"), "{}", fault("/none.toml"));
    assert!(fault("/").contains("cannot be read"), "{}", fault("/"));
    assert!(fault("/").ends_with("; name a readable TOML file with --config"));
}

#[test]
fn the_examples_are_valid() {
    for name in ["bench.toml", "demo.toml", "emulated.toml", "relay.toml"] {
        if let Err(error) = Config::load_with(&config_folder().join(name), []) {
            panic!("{error}");
        }
    }
    // Its certificate is the operator's: all but that must be right.
    let error = Config::load_with(&config_folder().join("production.toml"), []).unwrap_err();
    assert_eq!(error.key(), "listen.certificate", "{error}");
    let text = std::fs::read_to_string(config_folder().join("production.toml")).unwrap();
    let own = text.lines().filter(|line| !line.starts_with("certificate = ") && !line.starts_with("key = "));
    let text = own.map(|line| line.replace("[listen]", "[listen]\nself_signed = true") + "\n").collect::<String>();
    let text = text.replace("required = true", "required = false").replace("eddsa_public_key_file", "# eddsa_public_key_file");
    if let Err(error) = Config::parse(&text, "production.toml") {
        panic!("{error}");
    }
}

#[test]
fn the_documented_defaults_are_the_codes_defaults() {
    let path = config_folder().join("default.toml");
    let text = std::fs::read_to_string(path).unwrap();
    assert_eq!(toml::from_str::<Config>(&text).unwrap(), Config::default());
    // Keys without a default are written as comments, `# key = value`: read them too.
    let full_text: String = text.lines().map(|line| uncomment(line).to_owned() + "\n").collect();
    let shown: toml::Table = toml::from_str(&full_text).unwrap_or_else(|error| panic!("{error}"));
    toml::from_str::<Config>(&full_text).unwrap_or_else(|error| panic!("{error}"));
    let all = toml::Table::try_from(full()).unwrap();
    assert_eq!(keys("", &shown), keys("", &all));
}

/// `# key = …` and `# [table]` without their mark; prose stays a comment.
fn uncomment(line: &str) -> &str {
    let Some(rest) = line.strip_prefix("# ") else { return line };
    let is_key = rest
        .split_once(" = ")
        .is_some_and(|(key, _)| key.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_'));
    if is_key || rest.starts_with('[') { rest } else { line }
}

fn keys(prefix: &str, table: &toml::Table) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    for (key, value) in table {
        let path = format!("{prefix}{key}");
        match value {
            toml::Value::Table(inner) => found.extend(keys(&format!("{path}."), inner)),
            toml::Value::Array(items) if items.iter().any(toml::Value::is_table) => {
                items.iter().filter_map(toml::Value::as_table).for_each(|inner| found.extend(keys(&format!("{path}[]."), inner)));
            }
            _ => drop(found.insert(path)),
        }
    }
    found
}

/// A configuration in which every key is set that has no default, and one feed with all there is.
fn full() -> Config {
    let some = || Some("x".to_owned());
    let file = || Some(PathBuf::from("x"));
    let default = Config::default();
    Config {
        node: Node { feeds_core: Some(0), main_core: Some(0), ..default.node },
        listen: Listen { certificate: file(), key: file(), ..default.listen },
        session: Session { ticket_key_file: file(), ticket_former_key_file: file(), ..default.session },
        pressure: Pressure { memory_limit_bytes: Some(1), ..default.pressure },
        auth: Auth { hs256_secret_file: file(), eddsa_public_key_file: file(), issuer: some(), audience: some(), ..default.auth },
        feeds: vec![FeedSettings {
            venue: "x".to_owned(),
            name: some(),
            symbols: vec!["A".to_owned()],
            ws_url: some(),
            ws_urls: vec!["x".to_owned()],
            lines: Some(2),
            rest_url: some(),
            api_key_file: file(),
            channels: Vec::new(),
            aggregated_trades: false,
            depth: Some(10),
            silence_ms: Some(1),
            quiet_after_ms: 1,
            sim: Some(SimSettings::default()),
            replay: Some(ReplaySettings { venue: "x".to_owned(), files: vec!["x".into()], speed: 1.0, repeat: false }),
            iex: Some(FileSettings { files: vec!["x".into()], speed: 1.0, repeat: false }),
            itch: Some(ItchSettings {
                date: some(),
                interface: Some(Ipv4Addr::LOCALHOST),
                request: Some(SocketAddr::from((Ipv4Addr::LOCALHOST, 1))),
                server: some(),
                password_file: file(),
                ..ItchSettings::default()
            }),
            databento: Some(DatabentoSettings { gateway: some(), ..DatabentoSettings::default() }),
            tickwire: Some(RelaySettings { token_file: file(), token_env: some(), ca_file: file() }),
        }],
        ..default
    }
}

#[test]
fn the_budget_follows_the_limits() {
    let sum = |config: &Config| config.memory_budget().iter().map(|bound| bound.bytes).sum::<u64>();
    let mut config = Config::default();
    let before = sum(&config);
    config.listen.max_connections *= 2;
    let connections = sum(&config);
    config.topics.book_levels *= 2;
    let books = sum(&config);
    let itch = Some(ItchSettings { max_orders: 1_000_000, ..ItchSettings::default() });
    config.feeds.push(FeedSettings { itch, ..FeedSettings::of_venue("itch") });
    assert!(before < connections && connections < books && books + 80_000_000 < sum(&config));
}
