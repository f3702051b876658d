//! TOPS and DEEP messages. In: one message's bytes. Out: what it says. Pure, without allocation; a longer message than is known is
//! read as far as it is known (messages may grow at their end), a shorter one is malformed. Bounded by the message.

use wire::event::Nanos;

/// Eight characters, padded with spaces on the right, as they stand in a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Symbol(pub [u8; 8]);

impl Symbol {
    /// `None` for what cannot be a symbol.
    pub fn parse(text: &str) -> Option<Self> {
        let bytes = text.as_bytes();
        if bytes.is_empty() || bytes.len() > 8 || !bytes.iter().all(u8::is_ascii_graphic) {
            return None;
        }
        let mut symbol = [b' '; 8];
        symbol[..bytes.len()].copy_from_slice(bytes);
        Some(Self(symbol))
    }

    /// True for printable characters followed by nothing but padding.
    pub fn is_valid(&self) -> bool {
        let length = self.0.iter().rposition(|byte| *byte != b' ').map_or(0, |last| last + 1);
        length > 0 && self.0[..length].iter().all(u8::is_ascii_graphic)
    }

    pub fn text(&self) -> String {
        self.0.iter().map(|byte| char::from(*byte)).collect::<String>().trim_end().to_owned()
    }
}

/// Of a price level or a trade.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Priced {
    pub symbol: Symbol,
    pub time: Nanos,
    pub flags: u8,
    pub size: u32,
    /// In 1/10,000 dollars.
    pub price: i64,
}

/// Everything that TOPS 1.5, TOPS 1.6 and DEEP 1.0 say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Message {
    /// `O` start of messages, `S` start of system hours, `R` start of regular hours, `M` end of them, `E` end of system hours, `C` end of
    /// messages.
    System {
        time: Nanos,
        event: u8,
    },
    /// A symbol IEX trades today.
    Directory {
        symbol: Symbol,
        time: Nanos,
        flags: u8,
        round_lot: u32,
        adjusted_close: i64,
        luld_tier: u8,
    },
    /// `H` halted on all markets, `O` halt released into an order acceptance period, `P` paused into one, `T` trading.
    TradingStatus {
        symbol: Symbol,
        time: Nanos,
        status: u8,
        reason: [u8; 4],
    },
    /// `O` halted on IEX, `N` not.
    OperationalHalt {
        symbol: Symbol,
        time: Nanos,
        status: u8,
    },
    /// Short sales restricted or not.
    ShortSale {
        symbol: Symbol,
        time: Nanos,
        status: u8,
    },
    /// `O` the opening, `C` the closing of this symbol is done.
    SecurityEvent {
        symbol: Symbol,
        time: Nanos,
        event: u8,
    },
    /// `A`, `B`, `C` or a space: is there retail interest.
    RetailLiquidity {
        symbol: Symbol,
        time: Nanos,
        indicator: u8,
    },
    Quote {
        symbol: Symbol,
        time: Nanos,
        flags: u8,
        bid_size: u32,
        bid_price: i64,
        ask_price: i64,
        ask_size: u32,
    },
    Trade {
        trade: Priced,
        id: i64,
    },
    /// A trade that never was, by its id.
    TradeBreak {
        trade: Priced,
        id: i64,
    },
    /// Absolute size of a buy level (DEEP).
    BuyLevel(Priced),
    /// Absolute size of a sell level (DEEP).
    SellLevel(Priced),
    /// `Q` opening, `M` closing price of the listing exchange.
    OfficialPrice {
        symbol: Symbol,
        time: Nanos,
        kind: u8,
        price: i64,
    },
    /// The auction as it would be now.
    Auction {
        symbol: Symbol,
        time: Nanos,
        kind: u8,
        paired: u32,
        reference_price: i64,
        imbalance: u32,
        imbalance_side: u8,
    },
}

/// All updates of one event are out: the book is consistent.
pub(super) const EVENT_COMPLETE: u8 = 0x01;

/// Why a message says nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MessageError {
    /// A type that is not known: skipped, its length is known from outside.
    Unknown,
    /// Shorter than its type is, or empty.
    Short,
}

impl Message {
    pub fn parse(bytes: &[u8]) -> Result<Self, MessageError> {
        use MessageError::Short;
        let kind = *bytes.first().ok_or(Short)?;
        let second = *bytes.get(1).ok_or(Short)?;
        Ok(match kind {
            b'S' => Self::System { time: time(bytes)?, event: second },
            b'D' => {
                let body: &[u8; 31] = bytes.first_chunk().ok_or(Short)?;
                Self::Directory {
                    symbol: symbol(bytes)?,
                    time: time(bytes)?,
                    flags: second,
                    round_lot: u32_at(body, 18)?,
                    adjusted_close: i64_at(body, 22)?,
                    luld_tier: body[30],
                }
            }
            b'H' => {
                let reason = *bytes.get(18..).and_then(|rest| rest.first_chunk()).ok_or(Short)?;
                Self::TradingStatus { symbol: symbol(bytes)?, time: time(bytes)?, status: second, reason }
            }
            b'O' => Self::OperationalHalt { symbol: symbol(bytes)?, time: time(bytes)?, status: second },
            b'P' => {
                // The detail behind the symbol belongs to the message: one without is cut.
                bytes.get(18).ok_or(Short)?;
                Self::ShortSale { symbol: symbol(bytes)?, time: time(bytes)?, status: second }
            }
            b'E' => Self::SecurityEvent { symbol: symbol(bytes)?, time: time(bytes)?, event: second },
            b'I' => Self::RetailLiquidity { symbol: symbol(bytes)?, time: time(bytes)?, indicator: second },
            b'Q' => {
                let body: &[u8; 42] = bytes.first_chunk().ok_or(Short)?;
                Self::Quote {
                    symbol: symbol(bytes)?,
                    time: time(bytes)?,
                    flags: second,
                    bid_size: u32_at(body, 18)?,
                    bid_price: i64_at(body, 22)?,
                    ask_price: i64_at(body, 30)?,
                    ask_size: u32_at(body, 38)?,
                }
            }
            b'T' => Self::Trade { trade: priced(bytes)?, id: i64_at(bytes, 30)? },
            b'B' => Self::TradeBreak { trade: priced(bytes)?, id: i64_at(bytes, 30)? },
            b'8' => Self::BuyLevel(priced(bytes)?),
            b'5' => Self::SellLevel(priced(bytes)?),
            b'X' => Self::OfficialPrice { symbol: symbol(bytes)?, time: time(bytes)?, kind: second, price: i64_at(bytes, 18)? },
            b'A' => {
                let body: &[u8; 80] = bytes.first_chunk().ok_or(Short)?;
                Self::Auction {
                    symbol: symbol(bytes)?,
                    time: time(bytes)?,
                    kind: second,
                    paired: u32_at(body, 18)?,
                    reference_price: i64_at(body, 22)?,
                    imbalance: u32_at(body, 38)?,
                    imbalance_side: body[42],
                }
            }
            _ => return Err(MessageError::Unknown),
        })
    }
}

fn time(bytes: &[u8]) -> Result<Nanos, MessageError> {
    i64_at(bytes, 2)
}

fn symbol(bytes: &[u8]) -> Result<Symbol, MessageError> {
    bytes.get(10..).and_then(|rest| rest.first_chunk()).map(|symbol| Symbol(*symbol)).ok_or(MessageError::Short)
}

fn priced(bytes: &[u8]) -> Result<Priced, MessageError> {
    let body: &[u8; 30] = bytes.first_chunk().ok_or(MessageError::Short)?;
    Ok(Priced { symbol: symbol(body)?, time: time(body)?, flags: body[1], size: u32_at(body, 18)?, price: i64_at(body, 22)? })
}

fn u32_at(bytes: &[u8], at: usize) -> Result<u32, MessageError> {
    bytes.get(at..).and_then(|rest| rest.first_chunk()).map(|field| u32::from_le_bytes(*field)).ok_or(MessageError::Short)
}

fn i64_at(bytes: &[u8], at: usize) -> Result<i64, MessageError> {
    bytes.get(at..).and_then(|rest| rest.first_chunk()).map(|field| i64::from_le_bytes(*field)).ok_or(MessageError::Short)
}
