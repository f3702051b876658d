//! Binary frames of Binance, built after the schema, for tests. In: what a frame shall say. Out: its bytes. Bounded by what is given.
//! `grown`: so many bytes are put behind the root and behind each entry, as a later version of the schema may do.

/// Fields after one another, as the schema has them.
#[derive(Clone, Default)]
pub struct Bytes(pub Vec<u8>);

impl Bytes {
    pub fn u8(mut self, value: u8) -> Self {
        self.0.push(value);
        self
    }

    pub fn u16(mut self, value: u16) -> Self {
        self.0.extend(value.to_le_bytes());
        self
    }

    pub fn u32(mut self, value: u32) -> Self {
        self.0.extend(value.to_le_bytes());
        self
    }

    pub fn i64(mut self, value: i64) -> Self {
        self.0.extend(value.to_le_bytes());
        self
    }

    /// Prices in hundredths, sizes in hundred-thousandths.
    pub fn exponents(self) -> Self {
        self.u8((-2i8).cast_unsigned()).u8((-5i8).cast_unsigned())
    }

    pub fn symbol(mut self, symbol: &str) -> Self {
        self.0.push(symbol.len() as u8);
        self.0.extend(symbol.bytes());
        self
    }

    /// A group of levels: price, size.
    pub fn levels(self, levels: &[(i64, i64)], grown: usize) -> Self {
        let mut bytes = self.u16(16 + grown as u16).u16(levels.len() as u16);
        for (price, size) in levels {
            bytes = bytes.i64(*price).i64(*size);
            bytes.0.extend(vec![0xee; grown]);
        }
        bytes
    }

    /// A message: header, root block, and what follows it.
    pub fn message(template: u16, root: &Self, grown: usize, rest: &Self) -> Vec<u8> {
        let header = Self::default().u16((root.0.len() + grown) as u16).u16(template).u16(1).u16(0);
        [header.0, root.0.clone(), vec![0xee; grown], rest.0.clone()].concat()
    }
}

/// Times are microseconds; that of the trades is 7 before the event's. Of a trade: id, price, size, did the buyer rest.
pub fn trades(symbol: &str, time: i64, trades: &[(i64, i64, i64, bool)], grown: usize) -> Vec<u8> {
    let root = Bytes::default().i64(time).i64(time - 7).exponents();
    let mut group = Bytes::default().u16(25 + grown as u16).u32(trades.len() as u32);
    for (id, price, size, buyer_is_maker) in trades {
        group = group.i64(*id).i64(*price).i64(*size).u8(u8::from(*buyer_is_maker));
        group.0.extend(vec![0xee; grown]);
    }
    Bytes::message(10_000, &root, grown, &group.symbol(symbol))
}

pub fn best(symbol: &str, time: i64, id: i64, bid: (i64, i64), ask: (i64, i64), grown: usize) -> Vec<u8> {
    let root = Bytes::default().i64(time).i64(id).exponents().i64(bid.0).i64(bid.1).i64(ask.0).i64(ask.1);
    Bytes::message(10_001, &root, grown, &Bytes::default().symbol(symbol))
}

/// Of a snapshot of the best levels (`ids`: one) or of what changed (two: first, last).
pub fn depth(symbol: &str, time: i64, ids: &[i64], bids: &[(i64, i64)], asks: &[(i64, i64)], grown: usize) -> Vec<u8> {
    let template = if ids.len() == 1 { 10_002 } else { 10_003 };
    let root = ids.iter().fold(Bytes::default().i64(time), |root, id| root.i64(*id)).exponents();
    let rest = Bytes::default().levels(bids, grown).levels(asks, grown).symbol(symbol);
    Bytes::message(template, &root, grown, &rest)
}
