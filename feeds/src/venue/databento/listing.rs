//! Who the instruments are. In: metadata, symbol mappings, definitions. Out: an `Instrument` for an id at a time.
//! Bounded by `MAX_INSTRUMENTS` names and definitions; a file's own mappings by its metadata.

use super::MAX_INSTRUMENTS;
use super::market::NO_PUBLISHER;
use super::scale::{FINEST_EXPONENT, USUAL_EXPONENT, needs, unit};
use crate::symbol::topic_symbol;
use dbn::{InstrumentDefMsg, Metadata, Publisher, SymbolMappingMsg, TsSymbolMap, UNDEF_PRICE};
use std::collections::HashMap;
use wire::instrument::{Instrument, InstrumentClass};

type Map<V> = HashMap<u32, V, foldhash::fast::RandomState>;

#[derive(Default)]
pub(super) struct Listing {
    /// As the file's metadata have it, by time.
    of_file: TsSymbolMap,
    /// As mapping and definition records have it, the newest.
    of_records: Map<String>,
    definitions: Map<Definition>,
    /// The publisher whose instrument of this id has the plain name.
    publishers: Map<u16>,
    class: InstrumentClass,
}

/// What a definition says beyond the name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Definition {
    pub price_exponent: i8,
    pub tick: i64,
    pub class: InstrumentClass,
}

impl Listing {
    /// `false` if the metadata do not map symbols to ids, which is then left to records.
    pub fn on_metadata(&mut self, metadata: &Metadata) -> bool {
        // By the letters of the dataset: there is no class without a definition.
        self.class = match metadata.dataset.split('.').next().unwrap_or_default() {
            "GLBX" | "IFEU" | "IFUS" | "IFLL" | "NDEX" | "XEUR" | "XEEE" | "XCBF" | "XCIS" => InstrumentClass::Future,
            "OPRA" => InstrumentClass::Option,
            _ => InstrumentClass::Equity,
        };
        match metadata.symbol_map() {
            Ok(map) => self.of_file = map,
            Err(_) => return metadata.mappings.is_empty(),
        }
        true
    }

    pub fn on_mapping(&mut self, mapping: &SymbolMappingMsg) {
        if let Ok(symbol) = mapping.stype_out_symbol() {
            self.name(mapping.hd.instrument_id, symbol);
        }
    }

    pub fn on_definition(&mut self, message: &InstrumentDefMsg) -> Option<Definition> {
        let id = message.hd.instrument_id;
        if let Ok(symbol) = message.raw_symbol() {
            self.name(id, symbol);
        }
        let step = message.min_price_increment;
        let price_exponent = if step > 0 && step != UNDEF_PRICE { needs(step) } else { USUAL_EXPONENT };
        let tick = if step > 0 && step != UNDEF_PRICE { step / unit(price_exponent) } else { 0 };
        let class = match message.instrument_class.cast_unsigned() {
            b'K' | b'B' => InstrumentClass::Equity,
            b'C' | b'P' | b'T' => InstrumentClass::Option,
            b'F' | b'S' | b'M' => InstrumentClass::Future,
            b'X' | b'Y' => InstrumentClass::Spot,
            b'I' => InstrumentClass::Index,
            _ => self.class,
        };
        let definition = Definition { price_exponent, tick, class };
        if self.definitions.len() < MAX_INSTRUMENTS || self.definitions.contains_key(&id) {
            self.definitions.insert(id, definition);
        }
        Some(definition)
    }

    fn name(&mut self, id: u32, symbol: &str) {
        if symbol.is_empty() {
            return;
        }
        let has_room = self.of_records.len() < MAX_INSTRUMENTS;
        match self.of_records.get_mut(&id) {
            Some(known) => symbol.clone_into(known),
            None if has_room => drop(self.of_records.insert(id, symbol.to_owned())),
            None => {}
        }
    }

    /// The venue's own name of this id at this time; its number if it has none.
    pub fn native(&self, id: u32, time: u64) -> String {
        let known = self.of_records.get(&id).or_else(|| self.of_file.get_for_ts(time, id));
        known.cloned().unwrap_or_else(|| id.to_string())
    }

    /// How the instrument of this id and publisher is listed. Of several publishers the first one's has the plain name.
    pub fn instrument(&mut self, id: u32, publisher: u16, time: u64) -> Instrument {
        let mut native = self.native(id, time);
        let first = match self.publishers.get(&id) {
            Some(first) if *first != NO_PUBLISHER => *first,
            _ => {
                if self.publishers.len() < MAX_INSTRUMENTS {
                    self.publishers.insert(id, publisher);
                }
                publisher
            }
        };
        if first != publisher {
            let venue =
                Publisher::try_from(publisher).map_or_else(|_| publisher.to_string(), |known| known.venue().as_str().to_owned());
            native = format!("{native}.{venue}");
        }
        let Definition { price_exponent, tick, class } = self.definitions.get(&id).copied().unwrap_or(Definition {
            price_exponent: USUAL_EXPONENT,
            tick: 0,
            class: self.class,
        });
        Instrument {
            symbol: topic_symbol(&native),
            native,
            class,
            price_exponent: price_exponent.max(FINEST_EXPONENT),
            size_exponent: 0,
            tick,
            lot: 1,
            quote_has_event_time: true,
            trade_has_event_time: true,
            book_has_event_time: true,
            event_time_exponent: -9,
        }
    }
}
