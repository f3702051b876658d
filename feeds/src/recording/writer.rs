//! In: entries. Out: zstd files of our own format in one folder, rotated by size and age, the oldest removed when there are too many.
//! Bounded: one open file; what is kept, if `Rotation` says so.

use super::Entry;
use super::disk::{self, Create, Kept, OpenFile, PART};
use super::own;
use std::collections::VecDeque;
use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use wire::event::Nanos;

/// Level 3 packs venue JSON about 12 to 1 and costs a few per cent of a core at exchange rates.
const COMPRESSION_LEVEL: i32 = 3;

/// When a file is closed and the next begun, and how much is kept.
#[derive(Clone, Copy, Debug)]
pub struct Rotation {
    /// Bytes before compression.
    pub file_bytes: u64,
    pub file_age_s: u64,
    /// Files of this venue in the folder, the open one among them, and their bytes together as they are on the disk. What is older is
    /// removed, whoever recorded it. `None`: all are kept.
    pub keep_files: Option<u32>,
    pub keep_bytes: Option<u64>,
}

impl Default for Rotation {
    fn default() -> Self {
        Self { file_bytes: 1 << 30, file_age_s: 3600, keep_files: None, keep_bytes: None }
    }
}

/// Writes entries of one venue. What was written before a `flush` survives a crash. After an error the open file is given up as it is,
/// and the next entry begins another.
pub struct Writer {
    folder: PathBuf,
    venue: String,
    rotation: Rotation,
    create: Create,
    open: Option<Open>,
    files: Vec<PathBuf>,
    /// Oldest first; empty where all are kept.
    kept: VecDeque<Kept>,
    begun: u64,
}

struct Open {
    out: zstd::stream::write::Encoder<'static, Box<dyn OpenFile>>,
    whole: PathBuf,
    since: Nanos,
    bytes: u64,
}

impl Writer {
    /// Creates `folder` if it is not there.
    pub fn create(folder: &Path, venue: &str, rotation: Rotation) -> io::Result<Self> {
        fs::create_dir_all(folder)?;
        Self::on(Box::new(disk::create), folder, venue, rotation)
    }

    /// The same on a disk of the caller's.
    pub(super) fn on(create: Create, folder: &Path, venue: &str, rotation: Rotation) -> io::Result<Self> {
        let bounded = rotation.keep_files.is_some() || rotation.keep_bytes.is_some();
        let kept = if bounded { disk::recordings(folder, venue)?.into() } else { VecDeque::new() };
        Ok(Self {
            folder: folder.to_owned(),
            venue: venue.to_owned(),
            rotation,
            create,
            open: None,
            files: Vec::new(),
            kept,
            begun: 0,
        })
    }

    /// The files written so far that are still there, the open one last.
    pub fn files(&self) -> &[PathBuf] {
        &self.files
    }

    pub fn write(&mut self, entry: &Entry) -> io::Result<()> {
        if self.open.as_ref().is_some_and(|open| open.is_full(entry.time, self.rotation)) {
            self.finish()?;
        }
        if self.open.is_none() {
            self.open = Some(self.begin(entry.time)?);
            self.prune();
        }
        let Some(open) = &mut self.open else { return Ok(()) };
        match own::put(&mut open.out, entry) {
            Ok(bytes) => open.bytes += bytes,
            Err(error) => return Err(self.give_up(error)),
        }
        Ok(())
    }

    /// Pushes everything written so far through the compressor to the file.
    pub fn flush(&mut self) -> io::Result<()> {
        let Some(open) = &mut self.open else { return Ok(()) };
        match open.out.flush() {
            Ok(()) => {
                self.prune();
                Ok(())
            }
            Err(error) => Err(self.give_up(error)),
        }
    }

    /// Closes the current file and gives it its name; the next `write` begins another.
    pub fn finish(&mut self) -> io::Result<()> {
        let Some(open) = self.open.take() else { return Ok(()) };
        let Open { out, whole, .. } = open;
        // What the disk has of it counts, whatever fails.
        let so_far = out.get_ref().bytes().unwrap_or(0);
        let close = || {
            let file = out.finish()?;
            file.sync()?;
            let bytes = file.bytes()?;
            disk::publish(&part(&whole), &whole)?;
            Ok(bytes)
        };
        let closed: io::Result<u64> = close();
        let path = if whole.exists() { whole } else { part(&whole) };
        if let Some(last) = self.files.last_mut() {
            last.clone_from(&path);
        }
        self.keep(path, closed.as_ref().map_or(so_far, |bytes| *bytes));
        closed.map(drop)
    }

    /// The open file stays as far as it came.
    fn give_up(&mut self, error: io::Error) -> io::Error {
        if let Some(open) = self.open.take() {
            let bytes = open.out.get_ref().bytes().unwrap_or(0);
            self.keep(part(&open.whole), bytes);
        }
        error
    }

    fn begin(&mut self, time: Nanos) -> io::Result<Open> {
        let stamp = utc_stamp(time);
        let whole = loop {
            self.begun += 1;
            let whole = self.folder.join(format!("{}_{stamp}_{:04}.twr.zst", self.venue, self.begun));
            // Never over an older recording: one that was begun within this second has the number.
            if !whole.exists() && !part(&whole).exists() {
                break whole;
            }
        };
        let path = part(&whole);
        let named = |error: io::Error| io::Error::new(error.kind(), format!("{}: {error}", path.display()));
        let file = (self.create)(&path).map_err(named)?;
        let begin = || {
            let mut out = zstd::stream::write::Encoder::new(file, COMPRESSION_LEVEL)?;
            out.include_checksum(true)?;
            own::put_signature(&mut out, &self.venue)?;
            // A full disk is known now, and not after a second's entries.
            out.flush()?;
            Ok(out)
        };
        let out = begin().inspect_err(|_| drop(fs::remove_file(&path))).map_err(named)?;
        self.files.push(path);
        Ok(Open { out, whole, since: time, bytes: 0 })
    }

    fn keep(&mut self, path: PathBuf, bytes: u64) {
        if self.rotation.keep_files.is_some() || self.rotation.keep_bytes.is_some() {
            self.kept.push_back(Kept { path, bytes });
        }
    }

    /// Removes the oldest files while there is too much. One that cannot be removed is told and left.
    fn prune(&mut self) {
        if self.kept.is_empty() {
            return;
        }
        let open = self.open.as_ref().map_or(0, |open| open.out.get_ref().bytes().unwrap_or(0));
        let mut bytes = open + self.kept.iter().map(|kept| kept.bytes).sum::<u64>();
        let too_many = |files: usize| self.rotation.keep_files.is_some_and(|keep| files + 1 > keep as usize);
        while too_many(self.kept.len()) || self.rotation.keep_bytes.is_some_and(|keep| bytes > keep) {
            let Some(oldest) = self.kept.pop_front() else { break };
            bytes -= oldest.bytes;
            if let Err(error) = fs::remove_file(&oldest.path) {
                tracing::warn!(%error, file = %oldest.path.display(), "an old recording could not be removed");
            }
            self.files.retain(|file| *file != oldest.path);
        }
    }
}

fn part(whole: &Path) -> PathBuf {
    let mut name = whole.as_os_str().to_owned();
    name.push(PART);
    name.into()
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
