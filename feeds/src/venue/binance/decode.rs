//! Binance's messages, spot and futures. In: the root of one JSON message. Out: what it says, still in the venue's own text.
//! Bounded by the message; nothing is allocated.

use crate::json::{Elements, Value};
use wire::event::Nanos;

/// One message of the venue. Prices and sizes are its own decimal text.
#[derive(Clone)]
pub enum Message<'t, 'a> {
    Quote(QuoteText<'a>),
    Trade(TradeText<'a>),
    Depth(DepthText<'t, 'a>),
    /// A request with this id was accepted.
    Ack {
        id: Option<u64>,
    },
    /// A request was refused; `id` is missing where the venue could not read it.
    Refused {
        id: Option<u64>,
        code: i64,
        reason: &'a str,
    },
    /// The venue is about to close this connection.
    Shutdown,
    /// Well-formed, and nothing that was asked for.
    Other,
}

/// Best bid and ask (`bookTicker`).
#[derive(Clone, Copy)]
pub struct QuoteText<'a> {
    pub symbol: &'a str,
    pub update_id: u64,
    pub bid_price: &'a str,
    pub bid_size: &'a str,
    pub ask_price: &'a str,
    pub ask_size: &'a str,
    /// 0 on spot, which gives none.
    pub time: Nanos,
}

#[derive(Clone, Copy)]
pub struct TradeText<'a> {
    pub symbol: &'a str,
    /// `t` of a trade, `a` of an aggregated trade.
    pub id: u64,
    pub price: &'a str,
    pub size: &'a str,
    /// The buyer's order rested in the book, so the seller took.
    pub buyer_is_maker: bool,
    pub time: Nanos,
    pub aggregated: bool,
    /// Futures name what kind of execution it was; all but `MARKET` are the insurance fund's, a deleveraging's and the like.
    pub off_book: bool,
}

#[derive(Clone)]
pub struct DepthText<'t, 'a> {
    pub symbol: &'a str,
    pub first: u64,
    pub last: u64,
    /// The last id of the update before; futures only.
    pub previous: Option<u64>,
    /// When the book changed, or on spot, which does not say, when it was told.
    pub time: Nanos,
    pub bids: Levels<'t, 'a>,
    pub asks: Levels<'t, 'a>,
}

/// `[["price","size"], …]`, read when iterated.
#[derive(Clone)]
pub struct Levels<'t, 'a>(Elements<'t, 'a>);

impl<'a> Iterator for Levels<'_, 'a> {
    /// `None` inside: an entry that is not a pair of texts.
    type Item = Option<(&'a str, &'a str)>;

    fn next(&mut self) -> Option<Self::Item> {
        let mut pair = self.0.next()?.elements();
        let price = pair.next().and_then(Value::text);
        let size = pair.next().and_then(Value::text);
        Some(price.zip(size))
    }
}

/// The REST answer to `/api/v3/depth`.
pub struct Snapshot<'t, 'a> {
    pub last_update_id: u64,
    pub bids: Levels<'t, 'a>,
    pub asks: Levels<'t, 'a>,
}

/// What a message lacks or has wrong, for the log.
pub type Complaint = &'static str;

/// Values of the one-letter keys, which is what all frequent messages are made of, and `pu`.
struct Letters<'t, 'a> {
    values: [Option<Value<'t, 'a>>; 58],
    previous: Option<u64>,
}

impl<'t, 'a> Letters<'t, 'a> {
    fn of(object: Value<'t, 'a>) -> Self {
        let mut letters = Self { values: [None; 58], previous: None };
        for (key, value) in object.entries() {
            match key.as_bytes() {
                [letter @ b'A'..=b'z'] => letters.values[usize::from(letter - b'A')] = Some(value),
                b"pu" => letters.previous = value.unsigned(),
                _ => {}
            }
        }
        letters
    }

    fn get(&self, letter: u8) -> Option<Value<'t, 'a>> {
        self.values[usize::from(letter - b'A')]
    }

    fn text(&self, letter: u8) -> Option<&'a str> {
        self.get(letter)?.text()
    }

    fn number(&self, letter: u8) -> Option<u64> {
        self.get(letter)?.unsigned()
    }

    fn time(&self, letter: u8) -> Option<Nanos> {
        nanos(self.number(letter)?)
    }

    fn levels(&self, letter: u8) -> Option<Levels<'t, 'a>> {
        let value = self.get(letter)?;
        value.is_array().then(|| Levels(value.elements()))
    }
}

/// The venue's milliseconds, or microseconds where the connection asked for them: those have three digits more, until the year 5138.
fn nanos(time: u64) -> Option<Nanos> {
    let factor = if time < 100_000_000_000_000 { 1_000_000 } else { 1_000 };
    i64::try_from(time).ok()?.checked_mul(factor)
}

/// Reads `{"stream":…,"data":{…}}` as well as the bare inner object.
pub fn message<'t, 'a>(root: Value<'t, 'a>) -> Result<Message<'t, 'a>, Complaint> {
    if !root.is_object() {
        return Err("not an object");
    }
    let data = root.entries().find(|(key, _)| *key == "data").map(|(_, value)| value).filter(|value| value.is_object());
    let body = data.unwrap_or(root);
    let letters = Letters::of(body);
    let event = match letters.get(b'e') {
        Some(event) => Some(event.text().ok_or("event type is not a text")?),
        None => None,
    };
    match event {
        Some("trade") => trade(&letters, b't', false).map(Message::Trade).ok_or("trade lacks a field"),
        Some("aggTrade") => trade(&letters, b'a', true).map(Message::Trade).ok_or("aggTrade lacks a field"),
        Some("depthUpdate") => depth(&letters).map(Message::Depth).ok_or("depthUpdate lacks a field"),
        Some("serverShutdown") => Ok(Message::Shutdown),
        // Futures and newer spot streams may name the event; the fields are the same.
        None | Some("bookTicker") if letters.get(b'u').is_some() && letters.get(b'B').is_some() => {
            quote(&letters).map(Message::Quote).ok_or("bookTicker lacks a field")
        }
        None if data.is_none() => Ok(answer(root)),
        _ => Ok(Message::Other),
    }
}

fn quote<'a>(letters: &Letters<'_, 'a>) -> Option<QuoteText<'a>> {
    Some(QuoteText {
        symbol: letters.text(b's')?,
        update_id: letters.number(b'u')?,
        bid_price: letters.text(b'b')?,
        bid_size: letters.text(b'B')?,
        ask_price: letters.text(b'a')?,
        ask_size: letters.text(b'A')?,
        time: letters.time(b'T').unwrap_or(0),
    })
}

fn trade<'a>(letters: &Letters<'_, 'a>, id: u8, aggregated: bool) -> Option<TradeText<'a>> {
    Some(TradeText {
        symbol: letters.text(b's')?,
        id: letters.number(id)?,
        price: letters.text(b'p')?,
        size: letters.text(b'q')?,
        buyer_is_maker: letters.get(b'm')?.truth()?,
        time: letters.time(b'T')?,
        aggregated,
        off_book: letters.text(b'X').is_some_and(|kind| kind != "MARKET"),
    })
}

fn depth<'t, 'a>(letters: &Letters<'t, 'a>) -> Option<DepthText<'t, 'a>> {
    Some(DepthText {
        symbol: letters.text(b's')?,
        first: letters.number(b'U')?,
        last: letters.number(b'u')?,
        previous: letters.previous,
        time: letters.time(b'T').or_else(|| letters.time(b'E'))?,
        bids: letters.levels(b'b')?,
        asks: letters.levels(b'a')?,
    })
}

/// `{"result":null,"id":1}`, `{"code":2,"msg":"…","id":1}`, and the newer `{"error":{"code":2,"msg":"…"},"id":1}`.
fn answer<'t, 'a>(root: Value<'t, 'a>) -> Message<'t, 'a> {
    let (mut id, mut code, mut reason, mut result) = (None, None, None, false);
    for (key, value) in root.entries() {
        match key {
            "id" => id = value.unsigned(),
            "result" => result = true,
            "code" => code = value.signed(),
            "msg" => reason = value.text(),
            "error" => {
                code = code.or(Some(0));
                for (key, value) in value.entries() {
                    match key {
                        "code" => code = value.signed(),
                        "msg" => reason = value.text(),
                        _ => {}
                    }
                }
            }
            _ => {}
        }
    }
    match (code, result) {
        (Some(code), _) => Message::Refused { id, code, reason: reason.unwrap_or("") },
        (None, true) => Message::Ack { id },
        (None, false) => Message::Other,
    }
}

pub fn snapshot<'t, 'a>(root: Value<'t, 'a>) -> Result<Snapshot<'t, 'a>, Complaint> {
    let (mut last_update_id, mut bids, mut asks) = (None, None, None);
    for (key, value) in root.entries() {
        match key {
            "lastUpdateId" => last_update_id = value.unsigned(),
            "bids" if value.is_array() => bids = Some(Levels(value.elements())),
            "asks" if value.is_array() => asks = Some(Levels(value.elements())),
            _ => {}
        }
    }
    match (last_update_id, bids, asks) {
        (Some(last_update_id), Some(bids), Some(asks)) => Ok(Snapshot { last_update_id, bids, asks }),
        _ => Err("snapshot lacks lastUpdateId, bids or asks"),
    }
}

#[cfg(test)]
#[path = "decode_tests.rs"]
mod tests;
