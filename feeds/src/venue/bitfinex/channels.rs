//! What Bitfinex's channel numbers stand for. In: the venue's answers. Out: stream and instrument of a number, and the number of both.
//! Bounded: the lines in use, and the channels a connection may have.

use crate::adapter::Line;

/// Replaced lines are not reported: the oldest beyond so many are forgotten.
const MAX_LINES: usize = 1_024;
const MAX_CHANNELS: usize = 64;

struct Numbered {
    id: u64,
    stream: &'static str,
    native: String,
}

#[derive(Default)]
pub(super) struct Channels {
    /// By line, in the order they were opened.
    lines: Vec<(Line, Vec<Numbered>)>,
}

impl Channels {
    /// A connection begins, without any.
    pub(super) fn begin(&mut self, line: Line) {
        self.lines.retain(|(known, _)| *known != line);
        if self.lines.len() >= MAX_LINES {
            self.lines.remove(0);
        }
        self.lines.push((line, Vec::new()));
    }

    fn of(&self, line: Line) -> &[Numbered] {
        self.lines.iter().find(|(known, _)| *known == line).map_or(&[], |(_, channels)| channels)
    }

    pub(super) fn get(&self, line: Line, id: u64) -> Option<(&'static str, &str)> {
        self.of(line).iter().find(|channel| channel.id == id).map(|channel| (channel.stream, channel.native.as_str()))
    }

    pub(super) fn id_of(&self, line: Line, stream: &str, native: &str) -> Option<u64> {
        let is = |channel: &&Numbered| channel.stream == stream && channel.native == native;
        self.of(line).iter().find(is).map(|channel| channel.id)
    }

    pub(super) fn set(&mut self, line: Line, id: u64, stream: &'static str, native: &str) {
        if !self.lines.iter().any(|(known, _)| *known == line) {
            self.begin(line);
        }
        let Some((_, channels)) = self.lines.iter_mut().find(|(known, _)| *known == line) else { return };
        channels.retain(|channel| channel.id != id && !(channel.stream == stream && channel.native == native));
        if channels.len() < MAX_CHANNELS {
            channels.push(Numbered { id, stream, native: native.to_owned() });
        }
    }

    /// Unsubscribed.
    pub(super) fn take(&mut self, line: Line, id: u64) -> Option<(&'static str, String)> {
        let (_, channels) = self.lines.iter_mut().find(|(known, _)| *known == line)?;
        let at = channels.iter().position(|channel| channel.id == id)?;
        let channel = channels.swap_remove(at);
        Some((channel.stream, channel.native))
    }
}
