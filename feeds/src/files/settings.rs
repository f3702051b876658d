//! What an operator configures of feeds from binary files. In: TOML values. Out: settings that `files::start` checks and runs.
//! Bounded: unknown keys are refused by name.

use crate::orders::Limits;
use serde::{Deserialize, Serialize};
use std::path::PathBuf;

/// `[feeds.iex]`: captures to be played.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FileSettings {
    pub files: Vec<PathBuf>,
    /// 1 = as recorded, N = N times as fast, 0 = as fast as possible.
    #[serde(default = "one")]
    pub speed: f64,
    /// Start over at the end.
    #[serde(default)]
    pub repeat: bool,
}

/// `[feeds.databento]`: DBN files to be played or, without files, what to ask the live gateway for.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct DatabentoSettings {
    /// DBN files (`.dbn`, `.dbn.zst`).
    pub files: Vec<PathBuf>,
    /// As `FileSettings::speed`.
    pub speed: f64,
    /// As `FileSettings::repeat`.
    pub repeat: bool,
    /// Orders of `mbo` that may rest at once, over all instruments.
    pub max_orders: usize,
    /// Live: the dataset, for example `GLBX.MDP3`.
    pub dataset: String,
    /// Live: the schemas, for example `mbo`, `mbp-1`, `trades`, `definition`, `status`.
    pub schemas: Vec<String>,
    /// Live: what `symbols` of the feed are: `raw_symbol`, `parent`, `continuous`, `instrument_id`.
    pub stype_in: String,
    /// Live: the environment variable that holds the API key. The key itself stands in no file and no log.
    pub key_env: String,
    /// Live: `HOST:PORT` of the gateway; Databento's own for the dataset if left out.
    pub gateway: Option<String>,
    /// Live: seconds after which a quiet gateway says that it is alive.
    pub heartbeat_s: u32,
}

impl Default for DatabentoSettings {
    fn default() -> Self {
        Self {
            files: Vec::new(),
            speed: one(),
            repeat: false,
            max_orders: Limits::default().orders,
            dataset: String::new(),
            schemas: vec!["mbp-1".to_owned()],
            stype_in: "raw_symbol".to_owned(),
            key_env: "DATABENTO_API_KEY".to_owned(),
            gateway: None,
            heartbeat_s: 10,
        }
    }
}

fn one() -> f64 {
    1.0
}
