//! Tickets: what goes in comes out, for its client, on its node, in its time; anything else is refused and says nothing.

use super::*;
use crate::config;
use proptest::prelude::*;
use std::path::Path;
use wire::request::{Focus, LADDER_MS, MaxAge, Pace, TradeMode};

const NOW: Nanos = 1_790_000_000_000_000_000;
const SECOND: Nanos = 1_000_000_000;

fn limits(request_bytes: usize) -> config::Session {
    config::Session { request_bytes, max_subscriptions: 60_000, ..config::Session::default() }
}

fn tickets() -> Tickets {
    Tickets::new(&limits(4 << 20)).unwrap()
}

fn write(tickets: &Tickets, ticket: &Ticket) -> TicketWriter {
    let mut writer = tickets.writer();
    for topic in &ticket.topics {
        writer.topic(&topic.name, topic.terms, topic.paused, topic.place);
    }
    for pattern in &ticket.patterns {
        writer.pattern(&pattern.pattern, pattern.terms, pattern.paused, pattern.snapshot);
    }
    writer
}

fn seal(tickets: &Tickets, ticket: &Ticket, subject: &str) -> Sealed {
    tickets.seal(write(tickets, ticket), subject, NOW).unwrap()
}

/// A ticket of one topic.
fn one() -> Ticket {
    let topic = |name: &str, place| TicketTopic { name: name.to_owned(), terms: Terms::default(), paused: false, place };
    Ticket { expires: NOW + 3_600 * SECOND, topics: vec![topic("quote/sim:BTC-USD", Some((7, 12)))], patterns: Vec::new() }
}

fn terms() -> impl Strategy<Value = Terms> {
    let pace =
        prop_oneof![Just(Pace::Realtime), Just(Pace::Credit), prop::sample::select(&LADDER_MS[..]).prop_map(Pace::EveryMs)];
    let mode = prop_oneof![Just(TradeMode::Every), Just(TradeMode::Summary)];
    let max_age = prop_oneof![3 => Just(MaxAge::Off), 1 => any::<u32>().prop_map(MaxAge::Ms)];
    let all = (pace, mode, any::<bool>(), prop::sample::select(&Focus::ALL[..]), max_age);
    let any = all.prop_map(|(pace, mode, trade_safe, focus, max_age)| Terms { pace, mode, trade_safe, focus, max_age });
    prop_oneof![1 => Just(Terms::default()), 1 => any]
}

fn name() -> impl Strategy<Value = String> {
    prop_oneof![
        4 => "(quote|trade|stats)/(sim|binance):!?[A-D]{1,3}-USD",
        2 => "(book/sim:[A-D]{1,2}/(5|10|full)|bar/sim:[A-D]{1,2}/1m)",
        1 => "[a-z*]{1,9}/[a-z*:]{0,20}(/[0-9a-zäö]{0,3}){0,2}",
        1 => "[a-zü]{0,40}",
    ]
}

fn ticket() -> impl Strategy<Value = Ticket> {
    let number = || prop_oneof![0u64..300, any::<u64>()];
    let place = prop::option::of((prop_oneof![Just(1_790_000_000_000u64 << 8), number()], number()));
    let topic = (name(), terms(), any::<bool>(), place).prop_map(|(name, terms, paused, place)| TicketTopic {
        name,
        terms,
        paused,
        place,
    });
    let pattern = (name(), terms(), any::<bool>(), any::<bool>()).prop_map(|(pattern, terms, paused, snapshot)| TicketPattern {
        pattern,
        terms,
        paused,
        snapshot,
    });
    (prop::collection::vec(topic, 0..40), prop::collection::vec(pattern, 0..5)).prop_map(|(topics, patterns)| Ticket {
        expires: NOW + 3_600 * SECOND,
        topics,
        patterns,
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    #[test]
    fn what_is_sealed_is_opened(ticket in ticket(), subject in ".{0,20}") {
        let tickets = tickets();
        let sealed = seal(&tickets, &ticket, &subject);
        prop_assert_eq!(sealed.entries as usize, ticket.topics.len() + ticket.patterns.len());
        prop_assert_eq!(sealed.expires, ticket.expires);
        prop_assert!(sealed.text.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_')));
        prop_assert_eq!(tickets.open(&sealed.text, &subject, NOW), Ok(ticket));
    }

    #[test]
    fn nothing_that_was_changed_is_opened(ticket in ticket(), at: prop::sample::Index, other in 0usize..64, cut: prop::sample::Index) {
        const ALPHABET: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
        let tickets = tickets();
        let text = seal(&tickets, &ticket, "me").text;
        let mut changed = text.clone().into_bytes();
        let at = at.index(changed.len());
        changed[at] = ALPHABET[other];
        let changed = String::from_utf8(changed).unwrap();
        if changed != text {
            prop_assert!(tickets.open(&changed, "me", NOW).is_err());
        }
        prop_assert!(tickets.open(&text[..cut.index(text.len())], "me", NOW).is_err());
        prop_assert!(tickets.open(&(text + &changed[at..]), "me", NOW).is_err() || at == changed.len());
    }

    #[test]
    fn junk_is_refused(text in "[A-Za-z0-9_-]{0,300}", odd in ".{0,80}", bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        let tickets = tickets();
        prop_assert!(tickets.open(&text, "", NOW).is_err());
        prop_assert!(tickets.open(&odd, "", NOW).is_err());
        // What is behind the seal, as if it had been sealed.
        let _ = entries::read(&bytes, 100);
        let _ = entries::read(&zstd::encode_all(&bytes[..], 1).unwrap(), 100);
    }
}

#[test]
fn every_flipped_bit_is_refused() {
    use base64::Engine;
    let engine = base64::prelude::BASE64_URL_SAFE_NO_PAD;
    let tickets = tickets();
    let bytes = engine.decode(seal(&tickets, &one(), "me").text).unwrap();
    for bit in 0..bytes.len() * 8 {
        let mut changed = bytes.clone();
        changed[bit / 8] ^= 1 << (bit % 8);
        let error = tickets.open(&engine.encode(&changed), "me", NOW).unwrap_err();
        assert_eq!(error.code(), Code::BadTicket, "bit {bit}");
    }
}

#[test]
fn each_mistake_has_its_own_name() {
    let (tickets, other) = (tickets(), tickets());
    let text = seal(&tickets, &one(), "me").text;
    assert_eq!(tickets.open(&text, "me", NOW), Ok(one()));
    assert_eq!(tickets.open(&text, "you", NOW), Err(TicketError::OtherSubject));
    assert_eq!(tickets.open(&text, "", NOW), Err(TicketError::OtherSubject));
    assert_eq!(other.open(&text, "me", NOW), Err(TicketError::WrongKey));
    assert_eq!(tickets.open("", "me", NOW), Err(TicketError::Malformed));
    assert_eq!(tickets.open("!", "me", NOW), Err(TicketError::Malformed));
    assert_eq!(tickets.open(&text, "me", NOW + 3_600 * SECOND - 1), Ok(one()));
    let late = tickets.open(&text, "me", NOW + 3_600 * SECOND).unwrap_err();
    assert_eq!((late, late.code()), (TicketError::Expired, Code::TicketExpired));
    assert_eq!(TicketError::WrongKey.code(), Code::BadTicket);
    assert_eq!(TicketError::OtherSubject.to_string(), "the ticket was made for another client");
    let for_nobody = seal(&tickets, &one(), "").text;
    assert_eq!(tickets.open(&for_nobody, "", NOW), Ok(one()));
    assert_eq!(tickets.open(&for_nobody, "me", NOW), Err(TicketError::OtherSubject));
}

#[test]
fn keys_come_from_files_and_can_be_changed() {
    let folder = tempfile::tempdir().unwrap();
    let file = |name: &str, bytes: &[u8]| {
        let path = folder.path().join(name);
        std::fs::write(&path, bytes).unwrap();
        path
    };
    let with = |current: &Path, former: Option<&Path>| {
        Tickets::new(&config::Session {
            ticket_key_file: Some(current.to_owned()),
            ticket_former_key_file: former.map(Path::to_owned),
            ..limits(4 << 20)
        })
    };
    let old = file("old", &[7; 32]);
    let new = file("new", "0123456789abcdef".repeat(4).as_bytes());
    let text = seal(&with(&old, None).unwrap(), &one(), "me").text;
    assert_eq!(with(&old, None).unwrap().open(&text, "me", NOW), Ok(one()), "after a restart, or on another node");
    assert_eq!(with(&new, Some(&old)).unwrap().open(&text, "me", NOW), Ok(one()), "after a change of keys");
    assert_eq!(with(&new, None).unwrap().open(&text, "me", NOW), Err(TicketError::WrongKey));
    assert_eq!(with(&new, Some(&old)).unwrap().open(&text, "you", NOW), Err(TicketError::OtherSubject));
    let by_new = seal(&with(&new, Some(&old)).unwrap(), &one(), "me").text;
    assert_eq!(with(&new, None).unwrap().open(&by_new, "me", NOW), Ok(one()), "the new key seals");
    for (path, part) in
        [(file("short", b"too short"), "short: holds no key of 32 bytes"), (folder.path().join("none"), "none: cannot be read")]
    {
        let fault = with(&old, Some(&path)).map(drop).unwrap_err().to_string();
        assert!(fault.starts_with("session.ticket_former_key_file: ") && fault.contains(part), "{fault}");
        assert!(fault.contains("head -c 32 /dev/urandom"), "{fault}");
    }
}

#[test]
fn a_ticket_fits_into_a_request_and_a_session() {
    let tickets = Tickets::new(&limits(1_000)).unwrap();
    let mut writer = tickets.writer();
    for number in 0..20_000u64 {
        writer.topic(
            &format!("quote/sim:S{number}"),
            Terms::default(),
            false,
            Some((7, number.wrapping_mul(0x9e37_79b9_7f4a_7c15))),
        );
    }
    assert!(writer.is_too_large(), "it stops gathering");
    let too_large = tickets.seal(writer, "", NOW).unwrap_err();
    assert_eq!(too_large.limit_bytes, 1_000 - 128);
    assert!(too_large.to_string().contains("session.request_bytes"));
    let few = seal(&tickets, &one(), "");
    assert!(few.text.len() < 140, "{}", few.text.len());
    // Sealed where sessions may hold more.
    let (mut wide, mut narrow) = (limits(1_000_000), limits(1_000_000));
    (wide.max_subscriptions, narrow.max_subscriptions) = (100, 20);
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("key"), [9; 32]).unwrap();
    wide.ticket_key_file = Some(folder.path().join("key"));
    narrow.ticket_key_file = Some(folder.path().join("key"));
    let many = Ticket { topics: vec![one().topics[0].clone(); 90], ..one() };
    let text = seal(&Tickets::new(&wide).unwrap(), &many, "").text;
    assert_eq!(Tickets::new(&narrow).unwrap().open(&text, "", NOW), Err(TicketError::TooLarge));
}

#[test]
fn no_name_can_be_read_from_a_ticket() {
    use base64::Engine;
    let tickets = tickets();
    let text = seal(&tickets, &one(), "somebody").text;
    let bytes = base64::prelude::BASE64_URL_SAFE_NO_PAD.decode(&text).unwrap();
    for part in ["quote", "BTC", "USD", "sim", "body"] {
        assert!(!bytes.windows(part.len()).any(|window| window == part.as_bytes()) && !text.contains(part), "{part}");
    }
    assert_ne!(text, seal(&tickets, &one(), "somebody").text, "no two are alike");
}

/// The numbers in docs/operations.md.
#[test]
fn fifty_thousand_topics_take_twelve_bytes_each_or_less() {
    let tickets = tickets();
    let mut random = 88_172_645_463_325_252u64;
    let mut next = || {
        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;
        random
    };
    let mut symbol = || {
        let length = 3 + next() % 3;
        (0..length).map(|_| char::from(b'A' + (next() % 26) as u8)).collect::<String>()
    };
    let symbols: Vec<_> = (0..50_000).map(|_| symbol()).collect();
    let epoch = 1_790_000_000_000u64 << 8;
    let mut gather = |names: &mut dyn Iterator<Item = String>| {
        let mut writer = tickets.writer();
        for name in names {
            // Topics are at anything between some updates and some millions.
            let scale = 8 + next() % 15;
            let sequence = next() % (1 << scale);
            writer.topic(&name, Terms::default(), false, Some((epoch, sequence)));
        }
        let sealed = tickets.seal(writer, "", NOW).unwrap();
        let began = std::time::Instant::now();
        assert_eq!(tickets.open(&sealed.text, "", NOW).unwrap().topics.len() as u64, sealed.entries);
        println!("opened in {:?}", began.elapsed());
        sealed.text.len() as f64 / sealed.entries as f64
    };
    let quotes = gather(&mut symbols.iter().map(|symbol| format!("quote/venue:{symbol}-USDT")));
    let kinds = ["quote/", "trade/", "stats/", "status/"];
    let of_all_kinds = symbols.iter().take(12_500).flat_map(|symbol| kinds.map(|kind| format!("{kind}venue:{symbol}-USDT")));
    let several = gather(&mut of_all_kinds.into_iter());
    println!("{quotes:.1} bytes a topic of an instrument each, {several:.1} of four an instrument");
    assert!(quotes <= 12.0 && several <= 12.0, "{quotes:.1} {several:.1}");
}
