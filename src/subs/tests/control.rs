//! Pauses and promised snapshots in any order with everything else. In: steps. Out: proof that a pause is silent and ends exactly, that a
//! promise is kept, and that no snapshot swallows a trade. Bounded by the number of cases.

use super::*;
use proptest::prelude::*;
use std::collections::BTreeSet;

#[derive(Clone, Debug)]
enum Turn {
    Quote,
    Trade,
    Advance(i64),
    Flush(usize),
    Sub { topic: usize, pace: Pace, mode: TradeMode },
    Unsub { topic: usize },
    Pause { topic: usize },
    Unpause { topic: usize },
    Get { topic: usize },
}

fn turn() -> impl Strategy<Value = Turn> {
    let topic = 0usize..2;
    let pace = prop_oneof![Just(Pace::Realtime), prop::sample::select(vec![100, 1000]).prop_map(Pace::EveryMs)];
    let mode = prop_oneof![Just(TradeMode::Every), Just(TradeMode::Summary)];
    prop_oneof![
        4 => Just(Turn::Quote),
        6 => Just(Turn::Trade),
        6 => (0i64..400).prop_map(Turn::Advance),
        6 => prop_oneof![Just(LARGE), 1usize..200].prop_map(Turn::Flush),
        3 => (topic.clone(), pace, mode).prop_map(|(topic, pace, mode)| Turn::Sub { topic, pace, mode }),
        1 => topic.clone().prop_map(|topic| Turn::Unsub { topic }),
        2 => topic.clone().prop_map(|topic| Turn::Pause { topic }),
        2 => topic.clone().prop_map(|topic| Turn::Unpause { topic }),
        2 => topic.prop_map(|topic| Turn::Get { topic }),
    ]
}

#[derive(Default)]
struct Model {
    paused: BTreeSet<u32>,
    promised: BTreeSet<u32>,
}

impl Model {
    fn flush(&mut self, rig: &mut Rig, limit: usize) {
        rig.dispatch();
        // What was asked for is not bound to a window, and may need two frames.
        for topic in &self.promised {
            rig.clients[0].held.get_mut(topic).unwrap().window = None;
        }
        let trade = rig.topics[0].trade;
        let before = rig.clients[0].views.get(&trade).and_then(|view| view.sequence);
        let said = rig.flush(0, limit);
        let mut moved = 0;
        for (topic, applied) in &said {
            assert!(!self.paused.contains(topic) || self.promised.contains(topic), "paused, but {applied:?} came");
            match applied {
                Applied::Snapshot => drop(self.promised.remove(topic)),
                Applied::Delta { updates } if *topic == trade => moved += updates,
                Applied::Gap { missing, .. } if *topic == trade => moved += missing.unwrap(),
                _ => {}
            }
        }
        let after = rig.clients[0].views.get(&trade).and_then(|view| view.sequence);
        if let (Some(before), Some(after)) = (before, after) {
            assert_eq!(before + moved, after, "each trade is told, merged or stated as missing: {said:?}");
        }
    }
}

proptest! {
    #[test]
    fn pauses_are_silent_and_promises_are_kept(turns in proptest::collection::vec(turn(), 1..120)) {
        let mut rig = Rig::new(1, 1);
        let topics = [rig.topics[0].quote, rig.topics[0].trade];
        let mut model = Model::default();
        for turn in turns {
            match turn {
                Turn::Quote => rig.quote(0),
                Turn::Trade => rig.trade(0),
                Turn::Advance(ms) => rig.advance(ms),
                Turn::Flush(limit) => model.flush(&mut rig, limit),
                Turn::Sub { topic, pace, mode } => rig.sub(0, topics[topic], pace, mode),
                Turn::Unsub { topic } => {
                    rig.unsub(0, topics[topic]);
                    rig.clients[0].views.remove(&topics[topic]);
                    model.paused.remove(&topics[topic]);
                    model.promised.remove(&topics[topic]);
                }
                Turn::Pause { topic } => {
                    let topic = topics[topic];
                    if let Some(held) = rig.clients[0].held.get_mut(&topic) {
                        held.handle = rig.manager.pause(&rig.map, held.handle);
                        model.paused.insert(topic);
                    }
                }
                Turn::Unpause { topic } => {
                    let topic = topics[topic];
                    if let Some(held) = rig.clients[0].held.get_mut(&topic) {
                        rig.manager.unpause(&rig.map, held.handle, rig.now);
                        held.window = None;
                        model.paused.remove(&topic);
                    }
                }
                Turn::Get { topic } => {
                    let topic = topics[topic];
                    if let Some(held) = rig.clients[0].held.get(&topic) {
                        rig.manager.promise_snapshot(&rig.map, held.handle, rig.now);
                        model.promised.insert(topic);
                    }
                }
            }
        }
        let handles: Vec<_> = rig.clients[0].held.values().map(|held| held.handle).collect();
        for handle in handles {
            rig.manager.unpause(&rig.map, handle, rig.now);
        }
        rig.clients[0].held.values_mut().for_each(|held| held.window = None);
        model.paused.clear();
        for _ in 0..3 {
            while rig.is_due(0) {
                model.flush(&mut rig, LARGE);
            }
            rig.advance(5_000);
        }
        prop_assert!(model.promised.is_empty(), "not kept: {:?}", model.promised);
        for topic in rig.clients[0].held.keys() {
            prop_assert!(rig.is_current(0, *topic), "behind on topic {}", topic);
        }
    }
}

proptest! {
    /// However they come, go, pause and are served: a mark finds all who are idle (`Rig::dispatch` looks), and nobody is left behind.
    #[test]
    fn a_mark_finds_all_whom_it_concerns(turns in proptest::collection::vec((0usize..6, 0usize..5, any::<bool>()), 1..200)) {
        let mut rig = Rig::new(1, 5);
        let topic = rig.topics[0].quote;
        for (turn, client, fast) in turns {
            let held = rig.clients[client].held.get(&topic).map(|held| held.handle);
            match (turn, held) {
                (0, None) => rig.sub(client, topic, if fast { Pace::Realtime } else { Pace::EveryMs(100) }, TradeMode::Every),
                (0, Some(_)) => {
                    rig.unsub(client, topic);
                    rig.clients[client].views.remove(&topic);
                }
                (1, Some(handle)) if fast => rig.clients[client].held.get_mut(&topic).unwrap().handle = rig.manager.pause(&rig.map, handle),
                (1, Some(handle)) => {
                    rig.manager.unpause(&rig.map, handle, rig.now);
                    rig.clients[client].held.get_mut(&topic).unwrap().window = None;
                }
                (2, _) => rig.advance(if fast { 1 } else { 100 }),
                (3, _) => drop(rig.flush(client, LARGE)),
                _ => rig.quote(0),
            }
            rig.dispatch();
        }
        for client in 0..5 {
            if let Some(held) = rig.clients[client].held.get(&topic) {
                rig.manager.unpause(&rig.map, held.handle, rig.now);
            }
        }
        rig.quote(0);
        rig.advance(100);
        for client in 0..5 {
            rig.flush(client, LARGE);
            prop_assert!(!rig.clients[client].held.contains_key(&topic) || rig.is_current(client, topic), "client {}", client);
        }
    }
}

#[test]
fn a_pause_takes_no_work_at_all() {
    let mut rig = Rig::new(1, 1);
    let (quote, book) = (rig.topics[0].quote, rig.topics[0].book[0]);
    for topic in [quote, book] {
        rig.sub(0, topic, Pace::Realtime, TradeMode::Every);
    }
    rig.flush_all();
    assert!(rig.was_woken(0));
    for topic in [quote, book] {
        let held = rig.clients[0].held.get_mut(&topic).unwrap();
        held.handle = rig.manager.pause(&rig.map, held.handle);
    }
    rig.quote(0);
    let mut marked = 0;
    rig.map.marks(0).drain(|_| marked += 1);
    assert_eq!(marked, 0, "the shard is not even told");
    assert!(!rig.is_due(0) && !rig.was_woken(0));
    let held = rig.clients[0].held[&quote].handle;
    rig.manager.unpause(&rig.map, held, rig.now);
    assert_eq!(rig.flush(0, LARGE), [(quote, delta(1))]);
}

#[test]
fn ending_many_that_are_due_leaves_nothing_behind() {
    let mut rig = Rig::new(1, 1);
    let topics: Vec<u32> = (0..9).collect();
    topics.iter().for_each(|topic| rig.sub(0, *topic, Pace::Realtime, TradeMode::Every));
    topics[1..].iter().for_each(|topic| rig.unsub(0, *topic));
    assert_eq!(rig.manager.subscription_count(), 1);
    assert_eq!(rig.flush(0, LARGE).len(), 1);
    assert!(!rig.is_due(0));
}
