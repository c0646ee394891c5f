//! Durations such as `720h`, `1h30m` or `Never`.

use thiserror::Error;

/// Why a text is no duration.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
#[error("`{0}` is not a duration: write hours, minutes and seconds such as `720h`, `1h30m` or `30s`")]
pub struct DurationError(pub String);

/// A duration in seconds, or none at all.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lifetime {
    /// After so many seconds.
    After(u64),
    /// Not at all.
    Never,
}

/// Reads hours, minutes and seconds; sub-second units are cut to zero.
///
/// # Errors
/// When the text is anything else.
pub fn seconds(text: &str) -> Result<u64, DurationError> {
    let fault = || DurationError(text.to_owned());
    let mut rest = text;
    let mut total = 0.0_f64;
    if rest.is_empty() {
        return Err(fault());
    }
    if rest == "0" {
        return Ok(0);
    }
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit() && c != '.').filter(|at| *at > 0).ok_or_else(fault)?;
        let number: f64 = rest[..digits].parse().map_err(|_| fault())?;
        rest = &rest[digits..];
        let unit = rest.find(|c: char| c.is_ascii_digit()).unwrap_or(rest.len());
        total += number
            * match &rest[..unit] {
                "h" => 3600.0,
                "m" => 60.0,
                "s" => 1.0,
                "ms" => 1e-3,
                _ => return Err(fault()),
            };
        rest = &rest[unit..];
    }
    if total < 1e15 { Ok(total as u64) } else { Err(fault()) }
}

/// Reads a duration or `Never`.
///
/// # Errors
/// When the text is neither.
pub fn lifetime(text: &str) -> Result<Lifetime, DurationError> {
    if text == "Never" { Ok(Lifetime::Never) } else { seconds(text).map(Lifetime::After) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hours_minutes_and_seconds_add_up() {
        assert_eq!(seconds("720h"), Ok(2_592_000));
        assert_eq!(seconds("1h30m"), Ok(5400));
        assert_eq!(seconds("0s"), Ok(0));
        assert_eq!(lifetime("Never"), Ok(Lifetime::Never));
        for text in ["", "h", "5", "5d", "1h30", "-1h", "soon", "1..5h"] {
            assert!(seconds(text).is_err(), "{text}");
        }
    }
}
