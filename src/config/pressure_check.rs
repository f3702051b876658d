//! In: the section `pressure`. Out: nothing, or the first value that cannot work. Bounded by the section.

use super::check::{Fault, at_least};
use super::types::Pressure;
use wire::request::LADDER_MS;

/// A day. Longer holds are mistakes, and arithmetic in ns must not overflow.
const MAX_MS: u64 = 86_400_000;

pub(super) fn check(pressure: &Pressure) -> Result<(), Fault> {
    // A sample reads a file of the system; more often would be work of its own.
    at_least("pressure.sample_interval_ms", pressure.sample_interval_ms, 10)?;
    for (key, value) in [
        ("pressure.sample_interval_ms", pressure.sample_interval_ms),
        ("pressure.raise_after_ms", pressure.raise_after_ms),
        ("pressure.lower_after_ms", pressure.lower_after_ms),
    ] {
        at_least(key, value, 1)?;
        at_most(key, value, MAX_MS)?;
    }
    at_least("pressure.retry_after_s", pressure.retry_after_s, 1)?;
    at_most("pressure.retry_after_s", pressure.retry_after_s, 3_600)?;
    thresholds("pressure.lag_ms", pressure.lag_ms, "pressure.lag_lower_ms", pressure.lag_lower_ms, MAX_MS)?;
    let lower = "pressure.memory_lower_percent";
    thresholds("pressure.memory_percent", pressure.memory_percent, lower, pressure.memory_lower_percent, 100)?;
    floors(pressure.floors_ms)
}

/// Each level has a threshold above that of the level before, and is left below one that is lower.
fn thresholds(key: &str, raise: [u64; 3], lower_key: &str, lower: [u64; 3], most: u64) -> Result<(), Fault> {
    for at in 0..3 {
        at_least(format!("{key}[{at}]"), raise[at], 1)?;
        at_most(format!("{key}[{at}]"), raise[at], most)?;
        if at > 0 && raise[at] <= raise[at - 1] {
            let what = format!("{} is not above {}, the value of the level before", raise[at], raise[at - 1]);
            return Err(Fault::new(format!("{key}[{at}]"), what, "make the values ascend"));
        }
        if lower[at] == 0 || lower[at] >= raise[at] {
            let what = format!("{} is not between 0 and {key}[{at}] ({})", lower[at], raise[at]);
            return Err(Fault::new(
                format!("{lower_key}[{at}]"),
                what,
                "use about half of it for lag, five points less for memory",
            ));
        }
        if at > 0 && lower[at] < lower[at - 1] {
            let what = format!("{} is below {}, the value of the level before", lower[at], lower[at - 1]);
            return Err(Fault::new(format!("{lower_key}[{at}]"), what, "make the values ascend"));
        }
    }
    Ok(())
}

fn floors(floors_ms: [u32; 3]) -> Result<(), Fault> {
    for (at, floor_ms) in floors_ms.into_iter().enumerate() {
        let key = format!("pressure.floors_ms[{at}]");
        if !LADDER_MS.contains(&floor_ms) {
            let steps = LADDER_MS.map(|step| step.to_string()).join(", ");
            return Err(Fault::new(key, format!("{floor_ms} is no step of the paces"), format!("use one of {steps}")));
        }
        if at > 0 && floor_ms < floors_ms[at - 1] {
            let what = format!("{floor_ms} is below {}, the value of the level before", floors_ms[at - 1]);
            return Err(Fault::new(key, what, "make the values ascend"));
        }
    }
    Ok(())
}

fn at_most(key: impl Into<String>, value: u64, most: u64) -> Result<(), Fault> {
    match value > most {
        true => Err(Fault::new(key, format!("{value} is too large"), format!("use {most} or less"))),
        false => Ok(()),
    }
}
