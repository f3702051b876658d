//! The instruments of a feed. In: the venue's lists, by REST or in band, or what a recording's data amounts to. Out: markets for the
//! symbols that were asked for, each announced once and told what changed. Bounded by the settings' symbols.

use super::decoded::Decoded;
use super::facts::{AnsweredBy, ListingFrom};
use super::feed::{Feed, fault};
use super::lines::Words;
use super::listing::Listed;
use super::market::Market;
use super::protocol::Protocol;
use crate::adapter::{FaultKind, Fetch, FetchError, Now, Output};

const LIST_RETRY_FIRST_NS: i64 = 1_000_000_000;
const LIST_RETRY_LAST_NS: i64 = 60_000_000_000;
/// Tick sizes, trading phases and new listings change some times a day.
const LIST_REFRESH_NS: i64 = 15 * 60 * 1_000_000_000;

/// A list of so many pages is none that a venue has.
const MAX_PAGES: u32 = 50;

/// An answer that is waited for.
pub(super) struct Page {
    pub(super) fetch: Fetch,
    url: String,
    /// From 1, of its list.
    number: u32,
}

/// The list of instruments, which may come in several answers.
pub(super) struct List {
    pub(super) fetches: Vec<Page>,
    found: Vec<Listed>,
    complaint: Option<String>,
    due: i64,
    failures: u32,
}

impl Default for List {
    fn default() -> Self {
        Self { fetches: Vec::new(), found: Vec::new(), complaint: None, due: i64::MIN, failures: 0 }
    }
}

impl Feed {
    pub(super) fn begin(&mut self, now: Now, protocol: &dyn Protocol, decoded: &mut Decoded, out: &mut Output) {
        if self.unlisted || self.facts.listing == ListingFrom::Nothing {
            self.on_list(now, Vec::new(), protocol, decoded, out);
        } else if self.facts.listing == ListingFrom::Subscription {
            self.lines.open_first(out);
        } else {
            self.fetch_list(protocol, out);
        }
    }

    pub(super) fn fetch_list(&mut self, protocol: &dyn Protocol, out: &mut Output) {
        let mut wanted = self.missing.clone();
        wanted.extend(self.markets.iter().map(|market| format!("!{}", market.instrument.native)));
        for url in protocol.listings(&self.rest_url, &wanted) {
            self.fetch_page(url, 1, out);
        }
    }

    fn fetch_page(&mut self, url: String, number: u32, out: &mut Output) {
        let fetch = self.fetch(url.clone(), self.facts.listing_weight, false, out);
        self.list.fetches.push(Page { fetch, url, number });
    }

    /// One of the lists, or a page of one, is here; acted on when all are.
    pub(super) fn on_list_part(
        &mut self,
        now: Now,
        page: &Page,
        result: Result<Vec<u8>, FetchError>,
        protocol: &dyn Protocol,
        decoded: &mut Decoded,
        out: &mut Output,
    ) {
        let result = match result {
            Err(FetchError::Status { status: 400 | 404, .. }) if self.facts.listing_each => None,
            // Whoever recorded it did not ask for more pages.
            Err(_) if self.is_replay && page.number > 1 => None,
            result => Some(result),
        };
        if let Some(Ok(json)) = &result
            && let Some(next) = protocol.next_listing(&page.url, json)
        {
            if page.number < MAX_PAGES {
                self.fetch_page(next, page.number + 1, out);
            } else {
                self.list.complaint = Some(format!("it has more than {MAX_PAGES} pages"));
            }
        }
        let found = result.map(|result| result.map_err(|error| error.to_string()).and_then(|json| protocol.listing(&json)));
        match found {
            Some(Ok(found)) => self.list.found.extend(found),
            Some(Err(complaint)) => self.list.complaint = Some(complaint),
            None => {}
        }
        if !self.list.fetches.is_empty() {
            return;
        }
        let found = std::mem::take(&mut self.list.found);
        if let Some(complaint) = self.list.complaint.take() {
            fault(out, FaultKind::Refused, format!("{}: no list of instruments: {complaint}", self.venue));
            let pause = LIST_RETRY_FIRST_NS << self.list.failures.min(6);
            self.list.failures += 1;
            self.list.due = now.mono.saturating_add(pause.min(LIST_RETRY_LAST_NS));
            return;
        }
        self.list.failures = 0;
        self.list.due = now.mono.saturating_add(LIST_REFRESH_NS);
        self.on_list(now, found, protocol, decoded, out);
    }

    pub(super) fn on_list(
        &mut self,
        now: Now,
        found: Vec<Listed>,
        protocol: &dyn Protocol,
        decoded: &mut Decoded,
        out: &mut Output,
    ) {
        for listed in &found {
            if let Some(index) = decoded.index_of(&listed.native) {
                let market = &mut self.markets[index as usize];
                market.on_trading(now, listed.trading, out);
                let need = market.relist(now, &listed.instrument(&self.facts), out);
                self.serve(now, index, need, protocol, out);
            }
        }
        let made = std::mem::take(&mut self.made);
        for wanted in std::mem::take(&mut self.missing) {
            let listed = found.iter().chain(&made).find(|listed| listed.is(&wanted)).cloned();
            let listed = listed.or_else(|| self.guessed(&wanted, protocol));
            match listed {
                Some(listed) if decoded.index_of(&listed.native).is_none() => {
                    self.add_market(now, &listed, protocol, decoded, out);
                }
                Some(_) => {}
                None => self.missing.push(wanted),
            }
        }
        self.made = made;
        if !self.known {
            self.known = true;
            for symbol in &self.missing {
                fault(out, FaultKind::UnknownInstrument, format!("{} lists no symbol '{symbol}'", self.venue));
            }
        }
    }

    fn guessed(&self, wanted: &str, protocol: &dyn Protocol) -> Option<Listed> {
        let none = self.facts.listing == ListingFrom::Nothing;
        wanted.strip_prefix('!').filter(|_| none).map(|native| protocol.guess(native))
    }

    fn add_market(&mut self, now: Now, listed: &Listed, protocol: &dyn Protocol, decoded: &mut Decoded, out: &mut Output) {
        let index = self.markets.len() as u32;
        decoded.know(&listed.native, index);
        let instrument = listed.instrument(&self.facts);
        self.markets.push(Market::new(index, instrument, listed.trading, &self.channels, self.rules));
        self.snapshots.add_instrument();
        let markets = &self.markets;
        let native = |market: u32| markets[market as usize].instrument.native.clone();
        let link = self.lines.add(now, index, &Words { protocol, native: &native }, out);
        self.lost.resize(self.lost.len().max(link as usize + 1), None);
        self.markets[index as usize].introduce(now, link, out);
        if self.facts.answered_by == AnsweredBy::Nothing
            && let Some(line) = self.lines.greeted_line_of(index)
        {
            self.taken_for_granted(now, line, protocol, out);
        }
    }

    /// Again after a while, sooner after a failure.
    pub(super) fn tend_list(&mut self, now: Now, protocol: &dyn Protocol, out: &mut Output) {
        let by_rest = self.facts.listing == ListingFrom::Rest && !self.unlisted;
        if by_rest && self.list.fetches.is_empty() && now.mono >= self.list.due {
            self.fetch_list(protocol, out);
        }
    }
}
