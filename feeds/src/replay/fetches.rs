//! Answers an adapter's REST requests from a recording. In: requests, and recorded answers as their time comes. Out: which answer
//! goes to which request, and when. Bounded by `MAX_ANSWERS` remembered answers and the adapter's open requests.

use super::survey::Survey;
use crate::adapter::{Fetch, FetchError};
use std::collections::HashMap;
use wire::event::Nanos;

/// Newest answers that are kept for requests that come after their recorded time.
const MAX_ANSWERS: usize = 4096;
/// An answer that was given already and will not be followed by a newer one is given again, but not in a tight loop.
const AGAIN_AFTER: Nanos = 1_000_000_000;

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
}

struct Answers {
    newest: Outcome,
    /// How many have come by.
    seen: u32,
    /// When the newest was last given to the adapter.
    given: Option<Nanos>,
}

impl Fetches {
    pub(super) fn ask(&mut self, fetch: Fetch, key: String) {
        // What was given to somebody already is not new to whoever asks now.
        let from = self.answers.get(&key).map_or(1, |answers| answers.seen + u32::from(answers.given.is_some()));
        self.open.push(Request { fetch, key, from });
    }

    /// A recorded answer's time has come. Successful ones are kept.
    pub(super) fn arrived(&mut self, key: String, status: u16, bytes: Vec<u8>) {
        let newest = if status == 200 { Ok(bytes) } else { Err(FetchError::Status { status, retry_after_s: None }) };
        if self.answers.len() >= MAX_ANSWERS && !self.answers.contains_key(&key) {
            return;
        }
        let seen = self.answers.get(&key).map_or(0, |answers| answers.seen) + 1;
        self.answers.insert(key, Answers { newest, seen, given: None });
    }

    /// The next request that can be answered now. One answer is for all that wait for it: some may be waited for no longer.
    pub(super) fn next(&mut self, now: Nanos, survey: &Survey) -> Option<(Fetch, Outcome)> {
        let at = self.open.iter().position(|request| match self.answers.get(&request.key) {
            // The recording will never have one.
            None => survey.answers(&request.key) == 0,
            Some(answer) => {
                let is_last = answer.seen >= survey.answers(&request.key);
                answer.seen >= request.from || is_last && answer.given.is_none_or(|given| now - given >= AGAIN_AFTER)
            }
        })?;
        let Request { fetch, key, .. } = self.open.remove(at);
        let Some(answer) = self.answers.get_mut(&key) else {
            return Some((fetch, Err(FetchError::Io(format!("the recording holds no answer to {key}")))));
        };
        answer.given = Some(now);
        Some((fetch, answer.newest.clone()))
    }
}
