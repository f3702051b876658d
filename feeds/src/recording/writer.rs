//! In: entries. Out: zstd files of our own format in one folder, rotated by size and age. Bounded by one open file.

use super::Entry;
use super::own;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use wire::event::Nanos;

/// Level 3 packs venue JSON about 12 to 1 and costs a few per cent of a core at exchange rates.
const COMPRESSION_LEVEL: i32 = 3;

/// When a file is closed and the next begun.
#[derive(Clone, Copy, Debug)]
pub struct Rotation {
    /// Bytes before compression.
    pub file_bytes: u64,
    pub file_age_s: u64,
}

impl Default for Rotation {
    fn default() -> Self {
        Self { file_bytes: 1 << 30, file_age_s: 3600 }
    }
}

/// Writes entries of one venue. What was written before a `flush` survives a crash.
pub struct Writer {
    folder: PathBuf,
    venue: String,
    rotation: Rotation,
    open: Option<Open>,
    files: Vec<PathBuf>,
}

struct Open {
    out: zstd::stream::write::Encoder<'static, File>,
    since: Nanos,
    bytes: u64,
}

impl Writer {
    /// Creates `folder` if it is not there.
    pub fn create(folder: &Path, venue: &str, rotation: Rotation) -> io::Result<Self> {
        fs::create_dir_all(folder)?;
        Ok(Self { folder: folder.to_owned(), venue: venue.to_owned(), rotation, open: None, files: Vec::new() })
    }

    /// Every file begun so far.
    pub fn files(&self) -> &[PathBuf] {
        &self.files
    }

    pub fn write(&mut self, entry: &Entry) -> io::Result<()> {
        if self.open.as_ref().is_some_and(|open| open.is_full(entry.time, self.rotation)) {
            self.finish()?;
        }
        if self.open.is_none() {
            self.open = Some(self.begin(entry.time)?);
        }
        let Some(open) = &mut self.open else { return Ok(()) };
        open.bytes += own::put(&mut open.out, entry)?;
        Ok(())
    }

    /// Pushes everything written so far through the compressor to the file.
    pub fn flush(&mut self) -> io::Result<()> {
        match &mut self.open {
            Some(open) => open.out.flush(),
            None => Ok(()),
        }
    }

    /// Closes the current file; the next `write` begins another.
    pub fn finish(&mut self) -> io::Result<()> {
        match self.open.take() {
            Some(open) => open.out.finish()?.sync_all(),
            None => Ok(()),
        }
    }

    fn begin(&mut self, time: Nanos) -> io::Result<Open> {
        let path = self.folder.join(format!("{}_{}_{:04}.twr.zst", self.venue, utc_stamp(time), self.files.len() + 1));
        // Never over an older recording.
        let file = OpenOptions::new()
            .write(true)
            .create_new(true)
            .open(&path)
            .map_err(|error| io::Error::new(error.kind(), format!("{}: {error}", path.display())))?;
        let mut out = zstd::stream::write::Encoder::new(file, COMPRESSION_LEVEL)?;
        out.include_checksum(true)?;
        own::put_signature(&mut out, &self.venue)?;
        self.files.push(path);
        Ok(Open { out, since: time, bytes: 0 })
    }
}

impl Open {
    fn is_full(&self, now: Nanos, rotation: Rotation) -> bool {
        let age_s = now.saturating_sub(self.since).max(0) as u64 / 1_000_000_000;
        self.bytes >= rotation.file_bytes || age_s >= rotation.file_age_s
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        // A file dropped without `finish` (an error on the way) is still whole up to here.
        if let Err(error) = self.finish() {
            tracing::warn!(%error, "a recording could not be closed");
        }
    }
}

/// `20240808T235413Z`, for file names that sort by time.
fn utc_stamp(time: Nanos) -> String {
    let seconds = time.div_euclid(1_000_000_000);
    let (days, second) = (seconds.div_euclid(86_400), seconds.rem_euclid(86_400));
    let (year, month, day) = civil_from_days(days);
    format!("{year:04}{month:02}{day:02}T{:02}{:02}{:02}Z", second / 3600, second / 60 % 60, second % 60)
}

/// Gregorian date of a day count since 1970-01-01 (Howard Hinnant's `civil_from_days`).
fn civil_from_days(days: i64) -> (i64, i64, i64) {
    let shifted = days + 719_468;
    let era = shifted.div_euclid(146_097);
    let day_of_era = shifted.rem_euclid(146_097);
    let year_of_era = (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_shifted = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month_shifted + 2) / 5 + 1;
    let month = if month_shifted < 10 { month_shifted + 3 } else { month_shifted - 9 };
    (year_of_era + era * 400 + i64::from(month <= 2), month, day)
}

#[cfg(test)]
mod tests {
    use super::utc_stamp;

    #[test]
    fn names_sort_by_time() {
        assert_eq!(utc_stamp(1_723_161_253_937_085_768), "20240808T235413Z");
        assert_eq!(utc_stamp(951_782_400_000_000_000), "20000229T000000Z");
        assert_eq!(utc_stamp(0), "19700101T000000Z");
    }
}
