//! What a recording asks of a file system. In: paths and bytes. Out: files that are one or the other, never half: while one is written
//! its name ends in `.part`. Bounded by what is kept (`Rotation`). A trait, so that tests have disks that are full.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

/// Ends the name of a file that is being written, or whose recorder was killed.
pub(super) const PART: &str = ".part";

pub(super) trait OpenFile: Write + Send {
    /// Until all of it is on the disk.
    fn sync(&self) -> io::Result<()>;
    fn bytes(&self) -> io::Result<u64>;
}

/// Makes a new file; fails if there is one of this name.
pub(super) type Create = Box<dyn FnMut(&Path) -> io::Result<Box<dyn OpenFile>> + Send>;

impl OpenFile for File {
    fn sync(&self) -> io::Result<()> {
        self.sync_all()
    }

    fn bytes(&self) -> io::Result<u64> {
        self.metadata().map(|metadata| metadata.len())
    }
}

pub(super) fn create(path: &Path) -> io::Result<Box<dyn OpenFile>> {
    let file = OpenOptions::new().write(true).create_new(true).open(path)?;
    // Goes with the process: tells the file of a living recorder from that of a killed one. Where a file system has no locks, it is taken for
    // that of a living one.
    match file.try_lock() {
        Ok(()) | Err(fs::TryLockError::Error(_)) => Ok(Box::new(file)),
        Err(error @ fs::TryLockError::WouldBlock) => Err(error.into()),
    }
}

/// Gives a whole file its name, for good.
pub(super) fn publish(part: &Path, whole: &Path) -> io::Result<()> {
    fs::rename(part, whole)?;
    match whole.parent() {
        Some(folder) => File::open(folder)?.sync_all(),
        None => Ok(()),
    }
}

/// A file of an earlier recorder, or of this one, that may go when there is too much.
#[derive(Debug)]
pub(super) struct Kept {
    pub(super) path: PathBuf,
    pub(super) bytes: u64,
}

/// The recordings of `venue` in `folder`, oldest first, but for those that are being written.
pub(super) fn recordings(folder: &Path, venue: &str) -> io::Result<Vec<Kept>> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        let name = entry.file_name();
        let is_ours = name.to_str().is_some_and(|name| is_recording(name, venue));
        let path = entry.path();
        if is_ours && !is_being_written(&path) {
            found.push(Kept { bytes: entry.metadata()?.len(), path });
        }
    }
    // Names sort by time.
    found.sort_by(|one, other| one.path.cmp(&other.path));
    Ok(found)
}

/// `VENUE_20240808T235413Z_0001.twr.zst`, whole or not.
fn is_recording(name: &str, venue: &str) -> bool {
    let name = name.strip_suffix(PART).unwrap_or(name);
    let rest = name.strip_suffix(".twr.zst").and_then(|name| name.strip_prefix(venue)?.strip_prefix('_'));
    let Some((stamp, number)) = rest.and_then(|rest| rest.split_once('_')) else { return false };
    let digits = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    stamp.len() == 16 && digits(number) && stamp.split_once('T').is_some_and(|(day, time)| digits(day) && time.ends_with('Z'))
}

fn is_being_written(path: &Path) -> bool {
    path.to_str().is_some_and(|path| path.ends_with(PART)) && File::open(path).is_ok_and(|file| file.try_lock().is_err())
}

#[cfg(test)]
mod tests {
    use super::is_recording;

    #[test]
    fn only_the_venues_own_recordings_are_touched() {
        for (name, is_ours) in [
            ("binance_20240808T235413Z_0001.twr.zst", true),
            ("binance_20240808T235413Z_12345.twr.zst.part", true),
            ("binance-us_20240808T235413Z_0001.twr.zst", false),
            ("binance_20240808T235413Z_0001.twr.zst.bak", false),
            ("binance_20240808T235413Z_.twr.zst", false),
            ("binance_best_of_2024.twr.zst", false),
            ("notes.txt", false),
        ] {
            assert_eq!(is_recording(name, "binance"), is_ours, "{name}");
        }
    }
}
