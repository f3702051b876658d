//! The day of a session. In: `2019-01-30`, the name of a file, or the time. Out: when midnight was in New York, as nanoseconds since 1970.
//! Pure; covers the rule of 2007, which is older than ITCH 5.0 (Energy Policy Act of 2005, section 110).

use std::path::Path;
use wire::event::Nanos;

const NANOS_A_SECOND: i64 = 1_000_000_000;
const SECONDS_AN_HOUR: i64 = 3_600;
const SECONDS_A_DAY: i64 = 24 * SECONDS_AN_HOUR;

/// One day of trading.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SessionDate {
    /// Days since 1970-01-01.
    days: i64,
    /// Daylight saving time is in force, for the whole day: it begins and ends on Sundays, when there is no session.
    daylight: bool,
}

impl SessionDate {
    /// `YYYY-MM-DD`.
    pub fn parse(text: &str) -> Option<Self> {
        let (year, rest) = text.split_once('-')?;
        let (month, day) = rest.split_once('-')?;
        (year.len() == 4 && month.len() == 2 && day.len() == 2).then_some(())?;
        Self::new(number(year)?, number(month)?, number(day)?)
    }

    /// Nasdaq's files begin with the day: `01302019.NASDAQ_ITCH50.gz`, `S013019-v50.txt.gz`.
    pub fn of_file(path: &Path) -> Option<Self> {
        let name = path.file_name()?.to_str()?;
        let name = name.strip_prefix('S').unwrap_or(name);
        let digits = name.bytes().take_while(u8::is_ascii_digit).count();
        let year = match digits {
            6 => 2_000 + number(&name[4..6])?,
            8 => number(&name[4..8])?,
            _ => return None,
        };
        Self::new(year, number(&name[..2])?, number(&name[2..4])?)
    }

    /// The day in New York at this time.
    pub fn at(time: Nanos) -> Self {
        let standard = Self::of_days((time.div_euclid(NANOS_A_SECOND) - 5 * SECONDS_AN_HOUR).div_euclid(SECONDS_A_DAY));
        // Within an hour of midnight the two clocks may show different days.
        let daylight = Self::of_days((time.div_euclid(NANOS_A_SECOND) - 4 * SECONDS_AN_HOUR).div_euclid(SECONDS_A_DAY));
        if daylight.daylight { daylight } else { standard }
    }

    /// Midnight, at which the times of the session's messages begin.
    pub fn midnight(self) -> Nanos {
        let behind = if self.daylight { 4 } else { 5 };
        (self.days * SECONDS_A_DAY + behind * SECONDS_AN_HOUR) * NANOS_A_SECOND
    }

    fn new(year: i64, month: i64, day: i64) -> Option<Self> {
        let leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
        let longest = [31, if leap { 29 } else { 28 }, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31];
        let in_month = (1..=12).contains(&month) && (1..=longest[month as usize - 1]).contains(&day);
        ((2007..=2200).contains(&year) && in_month).then(|| Self::of_days(days(year, month, day)))
    }

    fn of_days(days_since_1970: i64) -> Self {
        let year = year_of(days_since_1970);
        let begin = sunday_from(days(year, 3, 8));
        let end = sunday_from(days(year, 11, 1));
        Self { days: days_since_1970, daylight: (begin..end).contains(&days_since_1970) }
    }
}

fn number(digits: &str) -> Option<i64> {
    digits.bytes().all(|byte| byte.is_ascii_digit()).then(|| digits.parse().ok()).flatten()
}

/// Days from 1970-01-01 to a day of the Gregorian calendar (Howard Hinnant, "chrono-compatible low-level date algorithms").
fn days(year: i64, month: i64, day: i64) -> i64 {
    // Years from March to February, so that the leap day is the last one.
    let year = if month <= 2 { year - 1 } else { year };
    let era = year.div_euclid(400);
    let of_era = year.rem_euclid(400);
    let of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    era * 146_097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year - 719_468
}

fn year_of(days_since_1970: i64) -> i64 {
    let guess = 1970 + days_since_1970.div_euclid(365);
    (guess - 20..=guess).rev().find(|year| days(*year, 1, 1) <= days_since_1970).unwrap_or(guess)
}

/// The first Sunday on this day or after it.
fn sunday_from(days_since_1970: i64) -> i64 {
    // 1970-01-01 was a Thursday.
    days_since_1970 + (3 - days_since_1970).rem_euclid(7)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// From `date -d 'TZ="America/New_York" …' +%s`.
    #[test]
    fn midnight_follows_daylight_saving_time() {
        for (text, midnight) in [
            ("2007-03-12", 1_173_672_000),
            ("2019-01-30", 1_548_824_400),
            ("2023-03-10", 1_678_424_400),
            ("2023-03-13", 1_678_680_000),
            ("2023-08-22", 1_692_676_800),
            ("2023-11-03", 1_698_984_000),
            ("2023-11-06", 1_699_246_800),
            ("2024-02-29", 1_709_182_800),
            ("2026-12-31", 1_798_693_200),
        ] {
            let date = SessionDate::parse(text).unwrap();
            assert_eq!(date.midnight(), midnight * NANOS_A_SECOND, "{text}");
            assert_eq!(SessionDate::at(date.midnight()), date, "{text}");
            assert_eq!(SessionDate::at(date.midnight() + 20 * SECONDS_AN_HOUR * NANOS_A_SECOND), date, "{text}");
            assert_ne!(SessionDate::at(date.midnight() - 1), date, "{text}");
        }
    }

    #[test]
    fn days_are_read_from_names_of_files() {
        let expected = SessionDate::parse("2019-01-30");
        for name in ["a/01302019.NASDAQ_ITCH50.gz", "S013019-v50.txt.gz"] {
            assert_eq!(SessionDate::of_file(Path::new(name)), expected, "{name}");
        }
        for name in ["sample.itch", "13012019.x", "0130201.x", "S.gz", ""] {
            assert_eq!(SessionDate::of_file(Path::new(name)), None, "{name}");
        }
        for text in ["2019-1-30", "2019-02-29", "1999-01-01", "2019-13-01", "2019-00-01", "20190130", "+019-01-01", "x"] {
            assert_eq!(SessionDate::parse(text), None, "{text}");
        }
    }
}
