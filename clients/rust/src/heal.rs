//! Views that disagreed with a check. In: mismatches, answers, snapshots. Out: which topics to ask for again, each once until its answer.
//! Bounded by the topics held.

use std::collections::BTreeMap;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    /// To be asked for.
    Wanted,
    /// With this request.
    Asked(u64),
    /// The request was refused: the next check asks again. Checks are about a second apart, so this is no flood.
    Refused,
}

#[derive(Debug, Default)]
pub struct Heals(BTreeMap<String, Stage>);

impl Heals {
    /// A check disagreed, or came while the topic still waits to be healed.
    pub fn disagreed(&mut self, name: &str) {
        match self.0.get_mut(name) {
            Some(stage) if *stage == Stage::Refused => *stage = Stage::Wanted,
            Some(_) => {}
            None => {
                self.0.insert(name.to_owned(), Stage::Wanted);
            }
        }
    }

    pub fn has(&self, name: &str) -> bool {
        !self.0.is_empty() && self.0.contains_key(name)
    }

    /// What to ask for now.
    pub fn wanted(&self) -> impl Iterator<Item = &str> {
        self.0.iter().filter(|(_, stage)| **stage == Stage::Wanted).map(|(name, _)| name.as_str())
    }

    /// All that was wanted is asked for with this request.
    pub fn asked(&mut self, id: u64) {
        self.0.values_mut().filter(|stage| **stage == Stage::Wanted).for_each(|stage| *stage = Stage::Asked(id));
    }

    /// A snapshot of this one is asked for, though nothing disagreed.
    pub fn ask(&mut self, name: String, id: u64) {
        self.0.insert(name, Stage::Asked(id));
    }

    /// That request was refused, as a whole or for one topic.
    pub fn refused(&mut self, id: u64, topic: Option<&str>) {
        let of_request =
            self.0.iter_mut().filter(|(name, stage)| **stage == Stage::Asked(id) && topic.is_none_or(|one| one == *name));
        of_request.for_each(|(_, stage)| *stage = Stage::Refused);
    }

    /// A snapshot came. True if it was waited for.
    pub fn healed(&mut self, name: &str) -> bool {
        !self.0.is_empty() && self.0.remove(name).is_some()
    }

    /// Gives up all of them.
    pub fn take(&mut self) -> impl Iterator<Item = String> {
        std::mem::take(&mut self.0).into_keys()
    }

    pub fn retain(&mut self, keep: impl Fn(&str) -> bool) {
        self.0.retain(|name, _| keep(name));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_topic_is_asked_for_once_until_it_is_answered() {
        let mut heals = Heals::default();
        let wanted = |heals: &Heals| heals.wanted().map(str::to_owned).collect::<Vec<_>>();
        heals.disagreed("quote/sim:A");
        heals.disagreed("quote/sim:B");
        assert_eq!(wanted(&heals), ["quote/sim:A", "quote/sim:B"]);
        heals.asked(7);
        heals.disagreed("quote/sim:A");
        assert!(wanted(&heals).is_empty());
        heals.refused(8, None);
        heals.refused(7, Some("quote/sim:A"));
        assert!(wanted(&heals).is_empty(), "not at once");
        heals.disagreed("quote/sim:A");
        assert_eq!(wanted(&heals), ["quote/sim:A"]);
        assert!(heals.healed("quote/sim:B") && !heals.healed("quote/sim:B"));
        assert!(heals.has("quote/sim:A") && !heals.has("quote/sim:B"));
    }
}
