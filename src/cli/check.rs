//! `tickwire check`: a configuration in; out: what it comes to, with the memory budget, or its first fault in one line and exit code 2.

use crate::cli::CliError;
use crate::cli::shared::ConfigFile;
use crate::config::Config;

pub fn run(file: ConfigFile) -> Result<(), CliError> {
    let config = file.load()?;
    print!("ok: {}\n{}", file.config.display(), summary(&config));
    Ok(())
}

fn summary(config: &Config) -> String {
    let mut text = String::new();
    let mut line = |name: &str, value: String| text.push_str(&format!("{name:<10} {value}\n"));
    line("listen", config.listen.address.to_string());
    line("admin", config.admin.address.to_string());
    line("shards", config.node.shard_count().to_string());
    for feed in &config.feeds {
        let name = feed.name.as_deref().unwrap_or(&feed.venue);
        let symbols = match (&feed.sim, feed.symbols.len()) {
            (Some(sim), _) => format!("{} simulated symbols", sim.symbols),
            (None, 0) => "all symbols it brings".to_owned(),
            (None, count) => format!("{count} symbols"),
        };
        line("feed", format!("{name}: {}, {symbols}", feed.venue));
    }
    let budget = config.memory_budget();
    line("memory", format!("{} at most, the sum of all bounds:", mib(budget.iter().map(|bound| bound.bytes).sum())));
    for bound in &budget {
        line("", format!("{:>9}  {:<9} {}", mib(bound.bytes), bound.name, bound.reason));
    }
    text
}

fn mib(bytes: u64) -> String {
    format!("{} MiB", bytes.div_ceil(1 << 20))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_summary_tells_ports_feeds_and_the_sum() {
        let text = "listen.self_signed = true\n[[feeds]]\nvenue = \"sim\"\nsim = { symbols = 3 }\n";
        let config = Config::parse(text, "t.toml").unwrap();
        let text = summary(&config);
        for part in
            ["listen     127.0.0.1:8443\n", "feed       sim: sim, 3 simulated symbols\n", " MiB  sessions  10000 connections x "]
        {
            assert!(text.contains(part), "{text}");
        }
    }
}
