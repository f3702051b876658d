//! What a user gets wrong: one clear line that names the place, and exit code 2. The real program is run.

use std::path::{Path, PathBuf};
use std::process::Command;

fn run(arguments: &[&str]) -> (Option<i32>, String) {
    let program = env!("CARGO_BIN_EXE_tickwire");
    let output = Command::new(program).args(arguments).env("RUST_LOG", "off").output().expect("the program runs");
    (output.status.code(), String::from_utf8_lossy(&output.stderr).into_owned())
}

fn file(folder: &Path, text: &str) -> PathBuf {
    let path = folder.join("tickwire.toml");
    std::fs::write(&path, text).unwrap();
    path
}

/// `serve` and `check` must say the same, in one line with these parts.
fn refused(text: &str, parts: &[&str]) {
    let folder = tempfile::tempdir().unwrap();
    let path = file(folder.path(), text);
    for command in ["check", "serve"] {
        let (code, stderr) = run(&[command, "--config", path.to_str().unwrap()]);
        assert_eq!(code, Some(2), "{command}: {stderr}");
        assert_eq!(stderr.trim_end().lines().count(), 1, "{command}: one line, not\n{stderr}");
        for part in parts {
            assert!(stderr.contains(part), "{command}: '{part}' is not in: {stderr}");
        }
    }
}

#[test]
fn malformed_configurations_name_line_and_key() {
    refused("[listen]\naddress = \n", &["tickwire.toml:2"]);
    refused("[listen]\nself_signed = true\nadress = \"127.0.0.1:0\"\n", &["tickwire.toml:3", "adress"]);
    refused("[session]\nmax_subscriptions = \"many\"\n", &["tickwire.toml:2", "max_subscriptions"]);
}

#[test]
fn unknown_venues_and_bad_symbols_are_told_what_is_known() {
    let head = "[listen]\nself_signed = true\n";
    refused(&format!("{head}[[feeds]]\nvenue = \"bimance\"\nsymbols = [\"BTC-USDT\"]\n"), &[":4", "bimance", "binance"]);
    refused(&format!("{head}[[feeds]]\nvenue = \"binance\"\nsymbols = [\"BTC USDT\"]\n"), &[":5", "BTC USDT"]);
}

#[test]
fn a_missing_certificate_is_named() {
    let text = "[listen]\ncertificate = \"/nowhere/server.pem\"\nkey = \"/nowhere/server.key\"\n";
    refused(text, &["/nowhere/server.pem"]);
}

#[test]
fn a_missing_file_is_named() {
    let (code, stderr) = run(&["serve", "--config", "/nowhere/tickwire.toml"]);
    assert_eq!(code, Some(2), "{stderr}");
    assert!(stderr.contains("/nowhere/tickwire.toml"), "{stderr}");
    assert_eq!(stderr.trim_end().lines().count(), 1, "{stderr}");
}

#[test]
fn a_used_port_is_named() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    for (public, admin, key) in
        [(address.as_str(), "127.0.0.1:0", "listen.address"), ("127.0.0.1:0", address.as_str(), "admin.address")]
    {
        let folder = tempfile::tempdir().unwrap();
        let text = format!(
            "[listen]\nself_signed = true\naddress = \"{public}\"\n[admin]\naddress = \"{admin}\"\n[[feeds]]\nvenue = \"sim\"\n"
        );
        let path = file(folder.path(), &text);
        let (code, stderr) = run(&["serve", "--config", path.to_str().unwrap()]);
        assert_eq!(code, Some(2), "{stderr}");
        assert_eq!(stderr.trim_end().lines().count(), 1, "{stderr}");
        for part in [key, address.as_str()] {
            assert!(stderr.contains(part), "{stderr}");
        }
    }
}
