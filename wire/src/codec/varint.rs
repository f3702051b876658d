//! In: integers. Out: LEB128 bytes (7 bits each, low ones first, the top bit says that more follow), and integers again.
//! Bounded: 10 bytes for 64-bit values, 19 for 128-bit ones; anything longer is an error.

use super::error::Problem;

#[inline]
pub fn put_u64(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

pub fn put_u128(out: &mut Vec<u8>, mut value: u128) {
    while value > u128::from(u64::MAX) {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    put_u64(out, value as u64);
}

/// Small numbers of either sign become small unsigned ones: 0, -1, 1, -2, … are 0, 1, 2, 3, …
#[inline]
pub const fn zigzag(value: i64) -> u64 {
    ((value << 1) ^ (value >> 63)) as u64
}

pub const fn zigzag_wide(value: i128) -> u128 {
    ((value << 1) ^ (value >> 127)) as u128
}

pub const fn unzigzag(value: u64) -> i64 {
    (value >> 1) as i64 ^ -((value & 1) as i64)
}

pub const fn unzigzag_wide(value: u128) -> i128 {
    (value >> 1) as i128 ^ -((value & 1) as i128)
}

#[inline]
pub fn put_zigzag(out: &mut Vec<u8>, value: i64) {
    put_u64(out, zigzag(value));
}

/// `value - from`, which may need one bit more than either.
#[inline]
pub fn put_difference(out: &mut Vec<u8>, value: i64, from: i64) {
    match value.checked_sub(from) {
        Some(difference) => put_u64(out, zigzag(difference)),
        None => put_u128(out, zigzag_wide(i128::from(value) - i128::from(from))),
    }
}

/// 0 = none, otherwise the value + 1, which may need one bit more than the value.
#[inline]
pub fn put_nullable(out: &mut Vec<u8>, value: Option<u64>) {
    match value {
        None => out.push(0),
        Some(value) => match value.checked_add(1) {
            Some(shifted) => put_u64(out, shifted),
            None => put_u128(out, u128::from(value) + 1),
        },
    }
}

#[inline]
pub fn put_nullable_difference(out: &mut Vec<u8>, value: Option<i64>, from: i64) {
    match value {
        None => out.push(0),
        Some(value) => match value.checked_sub(from).and_then(|difference| zigzag(difference).checked_add(1)) {
            Some(shifted) => put_u64(out, shifted),
            None => put_u128(out, zigzag_wide(i128::from(value) - i128::from(from)) + 1),
        },
    }
}

/// A position in the bytes of a frame.
#[derive(Clone, Copy, Debug)]
pub struct Reader<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Reader<'a> {
    pub fn new(bytes: &'a [u8]) -> Self {
        Self { bytes, at: 0 }
    }

    pub fn at(&self) -> usize {
        self.at
    }

    pub fn remaining(&self) -> usize {
        self.bytes.len() - self.at
    }

    #[inline]
    pub fn u8(&mut self) -> Result<u8, Problem> {
        let byte = *self.bytes.get(self.at).ok_or(Problem::Truncated)?;
        self.at += 1;
        Ok(byte)
    }

    pub fn take(&mut self, count: u64) -> Result<&'a [u8], Problem> {
        let count = usize::try_from(count).ok().filter(|count| *count <= self.remaining()).ok_or(Problem::Truncated)?;
        let taken = &self.bytes[self.at..self.at + count];
        self.at += count;
        Ok(taken)
    }

    /// A value of at most 8 bytes, read as one word and not byte by byte: nearly all are. `None`, and nothing is read, if it is longer or if the
    /// bytes end so soon that it has to be looked at more closely.
    #[inline]
    pub fn short(&mut self) -> Option<u64> {
        const LAST: u64 = 0x8080_8080_8080_8080;
        let word = u64::from_le_bytes(*self.bytes.get(self.at..)?.first_chunk()?);
        let last = !word & LAST;
        if last == 0 {
            return None;
        }
        // All bits of the value's bytes, without those that say whether more follow.
        let value = word & (last ^ (last - 1)) & !LAST;
        self.at += last.trailing_zeros() as usize / 8 + 1;
        // Seven bits and seven make 14, twice that 28, twice that 56.
        let value = (value & 0x007f_007f_007f_007f) | (value & 0x7f00_7f00_7f00_7f00) >> 1;
        let value = (value & 0x0000_3fff_0000_3fff) | (value & 0x3fff_0000_3fff_0000) >> 2;
        Some((value & 0x0fff_ffff) | (value & 0x0fff_ffff_0000_0000) >> 4)
    }

    /// A value of one byte, for fields where that is what one expects.
    #[inline]
    pub fn tiny(&mut self) -> Option<u64> {
        let byte = self.bytes.get(self.at).filter(|byte| **byte < 0x80)?;
        self.at += 1;
        Some(u64::from(*byte))
    }

    #[inline]
    pub fn u64(&mut self, field: &'static str) -> Result<u64, Problem> {
        if let Some(value) = self.short() {
            return Ok(value);
        }
        let mut value = 0u64;
        for shift in (0..63).step_by(7) {
            let byte = self.u8()?;
            value |= u64::from(byte & 0x7f) << shift;
            if byte < 0x80 {
                return Ok(value);
            }
        }
        match self.u8()? {
            byte @ (0 | 1) => Ok(value | u64::from(byte) << 63),
            _ => Err(Problem::OutOfRange(field)),
        }
    }

    #[inline]
    pub fn u128(&mut self, field: &'static str) -> Result<u128, Problem> {
        if let Some(value) = self.short() {
            return Ok(u128::from(value));
        }
        let mut low = 0u64;
        for shift in (0..63).step_by(7) {
            let byte = self.u8()?;
            low |= u64::from(byte & 0x7f) << shift;
            if byte < 0x80 {
                return Ok(u128::from(low));
            }
        }
        self.u128_after(u128::from(low), field)
    }

    #[cold]
    fn u128_after(&mut self, low: u128, field: &'static str) -> Result<u128, Problem> {
        let mut value = low;
        for shift in (63..126).step_by(7) {
            let byte = self.u8()?;
            value |= u128::from(byte & 0x7f) << shift;
            if byte < 0x80 {
                return Ok(value);
            }
        }
        match self.u8()? {
            byte @ 0..=3 => Ok(value | u128::from(byte) << 126),
            _ => Err(Problem::OutOfRange(field)),
        }
    }

    #[inline]
    pub fn u32(&mut self, field: &'static str) -> Result<u32, Problem> {
        match self.tiny() {
            Some(value) => Ok(value as u32),
            None => u32::try_from(self.u64(field)?).map_err(|_| Problem::OutOfRange(field)),
        }
    }

    pub fn zigzag(&mut self, field: &'static str) -> Result<i64, Problem> {
        self.u64(field).map(unzigzag)
    }

    pub fn zigzag_i8(&mut self, field: &'static str) -> Result<i8, Problem> {
        i8::try_from(self.zigzag(field)?).map_err(|_| Problem::OutOfRange(field))
    }

    pub fn zigzag_i128(&mut self, field: &'static str) -> Result<i128, Problem> {
        Ok(unzigzag_wide(self.u128(field)?))
    }

    /// What `put_difference` wrote.
    #[inline]
    pub fn difference(&mut self, from: i64, field: &'static str) -> Result<i64, Problem> {
        if let Some(value) = self.short() {
            return from.checked_add(unzigzag(value)).ok_or(Problem::OutOfRange(field));
        }
        let value = self.u128(field)?;
        add(from, value, field)
    }

    /// What `put_nullable` wrote.
    #[inline]
    pub fn nullable(&mut self, field: &'static str) -> Result<Option<u64>, Problem> {
        match self.u128(field)? {
            0 => Ok(None),
            shifted => u64::try_from(shifted - 1).map(Some).map_err(|_| Problem::OutOfRange(field)),
        }
    }

    /// What `put_nullable_difference` wrote.
    #[inline]
    pub fn nullable_difference(&mut self, from: i64, field: &'static str) -> Result<Option<i64>, Problem> {
        if let Some(value) = self.tiny().or_else(|| self.short()) {
            let Some(value) = value.checked_sub(1) else { return Ok(None) };
            return from.checked_add(unzigzag(value)).map(Some).ok_or(Problem::OutOfRange(field));
        }
        match self.u128(field)? {
            0 => Ok(None),
            shifted => add(from, shifted - 1, field).map(Some),
        }
    }

    /// A nullable difference whose anchor may be missing, as long as the value is too.
    #[inline]
    pub fn nullable_difference_from(&mut self, from: Option<i64>, field: &'static str) -> Result<Option<i64>, Problem> {
        if let Some(from) = from {
            return self.nullable_difference(from, field);
        }
        match self.u128(field)? {
            0 => Ok(None),
            _ => Err(Problem::NoPreviousTrade),
        }
    }

    /// `uvarint length · UTF-8`.
    pub fn text(&mut self, field: &'static str) -> Result<&'a str, Problem> {
        let length = self.u64(field)?;
        std::str::from_utf8(self.take(length)?).map_err(|_| Problem::NotText(field))
    }
}

fn add(from: i64, zigzagged: u128, field: &'static str) -> Result<i64, Problem> {
    // Differences of 64-bit values have 66 bits after zigzag, so the sum below cannot overflow 128 for anything valid.
    i128::from(from)
        .checked_add(unzigzag_wide(zigzagged))
        .and_then(|sum| i64::try_from(sum).ok())
        .ok_or(Problem::OutOfRange(field))
}

pub fn put_text(out: &mut Vec<u8>, text: &str) {
    put_u64(out, text.len() as u64);
    out.extend_from_slice(text.as_bytes());
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn bytes(write: impl FnOnce(&mut Vec<u8>)) -> Vec<u8> {
        let mut out = Vec::new();
        write(&mut out);
        out
    }

    #[test]
    fn known_bytes() {
        assert_eq!(bytes(|out| put_u64(out, 300)), [0xac, 0x02]);
        assert_eq!(bytes(|out| put_zigzag(out, -2)), [3]);
        assert_eq!(bytes(|out| put_nullable(out, Some(0))), [1]);
        assert_eq!(bytes(|out| put_nullable(out, Some(u64::MAX))).len(), 10);
        assert_eq!(bytes(|out| put_difference(out, i64::MAX, i64::MIN)).len(), 10);
        assert_eq!(bytes(|out| put_u64(out, u64::MAX)).len(), 10);
        assert_eq!(bytes(|out| put_u128(out, u128::MAX)).len(), 19);
    }

    #[test]
    fn too_long_is_an_error() {
        assert_eq!(Reader::new(&[0xff; 10]).u64("n"), Err(Problem::OutOfRange("n")));
        assert_eq!(Reader::new(&[0xff; 19]).u128("n"), Err(Problem::OutOfRange("n")));
        assert_eq!(Reader::new(&[0xff; 9]).u64("n"), Err(Problem::Truncated));
    }

    proptest! {
        #[test]
        fn long_and_short_ways_agree(value: u64, bits in 0u32..64, behind in 0usize..9) {
            let value = value >> bits;
            let mut out = bytes(|out| put_u64(out, value));
            let length = out.len();
            out.extend(std::iter::repeat_n(0xff, behind));
            let mut reader = Reader::new(&out);
            prop_assert_eq!(reader.short().unwrap_or(value), value);
            prop_assert!(reader.at() == 0 || reader.at() == length);
            prop_assert_eq!(reader.at() == length, length <= 8 && length + behind >= 8);
            let mut reader = Reader::new(&out);
            prop_assert_eq!((reader.u64(""), reader.at()), (Ok(value), length));
            let mut reader = Reader::new(&out);
            prop_assert_eq!((reader.u128(""), reader.at()), (Ok(u128::from(value)), length));
        }

        #[test]
        fn round_trips(a: i64, b: i64, unsigned: u64, wide: u128, none: bool) {
            let out = bytes(|out| {
                put_difference(out, a, b);
                put_nullable_difference(out, (!none).then_some(a), b);
                put_nullable(out, (!none).then_some(unsigned));
                put_u64(out, unsigned);
                put_u128(out, wide);
                put_zigzag(out, a);
                put_u128(out, zigzag_wide(wide as i128));
            });
            let mut reader = Reader::new(&out);
            prop_assert_eq!(reader.difference(b, ""), Ok(a));
            prop_assert_eq!(reader.nullable_difference(b, ""), Ok((!none).then_some(a)));
            prop_assert_eq!(reader.nullable(""), Ok((!none).then_some(unsigned)));
            prop_assert_eq!(reader.u64(""), Ok(unsigned));
            prop_assert_eq!(reader.u128(""), Ok(wide));
            prop_assert_eq!(reader.zigzag(""), Ok(a));
            prop_assert_eq!(reader.zigzag_i128(""), Ok(wide as i128));
            prop_assert_eq!(reader.remaining(), 0);
        }
    }
}
