//! What a replay must know of a venue beside its adapter. In: recorded messages and addresses. Out: what they are about, and answers
//! in the venue's words. Bounded by the message; names seen are kept.

use super::decoded::{Decoded, Item, Part, RawLevel};
use super::facts::{AnsweredBy, ListingFrom};
use super::listing::Listed;
use super::protocol::Protocol;
use crate::adapter::Line;
use crate::replay::{Noted, Notes};
use std::collections::BTreeMap;
use wire::decimal::Decimal;

/// A venue, as seen by whoever reads recordings of it.
pub trait Dialect: Send {
    /// A recorded connection begins.
    fn connected(&mut self, _line: u32, _url: &str) {}
    /// Notes what a recorded message holds.
    fn message(&mut self, line: u32, bytes: &[u8], notes: &mut Notes);
    /// Notes what a recorded answer to a REST request holds.
    fn response(&mut self, key: &str, bytes: &[u8], notes: &mut Notes);
    /// Which recorded answer belongs to which request.
    fn address_key(&self, url: &str) -> String;
    /// Must this recorded message be kept from the adapter, which hears its own answers?
    fn is_answer(&self, message: &[u8]) -> bool;
    /// The venue's yes to a request.
    fn grants(&self, request: &str) -> Vec<String>;
    /// Instruments as far as the data tells: by native symbol, with the exponents of the finest price and size.
    fn instruments(&self, _scales: &BTreeMap<String, (i8, i8)>) -> Vec<Listed> {
        Vec::new()
    }
}

/// The dialect of a venue that is described by a `Protocol`.
pub struct EngineDialect {
    protocol: Box<dyn Protocol>,
    decoded: Decoded,
    /// By index of `decoded`.
    names: Vec<String>,
}

impl EngineDialect {
    pub fn new(protocol: Box<dyn Protocol>) -> Self {
        Self { protocol, decoded: Decoded::surveying(), names: Vec::new() }
    }

    /// `book`: what its books count as.
    fn note(&mut self, book: Noted, notes: &mut Notes) {
        if self.names.len() < self.decoded.names().count() {
            self.names.resize(self.decoded.names().count(), String::new());
            for (name, index) in self.decoded.names() {
                self.names[index as usize] = name.to_owned();
            }
        }
        notes.depth = self.decoded.depth.or(notes.depth);
        for item in &self.decoded.items {
            match item {
                Item::Quote { instrument, quote } => {
                    let levels = [quote.bid, quote.ask].into_iter().filter_map(|part| match part {
                        Part::At(raw) => Some(raw),
                        Part::Same | Part::Nothing => None,
                    });
                    notes.add(&self.names[*instrument as usize], Noted::Quote, levels.map(pair));
                }
                Item::Trade { instrument, trade } if !trade.off_book => {
                    let kind = if trade.aggregated { Noted::AggregatedTrade } else { Noted::Trade };
                    let raw = RawLevel { price: trade.price, size: trade.size };
                    notes.add(&self.names[*instrument as usize], kind, std::iter::once(pair(raw)));
                }
                Item::Book { instrument, bids, asks, .. } => {
                    let levels = self.decoded.bids[bids.clone()].iter().chain(&self.decoded.asks[asks.clone()]);
                    notes.add(&self.names[*instrument as usize], book, levels.copied().map(pair));
                }
                Item::Listed(_) => notes.has_listing = true,
                _ => {}
            }
        }
    }
}

fn pair(raw: RawLevel) -> (Decimal, Decimal) {
    (raw.price, raw.size)
}

impl Dialect for EngineDialect {
    fn connected(&mut self, line: u32, url: &str) {
        self.protocol.connected(Line(line), url);
    }

    fn message(&mut self, line: u32, bytes: &[u8], notes: &mut Notes) {
        self.decoded.clear();
        if self.protocol.decode(Line(line), &mut bytes.to_vec(), &mut self.decoded).is_ok() {
            self.note(Noted::Book, notes);
        }
    }

    fn response(&mut self, key: &str, bytes: &[u8], notes: &mut Notes) {
        if self.protocol.facts().listing == ListingFrom::Rest
            && self.protocol.listing_keys().iter().any(|known| key.starts_with(known))
        {
            notes.has_listing |= self.protocol.listing(bytes).is_ok_and(|found| !found.is_empty());
            return;
        }
        // A snapshot names its instrument in its address at best: the protocol reads it for a name that only counts for the scale.
        if let Some(native) = self.protocol.snapshot_native(key) {
            self.decoded.clear();
            if self.protocol.snapshot(&native, &mut bytes.to_vec(), &mut self.decoded).is_ok() {
                self.note(Noted::Levels, notes);
            }
        }
    }

    fn address_key(&self, url: &str) -> String {
        self.protocol.address_key(url)
    }

    fn is_answer(&self, message: &[u8]) -> bool {
        self.protocol.facts().answered_by != AnsweredBy::Topic && self.protocol.is_answer(message)
    }

    fn grants(&self, request: &str) -> Vec<String> {
        self.protocol.grants(request)
    }

    fn instruments(&self, scales: &BTreeMap<String, (i8, i8)>) -> Vec<Listed> {
        let made = |(native, (price, size)): (&String, &(i8, i8))| {
            self.protocol.guess(native).steps(Decimal::new(1, *price), Decimal::new(1, *size))
        };
        scales.iter().map(made).collect()
    }
}
