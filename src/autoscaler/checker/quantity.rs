//! Kubernetes quantities, read exactly into an integer number of billionths.
//!
//! Grammar (API reference, `Quantity`): a signed decimal number with an optional suffix: `n`, `u`, `m`,
//! none, `k`, `M`, `G`, `T`, `P`, `E`; `Ki`, `Mi`, `Gi`, `Ti`, `Pi`, `Ei`; or a decimal exponent (`e3`,
//! `E-2`). What is finer than a billionth is rounded away from zero, what is larger than 2^63 − 1 in
//! magnitude is capped, as the API does.

use std::fmt;

/// Billionths in one unit.
pub const UNIT: i128 = 1_000_000_000;
/// Billionths in one thousandth.
pub const MILLI: i128 = 1_000_000;

/// The largest magnitude of a quantity.
const LARGEST: i128 = i64::MAX as i128 * UNIT;
/// Longer texts are refused: no quantity needs so many digits.
const LONGEST_TEXT: usize = 256;

/// Why a text is no quantity.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct QuantityError {
    text: String,
    reason: &'static str,
}

impl fmt::Display for QuantityError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "`{}` is not a quantity: {}", self.text, self.reason)
    }
}

impl std::error::Error for QuantityError {}

/// What a suffix multiplies by.
#[derive(Debug, Clone, Copy)]
enum Scale {
    /// A power of ten.
    Ten(i64),
    /// A power of 1024.
    Binary(u32),
}

/// Reads a quantity into billionths of its unit (of a core, of a byte, of a piece).
///
/// # Errors
/// When the text does not follow the grammar.
pub fn parse(text: &str) -> Result<i128, QuantityError> {
    let fail = |reason| QuantityError { text: text.chars().take(40).collect(), reason };
    if text.len() > LONGEST_TEXT {
        return Err(fail("too long"));
    }
    let (negative, unsigned) = match text.as_bytes().first() {
        None => return Err(fail("it is empty")),
        Some(b'-') => (true, &text[1..]),
        Some(b'+') => (false, &text[1..]),
        Some(_) => (false, text),
    };
    let number_end =
        unsigned.find(|character: char| !character.is_ascii_digit() && character != '.').unwrap_or(unsigned.len());
    let (number, suffix) = unsigned.split_at(number_end);
    let (digits, fraction_digits) = read_number(number).ok_or_else(|| fail("no number"))?;
    let scale = read_suffix(suffix).ok_or_else(|| fail("unknown suffix"))?;
    let magnitude = scaled(digits, fraction_digits, scale);
    Ok(if negative { -magnitude } else { magnitude })
}

/// The digits of a number without its point, and how many of them stood behind it.
fn read_number(number: &str) -> Option<(Vec<u8>, i64)> {
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    if fraction.contains('.') || (whole.is_empty() && fraction.is_empty()) {
        return None;
    }
    let digits = whole.bytes().chain(fraction.bytes()).map(|byte| byte - b'0').collect();
    Some((digits, i64::try_from(fraction.len()).ok()?))
}

fn read_suffix(suffix: &str) -> Option<Scale> {
    Some(match suffix {
        "n" => Scale::Ten(-9),
        "u" => Scale::Ten(-6),
        "m" => Scale::Ten(-3),
        "" => Scale::Ten(0),
        "k" => Scale::Ten(3),
        "M" => Scale::Ten(6),
        "G" => Scale::Ten(9),
        "T" => Scale::Ten(12),
        "P" => Scale::Ten(15),
        "E" => Scale::Ten(18),
        "Ki" => Scale::Binary(1),
        "Mi" => Scale::Binary(2),
        "Gi" => Scale::Binary(3),
        "Ti" => Scale::Binary(4),
        "Pi" => Scale::Binary(5),
        "Ei" => Scale::Binary(6),
        _ => Scale::Ten(read_exponent(suffix)?),
    })
}

fn read_exponent(suffix: &str) -> Option<i64> {
    let signed = suffix.strip_prefix(['e', 'E'])?;
    let (negative, digits) = match signed.as_bytes().first()? {
        b'-' => (true, &signed[1..]),
        b'+' => (false, &signed[1..]),
        _ => (false, signed),
    };
    if digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    // Far beyond anything that is not capped or rounded, and far from overflow.
    let magnitude = digits.parse::<i64>().map_or(100_000, |value| value.min(100_000));
    Some(if negative { -magnitude } else { magnitude })
}

/// `digits` × 10^−`fraction_digits` × `scale`, in billionths, rounded up and capped.
fn scaled(mut digits: Vec<u8>, fraction_digits: i64, scale: Scale) -> i128 {
    let exponent = match scale {
        Scale::Ten(exponent) => exponent,
        Scale::Binary(power) => {
            for _ in 0..power {
                multiply(&mut digits, 1024);
            }
            0
        }
    };
    let shift = exponent + 9 - fraction_digits;
    let leading = digits.iter().take_while(|digit| **digit == 0).count();
    digits.drain(..leading);
    if digits.is_empty() {
        return 0;
    }
    let rounded_up = drop_trailing(&mut digits, shift.min(0).unsigned_abs());
    let zeros = usize::try_from(shift.max(0)).unwrap_or(usize::MAX);
    if digits.len().saturating_add(zeros) > 38 {
        return LARGEST;
    }
    let mut value = 0_i128;
    for digit in digits.iter().copied().chain(std::iter::repeat_n(0, zeros)) {
        value = value.saturating_mul(10).saturating_add(i128::from(digit));
    }
    (value + i128::from(rounded_up)).min(LARGEST)
}

/// Cuts the last `count` digits off; says whether any of them was not zero.
fn drop_trailing(digits: &mut Vec<u8>, count: u64) -> bool {
    let count = usize::try_from(count).unwrap_or(usize::MAX).min(digits.len());
    digits.split_off(digits.len() - count).iter().any(|digit| *digit != 0)
}

/// Multiplies a decimal number, most significant digit first, in place.
fn multiply(digits: &mut Vec<u8>, factor: u32) {
    let mut carry = 0_u32;
    for digit in digits.iter_mut().rev() {
        let product = u32::from(*digit) * factor + carry;
        *digit = (product % 10) as u8;
        carry = product / 10;
    }
    while carry > 0 {
        digits.insert(0, (carry % 10) as u8);
        carry /= 10;
    }
}

/// Divides and rounds up; `step` is positive.
pub fn ceiling(value: i128, step: i128) -> i128 {
    value.div_euclid(step) + i128::from(value.rem_euclid(step) != 0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn each_suffix_means_its_power() {
        for (text, billionths) in [
            ("0", 0),
            ("1", UNIT),
            ("+1", UNIT),
            ("-1", -UNIT),
            ("1.", UNIT),
            (".5", UNIT / 2),
            ("100m", 100 * MILLI),
            ("250u", 250_000),
            ("7n", 7),
            ("1.5", 1_500 * MILLI),
            ("2k", 2_000 * UNIT),
            ("1M", 1_000_000 * UNIT),
            ("1Ki", 1024 * UNIT),
            ("1.5Gi", 1536 * 1024 * 1024 * UNIT),
            ("0.1Mi", 104_857_600_000_000),
            ("1E", 1_000_000_000_000_000_000 * UNIT),
            ("1E3", 1_000 * UNIT),
            ("1e3", 1_000 * UNIT),
            ("12e-1", 1_200 * MILLI),
            ("1Ei", (1 << 60) * UNIT),
        ] {
            assert_eq!(parse(text), Ok(billionths), "{text}");
        }
    }

    #[test]
    fn finer_than_a_billionth_rounds_away_from_zero_and_too_large_is_capped() {
        assert_eq!(parse("0.0000000001"), Ok(1));
        assert_eq!(parse("-0.1n"), Ok(-1));
        assert_eq!(parse("1e-400"), Ok(1));
        assert_eq!(parse("0e-400"), Ok(0));
        assert_eq!(parse("9Ei"), Ok(LARGEST));
        assert_eq!(parse("1e99999999999999999999"), Ok(LARGEST));
        assert_eq!(parse("99999999999999999999"), Ok(LARGEST));
    }

    #[test]
    fn what_the_grammar_does_not_know_is_refused() {
        for text in [
            "", "-", ".", "m", "1..2", "1.2.3", "1 ", " 1", "1K", "1kb", "1ki", "1e", "1e+", "1ee3", "--1", "0x10",
            "١", "1Gib", "NaN",
        ] {
            assert!(parse(text).is_err(), "{text:?}");
        }
    }

    #[test]
    fn ceiling_rounds_up_on_both_sides_of_zero() {
        assert_eq!(ceiling(1, MILLI), 1);
        assert_eq!(ceiling(MILLI, MILLI), 1);
        assert_eq!(ceiling(-1, MILLI), 0);
    }

    proptest! {
        #[test]
        fn any_text_is_read_or_refused_without_panic(text in ".*") {
            let _ = parse(&text);
        }

        #[test]
        fn quantity_like_text_never_panics(text in "[+-]?[0-9.]{0,60}([eE][+-]?[0-9]{0,25}|[numkMGTPE]?i?)") {
            if let Ok(value) = parse(&text) {
                prop_assert!(value.abs() <= LARGEST);
            }
        }

        #[test]
        fn whole_billionths_survive_the_round_trip(value in 0_i128..1_000_000_000_000_000_000_000_000) {
            prop_assert_eq!(parse(&format!("{}.{:09}", value / UNIT, value % UNIT)), Ok(value));
            prop_assert_eq!(parse(&format!("{value}n")), Ok(value));
        }

        #[test]
        fn a_binary_suffix_equals_the_product(count in 0_u64..1_000_000_000, power in 0_usize..4) {
            let suffix = ["Ki", "Mi", "Gi", "Ti"][power];
            let expected = i128::from(count) * 1024_i128.pow(power as u32 + 1) * UNIT;
            prop_assert_eq!(parse(&format!("{count}{suffix}")), Ok(expected.min(LARGEST)));
        }
    }
}
