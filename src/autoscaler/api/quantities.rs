//! Quantities that may also be written as plain numbers, as manifests of the field have them: `limits: { cpu: 100 }`.

use k8s_openapi::apimachinery::pkg::api::resource::Quantity;
use serde::de::Error;
use serde::{Deserialize, Deserializer};
use serde_json::Value;
use std::collections::BTreeMap;

/// Reads a map of quantities.
///
/// # Errors
/// When one of them is neither text nor a number.
pub fn read_map<'de, D: Deserializer<'de>>(deserializer: D) -> Result<BTreeMap<String, Quantity>, D::Error> {
    let map = BTreeMap::<String, Value>::deserialize(deserializer)?;
    map.into_iter().map(|(key, value)| Ok((key, quantity(value)?))).collect()
}

/// Reads a quantity that may be left out.
///
/// # Errors
/// When it is neither text nor a number.
pub fn read_one<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Quantity>, D::Error> {
    Option::<Value>::deserialize(deserializer)?.map(quantity).transpose()
}

fn quantity<E: Error>(value: Value) -> Result<Quantity, E> {
    match value {
        Value::String(text) => Ok(Quantity(text)),
        Value::Number(number) => Ok(Quantity(number.to_string())),
        other => Err(E::custom(format!("`{other}` is neither text nor a number"))),
    }
}

#[cfg(test)]
mod tests {
    use super::super::{EC2NodeClassSpec, NodePoolSpec};
    use serde_json::json;

    #[test]
    fn numbers_are_quantities_too() {
        let spec: NodePoolSpec = serde_json::from_value(json!({
            "template": { "spec": { "requirements": [], "nodeClassRef": { "group": "g", "kind": "k", "name": "n" } } },
            "limits": { "cpu": 100, "memory": "40Gi" },
        }))
        .expect("a pool");
        assert_eq!((spec.limits["cpu"].0.as_str(), spec.limits["memory"].0.as_str()), ("100", "40Gi"));
        let class: EC2NodeClassSpec = serde_json::from_value(
            json!({ "blockDeviceMappings": [{ "ebs": { "volumeSize": "20Gi" } }, { "ebs": {} }] }),
        )
        .expect("a class");
        assert!(class.block_device_mappings[1].ebs.as_ref().is_some_and(|disk| disk.volume_size.is_none()));
        assert!(serde_json::from_value::<NodePoolSpec>(json!({ "template": {}, "limits": { "cpu": [] } })).is_err());
    }
}
