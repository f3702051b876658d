//! `tickwire audit` of binary files. In: captures or DBN files. Out: what was counted in them, and what their books and trades come to.
//! Bounded by one book a symbol.

use super::CliError;
use super::audit::{Audit, Report};
use feeds::adapter::Output;
use feeds::files;
use feeds::settings::FeedSettings;
use serde_json::Value;
use std::path::PathBuf;

pub(super) fn audit(venue: &str, files: &[PathBuf]) -> Result<Report, CliError> {
    let settings = FeedSettings::of_venue(venue);
    let mut tape = files::tape(venue, files, &settings).map_err(CliError::usage)?.map_err(CliError::usage)?;
    let mut audit = Audit::default();
    let mut out = Output::default();
    while tape.next(&mut out).map_err(CliError::failed)?.is_some() {
        audit.take(&out);
        out.clear();
    }
    let mut report = audit.report(tape.remarks());
    report.feed = tape.counts().into_iter().map(|(name, count)| (name, Value::from(count))).collect();
    Ok(report)
}

#[cfg(test)]
#[path = "audit_files_tests.rs"]
mod tests;
