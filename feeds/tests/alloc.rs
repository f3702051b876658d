//! Nothing is allocated for a message of the market. In: the messages of a recording of each venue, again and again. Out: the number of
//! allocations once every buffer has its size, which must be none. Bounded: an allocator that counts, in a program of its own.

mod support;

use feeds::adapter::Line;
use support::{Message, Rig, tapes};
use wire::event::{Event, EventBody};

/// Of each recording.
const MESSAGES: usize = 250;

#[test]
fn the_counter_counts() {
    assert_eq!(allocation_counter::measure(|| drop(std::hint::black_box(Box::new(1)))).count_total, 1);
}

/// The same with a second line, whose copies are then dropped, or kept beside the book that is told.
#[test]
fn second_arrivals_allocate_nothing() {
    let mut complaints = Vec::new();
    for mut tape in tapes(MESSAGES) {
        tape.settings.lines = Some(2);
        let mut rig = Rig::new(&tape);
        for _ in 0..2 {
            for message in &tape.messages {
                (0..2).for_each(|leg| rig.message_on(message, leg));
            }
            rig.reopen();
            rig.wait_s(1);
        }
        let (mut counted, mut worst) = (0, (0, String::new()));
        for message in &tape.messages {
            let first = rig.leg_for(message, 0).and_then(|line| allocations_on(&mut rig, line, message));
            let Some(second) = rig.leg_for(message, 1).map(|line| allocations_of_any(&mut rig, line, message)) else { continue };
            let Some(first) = first else { continue };
            counted += 1;
            if first.max(second) > worst.0 {
                let text = String::from_utf8_lossy(&message.bytes[..message.bytes.len().min(160)]).into_owned();
                worst = (first.max(second), format!("{first} and {second} of {text}"));
            }
        }
        println!("{}: {counted} messages counted on two lines", tape.venue);
        if counted < 20 {
            complaints.push(format!("{}: only {counted} messages could be counted", tape.venue));
        }
        if worst.0 > 0 {
            complaints.push(format!("{}: allocations of the first and the second line: {}", tape.venue, worst.1));
        }
    }
    assert!(complaints.is_empty(), "{}", complaints.join("\n"));
}

/// Each venue plays the beginning of its recording, so that its books are live and its buffers warm. Then come messages one by one: what
/// brings no fault, no action and no news of state is a message of the market, and may not allocate.
#[test]
fn messages_of_the_market_allocate_nothing() {
    let mut complaints = Vec::new();
    for tape in tapes(MESSAGES) {
        let mut rig = Rig::new(&tape);
        tape.messages.iter().for_each(|message| rig.message(message));
        // Numbers begin anew, so that the same messages can come once more.
        rig.reopen();
        rig.wait_s(1);
        let (mut counted, mut worst) = (0, (0, String::new()));
        for message in &tape.messages {
            let Some(allocations) = allocations_of(&mut rig, message) else { continue };
            counted += 1;
            if allocations > worst.0 {
                worst = (allocations, String::from_utf8_lossy(&message.bytes[..message.bytes.len().min(160)]).into_owned());
            }
        }
        println!("{}: {counted} messages counted", tape.venue);
        if counted < 20 {
            complaints.push(format!("{}: only {counted} messages could be counted", tape.venue));
        }
        if worst.0 > 0 {
            complaints.push(format!("{}: {} allocations of {}", tape.venue, worst.0, worst.1));
        }
    }
    assert!(complaints.is_empty(), "{}", complaints.join("\n"));
}

fn is_data(event: &Event) -> bool {
    matches!(event.body, EventBody::Quote(_) | EventBody::Trade(_) | EventBody::Book { .. })
}

/// `None`: it is no message of the market.
fn allocations_of(rig: &mut Rig<'_>, message: &Message) -> Option<u64> {
    let line = rig.line_for(message)?;
    allocations_on(rig, line, message)
}

fn allocations_on(rig: &mut Rig<'_>, line: Line, message: &Message) -> Option<u64> {
    let (counted, is_market) = measured(rig, line, message);
    is_market.then_some(counted)
}

/// Also if nothing came of it.
fn allocations_of_any(rig: &mut Rig<'_>, line: Line, message: &Message) -> u64 {
    measured(rig, line, message).0
}

fn measured(rig: &mut Rig<'_>, line: Line, message: &Message) -> (u64, bool) {
    let mut payload = Vec::with_capacity(message.bytes.len() + 256);
    payload.extend_from_slice(&message.bytes);
    // The output belongs to the supervisor, which keeps one.
    rig.out.batch.events.reserve(1_000);
    rig.out.batch.levels.reserve(20_000);
    rig.out.races.reserve(1_000);
    let (adapter, out, now) = (&mut rig.adapter, &mut rig.out, rig.now);
    let counted = allocation_counter::measure(|| adapter.on_message(now, line, &mut payload, out));
    let is_market = rig.out.faults.is_empty() && rig.out.actions.is_empty() && !rig.out.batch.is_empty();
    let is_market = is_market && rig.out.batch.events.iter().all(is_data);
    rig.settle();
    (counted.count_total, is_market)
}
