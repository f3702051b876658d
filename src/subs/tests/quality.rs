//! Credits, quotes that no trade overtakes, floors, snapshots put off and shares of bytes, in virtual time. In: publications and what a
//! session may be sent. Out: who is served, when, in which order. Bounded by the examples.

use super::*;
use crate::subs::{Floor, MAX_CREDITS};
use wire::answer::{Limiting, Standing};
use wire::request::Focus;

fn subscribe(rig: &mut Rig, topic: u32, terms: Terms) -> Handle {
    let client = &mut rig.clients[0];
    let handle = rig.manager.subscribe(&rig.map, client.key, topic, Cursor::NEW, terms, rig.now);
    // Grids are looked at by these tests themselves.
    client.held.insert(topic, Subscriber { handle, pace: terms.pace, grid: None, window: None });
    handle
}

fn on_credit() -> Terms {
    Terms { pace: Pace::Credit, ..Terms::default() }
}

#[test]
fn a_granted_frame_holds_the_newest_and_without_one_nothing_is_done() {
    let mut rig = Rig::new(2, 1);
    let (first, second, key) = (rig.topics[0].quote, rig.topics[1].quote, rig.clients[0].key);
    let handle = subscribe(&mut rig, first, on_credit());
    subscribe(&mut rig, second, on_credit());
    assert!(!rig.is_due(0) && !rig.was_woken(0), "a hidden page costs nothing");
    assert_eq!(rig.manager.account(&rig.map, handle).unwrap().standing, Standing::Unpaid);
    assert_eq!(rig.manager.grant(key, 1, rig.now), 1);
    assert!(rig.was_woken(0));
    assert_eq!(rig.flush(0, LARGE).len(), 2, "one frame holds all that is new");
    assert_eq!(rig.manager.credits(key), 0);
    for _ in 0..3 {
        rig.quote(0);
        rig.advance(1);
    }
    assert!(!rig.is_due(0) && !rig.was_woken(0));
    rig.manager.grant(key, 2, rig.now);
    assert_eq!(rig.flush(0, LARGE), [(first, delta(3))], "merged into the newest");
    // The second one waits for the next change, which then goes at once.
    assert_eq!((rig.manager.credits(key), rig.is_due(0)), (1, false));
    rig.quote(1);
    rig.advance(1);
    assert_eq!(rig.flush(0, LARGE), [(second, delta(1))]);
    assert_eq!(rig.manager.credits(key), 0);
    rig.manager.grant(key, u32::MAX, rig.now);
    assert_eq!(rig.manager.credits(key), MAX_CREDITS);
}

#[test]
fn a_frame_too_small_for_all_needs_another_credit() {
    let mut rig = Rig::new(3, 1);
    let quotes: Vec<u32> = rig.topics.iter().map(|topics| topics.quote).collect();
    for quote in &quotes {
        subscribe(&mut rig, *quote, on_credit());
    }
    let key = rig.clients[0].key;
    for quote in &quotes {
        rig.manager.grant(key, 1, rig.now);
        let said = rig.flush(0, 1);
        assert_eq!(said.iter().map(|(topic, _)| *topic).collect::<Vec<_>>(), [*quote]);
        assert_eq!(rig.flush(0, 1), [], "what is left waits for the next grant");
    }
}

#[test]
fn credits_hold_back_nothing_else() {
    let mut rig = Rig::new(2, 1);
    let (paid, free) = (rig.topics[0].quote, rig.topics[1].quote);
    let handle = subscribe(&mut rig, paid, on_credit());
    subscribe(&mut rig, free, Terms::default());
    assert_eq!(rig.flush(0, LARGE).len(), 1);
    rig.quote(0);
    rig.quote(1);
    rig.advance(1);
    assert_eq!(rig.flush(0, LARGE), [(free, delta(1))]);
    // A snapshot that is asked for is no update of the pace.
    rig.manager.promise_snapshot(&rig.map, handle, rig.now);
    assert_eq!(rig.flush(0, LARGE).len(), 1);
    // Another pace needs none either.
    rig.quote(0);
    rig.advance(1);
    assert!(!rig.is_due(0));
    rig.manager.set_terms(&rig.map, handle, Terms::default(), rig.now);
    assert_eq!(rig.flush(0, LARGE), [(paid, delta(1))]);
    // Paused and ended while it waits for a grant.
    rig.manager.set_terms(&rig.map, handle, on_credit(), rig.now);
    rig.quote(0);
    rig.advance(1);
    let handle = rig.manager.pause(&rig.map, handle);
    rig.manager.unpause(&rig.map, handle, rig.now);
    assert!(!rig.is_due(0));
    rig.manager.unsubscribe(&rig.map, handle);
    assert_eq!(rig.manager.subscription_count(), 1);
    let key = rig.clients[0].key;
    rig.manager.grant(key, 1, rig.now);
    assert_eq!(rig.flush(0, LARGE), [], "nothing is left of what ended while it waited");
}

#[test]
fn a_trade_does_not_overtake_the_quote_before_it() {
    for is_safe in [true, false] {
        let mut rig = Rig::new(1, 1);
        let (quote, trade) = (rig.topics[0].quote, rig.topics[0].trade);
        let terms = Terms { pace: Pace::EveryMs(1000), trade_safe: is_safe, ..Terms::default() };
        subscribe(&mut rig, trade, Terms::default());
        subscribe(&mut rig, quote, terms);
        rig.flush_all();
        rig.quote(0);
        rig.advance(1);
        assert!(!rig.is_due(0), "the quote waits for its window");
        rig.trade(0);
        rig.quote(0);
        rig.advance(1);
        let said = rig.flush(0, LARGE);
        if is_safe {
            assert_eq!(said, [(quote, delta(2)), (trade, delta(1))]);
        } else {
            assert_eq!(said, [(trade, delta(1))]);
        }
        // What went early is not told twice, what came later is not forgotten.
        rig.quote(0);
        rig.advance(1000);
        assert_eq!(rig.flush(0, LARGE), [(quote, delta(if is_safe { 1 } else { 3 }))]);
        rig.advance(5000);
        assert_eq!(rig.flush(0, LARGE), []);
    }
}

#[test]
fn a_quote_that_nobody_marked_yet_goes_before_its_trade_too() {
    let mut rig = Rig::new(1, 1);
    let (quote, trade) = (rig.topics[0].quote, rig.topics[0].trade);
    subscribe(&mut rig, quote, Terms { pace: Pace::EveryMs(1000), trade_safe: true, ..Terms::default() });
    subscribe(&mut rig, trade, Terms::default());
    rig.flush_all();
    rig.trade(0);
    rig.dispatch();
    // Between the look at the marks and the flush.
    rig.quote(0);
    rig.trade(0);
    assert_eq!(rig.flush(0, LARGE), [(quote, delta(1)), (trade, delta(1)), (trade, delta(1))]);
}

#[test]
fn without_a_trade_a_quote_keeps_its_window() {
    let mut rig = Rig::new(1, 1);
    let (quote, trade) = (rig.topics[0].quote, rig.topics[0].trade);
    subscribe(&mut rig, quote, Terms { pace: Pace::EveryMs(1000), trade_safe: true, ..Terms::default() });
    let trades = subscribe(&mut rig, trade, Terms::default());
    rig.flush_all();
    rig.quote(0);
    rig.dispatch();
    // Due at its new pace, but there is no trade.
    rig.manager.set_terms(&rig.map, trades, Terms { pace: Pace::EveryMs(100), ..Terms::default() }, rig.now);
    assert!(rig.manager.is_due(rig.clients[0].key));
    assert_eq!(rig.flush(0, LARGE), []);
}

#[test]
fn trades_in_plenty_leave_no_trail_of_early_quotes() {
    let mut rig = Rig::new(1, 1);
    let (quote, trade) = (rig.topics[0].quote, rig.topics[0].trade);
    let handle = subscribe(&mut rig, quote, Terms { pace: Pace::EveryMs(5000), trade_safe: true, ..Terms::default() });
    subscribe(&mut rig, trade, Terms::default());
    rig.flush_all();
    for _ in 0..50 {
        rig.quote(0);
        rig.trade(0);
        rig.advance(1);
        assert_eq!(rig.flush(0, LARGE), [(quote, delta(1)), (trade, delta(1))]);
    }
    assert_eq!(rig.manager.account(&rig.map, handle).unwrap().standing, Standing::Live, "it holds all there is");
    // No longer safe: it keeps its windows again.
    rig.manager.set_terms(&rig.map, handle, Terms { pace: Pace::EveryMs(5000), ..Terms::default() }, rig.now);
    rig.quote(0);
    rig.trade(0);
    rig.advance(1);
    assert_eq!(rig.flush(0, LARGE), [(trade, delta(1))]);
}

#[test]
fn nothing_is_faster_than_the_floor() {
    let mut rig = Rig::new(2, 1);
    let (fast, slow, key) = (rig.topics[0].quote, rig.topics[1].quote, rig.clients[0].key);
    let fast_handle = subscribe(&mut rig, fast, Terms::default());
    let slow_handle = subscribe(&mut rig, slow, Terms { pace: Pace::EveryMs(1000), ..Terms::default() });
    rig.flush_all();
    rig.manager.set_floor(key, Floor { ms: 250, cause: Some(Limiting::OwnLink) });
    let account = rig.manager.account(&rig.map, fast_handle).unwrap();
    assert_eq!((account.pace, account.limited_by), (Pace::EveryMs(250), Some(Limiting::OwnLink)));
    let account = rig.manager.account(&rig.map, slow_handle).unwrap();
    assert_eq!((account.pace, account.limited_by), (Pace::EveryMs(1000), None));
    let mut updates = 0;
    for _ in 0..1000 {
        rig.quote(0);
        rig.advance(1);
        updates += rig.flush(0, LARGE).len();
    }
    assert_eq!(updates, 4, "one a window of 250 ms");
    // The node's floor counts if it is the slower one, and both are undone.
    rig.manager.set_pressure(500, false, rig.now);
    let account = rig.manager.account(&rig.map, fast_handle).unwrap();
    assert_eq!((account.pace, account.limited_by), (Pace::EveryMs(500), Some(Limiting::NodePressure)));
    rig.manager.set_pressure(0, false, rig.now);
    rig.manager.set_floor(key, Floor::default());
    rig.advance(500);
    rig.flush_all();
    for _ in 0..5 {
        rig.quote(0);
        rig.advance(1);
        assert_eq!(rig.flush(0, LARGE), [(fast, delta(1))]);
    }
}

/// The floor's windows begin 12.5 ms after those of the pace here, so within one of them.
#[test]
fn under_a_floor_a_pace_keeps_its_own_windows_too() {
    let mut rig = Rig::new(1, 2);
    let (quote, key) = (rig.topics[0].quote, rig.clients[1].key);
    rig.sub(1, quote, Pace::EveryMs(10), TradeMode::Every);
    rig.manager.set_floor(key, Floor { ms: 100, cause: Some(Limiting::OwnLink) });
    rig.flush_all();
    rig.advance(211);
    let mut told_after = Vec::new();
    for ms in 211..400 {
        rig.quote(0);
        rig.advance(0);
        if !rig.flush(1, LARGE).is_empty() {
            told_after.push(ms);
        }
        rig.advance(1);
    }
    // 213 would be in a new window of the floor, and in the same one of the pace as 211.
    assert_eq!(told_after, [211, 220, 313]);
}

#[test]
fn deep_snapshots_wait_until_the_node_is_out_of_trouble() {
    let mut rig = Rig::new(1, 1);
    let (shallow, deep) = (rig.topics[0].book[0], rig.topics[0].book[4]);
    rig.manager.set_pressure(0, true, rig.now);
    assert!(rig.was_woken(0), "its client is to be told");
    subscribe(&mut rig, shallow, Terms::default());
    let handle = subscribe(&mut rig, deep, Terms::default());
    let said = rig.flush(0, LARGE);
    assert_eq!(said.iter().map(|(topic, _)| *topic).collect::<Vec<_>>(), [shallow]);
    assert_eq!(rig.manager.account(&rig.map, handle).unwrap().standing, Standing::Deferred);
    rig.advance(10_000);
    assert!(!rig.is_due(0));
    rig.manager.set_pressure(0, false, rig.now);
    let said = rig.flush(0, LARGE);
    assert_eq!(said.iter().map(|(topic, _)| *topic).collect::<Vec<_>>(), [deep]);
}

/// Where not all can be sent, each focus gets bytes by its weight, and who is waiting for 5 s is not passed over any more.
#[test]
fn shares_follow_the_weights_and_nobody_starves() {
    const EACH: usize = 2;
    let mut rig = Rig::new(3 * EACH, 1);
    let quotes: Vec<u32> = rig.topics.iter().map(|topics| topics.quote).collect();
    for (at, quote) in quotes.iter().enumerate() {
        subscribe(&mut rig, *quote, Terms { focus: Focus::ALL[at / EACH], ..Terms::default() });
    }
    rig.flush_all();
    let mut updates = [0usize; 3];
    let mut longest_ms = [0i64; 3 * EACH];
    let mut last = [rig.now; 3 * EACH];
    for _ in 0..2_000 {
        (0..quotes.len()).for_each(|instrument| rig.quote(instrument));
        rig.advance(10);
        // Room for one of six.
        for (topic, _) in rig.flush(0, 1) {
            let at = quotes.iter().position(|quote| *quote == topic).unwrap();
            updates[at / EACH] += 1;
            longest_ms[at] = longest_ms[at].max((rig.now - last[at]) / MS);
            last[at] = rig.now;
        }
    }
    let [focused, visible, background] = updates;
    assert!((focused as f64 / visible as f64 - 2.0).abs() < 0.2, "{updates:?}");
    assert!((visible as f64 / background as f64 - 4.0).abs() < 0.5, "{updates:?}");
    assert!(longest_ms.iter().all(|ms| *ms < 5_500), "{longest_ms:?}");
}

#[test]
fn a_long_wait_goes_before_all_shares() {
    let mut rig = Rig::new(200, 1);
    let quotes: Vec<u32> = rig.topics.iter().map(|topics| topics.quote).collect();
    for (at, quote) in quotes.iter().enumerate() {
        let focus = if at == 0 { Focus::Background } else { Focus::Focused };
        subscribe(&mut rig, *quote, Terms { focus, ..Terms::default() });
    }
    rig.flush_all();
    let mut last = rig.now;
    let mut waits_ms = Vec::new();
    for _ in 0..2_000 {
        (0..quotes.len()).for_each(|instrument| rig.quote(instrument));
        rig.advance(10);
        if rig.flush(0, 1).iter().any(|(topic, _)| *topic == quotes[0]) {
            waits_ms.push((rig.now - last) / MS);
            last = rig.now;
        }
    }
    // Its share alone would be one in 1,600 frames of 10 ms: once in 16 s.
    assert!(waits_ms.len() >= 3 && waits_ms.iter().all(|ms| *ms <= 5_020), "{waits_ms:?}");
}

/// Subscribers of a topic come at any time; their checks fall together, so that the hash is made once.
#[test]
fn checks_of_a_topic_fall_together() {
    let mut rig = Rig::new(1, 3);
    let quote = rig.topics[0].quote;
    rig.manager = Manager::new(0, 1000 * MS);
    for client in &mut rig.clients {
        client.key = rig.manager.join(Encoding::Binary, client.wake.clone());
    }
    let mut frame = FrameBuilder::new(Encoding::Binary, LARGE);
    for client in 0..3 {
        rig.sub(client, quote, Pace::Realtime, TradeMode::Every);
        rig.flush_all();
        rig.advance(137);
    }
    let mut together = 0;
    for step in 0..400 {
        rig.quote(0);
        rig.advance(10);
        let mut checks = [0; 3];
        for (client, checks) in checks.iter_mut().enumerate() {
            let Client { key, next_frame, .. } = &mut rig.clients[client];
            frame.begin(*next_frame, rig.now);
            rig.manager.flush(&rig.map, *key, rig.now, &mut frame);
            *next_frame += 1;
            *checks = frame.checks;
        }
        // The first second is that of those who came before a check fell.
        assert!(step < 100 || checks == [0; 3] || checks == [1; 3], "{checks:?}");
        together += usize::from(checks == [1; 3]);
    }
    assert_eq!(together, 4);
}

#[test]
fn an_account_says_what_is_waited_for() {
    let mut rig = Rig::new(1, 1);
    let quote = rig.topics[0].quote;
    let handle = subscribe(&mut rig, quote, Terms { pace: Pace::EveryMs(100), ..Terms::default() });
    let standing = |rig: &Rig| rig.manager.account(&rig.map, handle).unwrap().standing;
    assert_eq!(standing(&rig), Standing::Due);
    rig.flush_all();
    assert_eq!(standing(&rig), Standing::Live, "nothing is new, whatever window is looked into next");
    rig.quote(0);
    rig.advance(10);
    assert_eq!(standing(&rig), Standing::Waiting);
    // The window opens, and its client does not read.
    rig.advance(90);
    assert_eq!(standing(&rig), Standing::Due);
    assert_eq!(rig.flush(0, LARGE), [(quote, delta(1))]);
    assert_eq!(standing(&rig), Standing::Live);
    rig.advance(100);
    assert_eq!((standing(&rig), rig.flush(0, LARGE)), (Standing::Live, vec![]));
    assert_eq!((standing(&rig), rig.manager.next_window()), (Standing::Live, None));
}
