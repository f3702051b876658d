//! The sequencer against a venue whose truth is known: whatever is lost, doubled, swapped or late, a live book is the true one.

use super::*;
use proptest::prelude::*;
use std::collections::BTreeMap;

fn diff(first: u64, last: u64, bids: &[Level]) -> Diff<'_> {
    Diff { first, last, bids, ..Diff::default() }
}

fn started() -> Sequencer {
    let mut sequencer = Sequencer::new(Limits { diffs: 8, levels: 16 });
    sequencer.begin();
    sequencer
}

fn replayed(sequencer: &mut Sequencer) -> Vec<(u64, u64)> {
    let mut ids = Vec::new();
    sequencer.replay(|diff| ids.push((diff.first, diff.last)));
    ids
}

#[test]
fn splices_as_the_venue_says() {
    let mut sequencer = started();
    for (first, last) in [(90, 94), (95, 99), (100, 104), (105, 110)] {
        assert_eq!(sequencer.on_diff(&diff(first, last, &[])), Verdict::Kept);
    }
    assert_eq!(sequencer.on_snapshot(102), Splice::Live);
    assert_eq!(replayed(&mut sequencer), [(100, 104), (105, 110)]);
    assert_eq!(sequencer.last(), Some(110));
    assert_eq!(sequencer.on_diff(&diff(111, 112, &[])), Verdict::Apply);
    assert_eq!(sequencer.on_diff(&diff(111, 112, &[])), Verdict::Duplicate);
    assert_eq!(sequencer.on_diff(&diff(112, 115, &[])), Verdict::Apply, "an overlap is absolute sizes again");
    assert_eq!(sequencer.on_diff(&diff(118, 120, &[])), Verdict::Gap { missing: 2 });
    assert!(!sequencer.is_live());
    assert_eq!(sequencer.on_diff(&diff(121, 122, &[])), Verdict::Ignored);
}

#[test]
fn an_old_snapshot_is_refused_and_an_adjacent_one_taken() {
    let mut sequencer = started();
    sequencer.on_diff(&diff(100, 104, &[]));
    assert_eq!(sequencer.on_snapshot(98), Splice::TooOld);
    assert_eq!(sequencer.on_snapshot(99), Splice::Live);
    assert_eq!(replayed(&mut sequencer), [(100, 104)]);
}

#[test]
fn a_quiet_book_is_live_with_its_snapshot_and_the_next_diff_proves_it() {
    let mut sequencer = started();
    assert_eq!(sequencer.on_snapshot(50), Splice::Live);
    assert_eq!(replayed(&mut sequencer), []);
    assert!(sequencer.skips(&diff(52, 52, &[])));
    assert_eq!(sequencer.on_diff(&diff(52, 53, &[])), Verdict::Gap { missing: 1 });
    assert_eq!(sequencer.on_snapshot(60), Splice::Unasked);
}

#[test]
fn a_hole_among_kept_diffs_needs_a_snapshot_after_it() {
    let mut sequencer = started();
    sequencer.on_diff(&diff(10, 12, &[]));
    assert_eq!(sequencer.on_diff(&diff(15, 16, &[])), Verdict::Gap { missing: 2 });
    assert_eq!(sequencer.on_diff(&diff(13, 14, &[])), Verdict::Duplicate);
    assert_eq!(sequencer.on_snapshot(12), Splice::TooOld);
    assert_eq!(sequencer.on_snapshot(15), Splice::Live);
    assert_eq!(replayed(&mut sequencer), [(15, 16)]);
}

#[test]
fn buffers_are_bounded() {
    let mut sequencer = started();
    for id in 1..=8 {
        assert_eq!(sequencer.on_diff(&diff(id, id, &[])), Verdict::Kept);
    }
    assert_eq!(sequencer.on_diff(&diff(9, 9, &[])), Verdict::Full);
    let levels = [Level { price: 1, size: 1 }; 16];
    assert_eq!(sequencer.on_diff(&diff(10, 10, &levels)), Verdict::Kept);
    assert_eq!(sequencer.on_diff(&diff(11, 11, &levels[..1])), Verdict::Full);
    assert_eq!(sequencer.on_snapshot(9), Splice::TooOld);
    assert_eq!(sequencer.on_snapshot(10), Splice::Live);
    assert_eq!(replayed(&mut sequencer), [(11, 11)]);
    sequencer.begin();
    let too_many = [Level::default(); 17];
    assert_eq!(sequencer.on_diff(&diff(12, 12, &too_many)), Verdict::Full);
}

#[test]
fn odd_numbers_do_no_harm() {
    let mut sequencer = started();
    assert_eq!(sequencer.on_diff(&diff(5, 4, &[])), Verdict::Malformed);
    assert_eq!(sequencer.on_diff(&diff(0, u64::MAX, &[])), Verdict::Kept);
    assert_eq!(sequencer.on_snapshot(u64::MAX), Splice::Live);
    assert_eq!(sequencer.on_diff(&diff(u64::MAX, u64::MAX, &[])), Verdict::Duplicate);
    assert_eq!(replayed(&mut sequencer), []);
}

#[test]
fn a_venue_that_numbers_anew_is_noticed() {
    let mut sequencer = started();
    sequencer.on_snapshot(1_000_000);
    let verdicts: Vec<_> = (1..=u64::from(RESTART_AFTER)).map(|id| sequencer.on_diff(&diff(id, id, &[]))).collect();
    assert_eq!(verdicts.last(), Some(&Verdict::Gap { missing: 0 }));
    assert!(verdicts[..verdicts.len() - 1].iter().all(|verdict| *verdict == Verdict::Duplicate));
}

#[test]
fn kept_levels_follow_a_finer_exponent() {
    let mut sequencer = started();
    let levels = [Level { price: 3, size: 4 }];
    sequencer.on_diff(&diff(1, 2, &levels));
    assert!(sequencer.rescale(100, 10));
    sequencer.on_snapshot(0);
    let mut seen = Vec::new();
    sequencer.replay(|diff| seen.extend_from_slice(diff.bids));
    assert_eq!(seen, [Level { price: 300, size: 40 }]);
    sequencer.begin();
    sequencer.on_diff(&diff(3, 4, &levels));
    assert!(!sequencer.rescale(i64::MAX, 1));
}

/// One update id: this price has this size now.
type Update = (i64, i64);

fn book_at(updates: &[Update], id: u64) -> BTreeMap<i64, i64> {
    let mut book = BTreeMap::new();
    apply(&mut book, updates.iter().take(id as usize).map(|(price, size)| Level { price: *price, size: *size }));
    book
}

fn apply(book: &mut BTreeMap<i64, i64>, levels: impl Iterator<Item = Level>) {
    for level in levels {
        if level.size == 0 {
            book.remove(&level.price);
        } else {
            book.insert(level.price, level.size);
        }
    }
}

#[derive(Clone, Debug)]
enum Act {
    /// The venue sends the diff of its next `n` updates (ids are 1-based).
    Send(usize),
    Lose(usize),
    /// A diff sent earlier comes again, `back` diffs ago.
    Again(usize),
    /// The next two diffs arrive swapped.
    Swap(usize, usize),
    /// The snapshot asked for arrives; it shows the truth `age` updates ago.
    Snapshot(usize),
    Disconnect,
}

fn act() -> impl Strategy<Value = Act> {
    prop_oneof![
        12 => (1..4usize).prop_map(Act::Send),
        1 => (1..4usize).prop_map(Act::Lose),
        1 => (1..6usize).prop_map(Act::Again),
        1 => (1..3usize, 1..3usize).prop_map(|(a, b)| Act::Swap(a, b)),
        3 => (0..8usize).prop_map(Act::Snapshot),
        1 => Just(Act::Disconnect),
    ]
}

/// A client of the sequencer as an adapter is one: it asks for a snapshot whenever the book is not live.
struct Client {
    sequencer: Sequencer,
    book: BTreeMap<i64, i64>,
    lives: u32,
}

impl Client {
    fn receive(&mut self, (first, last, levels): &(u64, u64, Vec<Level>)) {
        let verdict = self.sequencer.on_diff(&Diff { first: *first, last: *last, bids: levels, ..Diff::default() });
        match verdict {
            Verdict::Apply => apply(&mut self.book, levels.iter().copied()),
            Verdict::Gap { .. } if !self.sequencer.is_live() && self.sequencer.stage == Stage::Idle => self.sequencer.begin(),
            _ => {}
        }
    }

    fn snapshot(&mut self, updates: &[Update], id: u64) {
        if self.sequencer.on_snapshot(id) == Splice::Live {
            self.book = book_at(updates, id);
            let book = &mut self.book;
            self.sequencer.replay(|diff| apply(book, diff.bids.iter().copied()));
            self.lives += 1;
        }
    }
}

fn run(updates: &[Update], acts: &[Act]) -> Result<Client, TestCaseError> {
    let mut client = Client { sequencer: started(), book: BTreeMap::new(), lives: 0 };
    let mut at = 0usize;
    let mut sent: Vec<(u64, u64, Vec<Level>)> = Vec::new();
    let take = |n: usize, at: &mut usize| {
        let from = *at;
        *at = (from + n).min(updates.len());
        (from < *at).then(|| {
            let levels = updates[from..*at].iter().map(|(price, size)| Level { price: *price, size: *size }).collect();
            (from as u64 + 1, *at as u64, levels)
        })
    };
    for act in acts {
        match act {
            Act::Send(n) => {
                if let Some(diff) = take(*n, &mut at) {
                    client.receive(&diff);
                    sent.push(diff);
                }
            }
            Act::Lose(n) => drop(take(*n, &mut at)),
            Act::Again(back) => {
                if let Some(index) = sent.len().checked_sub(*back) {
                    client.receive(&sent[index]);
                }
            }
            Act::Swap(a, b) => {
                let (early, late) = (take(*a, &mut at), take(*b, &mut at));
                late.iter().chain(early.iter()).for_each(|diff| client.receive(diff));
            }
            Act::Snapshot(age) => client.snapshot(updates, at.saturating_sub(*age) as u64),
            Act::Disconnect => client.sequencer.begin(),
        }
        if let Some(last) = client.sequencer.last() {
            prop_assert_eq!(&client.book, &book_at(updates, last), "a live book at id {}", last);
        }
    }
    Ok(client)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_live_book_is_the_true_book(
        updates in prop::collection::vec((0..12i64, 0..4i64), 40..200),
        acts in prop::collection::vec(act(), 1..120),
    ) {
        let mut client = run(&updates, &acts)?;
        // And it heals: with a fresh snapshot the book is live again, and up to date.
        if !client.sequencer.is_live() {
            client.snapshot(&updates, updates.len() as u64);
            prop_assert!(client.sequencer.is_live());
            prop_assert_eq!(client.book, book_at(&updates, updates.len() as u64));
        }
    }
}
