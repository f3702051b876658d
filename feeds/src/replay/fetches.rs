//! Answers an adapter's REST requests from a recording. In: requests, and recorded answers as their time comes. Out: which answer
//! goes to which request, and when. Bounded by `MAX_ANSWERS` remembered answers and the adapter's open requests.

use super::survey::Survey;
use crate::adapter::{Fetch, FetchError};
use std::collections::HashMap;
use wire::event::Nanos;

/// Newest answers that are kept for requests that come after their recorded time.
const MAX_ANSWERS: usize = 4096;
/// An answer that was given already and will not be followed by a newer one is given again, after pauses that double so often.
const AGAIN_AFTER: Nanos = 1_000_000_000;
const AGAIN_DOUBLED: u32 = 5;

pub(super) type Outcome = Result<Vec<u8>, FetchError>;

#[derive(Default)]
pub(super) struct Fetches {
    answers: HashMap<String, Answers>,
    /// Requests that wait for their answer, in the order in which they were made.
    open: Vec<Request>,
}

struct Request {
    fetch: Fetch,
    key: String,
    /// The recording's answer of this number, or a later one, is for it.
    from: u32,
    /// If there is no later one: from then on the last one once more.
    again: Nanos,
}

struct Answers {
    newest: Outcome,
    /// How many have come by.
    seen: u32,
    /// How often the newest was given to the adapter.
    given: u32,
}

impl Fetches {
    pub(super) fn ask(&mut self, now: Nanos, fetch: Fetch, key: String) {
        let (seen, given) = self.answers.get(&key).map_or((0, 0), |answers| (answers.seen, answers.given));
        // What was given to somebody already is not new to whoever asks now.
        let from = if seen > 0 && given == 0 { seen } else { seen + 1 };
        let again = now.saturating_add(AGAIN_AFTER << given.saturating_sub(1).min(AGAIN_DOUBLED));
        self.open.push(Request { fetch, key, from, again });
    }

    /// A recorded answer's time has come. Successful ones are kept.
    pub(super) fn arrived(&mut self, key: String, status: u16, bytes: Vec<u8>) {
        let newest = if status == 200 { Ok(bytes) } else { Err(FetchError::Status { status, retry_after_s: None }) };
        if self.answers.len() >= MAX_ANSWERS && !self.answers.contains_key(&key) {
            return;
        }
        let seen = self.answers.get(&key).map_or(0, |answers| answers.seen) + 1;
        self.answers.insert(key, Answers { newest, seen, given: 0 });
    }

    /// The next request that can be answered now. One answer is for all that wait for it: some may be waited for no longer.
    pub(super) fn next(&mut self, now: Nanos, survey: &Survey) -> Option<(Fetch, Outcome)> {
        let at = self.open.iter().position(|request| match self.answers.get(&request.key) {
            // The recording will never have one.
            None => survey.answers(&request.key) == 0,
            Some(answer) => {
                let is_last = answer.seen >= survey.answers(&request.key);
                answer.seen >= request.from || (is_last && now >= request.again)
            }
        })?;
        let Request { fetch, key, .. } = self.open.remove(at);
        let Some(answer) = self.answers.get_mut(&key) else {
            return Some((fetch, Err(FetchError::Io(format!("the recording holds no answer to {key}")))));
        };
        answer.given = answer.given.saturating_add(1);
        Some((fetch, answer.newest.clone()))
    }
}
