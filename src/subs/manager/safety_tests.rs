//! Quotes that are to be safe before their trades, noted and forgotten one by one. In: a session with very many of them. Bounded by `MANY`.

use super::*;
use crate::topic::TopicLimits;
use std::time::{Duration, Instant};
use wire::instrument::Instrument;

const MANY: u32 = 50_000;

/// Each end was once a search through all others, which took minutes here. It takes less than a second.
#[test]
fn ending_one_of_many_safe_quotes_looks_at_no_other() {
    let map = TopicMap::new(TopicLimits { max_topics: 100, ..TopicLimits::default() }, 1, 7);
    let topics = map.list("sim", &Instrument { symbol: "A".into(), native: "A".into(), ..Instrument::default() }).unwrap();
    let mut manager = Manager::new(0, 0);
    let session = manager.join(Encoding::Binary, Rc::new(Notify::new()));
    let others = (0..MANY).map(|at| (1_000 + at, Handle { index: u32::MAX, generation: at }));
    manager.sessions.get_mut(session).unwrap().safe.extend(others);
    let terms = Terms { trade_safe: true, ..Terms::default() };
    let begun = Instant::now();
    for at in 0..MANY {
        let handle = manager.subscribe(&map, session, topics.quote, Cursor::NEW, terms, 0);
        let safe = &manager.sessions.get(session).unwrap().safe;
        assert_eq!((safe.len() as u32, safe.get(&topics.trade)), (MANY + 1, Some(&handle)));
        manager.unsubscribe(&map, handle);
        assert!(begun.elapsed() < Duration::from_secs(20), "{at} of {MANY} have ended");
    }
    assert_eq!(manager.sessions.get(session).unwrap().safe.len() as u32, MANY);
}
