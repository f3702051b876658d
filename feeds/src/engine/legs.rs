//! The lines of a feed that carry the same data. In: settings, arrivals, lost and lagging lines, ticks. Out: their addresses, which instruments
//! go over to another line, how each is doing, and an alarm for one that lags. Bounded by `MAX_LINES`.

use super::facts::{Facts, SnapshotFrom};
use super::feed::{Feed, fault};
use super::market::Need;
use super::protocol::Protocol;
use crate::adapter::{FaultKind, LINE_NAMES, Line, MAX_LINES, Now, Output, Race};
use crate::error::FeedError;
use crate::settings::FeedSettings;
use wire::event::Channel;

/// A line this far behind the others is of no use as their stand-in, and is told as a fault.
const BEHIND_NS: i64 = 1_000_000_000;
const LOOK_EVERY_NS: i64 = 1_000_000_000;

/// How far each line was behind since the last look. (Those that lag `Lines` knows.)
#[derive(Debug, Default)]
pub(super) struct Watch {
    worst: [i64; MAX_LINES],
    looked: i64,
}

/// The base address of each line, or what is wrong with the settings. The second takes the first further address, and so on, round and
/// round if there are fewer addresses than lines.
pub(super) fn line_addresses(
    venue: &str,
    first: String,
    facts: &Facts,
    settings: &FeedSettings,
) -> Result<Vec<String>, FeedError> {
    let bad = |reason: String| FeedError::Lines { venue: venue.to_owned(), reason };
    if facts.token && !settings.ws_urls.is_empty() {
        return Err(bad("the venue itself names the address of each connection; leave ws_urls out and set lines = 2".to_owned()));
    }
    let further = settings.ws_urls.iter().map(|url| url.trim_end_matches('/').to_owned());
    let addresses: Vec<String> = std::iter::once(first).chain(further).collect();
    let lines = settings.lines.map_or(addresses.len(), |lines| lines as usize);
    if !(1..=MAX_LINES).contains(&lines) {
        return Err(bad(format!("{lines} lines; use 1 to {MAX_LINES}")));
    }
    if lines < addresses.len() {
        return Err(bad(format!("{lines} lines for {} addresses; use one line an address at least", addresses.len())));
    }
    Ok(addresses.iter().cycle().take(lines).cloned().collect())
}

impl Feed {
    /// This line is gone, or lags: others take its place, one instrument after the other.
    pub(super) fn leave_line(&mut self, now: Now, line: Line, is_lost: bool, protocol: &dyn Protocol, out: &mut Output) {
        let Some(came) = self.lines.left(line) else { return };
        let channels = self.lines.channels_at(self.lines.endpoint_of(line));
        for index in self.lines.markets_of(line).to_vec() {
            let need = self.markets[index as usize].leave_line(now, came, is_lost, &channels, out);
            self.serve(now, index, need, protocol, out);
            if need == Need::SnapshotAndRepeat {
                self.markets[index as usize].keep_early(now, came.delivering, out);
            }
        }
    }

    /// How late the slower lines were with what is in `out`.
    pub(super) fn note_leads(&mut self, out: &Output) {
        for race in &out.races {
            if let Race::Lead { over, lead_ns, .. } = race
                && let Some(worst) = self.watch.worst.get_mut(usize::from(*over))
            {
                *worst = (*worst).max(*lead_ns);
            }
        }
    }

    /// What waits for another line, lines that lag, books that are not right: on every tick.
    pub(super) fn tend_lines(&mut self, now: Now, protocol: &dyn Protocol, out: &mut Output) {
        if self.lines.legs() < 2 {
            return;
        }
        for index in 0..self.markets.len() as u32 {
            let delivering = |channel| self.lines.delivering(index, channel);
            let of_books = delivering(Channel::Book);
            let of_each = [delivering(Channel::Quote), delivering(Channel::Trade), of_books];
            let market = &mut self.markets[index as usize];
            let need = market.tend_lines(now, of_each, self.lines.behind, out);
            let renew = market.lines_to_renew(now, of_books);
            self.serve(now, index, need, protocol, out);
            if need == Need::SnapshotAndRepeat {
                self.markets[index as usize].keep_early(now, of_books, out);
            }
            let SnapshotFrom::Subscription { unsubscribe } = self.facts.snapshot else { continue };
            for leg in (0..MAX_LINES as u8).filter(|leg| renew & (1 << leg) != 0) {
                self.subscribe_leg_again(now, index, leg, unsubscribe, protocol, out);
            }
        }
        self.look(now, protocol, out);
    }

    fn look(&mut self, now: Now, protocol: &dyn Protocol, out: &mut Output) {
        if now.mono.saturating_sub(self.watch.looked) < LOOK_EVERY_NS {
            return;
        }
        self.watch.looked = now.mono;
        for (leg, name) in LINE_NAMES.iter().enumerate().take(self.lines.legs()) {
            let (silent_ns, open, lost) = self.lines.health(leg);
            let behind_ns = silent_ns.max(std::mem::take(&mut self.watch.worst[leg]));
            out.races.push(Race::Health { line: leg as u8, behind_ns, open, lost });
            let (behind, bit) = (self.lines.behind, 1 << leg);
            let was_behind = behind & bit != 0;
            // Up at once, down at half of it, so that a line at the threshold is one alarm and not many.
            let is_behind = behind_ns >= if was_behind { BEHIND_NS / 2 } else { BEHIND_NS };
            self.lines.behind = if is_behind { behind | bit } else { behind & !bit };
            if is_behind && !was_behind {
                let ms = behind_ns / 1_000_000;
                fault(out, FaultKind::LineBehind, format!("{}: line {name} is {ms} ms behind the others", self.venue));
            }
        }
        // Each time: another line may be ready only now to take its place, or this one may lead because there was no other.
        for leg in (0..self.lines.legs()).filter(|leg| self.lines.behind & (1 << leg) != 0).collect::<Vec<_>>() {
            for line in self.lines.of_leg(leg) {
                self.leave_line(now, line, false, protocol, out);
            }
        }
    }
}
