//! Every message of TotalView-ITCH 5.0 by one table. In: the bytes of a message. Out: its fields, or why it has none; and back.
//! Pure, without allocation; numbers are big-endian and lie side by side without padding. Bounded by `MAX_BYTES`.
//!
//! Source of the table: Nasdaq TotalView-ITCH 5.0 specification. A type that is not in it is skipped by its length; a message of
//! another length than its type has is told as such, and no part of it is believed.

/// The longest message (NOII).
pub const MAX_BYTES: usize = 50;

/// ASCII, filled up with spaces on the right.
pub type Stock = [u8; 8];

/// Why a message has no fields.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Malformed {
    #[error("an empty message")]
    Empty,
    #[error("unknown message type '{}'", char::from(*.0).escape_default())]
    UnknownType(u8),
    #[error("a message '{}' of {found} bytes; it has {expected}", char::from(*.kind))]
    Length { kind: u8, expected: usize, found: usize },
}

/// What every message begins with.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Header {
    /// The day's number of the stock; 0 in messages about none.
    pub locate: u16,
    pub tracking: u16,
    /// Nanoseconds since midnight in New York (48 bits).
    pub time_ns: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Message {
    pub header: Header,
    pub body: Body,
}

/// A value of a fixed number of bytes.
trait Field: Copy {
    fn get(bytes: &[u8], at: usize) -> Self;
    fn put(self, bytes: &mut [u8], at: usize);
}

macro_rules! numbers {
    ($($number:ty),+) => { $(impl Field for $number {
        #[inline(always)]
        fn get(bytes: &[u8], at: usize) -> Self {
            let mut own = [0; size_of::<Self>()];
            own.copy_from_slice(&bytes[at..at + size_of::<Self>()]);
            Self::from_be_bytes(own)
        }
        #[inline(always)]
        fn put(self, bytes: &mut [u8], at: usize) {
            bytes[at..at + size_of::<Self>()].copy_from_slice(&self.to_be_bytes());
        }
    })+ };
}
numbers!(u8, u16, u32, u64);

impl<const N: usize> Field for [u8; N] {
    #[inline(always)]
    fn get(bytes: &[u8], at: usize) -> Self {
        let mut own = [0; N];
        own.copy_from_slice(&bytes[at..at + N]);
        own
    }
    #[inline(always)]
    fn put(self, bytes: &mut [u8], at: usize) {
        bytes[at..at + N].copy_from_slice(&self);
    }
}

impl Header {
    #[inline(always)]
    fn get(bytes: &[u8]) -> Self {
        let high = u16::get(bytes, 5);
        let low = u32::get(bytes, 7);
        Self { locate: u16::get(bytes, 1), tracking: u16::get(bytes, 3), time_ns: u64::from(high) << 32 | u64::from(low) }
    }

    fn put(self, bytes: &mut [u8]) {
        self.locate.put(bytes, 1);
        self.tracking.put(bytes, 3);
        ((self.time_ns >> 32) as u16).put(bytes, 5);
        (self.time_ns as u32).put(bytes, 7);
    }
}

macro_rules! messages {
    ($($letter:literal $name:ident $length:literal { $($field:ident: $type:ty = $at:literal),+ $(,)? })+) => {
        $(
            #[derive(Clone, Copy, Debug, PartialEq, Eq)]
            pub struct $name { $(pub $field: $type),+ }
        )+

        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum Body { $($name($name)),+ }

        /// Type, name and length of each message.
        pub const KINDS: &[(u8, &str, usize)] = &[$(($letter, stringify!($name), $length)),+];

        impl Message {
            #[inline]
            pub fn decode(bytes: &[u8]) -> Result<Self, Malformed> {
                let kind = *bytes.first().ok_or(Malformed::Empty)?;
                match kind {
                    $($letter => {
                        let Ok(bytes) = <&[u8; $length]>::try_from(bytes) else {
                            return Err(Malformed::Length { kind, expected: $length, found: bytes.len() });
                        };
                        let body = Body::$name($name { $($field: Field::get(bytes, $at)),+ });
                        Ok(Self { header: Header::get(bytes), body })
                    })+
                    unknown => Err(Malformed::UnknownType(unknown)),
                }
            }

            /// The bytes of this message in `into`.
            pub fn encode<'a>(&self, into: &'a mut [u8; MAX_BYTES]) -> &'a [u8] {
                match self.body {
                    $(Body::$name(body) => {
                        into[0] = $letter;
                        self.header.put(into);
                        $(body.$field.put(into, $at);)+
                        &into[..$length]
                    })+
                }
            }
        }
    };
}

// Prices are u32 in 1/10,000 dollar, of the circuit breaker u64 in 1/100,000,000.
messages! {
    b'S' SystemEvent 12 { event: u8 = 11 }
    b'R' StockDirectory 39 {
        stock: Stock = 11, market_category: u8 = 19, financial_status: u8 = 20, round_lot: u32 = 21, round_lots_only: u8 = 25,
        issue_class: u8 = 26, issue_subtype: [u8; 2] = 27, authenticity: u8 = 29, short_sale_threshold: u8 = 30, ipo: u8 = 31,
        luld_tier: u8 = 32, etp: u8 = 33, etp_leverage: u32 = 34, inverse: u8 = 38,
    }
    b'H' TradingAction 25 { stock: Stock = 11, state: u8 = 19, reserved: u8 = 20, reason: [u8; 4] = 21 }
    b'Y' RegSho 20 { stock: Stock = 11, action: u8 = 19 }
    b'L' ParticipantPosition 26 { mpid: [u8; 4] = 11, stock: Stock = 15, primary: u8 = 23, mode: u8 = 24, state: u8 = 25 }
    b'V' BreakerLevels 35 { level_1: u64 = 11, level_2: u64 = 19, level_3: u64 = 27 }
    b'W' BreakerStatus 12 { level: u8 = 11 }
    b'K' IpoQuoting 28 { stock: Stock = 11, release_s: u32 = 19, qualifier: u8 = 23, price: u32 = 24 }
    b'J' AuctionCollar 35 { stock: Stock = 11, reference: u32 = 19, upper: u32 = 23, lower: u32 = 27, extensions: u32 = 31 }
    b'h' OperationalHalt 21 { stock: Stock = 11, market: u8 = 19, action: u8 = 20 }
    b'A' Add 36 { order: u64 = 11, side: u8 = 19, shares: u32 = 20, stock: Stock = 24, price: u32 = 32 }
    b'F' AddAttributed 40 { order: u64 = 11, side: u8 = 19, shares: u32 = 20, stock: Stock = 24, price: u32 = 32, mpid: [u8; 4] = 36 }
    b'E' Executed 31 { order: u64 = 11, shares: u32 = 19, match_number: u64 = 23 }
    b'C' ExecutedAtPrice 36 { order: u64 = 11, shares: u32 = 19, match_number: u64 = 23, printable: u8 = 31, price: u32 = 32 }
    b'X' Cancel 23 { order: u64 = 11, shares: u32 = 19 }
    b'D' Delete 19 { order: u64 = 11 }
    b'U' Replace 35 { order: u64 = 11, new_order: u64 = 19, shares: u32 = 27, price: u32 = 31 }
    b'P' HiddenTrade 44 { order: u64 = 11, side: u8 = 19, shares: u32 = 20, stock: Stock = 24, price: u32 = 32, match_number: u64 = 36 }
    b'Q' CrossTrade 40 { shares: u64 = 11, stock: Stock = 19, price: u32 = 27, match_number: u64 = 31, cross: u8 = 39 }
    b'B' BrokenTrade 19 { match_number: u64 = 11 }
    b'I' Imbalance 50 {
        paired: u64 = 11, imbalance: u64 = 19, direction: u8 = 27, stock: Stock = 28, far: u32 = 36, near: u32 = 40,
        reference: u32 = 44, cross: u8 = 48, variation: u8 = 49,
    }
    b'N' RetailInterest 20 { stock: Stock = 11, interest: u8 = 19 }
    b'O' DirectListing 48 {
        stock: Stock = 11, open: u8 = 19, lowest: u32 = 20, highest: u32 = 24, near: u32 = 28, near_time_ns: u64 = 32,
        lower_collar: u32 = 40, upper_collar: u32 = 44,
    }
}

/// Name of a message type, where it is one.
pub fn name(kind: u8) -> Option<&'static str> {
    KINDS.iter().find(|(letter, ..)| *letter == kind).map(|(_, name, _)| *name)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Bytes that tell their own place: a field that is read from the wrong one differs.
    fn counting(kind: u8, length: usize) -> Vec<u8> {
        let mut bytes: Vec<u8> = (0..length as u8).map(|at| at | 0x80).collect();
        bytes[0] = kind;
        bytes
    }

    #[test]
    fn fields_cover_every_byte_and_come_back() {
        for (kind, name, length) in KINDS {
            let bytes = counting(*kind, *length);
            let message = Message::decode(&bytes).unwrap();
            let mut again = [0; MAX_BYTES];
            // What no field covered would be 0.
            assert_eq!(message.encode(&mut again), bytes, "{name}");
            assert_eq!((message.header.locate, message.header.tracking), (0x8182, 0x8384));
            assert_eq!(message.header.time_ns, 0x8586_8788_898a);
        }
        assert_eq!(KINDS.len(), 23);
    }

    #[test]
    fn fields_stand_where_the_specification_says() {
        let Ok(Message { body: Body::Add(add), .. }) = Message::decode(&counting(b'A', 36)) else { panic!("an order") };
        assert_eq!((add.order, add.side, add.shares), (0x8b8c_8d8e_8f90_9192, 0x93, 0x9495_9697));
        assert_eq!((add.stock, add.price), ([0x98, 0x99, 0x9a, 0x9b, 0x9c, 0x9d, 0x9e, 0x9f], 0xa0a1_a2a3));
        let Ok(Message { body: Body::CrossTrade(cross), .. }) = Message::decode(&counting(b'Q', 40)) else { panic!("a cross") };
        assert_eq!((cross.price, cross.match_number, cross.cross), (0x9b9c_9d9e, 0x9fa0_a1a2_a3a4_a5a6, 0xa7));
    }

    #[test]
    fn what_is_malformed_is_told() {
        assert_eq!(Message::decode(b""), Err(Malformed::Empty));
        assert_eq!(Message::decode(b"Zabc"), Err(Malformed::UnknownType(b'Z')));
        for (kind, _, length) in KINDS {
            for found in [1, length - 1, length + 1] {
                let expected = Malformed::Length { kind: *kind, expected: *length, found };
                assert_eq!(Message::decode(&counting(*kind, found)), Err(expected));
            }
        }
        assert_eq!(Malformed::UnknownType(0x1b).to_string(), "unknown message type '\\u{1b}'");
    }
}
