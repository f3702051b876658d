//! Recordings on disks that are full, that become full, that have room again; names, and what is kept.

use super::disk::{self, OpenFile};
use super::*;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{Duration, Instant};

/// A disk with so many bytes left.
#[derive(Clone)]
struct Disk(Arc<AtomicI64>);

struct OnDisk {
    file: std::fs::File,
    left: Arc<AtomicI64>,
}

impl Disk {
    fn writer(&self, folder: &Path, rotation: Rotation) -> Writer {
        let left = Arc::clone(&self.0);
        let create = move |path: &Path| -> io::Result<Box<dyn OpenFile>> {
            disk::create(path)?;
            Ok(Box::new(OnDisk { file: std::fs::File::create(path)?, left: Arc::clone(&left) }))
        };
        Writer::on(Box::new(create), folder, "binance", rotation).unwrap()
    }
}

impl Write for OnDisk {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let left = self.left.load(Ordering::Relaxed).max(0) as usize;
        if left == 0 {
            return Err(io::Error::from_raw_os_error(28));
        }
        let written = self.file.write(&bytes[..bytes.len().min(left)])?;
        self.left.fetch_sub(written as i64, Ordering::Relaxed);
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

impl OpenFile for OnDisk {
    fn sync(&self) -> io::Result<()> {
        OpenFile::sync(&self.file)
    }

    fn bytes(&self) -> io::Result<u64> {
        OpenFile::bytes(&self.file)
    }
}

/// Not to be compressed.
fn entry(at: i64) -> Entry {
    let mut state = at as u64 + 1;
    let mut random = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 56) as u8
    };
    Entry { time: 1_723_161_253_000_000_000 + at, body: Body::Received { line: 0, bytes: (0..300).map(|_| random()).collect() } }
}

fn read(files: &[PathBuf]) -> (Vec<Entry>, usize) {
    let mut recording = Recording::open(files).unwrap();
    let entries = recording.by_ref().collect::<Result<Vec<_>, _>>().unwrap();
    (entries, recording.tears().len())
}

fn names(folder: &Path) -> Vec<String> {
    let mut names: Vec<_> =
        std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

fn until(what: &str, mut done: impl FnMut() -> bool) {
    let started = Instant::now();
    while !done() {
        assert!(started.elapsed() < Duration::from_secs(10), "{what}");
        std::thread::sleep(Duration::from_millis(2));
    }
}

#[test]
fn a_file_has_its_name_when_it_is_whole() {
    let folder = tempfile::tempdir().unwrap();
    let mut writer = Writer::create(folder.path(), "binance", Rotation { file_bytes: 1_000, ..Rotation::default() }).unwrap();
    for at in 0..5 {
        writer.write(&entry(at)).unwrap();
        writer.flush().unwrap();
        let open = names(folder.path()).into_iter().filter(|name| name.ends_with(".part")).count();
        assert_eq!(open, 1);
    }
    // A second recorder of this second takes other numbers, and would remove nothing that is being written.
    let one = Rotation { keep_files: Some(1), ..Rotation::default() };
    let mut other = Writer::create(folder.path(), "binance", one).unwrap();
    other.write(&entry(9)).unwrap();
    assert_eq!(writer.files().len(), 2);
    assert_eq!(names(folder.path()).len(), 2, "that of the first which is whole went: {:?}", names(folder.path()));
    other.finish().unwrap();
    writer.finish().unwrap();
    assert!(names(folder.path()).iter().all(|name| name.ends_with(".twr.zst")), "{:?}", names(folder.path()));
    assert_eq!(read(other.files()).0, [entry(9)]);
}

#[test]
fn no_more_is_kept_than_was_asked_for() {
    let folder = tempfile::tempdir().unwrap();
    let earlier = "binance_20200101T000000Z_0001.twr.zst";
    for name in [earlier, "binance_20200101T000000Z_0002.twr.zst.part", "binance-us_20200101T000000Z_0001.twr.zst", "mine.zst"] {
        std::fs::write(folder.path().join(name), [0; 500]).unwrap();
    }
    let rotation = Rotation { file_bytes: 1_000, keep_files: Some(3), ..Rotation::default() };
    let mut writer = Writer::create(folder.path(), "binance", rotation).unwrap();
    writer.write(&entry(0)).unwrap();
    assert_eq!(names(folder.path()).len(), 5, "three of ours with the open one, two that are none of ours");
    for at in 1..20 {
        writer.write(&entry(at)).unwrap();
        assert!(names(folder.path()).len() <= 2 + 3, "{:?}", names(folder.path()));
    }
    writer.finish().unwrap();
    let (kept, tears) = read(writer.files());
    assert_eq!((writer.files().len(), tears), (3, 0));
    assert_eq!(kept.last(), Some(&entry(19)), "the newest are kept");
    assert!(names(folder.path()).iter().any(|name| name.starts_with("binance-us")) && names(folder.path()).len() == 5);
    // Bytes: those of all files together, as they are on the disk.
    let rotation = Rotation { file_bytes: 1_000, keep_bytes: Some(3_000), ..Rotation::default() };
    let mut writer = Writer::create(folder.path(), "binance", rotation).unwrap();
    for at in 20..60 {
        writer.write(&entry(at)).unwrap();
        writer.flush().unwrap();
        let bytes: u64 = disk::recordings(folder.path(), "binance").unwrap().iter().map(|kept| kept.bytes).sum();
        assert!(bytes <= 3_000, "{bytes}");
    }
}

#[test]
fn a_full_disk_is_told_once_and_the_recording_goes_on_when_there_is_room() {
    let folder = tempfile::tempdir().unwrap();
    let disk = Disk(Arc::new(AtomicI64::new(0)));
    let writer = disk.writer(folder.path(), Rotation::default());
    let (tap, recorder) = Recorder::with(writer, Duration::from_millis(20)).unwrap();
    for at in 0..200 {
        let started = Instant::now();
        tap.record(entry(at));
        assert!(started.elapsed() < Duration::from_millis(500), "the feed waited");
        std::thread::sleep(Duration::from_millis(1));
    }
    until("told", || recorder.tally().dropped == 200);
    let tally = recorder.tally();
    assert_eq!((tally.recorded, tally.failures), (0, 1), "once, however often it was tried");
    assert!(tally.trouble.as_ref().unwrap().contains("No space left"), "{tally:?}");
    assert!(names(folder.path()).is_empty(), "nothing is left of what was tried: {:?}", names(folder.path()));
    disk.0.store(1 << 20, Ordering::Relaxed);
    std::thread::sleep(Duration::from_millis(30));
    tap.record(entry(200));
    until("goes on", || recorder.tally() == Tally { recorded: 1, dropped: 200, failures: 1, trouble: None });
    drop(tap);
    let (files, _) = recorder.finish().unwrap();
    let (found, tears) = read(&files);
    assert_eq!((found.len(), tears), (2, 0));
    assert_eq!((&found[0].body, &found[1]), (&Body::Dropped { entries: 200 }, &entry(200)));
}

#[test]
fn a_disk_that_fills_up_keeps_what_it_took() {
    let folder = tempfile::tempdir().unwrap();
    let disk = Disk(Arc::new(AtomicI64::new(400_000)));
    let (tap, recorder) = Recorder::with(disk.writer(folder.path(), Rotation::default()), Duration::from_secs(60)).unwrap();
    for at in 0..4_000 {
        tap.record(entry(at));
    }
    until("all was looked at", || recorder.tally().dropped + recorder.tally().recorded == 4_000);
    let tally = recorder.tally();
    assert!(tally.failures == 1 && tally.dropped > 2_000, "{tally:?}");
    drop(tap);
    let (files, _) = recorder.finish().unwrap();
    assert!(files[0].to_str().unwrap().ends_with(".part"), "half a file has no final name: {files:?}");
    let (found, tears) = read(&files[..1]);
    assert_eq!(tears, 1);
    assert!(found.len() > 500, "{}", found.len());
    assert!((0..).zip(&found).all(|(at, found)| *found == entry(at)), "up to the tear it is what came");
}

#[test]
fn a_device_that_is_always_full() {
    let full = Path::new("/dev/full");
    if !full.exists() {
        println!("SKIPPED: no /dev/full");
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let create =
        |_: &Path| -> io::Result<Box<dyn OpenFile>> { Ok(Box::new(std::fs::OpenOptions::new().write(true).open("/dev/full")?)) };
    let mut writer = Writer::on(Box::new(create), folder.path(), "binance", Rotation::default()).unwrap();
    let error = writer.write(&entry(0)).unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::StorageFull, "{error}");
    assert!(writer.files().is_empty());
}
