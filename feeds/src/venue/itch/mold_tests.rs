//! A line that drops, doubles and reorders, and a server that is asked for what is missing.

use super::*;
use proptest::prelude::*;

const SESSION: Session = *b"0000000042";
const MS: Nanos = 1_000_000;

/// Message `n` of the session: a few bytes that tell which one it is.
fn text(n: u64) -> Vec<u8> {
    let mut text = n.to_be_bytes().to_vec();
    text.resize(8 + (n % 5) as usize, b'.');
    text
}

fn datagram(sequence: u64, count: u16) -> Vec<u8> {
    let mut bytes = put_header(&SESSION, sequence, count).to_vec();
    for n in sequence..sequence + u64::from(count) {
        let text = text(n);
        bytes.extend((text.len() as u16).to_be_bytes());
        bytes.extend(text);
    }
    bytes
}

#[derive(Default)]
struct Heard {
    messages: Vec<u64>,
    notices: Vec<Notice>,
    requests: Vec<(u64, u16)>,
}

impl Listener for Heard {
    fn message(&mut self, message: &[u8]) {
        let (number, _) = message.split_first_chunk().unwrap();
        let n = u64::from_be_bytes(*number);
        assert_eq!(message, text(n));
        self.messages.push(n);
    }

    fn notice(&mut self, notice: Notice) {
        self.notices.push(notice);
    }

    fn request(&mut self, request: [u8; HEADER_BYTES]) {
        let packet = Packet::parse(&request).unwrap();
        assert_eq!(packet.session, SESSION);
        self.requests.push((packet.sequence, packet.count));
    }
}

const ASKING: Options = Options { can_request: true, patience: 0 };
const WATCHING: Options = Options { can_request: false, patience: 50 * MS };

#[test]
fn a_hole_is_asked_for_and_healed() {
    let (mut receiver, mut heard) = (Receiver::new(ASKING), Heard::default());
    receiver.on_datagram(0, &datagram(1, 3), &mut heard);
    receiver.on_datagram(MS, &datagram(6, 2), &mut heard);
    assert_eq!((&heard.messages[..], &heard.requests[..]), (&[1, 2, 3][..], &[(4, 2)][..]));
    assert!(receiver.is_waiting() && !receiver.is_complete());
    // Still unanswered: nothing more is asked for within a second.
    receiver.on_datagram(2 * MS, &datagram(8, 1), &mut heard);
    receiver.on_tick(900 * MS, &mut heard);
    assert_eq!(heard.requests.len(), 1);
    receiver.on_tick(1_001 * MS, &mut heard);
    assert_eq!(heard.requests, [(4, 2), (4, 2)]);
    receiver.on_datagram(1_002 * MS, &datagram(4, 2), &mut heard);
    assert_eq!(heard.messages, [1, 2, 3, 4, 5, 6, 7, 8]);
    assert!(receiver.is_complete());
    let expected = [Notice::Session { session: SESSION, unheard: 0 }, Notice::Gap { missing: 2 }, Notice::Healed];
    assert_eq!(heard.notices, expected);
}

#[test]
fn the_beginning_is_asked_for_too_in_parts_that_the_server_can_send() {
    let (mut receiver, mut heard) = (Receiver::new(ASKING), Heard::default());
    let mut now = 0;
    // A heartbeat tells of 500 messages.
    receiver.on_datagram(now, &datagram(501, 0), &mut heard);
    let mut answered = 0;
    while !receiver.is_complete() {
        now += MS;
        receiver.on_tick(now, &mut heard);
        if let Some((from, count)) = heard.requests.get(answered).copied() {
            answered += 1;
            receiver.on_datagram(now, &datagram(from, count.min(20)), &mut heard);
        }
        assert!(now < 1_000 * MS, "every answer leads to the next request");
    }
    assert_eq!(heard.messages, (1..=500).collect::<Vec<_>>());
    // The first one was too much; from then on as much is asked for as is sent.
    assert!(heard.requests.len() < 40, "{}", heard.requests.len());
}

#[test]
fn without_a_server_a_hole_is_waited_for_and_then_given_up() {
    let (mut receiver, mut heard) = (Receiver::new(WATCHING), Heard::default());
    receiver.on_datagram(0, &datagram(10, 2), &mut heard);
    receiver.on_datagram(0, &datagram(14, 1), &mut heard);
    receiver.on_datagram(0, &datagram(20, 1), &mut heard);
    receiver.on_tick(49 * MS, &mut heard);
    assert_eq!(heard.messages, [10, 11]);
    receiver.on_tick(51 * MS, &mut heard);
    receiver.on_tick(102 * MS, &mut heard);
    assert_eq!(heard.messages, [10, 11, 14, 20]);
    let expected = [
        Notice::Session { session: SESSION, unheard: 9 },
        Notice::Gap { missing: 2 },
        Notice::Lost { missing: 2 },
        Notice::Gap { missing: 5 },
        Notice::Lost { missing: 5 },
    ];
    assert_eq!(heard.notices, expected);
    assert_eq!((receiver.counts.lost, receiver.counts.gaps), (7, 2));
}

#[test]
fn a_silent_server_is_asked_five_times() {
    let (mut receiver, mut heard) = (Receiver::new(ASKING), Heard::default());
    receiver.on_datagram(0, &datagram(1, 1), &mut heard);
    receiver.on_datagram(0, &datagram(3, 1), &mut heard);
    (0..8).for_each(|second| receiver.on_tick(second * 1_000 * MS, &mut heard));
    assert_eq!(heard.requests, [(2, 1); 5]);
    assert_eq!(heard.notices.last(), Some(&Notice::Lost { missing: 1 }));
    assert_eq!(heard.messages, [1, 3]);
}

#[test]
fn the_second_line_fills_the_holes_of_the_first() {
    let (mut receiver, mut heard) = (Receiver::new(Options { patience: 5 * MS, ..ASKING }), Heard::default());
    for (at, sequence) in [(0, 1), (0, 1), (1, 3), (2, 2), (2, 3), (3, 4), (3, 4)] {
        receiver.on_datagram(at * MS, &datagram(sequence, 1), &mut heard);
    }
    assert_eq!((&heard.messages[..], heard.requests.len()), (&[1, 2, 3, 4][..], 0));
    assert_eq!(receiver.counts.duplicates, 3);
}

#[test]
fn sessions_end_and_begin() {
    let (mut receiver, mut heard) = (Receiver::new(WATCHING), Heard::default());
    receiver.on_datagram(0, &datagram(1, 2), &mut heard);
    // One stray datagram changes nothing.
    let mut stray = datagram(1, 1);
    stray[0] = b'X';
    receiver.on_datagram(0, &stray, &mut heard);
    receiver.on_datagram(0, &datagram(3, 1), &mut heard);
    receiver.on_datagram(0, &stray, &mut heard);
    receiver.on_datagram(0, &stray, &mut heard);
    assert_eq!((heard.messages.len(), receiver.counts.foreign), (3, 3));
    let end = put_header(&SESSION, 4, 0xffff);
    receiver.on_datagram(0, &end, &mut heard);
    receiver.on_datagram(0, &end, &mut heard);
    assert_eq!(heard.notices.iter().filter(|notice| **notice == Notice::EndOfSession).count(), 1);
    receiver.on_datagram(0, &stray, &mut heard);
    assert_eq!(heard.messages, [1, 2, 3, 1]);
    assert_eq!(heard.notices.last(), Some(&Notice::Session { session: *b"X000000042", unheard: 0 }));
}

#[test]
fn what_is_cut_is_told_and_asked_for() {
    let (mut receiver, mut heard) = (Receiver::new(ASKING), Heard::default());
    let whole = datagram(1, 3);
    receiver.on_datagram(0, &whole[..whole.len() - 1], &mut heard);
    assert_eq!((&heard.messages[..], &heard.requests[..]), (&[1, 2][..], &[(3, 1)][..]));
    receiver.on_datagram(0, &whole[..19], &mut heard);
    receiver.on_datagram(0, &datagram(MAX_SEQUENCE + 1, 0), &mut heard);
    assert_eq!(receiver.counts.malformed, 3);
    receiver.on_datagram(0, &whole, &mut heard);
    assert_eq!(heard.messages, [1, 2, 3]);
}

proptest! {
    /// Whatever the line does, every message comes once and in order, as long as the server answers now and then.
    #[test]
    fn every_message_comes_once(
        fates in prop::collection::vec((1..6u16, 0..8u8, 0..30usize), 1..120),
        answers in prop::collection::vec(0..4u8, 1..50),
    ) {
        let (mut receiver, mut heard) = (Receiver::new(ASKING), Heard::default());
        let mut line = Vec::new();
        let mut sequence = 1;
        for (at, (count, fate, late)) in fates.iter().enumerate() {
            let bytes = datagram(sequence, *count);
            sequence += u64::from(*count);
            match fate {
                0 | 1 => {}
                2 => line.extend([(at, bytes.clone()), (at, bytes)]),
                3 => line.push((at + late, bytes)),
                4 => line.push((at, bytes[..bytes.len() - 1].to_vec())),
                _ => line.push((at, bytes)),
            }
        }
        line.sort_by_key(|(at, _)| *at);
        let mut now = 0;
        for (_, bytes) in &line {
            now += MS;
            receiver.on_datagram(now, bytes, &mut heard);
        }
        // The heartbeats of an idle feed tell that there was more.
        let mut answers = answers.iter().cycle();
        let mut answered = 0;
        for _ in 0..2_000 {
            now += 300 * MS;
            receiver.on_datagram(now, &datagram(sequence, 0), &mut heard);
            while answered < heard.requests.len() {
                let (from, count) = heard.requests[answered];
                answered += 1;
                let known = sequence.saturating_sub(from).min(u64::from(count)) as u16;
                match answers.next() {
                    // Four times in a row at most.
                    Some(0) if answered % 5 != 0 => {}
                    Some(1) => receiver.on_datagram(now, &datagram(from, known.min(2)), &mut heard),
                    _ => receiver.on_datagram(now, &datagram(from, known), &mut heard),
                }
            }
        }
        prop_assert!(receiver.is_complete());
        prop_assert_eq!(&heard.messages, &(1..sequence).collect::<Vec<_>>());
        prop_assert_eq!(receiver.counts.lost, 0);
    }

    #[test]
    fn any_datagrams_are_survived(datagrams in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..64), 0..60), can_request: bool) {
        struct Nobody;
        impl Listener for Nobody {
            fn message(&mut self, _: &[u8]) {}
            fn notice(&mut self, _: Notice) {}
            fn request(&mut self, _: [u8; HEADER_BYTES]) {}
        }
        let mut receiver = Receiver::new(Options { can_request, patience: 0 });
        for (at, mut datagram) in (0..).zip(datagrams) {
            // Half of them of one session, with numbers that are near each other.
            if datagram.len() > 18 && datagram[0] % 2 == 0 {
                datagram[..17].fill(0);
            }
            receiver.on_datagram(at * 700 * MS, &datagram, &mut Nobody);
        }
    }
}
