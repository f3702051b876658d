//! The live gateway's text: what is said before records flow. In: its lines. Out: ours. Pure; bounded by `MAX_LINE_BYTES` a line.
//!
//! ```text
//! < lsg_version=0.7.0
//! < cram=CHALLENGE
//! > auth=SHA256("CHALLENGE|KEY")-LAST5|dataset=GLBX.MDP3|encoding=dbn|ts_out=0|client=tickwire|heartbeat_interval_s=10
//! < success=1|session_id=5
//! > schema=mbp-1|stype_in=raw_symbol|symbols=ESU6,NQU6|snapshot=0|start=NS|id=1|is_last=1
//! > start_session
//! ```

use aws_lc_rs::digest::{SHA256, digest};
use std::fmt::Write;

/// No line of the gateway is longer.
pub const MAX_LINE_BYTES: usize = 64 << 10;
/// Symbols a subscription line may name; more go into further lines.
const SYMBOLS_PER_LINE: usize = 500;
/// The key's last characters, which tell the gateway whose it is.
const BUCKET_BYTES: usize = 5;

/// Why a session did not come about.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    #[error("the gateway says what no gateway says: {0}")]
    Unexpected(String),
    /// In the gateway's own words, without the key.
    #[error("the gateway refuses: {0}")]
    Refused(String),
}

/// One line of the gateway.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reply {
    Version(String),
    Challenge(String),
    Accepted { session: String },
}

/// Reads one line, without its end.
pub fn greeting(line: &str) -> Result<Reply, Refusal> {
    let field = |name: &str| {
        line.split('|').find_map(|part| part.split_once('=').filter(|(key, _)| *key == name).map(|(_, value)| value))
    };
    if let Some(version) = field("lsg_version") {
        return Ok(Reply::Version(version.to_owned()));
    }
    if let Some(challenge) = field("cram") {
        return Ok(Reply::Challenge(challenge.to_owned()));
    }
    match field("success") {
        Some("1") => Ok(Reply::Accepted { session: field("session_id").unwrap_or_default().to_owned() }),
        Some(_) => Err(Refusal::Refused(field("error").unwrap_or("without a reason").to_owned())),
        None => Err(Refusal::Unexpected(line.chars().take(200).collect())),
    }
}

/// What is asked for.
#[derive(Clone, Debug)]
pub struct Request {
    pub dataset: String,
    pub schemas: Vec<String>,
    pub stype_in: String,
    pub symbols: Vec<String>,
    pub heartbeat_s: u32,
}

impl Request {
    /// The answer to a challenge. The key itself is not sent.
    pub fn authentication(&self, challenge: &str, key: &str) -> String {
        let hash = digest(&SHA256, format!("{challenge}|{key}").as_bytes());
        let mut line = String::from("auth=");
        for byte in hash.as_ref() {
            // Writing into a String cannot fail.
            let _ = write!(line, "{byte:02x}");
        }
        let bucket = key.get(key.len().saturating_sub(BUCKET_BYTES)..).unwrap_or_default();
        let _ = writeln!(
            line,
            "-{bucket}|dataset={}|encoding=dbn|compression=none|ts_out=0|client=Tickwire {}|heartbeat_interval_s={}",
            self.dataset,
            env!("CARGO_PKG_VERSION"),
            self.heartbeat_s
        );
        line
    }

    /// All subscriptions, and the word that lets data flow. `start`: since when (inclusive), in nanoseconds.
    pub fn subscriptions(&self, start: Option<u64>) -> String {
        let mut text = String::new();
        for (number, schema) in (1u32..).zip(&self.schemas) {
            let chunks: Vec<&[String]> = self.symbols.chunks(SYMBOLS_PER_LINE).collect();
            for (at, symbols) in chunks.iter().enumerate() {
                // Orders make a book only from a snapshot on; who resumes has the book.
                let snapshot = u8::from(schema == "mbo" && start.is_none());
                let _ =
                    write!(text, "schema={schema}|stype_in={}|symbols={}|snapshot={snapshot}", self.stype_in, symbols.join(","));
                if let Some(start) = start {
                    let _ = write!(text, "|start={start}");
                }
                let _ = writeln!(text, "|id={number}|is_last={}", u8::from(at + 1 == chunks.len()));
            }
        }
        text.push_str("start_session\n");
        text
    }
}
