//! In: a TOML file and `TICKWIRE__SECTION__KEY` variables. Out: a checked `Config` with paths made relative to the file's folder.
//! Bounded: a file of at most `MAX_FILE_BYTES`. The first fault ends the reading; it says where it stands and how to mend it.

use super::check;
use super::error::{ConfigError, Origin};
use super::locate::{origin_of_key, origin_of_span};
use super::types::Config;
use feeds::settings::FeedSettings;
use std::path::{Path, PathBuf};
use toml::Value;

/// Prefix of the variables that overlay the file: `TICKWIRE__SESSION__FRAME_BYTES=32768`, `TICKWIRE__FEEDS__0__VENUE=sim`.
const PREFIX: &str = "TICKWIRE__";
/// Far above any real configuration; guards against a path that is something else.
const MAX_FILE_BYTES: u64 = 1 << 20;

impl Config {
    /// Reads and checks a file, overlaid with the process's environment.
    pub fn load(path: &Path) -> Result<Self, ConfigError> {
        Self::load_with(path, std::env::vars())
    }

    /// The same with variables of the caller's choice.
    pub fn load_with(path: &Path, variables: impl IntoIterator<Item = (String, String)>) -> Result<Self, ConfigError> {
        let cannot = |what: String| ConfigError::file(path, what, "name a readable TOML file with --config");
        let size = std::fs::metadata(path).map_err(|error| cannot(format!("cannot be read: {error}")))?.len();
        if size > MAX_FILE_BYTES {
            return Err(cannot(format!("has {size} bytes, a configuration at most {MAX_FILE_BYTES}")));
        }
        let text = std::fs::read_to_string(path).map_err(|error| cannot(format!("cannot be read: {error}")))?;
        Self::parse_with(&text, path, variables)
    }

    /// Reads and checks a text, without the environment; `path` is named in errors and its folder is where relative paths start.
    pub fn parse(text: &str, path: impl AsRef<Path>) -> Result<Self, ConfigError> {
        Self::parse_with(text, path.as_ref(), [])
    }

    fn parse_with(text: &str, path: &Path, variables: impl IntoIterator<Item = (String, String)>) -> Result<Self, ConfigError> {
        let mut config = read(text, path)?;
        let overlay = Overlay::apply(&mut config, text, path, variables)?;
        config.resolve_paths(path.parent().unwrap_or(Path::new("")));
        check::check(&config).map_err(|fault| {
            let origin = overlay.origin(&fault.key).unwrap_or_else(|| origin_of_key(path, text, &fault.key));
            ConfigError { origin, key: fault.key, what: fault.what, remedy: fault.remedy }
        })?;
        Ok(config)
    }

    /// Relative paths start at the file's folder, so a configuration means the same from wherever the server is started.
    fn resolve_paths(&mut self, folder: &Path) {
        let listen = [&mut self.listen.certificate, &mut self.listen.key];
        let auth = [&mut self.auth.hs256_secret_file, &mut self.auth.eddsa_public_key_file];
        let session = [&mut self.session.ticket_key_file, &mut self.session.ticket_former_key_file];
        let feeds = self.feeds.iter_mut().flat_map(FeedSettings::files_mut);
        let paths: Vec<&mut PathBuf> = listen.into_iter().chain(auth).chain(session).flatten().chain(feeds).collect();
        for path in paths {
            *path = folder.join(&path);
        }
    }
}

/// Syntax, names and types of the file alone.
fn read(text: &str, path: &Path) -> Result<Config, ConfigError> {
    let fault = |key: String, error: &toml::de::Error| {
        let remedy = check::hint(&key, error.message());
        ConfigError { origin: origin_of_span(path, text, error.span()), key, what: error.message().to_owned(), remedy }
    };
    let document = toml::Deserializer::parse(text).map_err(|error| fault(String::new(), &error))?;
    serde_path_to_error::deserialize(document).map_err(|error| fault(key_of(error.path()), error.inner()))
}

/// `feeds[0].venue`; empty for the root, which serde prints as `.`.
fn key_of(path: &serde_path_to_error::Path) -> String {
    match path.to_string() {
        root if root == "." => String::new(),
        key => key,
    }
}

/// Which keys the environment has set.
struct Overlay(Vec<(String, String)>);

impl Overlay {
    fn apply(
        config: &mut Config,
        text: &str,
        path: &Path,
        variables: impl IntoIterator<Item = (String, String)>,
    ) -> Result<Self, ConfigError> {
        let mut set: Vec<_> = variables.into_iter().filter(|(name, _)| name.starts_with(PREFIX)).collect();
        // The environment has no order; the same variables must give the same answer.
        set.sort();
        let mut keys = Vec::new();
        if set.is_empty() {
            return Ok(Self(keys));
        }
        let mut tree: Value = toml::from_str(text).map_err(|error| ConfigError::file(path, error.message(), ""))?;
        for (name, value) in set {
            let (key, next, changed) = overlay_one(&tree, &name, &value)?;
            (tree, *config) = (next, changed);
            keys.push((key, name));
        }
        Ok(Self(keys))
    }

    /// The variable that set this key or one of its parents.
    fn origin(&self, key: &str) -> Option<Origin> {
        let sets = |set: &str| key.strip_prefix(set).is_some_and(|rest| rest.is_empty() || rest.starts_with(['.', '[']));
        self.0.iter().find(|(set, _)| sets(set)).map(|(_, name)| Origin::Variable(name.clone()))
    }
}

fn overlay_one(tree: &Value, name: &str, text: &str) -> Result<(String, Value, Config), ConfigError> {
    let steps: Vec<String> = name[PREFIX.len()..].split("__").map(str::to_ascii_lowercase).collect();
    let mut key = String::new();
    for step in &steps {
        match step.parse::<usize>() {
            Ok(at) => key.push_str(&format!("[{at}]")),
            Err(_) if key.is_empty() => key.push_str(step),
            Err(_) => key.push_str(&format!(".{step}")),
        }
    }
    // Read as TOML first (numbers, true, arrays), else as the plain text that shells make easy to write.
    let typed = toml::from_str::<toml::Table>(&format!("value = {text}")).ok().and_then(|mut table| table.remove("value"));
    let mut first_fault = None;
    for value in typed.into_iter().chain([Value::String(text.to_owned())]) {
        let mut next = tree.clone();
        let put = put(&mut next, &steps, value);
        let read = put.and_then(|()| {
            serde_path_to_error::deserialize::<_, Config>(next.clone()).map_err(|error| error.into_inner().message().to_owned())
        });
        match read {
            Ok(config) => return Ok((key, next, config)),
            Err(what) => first_fault = first_fault.or(Some(what)),
        }
    }
    let what = first_fault.unwrap_or_default();
    let remedy = check::hint(&key, &what);
    Err(ConfigError { origin: Origin::Variable(name.to_owned()), key, what, remedy })
}

fn put(tree: &mut Value, steps: &[String], value: Value) -> Result<(), String> {
    let Some((step, rest)) = steps.split_first() else {
        *tree = value;
        return Ok(());
    };
    match tree {
        Value::Table(table) => put(table.entry(step.clone()).or_insert_with(|| Value::Table(toml::Table::new())), rest, value),
        Value::Array(items) => {
            let count = items.len();
            let at = step.parse().ok().filter(|at: &usize| *at < count);
            let at = at.ok_or_else(|| format!("'{step}' is not the number of one of {count} items"))?;
            put(&mut items[at], rest, value)
        }
        _ => Err(format!("has no part '{step}'")),
    }
}
