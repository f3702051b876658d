//! Files of ITCH as tapes: made days in every packing, real samples, damage.

use super::*;
use crate::engine::testkit::shared;
use crate::itch::settings::ItchSettings;
use crate::venue::itch::generate::{Day, Settings};
use crate::venue::itch::message::{Body, MAX_BYTES as LONGEST, Message};
use std::io::Write;
use wire::event::{Event, EventBody, Flags, Trade};

fn settings(date: Option<&str>) -> FeedSettings {
    let itch = ItchSettings { date: date.map(str::to_owned), ..ItchSettings::default() };
    FeedSettings { itch: Some(itch), ..FeedSettings::of_venue("itch") }
}

/// Everything a tape says.
struct Played {
    events: Vec<Event>,
    faults: usize,
    tape: ItchTape,
}

fn play(files: &[PathBuf], settings: &FeedSettings) -> Played {
    let mut tape = ItchTape::open(files, settings).unwrap().unwrap();
    let mut out = Output::default();
    while tape.next(&mut out).unwrap().is_some() {}
    Played { events: out.batch.events, faults: out.faults.len(), tape }
}

fn made_day(seed: u64) -> Vec<u8> {
    let mut bytes = Vec::new();
    Day::new(Settings { seed, stocks: 4, messages: 500 }).write(&mut bytes).unwrap();
    bytes
}

#[test]
fn a_file_is_read_however_it_is_packed() {
    let folder = tempfile::tempdir().unwrap();
    let day = made_day(1);
    let path = |name: &str| folder.path().join(name);
    std::fs::write(path("01302019.NASDAQ_ITCH50"), &day).unwrap();
    let mut gz = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    gz.write_all(&day).unwrap();
    std::fs::write(path("01302019.NASDAQ_ITCH50.gz"), gz.finish().unwrap()).unwrap();
    std::fs::write(path("S013019-v50.zst"), zstd::encode_all(&day[..], 1).unwrap()).unwrap();
    // In two halves, in the middle of the day.
    let cut = 2 + day.len() / 3;
    let at = (0..).scan(0, |at, _| {
        let here = *at;
        *at += 2 + usize::from(u16::from_be_bytes([day[here], day[here + 1]]));
        Some(here)
    });
    let half = at.take_while(|at| *at < cut).last().unwrap();
    std::fs::write(path("01302019.a"), &day[..half]).unwrap();
    std::fs::write(path("01302019.b"), &day[half..]).unwrap();
    let whole = play(&[path("01302019.NASDAQ_ITCH50")], &settings(None));
    assert!(whole.events.len() > 600 && whole.faults == 0 && whole.tape.remarks().is_empty());
    let midnight = SessionDate::parse("2019-01-30").unwrap().midnight();
    let hours = |event: &Event| (event.event_time - midnight) / 3_600_000_000_000;
    assert_eq!((hours(&whole.events[0]), hours(whole.events.last().unwrap())), (3, 20));
    assert!(whole.events.iter().all(|event| event.received == event.event_time && event.flags == Flags::default()));
    for files in [&["01302019.NASDAQ_ITCH50.gz"][..], &["S013019-v50.zst"], &["01302019.a", "01302019.b"]] {
        let files: Vec<_> = files.iter().map(|file| path(file)).collect();
        assert_eq!(play(&files, &settings(None)).events, whole.events, "{files:?}");
    }
    // Another day is another session: same stocks, empty books, other times.
    std::fs::copy(path("01302019.NASDAQ_ITCH50"), path("01312019.NASDAQ_ITCH50")).unwrap();
    let two = play(&[path("01302019.NASDAQ_ITCH50"), path("01312019.NASDAQ_ITCH50")], &settings(None));
    assert_eq!(two.faults, 0);
    assert_eq!(two.events.last().unwrap().event_time - whole.events.last().unwrap().event_time, 86_400_000_000_000);
    // The second half alone is no whole session.
    let half = play(&[path("01302019.b")], &settings(None));
    assert_eq!(half.faults, 0);
    let books = half.events.iter().filter(|event| matches!(event.body, EventBody::Book { .. }));
    assert!(books.clone().count() > 100 && books.clone().all(|event| event.flags == Flags::MAYBE_BAD_BOOK));
}

#[test]
fn what_is_cut_or_wrong_is_told() {
    let folder = tempfile::tempdir().unwrap();
    let day = made_day(2);
    let file = |name: &str, bytes: &[u8]| {
        let path = folder.path().join(name);
        std::fs::write(&path, bytes).unwrap();
        path
    };
    let torn = file("torn.itch", &day[..day.len() - 7]);
    let remarks = play(&[torn], &settings(None)).tape.remarks();
    assert!(remarks[0].ends_with("no day is known, times begin at 1970-01-01; set date"), "{remarks:?}");
    assert!(remarks[1].ends_with("torn.itch: ends in the middle of a message (9 bytes)"), "{remarks:?}");
    let mut gz = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    gz.write_all(&day).unwrap();
    let gz = gz.finish().unwrap();
    let cut = file("cut.gz", &gz[..gz.len() / 2]);
    let played = play(&[cut], &settings(Some("2019-01-30")));
    assert!(played.tape.remarks()[0].ends_with("cut.gz: the compressed file is cut short") && !played.events.is_empty());
    let mut unknown = Vec::new();
    for message in [&b"Zfuture"[..], &[b'D'; 20], &[]] {
        crate::venue::itch::put(message, &mut unknown);
    }
    let played = play(&[file("unknown.itch", &unknown)], &settings(Some("2019-01-30")));
    let counts = played.tape.market().counts();
    assert_eq!((counts.unknown_types, counts.length_errors, played.faults), (1, 1, 2));
    for (bytes, part) in [(&b"hello world"[..], "no data of Nasdaq ITCH in it"), (b"[[feeds]]", "no data of Nasdaq ITCH in it")] {
        let error = ItchTape::open(&[file("wrong", bytes)], &settings(None)).unwrap().err().unwrap();
        assert!(error.to_string().ends_with(part), "{error}");
    }
    let wrong = settings(Some("yesterday"));
    let error = ItchTape::open(&[], &wrong).err().unwrap().to_string();
    assert_eq!(error, "feed 'itch': date 'yesterday' is no day; write YYYY-MM-DD");
}

/// A pcap of raw IPv4 with these UDP payloads, a millisecond apart.
fn pcap(payloads: &[Vec<u8>], first: Nanos) -> Vec<u8> {
    let mut file = Vec::new();
    for word in [0xa1b2_3c4d_u32, 2 << 16 | 4, 0, 0, 65_535, 101] {
        file.extend(word.to_be_bytes());
    }
    for (at, payload) in (0..).zip(payloads) {
        let time = first + at * 1_000_000;
        let length = (payload.len() + 28) as u32;
        for word in [(time / 1_000_000_000) as u32, (time % 1_000_000_000) as u32, length, length] {
            file.extend(word.to_be_bytes());
        }
        file.extend([0x45, 0]);
        file.extend((length as u16).to_be_bytes());
        file.extend([0, 0, 0, 0, 64, 17, 0, 0, 10, 0, 0, 1, 233, 54, 12, 111, 0, 1, 0, 2]);
        file.extend((payload.len() as u16 + 8).to_be_bytes());
        file.extend([0, 0]);
        file.extend(payload);
    }
    file
}

#[test]
fn a_capture_of_two_lines_is_one_session() {
    let mut day = Day::new(Settings { seed: 3, stocks: 2, messages: 400 });
    let mut datagrams = Vec::new();
    let mut sequence = 1;
    loop {
        let messages: Vec<Message> = day.by_ref().take(7).collect();
        let mut datagram = mold::put_header(b"0000000001", sequence, messages.len() as u16).to_vec();
        for message in &messages {
            crate::venue::itch::put(message.encode(&mut [0; LONGEST]), &mut datagram);
        }
        if messages.is_empty() {
            break;
        }
        sequence += messages.len() as u64;
        datagrams.push(datagram);
    }
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("lines.pcap");
    let first = SessionDate::parse("2023-08-22").unwrap().midnight() + 3 * 3_600_000_000_000;
    // Line A lacks every fifth datagram, line B every seventh; B comes two later.
    let number = |at: usize, every: usize| (at < datagrams.len() && !at.is_multiple_of(every)).then(|| datagrams[at].clone());
    let mut both = vec![datagrams[0].clone()];
    for at in 1..datagrams.len() + 3 {
        both.extend(number(at, 5));
        both.extend(at.checked_sub(2).and_then(|at| number(at, 7)));
    }
    std::fs::write(&path, pcap(&both, first)).unwrap();
    let played = play(&[path], &settings(None));
    let counts = played.tape.market().counts();
    // Of 35, one is on neither line.
    let lost: u64 = (1..datagrams.len()).filter(|at| at.is_multiple_of(35)).map(|at| u64::from(datagrams[at][19])).sum();
    assert!(lost > 0);
    assert_eq!((counts.lost, counts.messages() + counts.lost), (lost, sequence - 1));
    assert!(played.tape.counts().iter().any(|(name, count)| name == "duplicate datagrams" && *count > 10));
}

/// 27 captures of Nasdaq and BX, five messages of a type each.
#[test]
fn real_datagrams_leave_no_remainder() {
    let Some(folder) = shared("nasdaq-itch/omi") else { return };
    let mut files: Vec<_> = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    assert_eq!(files.len(), 27);
    let played = play(&files, &settings(None));
    let counts = played.tape.market().counts();
    let expected = [
        (b'F', 10),
        (b'A', 10),
        (b'P', 10),
        (b'X', 10),
        (b'D', 10),
        (b'E', 10),
        (b'C', 10),
        (b'U', 10),
        (b'Y', 10),
        (b'H', 10),
        (b'N', 5),
        (b'Q', 5),
        (b'J', 5),
        (b'L', 5),
        (b'I', 5),
        (b'S', 2),
    ];
    for (kind, count) in expected {
        assert_eq!(counts.of(kind), count, "{}", char::from(kind));
    }
    assert_eq!((counts.messages(), counts.unknown_types, counts.length_errors, played.faults), (127, 0, 0, 0));
    // Recorded where they were sent: the venue's clock and the capture's agree, so the day and its offset are right.
    for event in played.events.iter().filter(|event| event.event_time > 0) {
        let late = event.received - event.event_time;
        assert!((0..1_000_000).contains(&late), "{late} ns in {event:?}");
    }
    let trades: Vec<&Trade> = played
        .events
        .iter()
        .filter_map(|event| match &event.body {
            EventBody::Trade(trade) => Some(trade),
            _ => None,
        })
        .collect();
    assert!(trades.iter().all(|trade| trade.price > 0 && trade.size > 0));
    let types = |file: &str| files.iter().any(|path| path.to_string_lossy().contains(file));
    assert!(types("CrossTrade") && trades.len() > 10);
}

/// As the sample files are: nothing but single messages without numbers.
#[test]
fn datagrams_without_numbers_stand_for_themselves() {
    let mut day = Day::new(Settings { seed: 3, stocks: 2, messages: 0 });
    let messages: Vec<Message> = day.by_ref().collect();
    let payloads = messages.iter().map(|message| {
        let mut datagram = mold::put_header(&[0; 10], 0, 1).to_vec();
        crate::venue::itch::put(message.encode(&mut [0; LONGEST]), &mut datagram);
        datagram
    });
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("x.pcap");
    std::fs::write(&path, pcap(&payloads.collect::<Vec<_>>(), 1)).unwrap();
    let played = play(&[path], &settings(Some("2019-01-30")));
    assert_eq!(played.tape.market().counts().messages(), messages.len() as u64);
    assert!(messages.iter().any(|message| matches!(message.body, Body::SystemEvent(_))));
}
