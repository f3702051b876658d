//! Drives an adapter by a recording. In: entries. Out: what the adapter made of each, in the recording's own time.
//! Bounded by one entry in hand and the adapter's own limits.

use super::ReplayError;
use super::fetches::Fetches;
use super::survey::Survey;
use crate::adapter::{Action, Adapter, Line, Now, Output};
use crate::recording::{Body, Entry, Recording};
use std::path::PathBuf;
use wire::event::{Cause, Nanos};

/// As often as the supervisor calls `on_tick`.
const TICK: Nanos = 100_000_000;
/// After so much recorded silence the clock jumps to the next entry: files of different days are not waited through.
pub(super) const MAX_SILENCE: Nanos = 60_000_000_000;
/// An adapter that answers each answer with another request is stopped here and goes on at the next entry.
const MAX_ROUNDS: usize = 10_000;

/// A recording on its way through an adapter. Sans I/O but for reading the files.
pub struct Player {
    adapter: Box<dyn Adapter>,
    recording: Recording,
    survey: Survey,
    head: Option<Entry>,
    now: Now,
    next_tick: Nanos,
    fetches: Fetches,
    lines: Vec<PlayedLine>,
    out: Output,
    started: bool,
}

/// One line of the adapter and the recorded lines it stands for.
struct PlayedLine {
    line: Line,
    url: String,
    open: bool,
    recorded: Vec<u32>,
}

impl Player {
    /// `survey` must have been taken of the same files. If it found no list of instruments, one made from the data is given instead.
    pub fn new(mut adapter: Box<dyn Adapter>, files: &[PathBuf], survey: Survey) -> Result<Self, ReplayError> {
        let mut recording = Recording::open(files)?;
        let head = recording.next().transpose()?;
        let fetches = Fetches::default();
        adapter.replayed(survey.instruments(), survey.notes.has_listing);
        let now = Now { wall: survey.first, mono: 0 };
        let next_tick = survey.first + TICK;
        let out = Output::default();
        Ok(Self { adapter, recording, survey, head, now, next_tick, fetches, lines: Vec::new(), out, started: false })
    }

    pub fn adapter(&self) -> &dyn Adapter {
        self.adapter.as_ref()
    }

    /// When the next `step` is due, in recorded time; `None` at the end.
    pub fn next_time(&self) -> Option<Nanos> {
        let entry = self.head.as_ref()?.time;
        Some(match self.started {
            false => self.survey.first,
            true if self.is_silent_until(entry) => entry,
            true => entry.min(self.next_tick).max(self.now.wall),
        })
    }

    /// Does what is due next, and shows everything the adapter put out, piece by piece. If it was a message of the venue: its size.
    pub fn step(&mut self, each: &mut dyn FnMut(&Output)) -> Result<Option<usize>, ReplayError> {
        if !self.started {
            self.started = true;
            self.call(each, |adapter, now, out| adapter.start(now, out));
            return Ok(None);
        }
        let Some(head) = &self.head else { return Ok(None) };
        if self.is_silent_until(head.time) {
            self.next_tick = head.time;
        }
        if self.next_tick < head.time {
            self.set_time(self.next_tick);
            self.next_tick += TICK;
            self.call(each, |adapter, now, out| adapter.on_tick(now, out));
            return Ok(None);
        }
        let Some(entry) = self.head.take() else { return Ok(None) };
        self.head = self.recording.next().transpose()?;
        self.set_time(entry.time);
        let size = if let Body::Received { bytes, .. } = &entry.body { Some(bytes.len()) } else { None };
        self.play(entry.body, each);
        Ok(size)
    }

    fn is_silent_until(&self, time: Nanos) -> bool {
        time.saturating_sub(self.now.wall) > MAX_SILENCE
    }

    /// Time never runs back, whatever the recording says.
    fn set_time(&mut self, time: Nanos) {
        let time = time.max(self.now.wall);
        self.now = Now { wall: time, mono: time - self.survey.first };
    }

    fn play(&mut self, body: Body, each: &mut dyn FnMut(&Output)) {
        match body {
            Body::Connect { line, url } => {
                self.bind(line, &url, each);
            }
            Body::Received { line, mut bytes } => {
                // Answers to requests are given when this adapter asks, with its own ids.
                if self.survey.dialect.is_answer(&bytes) {
                    return;
                }
                if let Some(line) = self.line_of(line, each) {
                    self.call(each, |adapter, now, out| adapter.on_message(now, line, &mut bytes, out));
                }
            }
            Body::Closed { line, .. } => self.closed(line, each),
            Body::Response { url, status, bytes } => {
                self.fetches.arrived(self.survey.dialect.address_key(&url), status, bytes);
                self.settle(each);
            }
            Body::Sent { .. } | Body::Dropped { .. } => {}
        }
    }

    /// The adapter's line for a recorded line that carries data. All of the adapter's lines count as open from the first message on:
    /// a recording may hold fewer lines than this adapter would use.
    fn line_of(&mut self, recorded: u32, each: &mut dyn FnMut(&Output)) -> Option<Line> {
        let known = self.position(recorded).map(|at| self.lines[at].line);
        let line = known.or_else(|| self.bind(recorded, "", each))?;
        while let Some(at) = self.lines.iter().position(|line| !line.open) {
            self.open(at, each);
        }
        Some(line)
    }

    /// A recorded line opens: finds its line of the adapter, or `None` if the adapter wants none yet.
    fn bind(&mut self, recorded: u32, url: &str, each: &mut dyn FnMut(&Output)) -> Option<Line> {
        // Connected again without an end recorded: the adapter learns that it was gone.
        self.closed(recorded, each);
        let at = self.position(recorded).or_else(|| self.position_for(url))?;
        if !self.lines[at].recorded.contains(&recorded) {
            self.lines[at].recorded.push(recorded);
        }
        let line = self.lines[at].line;
        if !self.lines[at].open {
            self.open(at, each);
        }
        Some(line)
    }

    fn position(&self, recorded: u32) -> Option<usize> {
        self.lines.iter().position(|line| line.recorded.contains(&recorded))
    }

    /// The line with this address, else the first that stands for no recorded line yet, else any.
    fn position_for(&self, url: &str) -> Option<usize> {
        let free = |same: bool| {
            self.lines.iter().position(|line| line.recorded.is_empty() && (!same || path_of(&line.url) == path_of(url)))
        };
        free(true).or_else(|| free(false)).or((!self.lines.is_empty()).then_some(0))
    }

    fn open(&mut self, at: usize, each: &mut dyn FnMut(&Output)) {
        self.lines[at].open = true;
        let line = self.lines[at].line;
        self.call(each, |adapter, now, out| adapter.on_open(now, line, out));
    }

    fn closed(&mut self, recorded: u32, each: &mut dyn FnMut(&Output)) {
        let Some(at) = self.position(recorded) else { return };
        let played = &mut self.lines[at];
        if played.recorded.len() > 1 {
            // Another recorded line still feeds it.
            played.recorded.retain(|line| *line != recorded);
            return;
        }
        if std::mem::replace(&mut played.open, false) {
            let line = played.line;
            self.call(each, |adapter, now, out| adapter.on_close(now, line, Cause::Disconnected, out));
        }
    }

    /// One call of the adapter, and everything that follows from it at once.
    fn call(&mut self, each: &mut dyn FnMut(&Output), call: impl FnOnce(&mut dyn Adapter, Now, &mut Output)) {
        call(self.adapter.as_mut(), self.now, &mut self.out);
        self.settle(each);
    }

    /// Shows the output, does the actions, and gives the answers that are there, until nothing is left to do.
    fn settle(&mut self, each: &mut dyn FnMut(&Output)) {
        for _ in 0..MAX_ROUNDS {
            each(&self.out);
            let actions = std::mem::take(&mut self.out.actions);
            self.out.clear();
            for action in actions {
                self.act(action);
            }
            if !self.out.batch.is_empty() || !self.out.actions.is_empty() || !self.out.faults.is_empty() {
                continue;
            }
            let Some((fetch, outcome)) = self.fetches.next(self.now.wall, &self.survey) else { return };
            self.adapter.on_response(self.now, fetch, outcome, &mut self.out);
        }
    }

    fn act(&mut self, action: Action) {
        match action {
            Action::Open { line, url } => {
                self.lines.push(PlayedLine { line, url, open: false, recorded: Vec::new() });
            }
            Action::Send { line, text } => {
                for answer in self.survey.dialect.grants(&text) {
                    self.adapter.on_message(self.now, line, &mut answer.into_bytes(), &mut self.out);
                }
            }
            Action::Fetch { fetch, url, .. } => self.fetches.ask(self.now.wall, fetch, self.survey.dialect.address_key(&url)),
            Action::Close { line } => self.lines.retain(|played| played.line != line),
            Action::Reconnect { line, cause } => {
                if let Some(played) = self.lines.iter_mut().find(|played| played.line == line)
                    && std::mem::replace(&mut played.open, false)
                {
                    self.adapter.on_close(self.now, line, cause, &mut self.out);
                }
            }
        }
    }
}

/// An address without scheme and host, which differ between a recording and the settings of its replay.
fn path_of(url: &str) -> &str {
    let rest = url.split_once("://").map_or(url, |(_, rest)| rest);
    rest.find('/').map_or("", |slash| &rest[slash..])
}
