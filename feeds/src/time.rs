//! Venue times to nanoseconds. In: RFC 3339 text, or a count since the epoch. Out: `Nanos`. Bounded: the years 1970 to 2262.

use wire::decimal::Decimal;
use wire::event::Nanos;

/// Milliseconds since the epoch; 0 (no time) if they do not fit.
pub fn millis(count: u64) -> Nanos {
    i64::try_from(count).ok().and_then(|count| count.checked_mul(1_000_000)).unwrap_or(0)
}

/// Milliseconds with a fraction (`1619093543708.2642`), of which nanoseconds are kept; 0 (no time) if they are none or do not fit.
pub fn millis_text(text: &str) -> Nanos {
    let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
    let nanos = fraction.bytes().take(6).try_fold((0, 100_000), |(sum, unit), byte| {
        byte.is_ascii_digit().then(|| (sum + i64::from(byte - b'0') * unit, unit / 10))
    });
    match (whole.parse().map(millis), nanos) {
        (Ok(whole), Some((nanos, _))) if whole > 0 => whole.saturating_add(nanos),
        _ => 0,
    }
}

/// Microseconds since the epoch; 0 (no time) if they do not fit.
pub fn micros(count: u64) -> Nanos {
    i64::try_from(count).ok().and_then(|count| count.checked_mul(1_000)).unwrap_or(0)
}

/// `1633998514.6462898`: seconds since the epoch; decimals beyond the ninth are cut. `None`: something else. (A float of this size
/// would have lost the last ones already.)
pub fn seconds(text: &str) -> Option<Nanos> {
    let text = match text.split_once('.') {
        Some((_, decimals)) if decimals.len() > 9 && decimals.bytes().all(|b| b.is_ascii_digit()) => {
            &text[..text.len() - (decimals.len() - 9)]
        }
        _ => text,
    };
    Decimal::parse(text.as_bytes()).ok()?.at(-9).ok()
}

/// `2026-08-24T22:34:13.813379359Z`, in UTC, with any number of decimals up to nine; 0 (no time) if it is something else.
pub fn rfc3339(text: &str) -> Nanos {
    parse(text.as_bytes()).unwrap_or(0)
}

fn parse(text: &[u8]) -> Option<Nanos> {
    let (date, rest) = text.split_at_checked(19)?;
    let digits = |from: usize, count: usize| {
        date[from..from + count]
            .iter()
            .try_fold(0i64, |sum, byte| byte.is_ascii_digit().then(|| sum * 10 + i64::from(byte - b'0')))
    };
    if [date[4], date[7], date[13], date[16]] != *b"--::" || !matches!(date[10], b'T' | b' ') {
        return None;
    }
    let (year, month, day) = (digits(0, 4)?, digits(5, 2)?, digits(8, 2)?);
    let seconds = days(year, month, day)? * 86_400 + digits(11, 2)? * 3_600 + digits(14, 2)? * 60 + digits(17, 2)?;
    let decimals = rest.strip_suffix(b"Z")?;
    let mut nanos = 0;
    if let Some(decimals) = decimals.strip_prefix(b".") {
        if decimals.is_empty() || decimals.len() > 9 {
            return None;
        }
        for at in 0..9 {
            let digit = decimals.get(at).copied().unwrap_or(b'0');
            nanos = nanos * 10 + i64::from(digit.is_ascii_digit().then(|| digit - b'0')?);
        }
    } else if !decimals.is_empty() {
        return None;
    }
    seconds.checked_mul(1_000_000_000)?.checked_add(nanos)
}

/// The day of a time in milliseconds, in UTC, as `20261225`; empty after the year 2261.
pub fn date(millis: u64) -> String {
    let Ok(day) = i64::try_from(millis / 86_400_000) else { return String::new() };
    let begins = |year, month| days(year, month, 1).is_some_and(|first| first <= day);
    // No more years have passed than there were times 365 days; then back to the one that has begun.
    let latest = (1970 + day / 365).min(2_261);
    let Some(year) = (1970..=latest).rev().find(|year| begins(*year, 1)) else { return String::new() };
    let month = (1..=12).rev().find(|month| begins(year, *month)).unwrap_or(1);
    let day = day - days(year, month, 1).unwrap_or(day) + 1;
    if day > 31 { String::new() } else { format!("{year}{month:02}{day:02}") }
}

/// Days since 1970-01-01 in the Gregorian calendar: years counted from March, so that the leap day is the last of a year.
fn days(year: i64, month: i64, day: i64) -> Option<i64> {
    if !(1970..=2261).contains(&year) || !(1..=12).contains(&month) || !(1..=31).contains(&day) {
        return None;
    }
    let (year, month) = if month > 2 { (year, month - 3) } else { (year - 1, month + 9) };
    Some(365 * year + year / 4 - year / 100 + year / 400 + (153 * month + 2) / 5 + day - 719_469)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn seconds_are_exact() {
        for (text, nanos) in [
            ("1633998514.6462898", 1_633_998_514_646_289_800),
            ("1633998514", 1_633_998_514_000_000_000),
            ("1633998514.1234567891234567", 1_633_998_514_123_456_789),
            ("1.633998514e9", 1_633_998_514_000_000_000),
        ] {
            assert_eq!(seconds(text), Some(nanos), "{text}");
        }
        assert_eq!(seconds("\"soon\""), None);
        assert_eq!(seconds("1e30"), None);
    }

    #[test]
    fn reads_what_venues_write() {
        assert_eq!(rfc3339("1970-01-01T00:00:00Z"), 0);
        assert_eq!(rfc3339("2026-08-24T22:34:13.813379359Z"), 1_787_610_853_813_379_359);
        assert_eq!(rfc3339("2024-02-29T23:59:59.5Z"), 1_709_251_199_500_000_000);
        for bad in
            ["", "2026-08-24", "2026-08-24T22:34:13", "2026-13-24T22:34:13Z", "2026-08-24T22:34:13.Z", "x026-08-24T22:34:13Z"]
        {
            assert_eq!(rfc3339(bad), 0, "{bad}");
        }
        for (time, day) in [(0, "19700101"), (1_709_251_199_500, "20240229"), (1_798_185_600_000, "20261225"), (u64::MAX, "")] {
            assert_eq!(date(time), day);
        }
        for (text, nanos) in [
            ("1619093543708.2642", 1_619_093_543_708_264_200),
            ("1619093543708", 1_619_093_543_708_000_000),
            ("1619093543708.123456789", 1_619_093_543_708_123_456),
            ("1619093543708.x", 0),
            ("-1.5", 0),
        ] {
            assert_eq!(millis_text(text), nanos, "{text}");
        }
        assert_eq!((millis(1_652_459_225_464), micros(u64::MAX)), (1_652_459_225_464_000_000, 0));
    }
}
