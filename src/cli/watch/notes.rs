//! What the server tells about the way it serves: in: `qos` and `aged`. Out: sentences for people, objects for scripts.
//! Bounded by the topics that are old.

use client::wire::answer::{Aged, Limiting, OldCause, Qos};
use serde_json::json;
use std::collections::BTreeMap;

pub fn qos(qos: &Qos) -> String {
    let deferred = if qos.deep_snapshots_deferred { "; snapshots of full books wait" } else { "" };
    let cause = match qos.cause {
        None => return "nothing slows this session any more".to_owned(),
        Some(Limiting::Entitlement) => "the token allows no faster pace",
        Some(Limiting::OwnLink) => "this client's link takes no more",
        Some(Limiting::UpdatesPerSecond) => "its updates per second are used up",
        Some(Limiting::BytesPerSecond) => "its bytes per second are used up",
        Some(Limiting::NodePressure) => "the server is under pressure",
    };
    let stalled = qos.stalled_ms.map_or(String::new(), |ms| format!(" (one frame took {ms} ms)"));
    format!("no update is faster than {}: {cause}{stalled}{deferred}", qos.floor)
}

pub fn qos_line(qos: &Qos) -> String {
    json!({
        "kind": "qos",
        "floor": qos.floor,
        "cause": qos.cause,
        "deep_snapshots_deferred": qos.deep_snapshots_deferred,
        "stalled_ms": qos.stalled_ms,
    })
    .to_string()
}

/// Topics that are old now, by their ids: the server names them only when they become old.
#[derive(Debug, Default)]
pub struct OldTopics(BTreeMap<u32, String>);

impl OldTopics {
    /// Takes the message in and gives the names of what is young again.
    pub fn young(&mut self, aged: &Aged) -> Vec<String> {
        let young = aged.young.iter().filter_map(|id| self.0.remove(id)).collect();
        self.0.extend(aged.old.iter().map(|old| (old.topic_id, old.topic.clone())));
        young
    }
}

/// A sentence for each topic.
pub fn aged(aged: &Aged, young: &[String]) -> Vec<String> {
    let old = aged.old.iter().map(|old| format!("{}: {} ms old: {}", old.topic, old.age_ms, why(old.cause)));
    old.chain(young.iter().map(|topic| format!("{topic}: young again"))).collect()
}

pub fn aged_line(aged: &Aged, young: &[String]) -> String {
    json!({ "kind": "aged", "old": aged.old, "young": young }).to_string()
}

fn why(cause: OldCause) -> &'static str {
    match cause {
        OldCause::Quiet => "nothing happens at the venue",
        OldCause::Stale => "the feed is silent",
        OldCause::Resyncing => "the feed is being rebuilt",
        OldCause::Down => "the feed is down",
        OldCause::Pace => "newer data waits for the pace",
        OldCause::Paused => "the topic is paused",
        OldCause::Credit => "newer data waits for a grant",
        OldCause::Limit => "newer data waits for a limit",
        OldCause::OwnLink => "newer data waits for this client's link",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use client::wire::answer::Old;
    use client::wire::request::Pace;

    #[test]
    fn slowness_and_age_are_told_in_words_and_in_json() {
        let slow = Qos {
            floor: Pace::EveryMs(250),
            cause: Some(Limiting::OwnLink),
            deep_snapshots_deferred: false,
            stalled_ms: Some(1200),
        };
        assert_eq!(qos(&slow), "no update is faster than 250ms: this client's link takes no more (one frame took 1200 ms)");
        assert_eq!(
            qos_line(&slow),
            r#"{"cause":"own_link","deep_snapshots_deferred":false,"floor":"250ms","kind":"qos","stalled_ms":1200}"#
        );
        let mut topics = OldTopics::default();
        let old = Old { topic: "quote/sim:A".into(), topic_id: 7, age_ms: 2104, cause: OldCause::Down };
        let message = Aged { old: vec![old], young: vec![] };
        assert!(topics.young(&message).is_empty());
        assert_eq!(aged(&message, &[]), ["quote/sim:A: 2104 ms old: the feed is down"]);
        let young = topics.young(&Aged { old: vec![], young: vec![7, 8] });
        assert_eq!(young, ["quote/sim:A"]);
        assert_eq!(aged_line(&Aged::default(), &young), r#"{"kind":"aged","old":[],"young":["quote/sim:A"]}"#);
    }
}
