//! What a scalar without quotes means: the core schema of YAML 1.2.

use super::Value;

/// The value of a plain scalar; `None` for a number that cannot be kept, such as `.inf`.
pub(super) fn resolve(text: &str) -> Option<Value> {
    match text {
        "" | "~" | "null" | "Null" | "NULL" => return Some(Value::Null),
        "true" | "True" | "TRUE" => return Some(Value::Bool(true)),
        "false" | "False" | "FALSE" => return Some(Value::Bool(false)),
        _ => {}
    }
    if let Some(number) = integer(text) {
        return Some(Value::Number(number));
    }
    if is_not_finite(text) {
        return None;
    }
    if looks_like_float(text) {
        return text.parse().ok().and_then(serde_json::Number::from_f64).map(Value::Number);
    }
    Some(Value::Text(text.to_owned()))
}

fn integer(text: &str) -> Option<serde_json::Number> {
    if let Some(digits) = text.strip_prefix("0o") {
        return u64::from_str_radix(digits, 8).ok().map(Into::into);
    }
    if let Some(digits) = text.strip_prefix("0x") {
        return u64::from_str_radix(digits, 16).ok().map(Into::into);
    }
    let digits = text.strip_prefix(['-', '+']).unwrap_or(text);
    if digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    text.parse::<i64>().map(Into::into).ok().or_else(|| text.parse::<u64>().map(Into::into).ok())
}

fn is_not_finite(text: &str) -> bool {
    let unsigned = text.strip_prefix(['-', '+']).unwrap_or(text);
    matches!(unsigned, ".inf" | ".Inf" | ".INF") || matches!(text, ".nan" | ".NaN" | ".NAN")
}

/// `[-+]? ( \. [0-9]+ | [0-9]+ ( \. [0-9]* )? ) ( [eE] [-+]? [0-9]+ )?`
fn looks_like_float(text: &str) -> bool {
    let unsigned = text.strip_prefix(['-', '+']).unwrap_or(text);
    let (mantissa, exponent) = match unsigned.split_once(['e', 'E']) {
        Some((mantissa, exponent)) => (mantissa, Some(exponent)),
        None => (unsigned, None),
    };
    let digits = |part: &str| part.bytes().all(|byte| byte.is_ascii_digit());
    let exponent_fits = exponent.is_none_or(|exponent| {
        let exponent = exponent.strip_prefix(['-', '+']).unwrap_or(exponent);
        !exponent.is_empty() && digits(exponent)
    });
    let mantissa_fits = match mantissa.split_once('.') {
        Some((whole, fraction)) => digits(whole) && digits(fraction) && !(whole.is_empty() && fraction.is_empty()),
        None => !mantissa.is_empty() && digits(mantissa),
    };
    mantissa_fits && exponent_fits
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kind(text: &str) -> String {
        format!("{:?}", resolve(text))
    }

    #[test]
    fn plain_scalars_mean_what_yaml_1_2_says() {
        assert_eq!(kind("~"), "Some(Null)");
        assert_eq!(kind("True"), "Some(Bool(true))");
        assert_eq!(kind("yes"), "Some(Text(\"yes\"))");
        assert_eq!(kind("012"), "Some(Number(Number(12)))");
        assert_eq!(kind("0o17"), "Some(Number(Number(15)))");
        assert_eq!(kind("1.30"), "Some(Number(Number(1.3)))");
        assert_eq!(kind("1e3"), "Some(Number(Number(1000.0)))");
        assert_eq!(kind("1.2.3"), "Some(Text(\"1.2.3\"))");
        assert_eq!(kind("10.0.0.0/16"), "Some(Text(\"10.0.0.0/16\"))");
        assert_eq!(kind("e5"), "Some(Text(\"e5\"))");
        assert_eq!(kind("."), "Some(Text(\".\"))");
        assert_eq!(kind("-"), "Some(Text(\"-\"))");
    }

    #[test]
    fn numbers_that_json_has_not_are_no_values() {
        assert!(resolve(".inf").is_none());
        assert!(resolve("-.Inf").is_none());
        assert!(resolve("1e999").is_none());
    }
}
