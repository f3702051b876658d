//! Nothing a venue says can break its adapter. In: random bytes, and recorded messages that were altered, dropped, repeated or put out
//! of order, through every registered venue. Out: no panic, faults counted, and after a new connection the books of an undisturbed run.

mod support;

use feeds::adapter::{Fetch, Line, Now, Output};
use feeds::registry;
use feeds::settings::FeedSettings;
use flate2::read::GzDecoder;
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};
use std::io::Read as _;
use support::{Book, Message, Rig, Tape, tapes};

/// Of each recording.
const MESSAGES: usize = 200;

/// What happens to one message. Places are shares of the whole, in 1/65536.
#[derive(Clone, Debug)]
enum Harm {
    Garbage(Vec<u8>),
    Flip {
        at: u16,
        bits: u8,
    },
    Cut {
        at: u16,
    },
    Insert {
        at: u16,
        bytes: Vec<u8>,
    },
    /// A part of it stands elsewhere in it.
    Copy {
        from: u16,
        to: u16,
        length: u8,
    },
    Lost,
    Again,
    Later,
}

fn harm() -> impl Strategy<Value = Harm> {
    prop_oneof![
        vec(any::<u8>(), 0..200).prop_map(Harm::Garbage),
        (any::<u16>(), 1u8..).prop_map(|(at, bits)| Harm::Flip { at, bits }),
        any::<u16>().prop_map(|at| Harm::Cut { at }),
        (any::<u16>(), vec(prop::sample::select(br#"0123456789.-eE"{}[],:nulltrue\"#.to_vec()), 1..6))
            .prop_map(|(at, bytes)| Harm::Insert { at, bytes }),
        (any::<u16>(), any::<u16>(), any::<u8>()).prop_map(|(from, to, length)| Harm::Copy { from, to, length }),
        Just(Harm::Lost),
        Just(Harm::Again),
        Just(Harm::Later),
    ]
}

fn place(share: u16, length: usize) -> usize {
    usize::from(share) * length / (1 << 16)
}

/// The messages with what happened to them.
fn harmed(messages: &[Message], harms: &[(u16, Harm)]) -> Vec<Message> {
    let mut messages = messages.to_vec();
    for (share, harm) in harms {
        let at = place(*share, messages.len());
        let Some(message) = messages.get_mut(at) else { continue };
        // Inside of what is packed; adapters read either.
        let mut unpacked = Vec::new();
        if GzDecoder::new(message.bytes.as_slice()).read_to_end(&mut unpacked).is_ok() && share % 4 != 0 {
            message.bytes = unpacked;
        }
        let bytes = &mut message.bytes;
        match harm {
            Harm::Garbage(garbage) => bytes.clone_from(garbage),
            Harm::Flip { at, bits } => {
                let at = place(*at, bytes.len());
                bytes.iter_mut().skip(at).take(1).for_each(|byte| *byte ^= bits);
            }
            Harm::Cut { at } => bytes.truncate(place(*at, bytes.len())),
            Harm::Insert { at, bytes: inserted } => {
                let at = place(*at, bytes.len());
                bytes.splice(at..at, inserted.iter().copied());
            }
            Harm::Copy { from, to, length } => {
                let (from, to) = (place(*from, bytes.len()), place(*to, bytes.len()));
                let part: Vec<u8> = bytes.iter().skip(from).take(usize::from(*length)).copied().collect();
                bytes.splice(to..to, part);
            }
            Harm::Lost => drop(messages.remove(at)),
            Harm::Again => messages.insert(at, messages[at].clone()),
            Harm::Later => {
                let message = messages.remove(at);
                messages.insert((at + 3).min(messages.len()), message);
            }
        }
    }
    messages
}

fn undisturbed(tape: &Tape) -> Vec<Book> {
    let mut rig = Rig::new(tape);
    tape.messages.iter().for_each(|message| rig.message(message));
    rig.books
}

#[test]
fn altered_messages_leave_no_trace_after_a_new_connection() {
    for tape in tapes(MESSAGES) {
        let expected = undisturbed(&tape);
        assert!(expected.iter().any(|book| book.live), "{}: no book of the recording is live", tape.venue);
        let mut runner = TestRunner::new(Config { cases: 4, failure_persistence: None, ..Config::default() });
        let result = runner.run(&vec((any::<u16>(), harm()), 1..60), |harms| {
            let mut rig = Rig::new(&tape);
            harmed(&tape.messages, &harms).iter().for_each(|message| rig.message(message));
            rig.wait_s(30);
            let (before, garbage) = (rig.faults.len(), Message { connection: 0, bytes: b"\xff\x00 no message".to_vec() });
            rig.message(&garbage);
            prop_assert!(rig.faults.len() > before, "garbage is counted");
            rig.reopen();
            // Back-off of what failed before ends.
            rig.wait_s(70);
            tape.messages.iter().for_each(|message| rig.message(message));
            for (index, (found, expected)) in rig.books.iter().zip(&expected).enumerate() {
                // A price or size made finer by the harm stays: the same book is then written otherwise.
                if expected.live && found.exponents == expected.exponents {
                    prop_assert!(found == expected, "{}: book {index} is another: {:?}", tape.venue, rig.faults.last());
                }
            }
            Ok(())
        });
        assert!(result.is_ok(), "{}: {}", tape.venue, result.unwrap_err());
    }
}

/// Through every venue, recorded or not: messages and answers that are anything.
#[test]
fn random_bytes_are_faults_and_nothing_else() {
    for venue in registry::VENUES {
        let mut runner = TestRunner::new(Config { cases: 32, failure_persistence: None, ..Config::default() });
        let result = runner.run(&vec(vec(any::<u8>(), 0..200), 1..20), |messages| {
            let settings = FeedSettings {
                symbols: vec!["BTC-USDT".to_owned(), "!BTCUSDT".to_owned()],
                ..FeedSettings::of_venue(venue.name)
            };
            let mut adapter = registry::adapter(venue.name, &settings).unwrap();
            let mut out = Output::default();
            let mut now = Now { wall: 1_600_000_000_000_000_000, mono: 0 };
            adapter.start(now, &mut out);
            for (at, bytes) in messages.iter().enumerate() {
                out.clear();
                now.mono += 1_000_000_000;
                adapter.on_open(now, Line(0), &mut out);
                adapter.on_response(now, Fetch(at as u64 + 1), Ok(bytes.clone()), &mut out);
                out.clear();
                adapter.on_message(now, Line(0), &mut bytes.clone(), &mut out);
                prop_assert!(!out.faults.is_empty() && out.batch.is_empty(), "{bytes:?} is taken for a message");
                adapter.on_tick(now, &mut out);
            }
            Ok(())
        });
        assert!(result.is_ok(), "{}: {}", venue.name, result.unwrap_err());
    }
}
