//! In: decimal text of a venue or a client. Out: `i64` mantissas at a known power-of-ten exponent, and text again, without loss.
//! Bounded by `i64` and by exponents from -18 to 18; anything outside is a typed error, never a rounding.

use std::fmt;

/// Largest and smallest exponent the codecs carry.
pub const MAX_EXPONENT: i8 = 18;
pub const MIN_EXPONENT: i8 = -18;

/// So many digits fit an `i64` whatever they are.
const SAFE_DIGITS: usize = 18;

/// Powers of ten, of all that an `i64` holds.
const POWERS: [i64; SAFE_DIGITS + 1] = {
    let mut powers = [1; SAFE_DIGITS + 1];
    let mut at = 1;
    while at < powers.len() {
        powers[at] = powers[at - 1] * 10;
        at += 1;
    }
    powers
};

/// `mantissa * 10^exponent`, exactly as the text said (trailing zeros are kept in the exponent: `1.50` is `150e-2`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Decimal {
    pub mantissa: i64,
    pub exponent: i8,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DecimalError {
    #[error("not a decimal number")]
    Malformed,
    #[error("more digits than a 64-bit mantissa holds")]
    Overflow,
    /// The value has non-zero digits below the exponent asked for; `needs` is the exponent that would hold it.
    #[error("needs exponent {needs}, which is finer than the instrument's")]
    Inexact { needs: i8 },
}

impl Decimal {
    pub const fn new(mantissa: i64, exponent: i8) -> Self {
        Self { mantissa, exponent }
    }

    /// Reads `[+-]digits[.digits][(e|E)[+-]digits]`. Nothing else, no spaces.
    pub fn parse(text: &[u8]) -> Result<Self, DecimalError> {
        Self::parse_short(text).map_or_else(|| Self::parse_any(text), Ok)
    }

    /// What nearly all numbers are: `digits[.digits]`, so few that they cannot overflow.
    fn parse_short(text: &[u8]) -> Option<Self> {
        let point = text.iter().position(|byte| *byte == b'.').unwrap_or(text.len());
        let (whole, fraction) = (&text[..point], text.get(point + 1..).unwrap_or_default());
        if !(1..=SAFE_DIGITS).contains(&(whole.len() + fraction.len())) {
            return None;
        }
        // Two short sums are faster than a long one: neither waits for the other.
        let mantissa = sum(whole)? * POWERS[fraction.len()] + sum(fraction)?;
        Some(Self::new(mantissa, -(fraction.len() as i8)))
    }

    fn parse_any(text: &[u8]) -> Result<Self, DecimalError> {
        let (negative, digits) = match text {
            [b'-', rest @ ..] => (true, rest),
            [b'+', rest @ ..] => (false, rest),
            rest => (false, rest),
        };
        let mut mantissa: i64 = 0;
        let mut exponent: i32 = 0;
        let mut seen_digit = false;
        let mut seen_point = false;
        let mut at = 0;
        while at < digits.len() {
            match digits[at] {
                digit @ b'0'..=b'9' => {
                    seen_digit = true;
                    // Negative accumulation, because i64::MIN has no positive twin.
                    mantissa = mantissa
                        .checked_mul(10)
                        .and_then(|m| m.checked_sub(i64::from(digit - b'0')))
                        .ok_or(DecimalError::Overflow)?;
                    if seen_point {
                        exponent -= 1;
                    }
                }
                b'.' if !seen_point => seen_point = true,
                b'e' | b'E' if seen_digit => {
                    exponent = exponent.checked_add(parse_exponent(&digits[at + 1..])?).ok_or(DecimalError::Overflow)?;
                    break;
                }
                _ => return Err(DecimalError::Malformed),
            }
            at += 1;
        }
        if !seen_digit {
            return Err(DecimalError::Malformed);
        }
        if !negative {
            mantissa = mantissa.checked_neg().ok_or(DecimalError::Overflow)?;
        }
        if mantissa == 0 {
            exponent = exponent.clamp(i32::from(MIN_EXPONENT), i32::from(MAX_EXPONENT));
        }
        let exponent = i8::try_from(exponent).map_err(|_| DecimalError::Overflow)?;
        if !(MIN_EXPONENT..=MAX_EXPONENT).contains(&exponent) {
            let value = Self { mantissa, exponent }.normalized();
            if (MIN_EXPONENT..=MAX_EXPONENT).contains(&value.exponent) {
                return Ok(value);
            }
            return Err(DecimalError::Overflow);
        }
        Ok(Self { mantissa, exponent })
    }

    /// The same value with no trailing zeros in the mantissa; zero becomes `0e0`.
    pub fn normalized(self) -> Self {
        if self.mantissa == 0 {
            return Self::new(0, 0);
        }
        let (mut mantissa, mut exponent) = (self.mantissa, self.exponent);
        while mantissa % 10 == 0 && exponent < i8::MAX {
            mantissa /= 10;
            exponent += 1;
        }
        Self { mantissa, exponent }
    }

    /// The mantissa of this value at `exponent`, or why there is none.
    pub fn at(self, exponent: i8) -> Result<i64, DecimalError> {
        if self.mantissa == 0 {
            return Ok(0);
        }
        let shift = i32::from(self.exponent) - i32::from(exponent);
        if shift >= 0 {
            return pow10(shift).and_then(|p| self.mantissa.checked_mul(p)).ok_or(DecimalError::Overflow);
        }
        let cut = pow10(-shift).map(|p| (self.mantissa / p, p));
        match cut {
            Some((cut, p)) if cut * p == self.mantissa => Ok(cut),
            _ => Err(DecimalError::Inexact { needs: self.normalized().exponent }),
        }
    }
}

impl fmt::Display for Decimal {
    /// Plain notation with exactly `-exponent` decimals (`150e-2` is `1.50`).
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut text = Vec::with_capacity(24);
        put_fixed(&mut text, i128::from(self.mantissa), self.exponent);
        f.write_str(std::str::from_utf8(&text).map_err(|_| fmt::Error)?)
    }
}

fn parse_exponent(text: &[u8]) -> Result<i32, DecimalError> {
    let (negative, digits) = match text {
        [b'-', rest @ ..] => (true, rest),
        [b'+', rest @ ..] => (false, rest),
        rest => (false, rest),
    };
    if digits.is_empty() || !digits.iter().all(u8::is_ascii_digit) {
        return Err(DecimalError::Malformed);
    }
    let significant = digits.iter().position(|d| *d != b'0').map_or(&digits[digits.len()..], |first| &digits[first..]);
    if significant.len() > 4 {
        return Err(DecimalError::Overflow);
    }
    let value = significant.iter().fold(0i32, |value, digit| value * 10 + i32::from(digit - b'0'));
    Ok(if negative { -value } else { value })
}

/// The value of some digits, at most `SAFE_DIGITS`; `None` if anything else is among them.
fn sum(digits: &[u8]) -> Option<i64> {
    let (mut value, mut highest) = (0i64, 0);
    for byte in digits {
        let digit = byte.wrapping_sub(b'0');
        highest = highest.max(digit);
        // Only what is no digit can wrap.
        value = value.wrapping_mul(10).wrapping_add(i64::from(digit));
    }
    (highest <= 9).then_some(value)
}

fn pow10(power: i32) -> Option<i64> {
    usize::try_from(power).ok().and_then(|power| POWERS.get(power)).copied()
}

/// Venue text straight to a mantissa at the instrument's exponent: the hot path of every adapter.
/// Exact or an error; digits below the exponent must be zeros.
pub fn parse_at(text: &[u8], exponent: i8) -> Result<i64, DecimalError> {
    // Fast path: `digits.digits`, at most 18 of them in all, no sign and no `e`.
    if text.len() <= 19 && (MIN_EXPONENT..=0).contains(&exponent) {
        let wanted = (-exponent) as usize;
        let mut mantissa: i64 = 0;
        let mut decimals = usize::MAX;
        let mut digits = 0usize;
        let mut plain = true;
        for (at, byte) in text.iter().enumerate() {
            match byte {
                b'0'..=b'9' => {
                    digits += 1;
                    // More may overflow.
                    if digits > 18 {
                        plain = false;
                        break;
                    }
                    if decimals == usize::MAX || decimals < wanted {
                        mantissa = mantissa * 10 + i64::from(byte - b'0');
                        if decimals != usize::MAX {
                            decimals += 1;
                        }
                    } else if *byte != b'0' {
                        plain = false;
                        break;
                    }
                }
                b'.' if decimals == usize::MAX && at > 0 => decimals = 0,
                _ => {
                    plain = false;
                    break;
                }
            }
        }
        if plain && digits > 0 {
            let have = if decimals == usize::MAX { 0 } else { decimals };
            if let Some(scaled) = pow10((wanted - have) as i32).and_then(|p| mantissa.checked_mul(p)) {
                return Ok(scaled);
            }
        }
    }
    match Decimal::parse(text) {
        Ok(value) => value.at(exponent),
        // More digits than fit, of which the last may all be zeros: cut them and look again.
        Err(DecimalError::Overflow) => match without_trailing_zeros(text) {
            Some(shorter) => Decimal::parse(shorter)?.at(exponent),
            None => Err(DecimalError::Overflow),
        },
        Err(error) => Err(error),
    }
}

fn without_trailing_zeros(text: &[u8]) -> Option<&[u8]> {
    if !text.contains(&b'.') || text.iter().any(|b| matches!(b, b'e' | b'E')) {
        return None;
    }
    let end = text.iter().rposition(|b| *b != b'0')? + 1;
    (end < text.len()).then(|| &text[..end])
}

/// Appends `mantissa * 10^exponent` in plain notation with exactly `-exponent` decimals (none for exponents above 0).
pub fn put_fixed(out: &mut Vec<u8>, mantissa: i128, exponent: i8) {
    if mantissa < 0 {
        out.push(b'-');
    }
    put_fixed_magnitude(out, mantissa.unsigned_abs(), exponent);
}

fn put_fixed_magnitude(out: &mut Vec<u8>, mantissa: u128, exponent: i8) {
    let mut buffer = itoa::Buffer::new();
    let digits = match u64::try_from(mantissa) {
        Ok(mantissa) => buffer.format(mantissa),
        Err(_) => buffer.format(mantissa),
    }
    .as_bytes();
    if exponent >= 0 {
        out.extend_from_slice(digits);
        if mantissa != 0 {
            out.extend(std::iter::repeat_n(b'0', exponent as usize));
        }
        return;
    }
    let decimals = usize::from(exponent.unsigned_abs());
    if digits.len() > decimals {
        let (whole, fraction) = digits.split_at(digits.len() - decimals);
        out.extend_from_slice(whole);
        out.push(b'.');
        out.extend_from_slice(fraction);
    } else {
        out.extend_from_slice(b"0.");
        out.extend(std::iter::repeat_n(b'0', decimals - digits.len()));
        out.extend_from_slice(digits);
    }
}

/// Appends the value in plain notation without trailing zeros: the spelling of the JSON encoding (`61602`, `0.0649`).
pub fn put_plain(out: &mut Vec<u8>, mantissa: i128, exponent: i8) {
    if mantissa < 0 {
        out.push(b'-');
    }
    put_plain_magnitude(out, mantissa.unsigned_abs(), exponent);
}

/// `put_plain` of sums that need all 128 bits.
pub fn put_plain_magnitude(out: &mut Vec<u8>, mantissa: u128, exponent: i8) {
    let mut exponent = exponent;
    if mantissa == 0 {
        out.push(b'0');
        return;
    }
    // Nearly all values fit 64 bits, where dividing is many times cheaper.
    if let Ok(mut mantissa) = u64::try_from(mantissa) {
        while exponent < 0 && mantissa.is_multiple_of(10) {
            mantissa /= 10;
            exponent += 1;
        }
        put_fixed_magnitude(out, u128::from(mantissa), exponent);
        return;
    }
    let mut mantissa = mantissa;
    while exponent < 0 && mantissa.is_multiple_of(10) {
        mantissa /= 10;
        exponent += 1;
    }
    put_fixed_magnitude(out, mantissa, exponent);
}

/// Reads plain notation (`[-]digits[.digits]`) as sign and magnitude at `exponent`, exactly: what `put_plain` wrote, for
/// any exponent and up to 128 bits. `None` for anything else.
pub fn parse_plain(text: &[u8], exponent: i8) -> Option<(bool, u128)> {
    let (negative, text) = match text {
        [b'-', rest @ ..] => (true, rest),
        rest => (false, rest),
    };
    let (whole, fraction) = match memchr::memchr(b'.', text) {
        Some(point) => (&text[..point], &text[point + 1..]),
        None => (text, &b""[..]),
    };
    if whole.is_empty() || (fraction.is_empty() && whole.len() < text.len()) {
        return None;
    }
    let decimals = usize::from(if exponent < 0 { exponent.unsigned_abs() } else { 0 });
    let (fraction, below) = fraction.split_at(fraction.len().min(decimals));
    let zeros = if exponent > 0 { exponent.unsigned_abs().into() } else { 0 };
    let is_zero = whole.iter().all(|digit| *digit == b'0');
    // Above exponent 0 the last digits must be zeros, and do not count.
    let (whole, cut) = whole.split_at(if is_zero { whole.len() } else { whole.len().checked_sub(zeros)? });
    if below.iter().chain(cut).any(|digit| *digit != b'0') {
        return None;
    }
    let padding = std::iter::repeat_n(&b'0', decimals - fraction.len());
    let magnitude = whole.iter().chain(fraction).chain(padding).try_fold(0u128, |sum, digit| {
        let digit = digit.is_ascii_digit().then(|| u128::from(digit - b'0'))?;
        sum.checked_mul(10)?.checked_add(digit)
    })?;
    Some((negative, magnitude))
}

/// `put_plain` as a `String`, for the edges.
pub fn plain(mantissa: i128, exponent: i8) -> String {
    let mut out = Vec::with_capacity(24);
    put_plain(&mut out, mantissa, exponent);
    out.into_iter().map(char::from).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keeps_every_digit() {
        for (text, mantissa, exponent) in [
            ("61837.63000000", 6_183_763_000_000, -8),
            ("0.00006547", 6547, -8),
            ("-1.50", -150, -2),
            ("7", 7, 0),
            ("9223372036854775807", i64::MAX, 0),
            ("-9223372036854775808", i64::MIN, 0),
        ] {
            let value = Decimal::parse(text.as_bytes()).unwrap();
            assert_eq!((value.mantissa, value.exponent), (mantissa, exponent), "{text}");
            assert_eq!(value.to_string(), text);
        }
        assert_eq!(Decimal::parse(b"1.2e3"), Ok(Decimal::new(12, 2)));
        assert_eq!(Decimal::parse(b"1E-7"), Ok(Decimal::new(1, -7)));
    }

    #[test]
    fn short_texts_are_read_like_any() {
        for length in 0..22 {
            let digits: Vec<u8> = (0..length).map(|at| b'0' + (9 - at % 10) as u8).collect();
            for at in 0..=length {
                for byte in [b'.', b'-', b'+', b'e', b' ', b'/', b':', 0, 0xff] {
                    let mut text = digits.clone();
                    text.insert(at, byte);
                    assert_eq!(Decimal::parse(&text), Decimal::parse_any(&text), "{text:?}");
                    text.insert(length / 2, b'.');
                    assert_eq!(Decimal::parse(&text), Decimal::parse_any(&text), "{text:?}");
                }
            }
            assert_eq!(Decimal::parse(&digits), Decimal::parse_any(&digits), "{digits:?}");
        }
        assert!(
            Decimal::parse_short(b"999999999.999999999").is_some() && Decimal::parse_short(b"9999999999.999999999").is_none()
        );
    }

    #[test]
    fn refuses_what_is_no_number() {
        for text in ["", ".", "-", "1.2.3", "1x", "e5", "1e", "1e+", "NaN", "inf", " 1", "1 ", "0x1", "١"] {
            assert_eq!(Decimal::parse(text.as_bytes()), Err(DecimalError::Malformed), "{text:?}");
            assert_eq!(parse_at(text.as_bytes(), -8), Err(DecimalError::Malformed), "{text:?}");
        }
        for text in ["9223372036854775808", "1e400", "1e-400", "123456789012345678901"] {
            assert_eq!(Decimal::parse(text.as_bytes()), Err(DecimalError::Overflow), "{text:?}");
        }
    }

    #[test]
    fn reads_at_an_exponent_or_says_which_it_needs() {
        assert_eq!(parse_at(b"61837.63000000", -2), Ok(6_183_763));
        assert_eq!(parse_at(b"61837.63000000", -1), Err(DecimalError::Inexact { needs: -2 }));
        assert_eq!(parse_at(b"5000", 3), Ok(5));
        assert_eq!(parse_at(b"1000000000000.00000000", -2), Ok(100_000_000_000_000));
        assert_eq!(parse_at(b"123456789012.00000000", 0), Ok(123_456_789_012));
        assert_eq!(parse_at(b"0.00000000", 0), Ok(0));
    }

    #[test]
    fn writes_plain_text() {
        assert_eq!(plain(6_160_200, -2), "61602");
        assert_eq!(plain(6490, -5), "0.0649");
        assert_eq!(plain(-5, -1), "-0.5");
        assert_eq!(plain(0, -8), "0");
        assert_eq!(plain(12, 2), "1200");
    }

    #[test]
    fn reads_back_what_it_wrote() {
        for mantissa in [0, 1, -1, 10, 1200, -123_456, i64::MAX, i64::MIN] {
            for exponent in MIN_EXPONENT..=MAX_EXPONENT {
                let text = plain(i128::from(mantissa), exponent);
                let expected = Some((mantissa < 0, u128::from(mantissa.unsigned_abs())));
                assert_eq!(parse_plain(text.as_bytes(), exponent), expected, "{text} at {exponent}");
            }
        }
        let mut text = Vec::new();
        put_plain_magnitude(&mut text, u128::MAX, -36);
        assert_eq!(parse_plain(&text, -36), Some((false, u128::MAX)));
        for bad in ["", "-", ".5", "5.", "1.23", "1e2", "+1", "1.2.3", "x"] {
            assert_eq!(parse_plain(bad.as_bytes(), -1), None, "{bad}");
        }
        assert_eq!(parse_plain(b"1250", 2), None);
        assert_eq!(parse_plain(b"7", 2), None);
    }
}
