//! Which stocks there are, and when they trade. In: the directory, trading actions, system events. Out: instruments and trading states.
//! Bounded by `MAX_STOCKS`.

use super::{MAX_STOCKS, Market, NONE, Phase, Stamp, UNWANTED};
use crate::adapter::{FaultKind, Output};
use crate::venue::itch::message::{Header, Stock};
use crate::venue::itch::stock::Listed;
use wire::event::{EventBody, Flags};

impl Market {
    /// The stock of a message that does not name it.
    pub(super) fn find(&mut self, header: &Header, out: &mut Output) -> Option<u32> {
        match self.locates[usize::from(header.locate)] {
            NONE => {
                self.counts.unknown_stock += 1;
                if self.whole {
                    self.fault(FaultKind::UnknownInstrument, out, || format!("locate {}", header.locate));
                }
                None
            }
            UNWANTED => None,
            index => Some(index),
        }
    }

    /// The stock of a message that names it: told now if the directory was not heard.
    pub(super) fn find_or_list(&mut self, at: Stamp, header: &Header, stock: Stock, out: &mut Output) -> Option<u32> {
        match self.locates[usize::from(header.locate)] {
            NONE => self.list(at, header.locate, stock, out),
            UNWANTED => None,
            index => Some(index),
        }
    }

    pub(super) fn directory(&mut self, at: Stamp, header: &Header, stock: Stock, out: &mut Output) {
        let known = self.locates[usize::from(header.locate)];
        // Told again in the middle of a day with the same name; another name is another stock.
        if self.stocks.get(known as usize).is_none_or(|listed| listed.stock != stock) {
            self.list(at, header.locate, stock, out);
        }
    }

    pub(super) fn list(&mut self, at: Stamp, locate: u16, stock: Stock, out: &mut Output) -> Option<u32> {
        let slot = usize::from(locate);
        self.locates[slot] = UNWANTED;
        if !self.options.stocks.is_empty() && !self.options.stocks.contains(&stock) {
            return None;
        }
        let Some(listed) = Listed::new(stock) else {
            self.fault(FaultKind::BadMessage, out, || format!("'{}' is no name of a stock", stock.escape_ascii()));
            return None;
        };
        // A new session may give a stock another locate.
        let known = self.stocks.iter().position(|known| known.stock == stock);
        if known.is_none() && self.stocks.len() >= MAX_STOCKS {
            self.fault(FaultKind::BufferFull, out, || format!("'{}' is one stock too many", stock.escape_ascii()));
            return None;
        }
        let index = known.unwrap_or(self.stocks.len()) as u32;
        self.locates[slot] = index;
        if known.is_none() {
            let instrument = listed.instrument();
            self.stocks.push(listed);
            self.books.open(index);
            at.put(index, Flags::default(), EventBody::Instrument(Box::new(instrument)), out);
            let (state, cause) = self.state;
            at.put(index, Flags::default(), EventBody::State { channel: None, state, cause }, out);
            self.put_trading(at, index, out);
        }
        Some(index)
    }

    pub(super) fn phase_of(
        &mut self,
        at: Stamp,
        header: &Header,
        stock: Stock,
        out: &mut Output,
        change: impl FnOnce(&mut Listed),
    ) {
        if let Some(index) = self.find_or_list(at, header, stock, out) {
            change(&mut self.stocks[index as usize]);
            self.put_trading(at, index, out);
        }
    }

    pub(super) fn put_trading(&mut self, at: Stamp, index: u32, out: &mut Output) {
        let phase = self.phase;
        if let Some(trading) = self.stocks[index as usize].new_trading(phase) {
            at.put(index, Flags::default(), EventBody::Trading(trading), out);
        }
    }

    pub(super) fn system(&mut self, at: Stamp, event: u8, out: &mut Output) {
        self.phase = match event {
            // Start of messages; end of system hours and of messages.
            b'O' | b'E' | b'C' => Phase::Closed,
            // Start of system hours, start and end of market hours: there is trading before and after those.
            b'S' | b'Q' | b'M' => Phase::Open,
            _ => return,
        };
        self.directory_over |= event != b'O';
        for index in 0..self.stocks.len() as u32 {
            self.put_trading(at, index, out);
        }
    }
}
