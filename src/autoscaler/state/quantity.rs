//! Kubernetes quantities (`250m`, `1.5Gi`, `2e3`) as integers.
//!
//! The grammar is `<sign><digits>[.<digits>]<suffix>`, where the suffix is a decimal one
//! (`n u m k M G T P E`), a binary one (`Ki Mi Gi Ti Pi Ei`) or an exponent (`e3`, `E-2`).
//! Values are held in billionths, so that every legal quantity of a sensible size is exact.

use thiserror::Error;

/// Largest magnitude that the solver works with, in milli-CPU, bytes or pieces.
/// Sums over the containers of a pod stay far from the ends of `i64`.
pub const LARGEST_AMOUNT: i64 = 1 << 56;

/// A parsed quantity, in billionths of its unit; too large values saturate.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Quantity {
    billionths: i128,
}

/// Why a text is no quantity.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum QuantityError {
    /// The text has no digits where digits must be.
    #[error("`{0}` is not a quantity: a number such as `250m`, `1.5Gi` or `2e3` is expected")]
    NoNumber(String),
    /// What follows the number is not a known suffix.
    #[error(
        "`{text}` is not a quantity: unknown suffix `{suffix}` (known: n u m k M G T P E Ki Mi Gi Ti Pi Ei, or an exponent)"
    )]
    UnknownSuffix {
        /// The whole text.
        text: String,
        /// The part that was not understood.
        suffix: String,
    },
}

const BILLION: i128 = 1_000_000_000;

impl Quantity {
    /// Parses a quantity as the Kubernetes API server does.
    ///
    /// # Errors
    /// When the text has no number or an unknown suffix.
    pub fn parse(text: &str) -> Result<Self, QuantityError> {
        let trimmed = text.trim();
        let (negative, unsigned) = match trimmed.as_bytes().first() {
            Some(b'-') => (true, &trimmed[1..]),
            Some(b'+') => (false, &trimmed[1..]),
            _ => (false, trimmed),
        };
        let number_end = unsigned.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(unsigned.len());
        let (number, suffix) = unsigned.split_at(number_end);
        let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
        if (whole.is_empty() && fraction.is_empty()) || fraction.contains('.') {
            return Err(QuantityError::NoNumber(text.to_owned()));
        }
        let scale = Scale::parse(suffix)
            .ok_or_else(|| QuantityError::UnknownSuffix { text: text.to_owned(), suffix: suffix.to_owned() })?;
        let magnitude = scale.apply(whole, fraction);
        Ok(Self { billionths: if negative { -magnitude } else { magnitude } })
    }

    /// Thousandths, rounded away from zero as Kubernetes rounds, within ±[`LARGEST_AMOUNT`].
    pub fn milli(self) -> i64 {
        clamp(divide_away_from_zero(self.billionths, BILLION / 1000))
    }

    /// Whole units, rounded away from zero as Kubernetes rounds, within ±[`LARGEST_AMOUNT`].
    pub fn units(self) -> i64 {
        clamp(divide_away_from_zero(self.billionths, BILLION))
    }
}

/// What a suffix multiplies by.
enum Scale {
    Decimal(i32),
    Binary(u32),
}

impl Scale {
    fn parse(suffix: &str) -> Option<Self> {
        Some(match suffix {
            "" => Self::Decimal(0),
            "n" => Self::Decimal(-9),
            "u" => Self::Decimal(-6),
            "m" => Self::Decimal(-3),
            "k" => Self::Decimal(3),
            "M" => Self::Decimal(6),
            "G" => Self::Decimal(9),
            "T" => Self::Decimal(12),
            "P" => Self::Decimal(15),
            "E" => Self::Decimal(18),
            "Ki" => Self::Binary(10),
            "Mi" => Self::Binary(20),
            "Gi" => Self::Binary(30),
            "Ti" => Self::Binary(40),
            "Pi" => Self::Binary(50),
            "Ei" => Self::Binary(60),
            exponent => {
                let digits = exponent.strip_prefix(['e', 'E'])?;
                let unsigned = digits.strip_prefix(['+', '-']).unwrap_or(digits);
                if unsigned.is_empty() || !unsigned.bytes().all(|b| b.is_ascii_digit()) {
                    return None;
                }
                // An exponent too long for an integer is beyond every bound anyway.
                let magnitude = unsigned.parse::<i32>().unwrap_or(1000).min(1000);
                Self::Decimal(if digits.starts_with('-') { -magnitude } else { magnitude })
            }
        })
    }

    /// The number in billionths, rounded up, saturating.
    fn apply(&self, whole: &str, fraction: &str) -> i128 {
        let digits = whole.trim_start_matches('0').len();
        let mut mantissa: i128 = 0;
        let mut exponent: i32 = 0;
        let mut lost = false;
        for (index, digit) in whole.bytes().chain(fraction.bytes()).enumerate() {
            let in_fraction = index >= whole.len();
            let value = i128::from(digit - b'0');
            if mantissa < 1_000_000_000_000_000_000_000 {
                mantissa = mantissa * 10 + value;
                exponent -= i32::from(in_fraction);
            } else {
                lost |= value > 0;
                exponent += i32::from(!in_fraction);
            }
        }
        if digits > 60 {
            return i128::MAX / 4;
        }
        mantissa += i128::from(lost);
        match *self {
            Self::Decimal(power) => scale_by_ten(mantissa, exponent.saturating_add(power).saturating_add(9)),
            Self::Binary(bits) => {
                let shifted = mantissa.checked_mul(1_i128 << bits).unwrap_or(i128::MAX / 4);
                scale_by_ten(shifted, exponent.saturating_add(9))
            }
        }
    }
}

fn scale_by_ten(mut value: i128, mut power: i32) -> i128 {
    while power > 0 && value != 0 {
        value = match value.checked_mul(10) {
            Some(scaled) => scaled,
            None => return i128::MAX / 4,
        };
        power -= 1;
    }
    let mut inexact = false;
    while power < 0 && value != 0 {
        inexact |= value % 10 != 0;
        value /= 10;
        power += 1;
    }
    value + i128::from(inexact)
}

fn divide_away_from_zero(value: i128, divisor: i128) -> i128 {
    let quotient = value / divisor;
    if value % divisor == 0 { quotient } else { quotient + value.signum() }
}

fn clamp(value: i128) -> i64 {
    let largest = i128::from(LARGEST_AMOUNT);
    i64::try_from(value.clamp(-largest, largest)).unwrap_or(LARGEST_AMOUNT)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn milli(text: &str) -> i64 {
        Quantity::parse(text).map(Quantity::milli).unwrap_or(i64::MIN)
    }

    fn units(text: &str) -> i64 {
        Quantity::parse(text).map(Quantity::units).unwrap_or(i64::MIN)
    }

    #[test]
    fn every_suffix_scales_as_kubernetes_documents() {
        assert_eq!(milli("250m"), 250);
        assert_eq!(milli("1"), 1000);
        assert_eq!(milli("0.1"), 100);
        assert_eq!(milli(".5"), 500);
        assert_eq!(milli("1."), 1000);
        assert_eq!(units("1Ki"), 1024);
        assert_eq!(units("1.5Gi"), 3 << 29);
        assert_eq!(units("2e3"), 2000);
        assert_eq!(units("2E+3"), 2000);
        assert_eq!(units("1E"), LARGEST_AMOUNT.min(1_000_000_000_000_000_000));
        assert_eq!(units("128974848"), 128_974_848);
        assert_eq!(units("129e6"), 129_000_000);
        assert_eq!(units("1Ti"), 1 << 40);
        assert_eq!(units("12k"), 12_000);
    }

    #[test]
    fn fractions_round_away_from_zero() {
        assert_eq!(milli("1n"), 1);
        assert_eq!(milli("1u"), 1);
        assert_eq!(units("100m"), 1);
        assert_eq!(units("-100m"), -1);
        assert_eq!(milli("1e-9"), 1);
    }

    #[test]
    fn huge_numbers_saturate_instead_of_overflowing() {
        assert_eq!(units("9e99999"), LARGEST_AMOUNT);
        assert_eq!(units("-9e400"), -LARGEST_AMOUNT);
        assert_eq!(units(&"9".repeat(500)), LARGEST_AMOUNT);
        assert_eq!(units("8888888888888888888888Ei"), LARGEST_AMOUNT);
        assert_eq!(units(&format!("0.{}1", "0".repeat(300))), 1);
    }

    #[test]
    fn nonsense_is_refused_with_the_text_in_the_reason() {
        for text in ["", "-", ".", "abc", "1.2.3", "1 Gi", "5KB", "1e", "1e+", "0x10", "१", "--1", "1mi"] {
            let Err(error) = Quantity::parse(text) else { panic!("`{text}` was accepted") };
            assert!(error.to_string().contains(text), "{error}");
        }
    }
}
