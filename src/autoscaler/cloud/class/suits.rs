//! Whether an image suits a type: requirements held against labels, as texts. Pure.

use crate::autoscaler::api::requirement::{Operator, Requirement};

/// Whether labels, looked up by `label`, meet every requirement.
pub fn suits<'a>(requirements: &[Requirement], label: impl Fn(&str) -> Option<&'a str>) -> bool {
    requirements.iter().all(|requirement| meets(requirement, label(&requirement.key)))
}

fn meets(requirement: &Requirement, value: Option<&str>) -> bool {
    let listed = |value: &str| requirement.values.iter().any(|each| each == value);
    let compare = |test: fn(i64, i64) -> bool| {
        let bound = requirement.values.first().and_then(|bound| bound.parse().ok());
        value.and_then(|value| value.parse().ok()).zip(bound).is_some_and(|(value, bound)| test(value, bound))
    };
    match requirement.operator {
        Operator::In => value.is_some_and(listed),
        Operator::NotIn => !value.is_some_and(listed),
        Operator::Exists => value.is_some(),
        Operator::DoesNotExist => value.is_none(),
        Operator::Gt => compare(|value, bound| value > bound),
        Operator::Lt => compare(|value, bound| value < bound),
        Operator::Gte => compare(|value, bound| value >= bound),
        Operator::Lte => compare(|value, bound| value <= bound),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_operator_is_held_against_a_label_that_is_there_or_not() {
        use Operator::{DoesNotExist, Exists, Gt, Gte, In, Lt, Lte, NotIn};
        for (operator, values, with_four, without) in [
            (In, &["4", "8"][..], true, false),
            (In, &["8"], false, false),
            (NotIn, &["8"], true, true),
            (NotIn, &["4"], false, true),
            (Exists, &[], true, false),
            (DoesNotExist, &[], false, true),
            (Gt, &["3"], true, false),
            (Gt, &["4"], false, false),
            (Gte, &["4"], true, false),
            (Lt, &["4"], false, false),
            (Lte, &["4"], true, false),
        ] {
            let values = values.iter().map(|value| (*value).to_owned()).collect();
            let requirement = Requirement { key: "cpu".into(), operator, values, min_values: None };
            assert_eq!(meets(&requirement, Some("4")), with_four, "{requirement:?}");
            assert_eq!(meets(&requirement, None), without, "{requirement:?}");
        }
    }
}
