//! What the API server itself is extended with: definitions, other API servers, webhooks.

use serde_json::Value;

use super::{Readiness, Signs, condition, is_true, items, text, words};

pub fn definition(object: &Value) -> Readiness {
    if let Some(names) = condition(object, "NamesAccepted").filter(|names| text(names, "/status") == "False") {
        return Readiness::Failed(format!("its names are taken by another definition: {}", words(names)));
    }
    Readiness::when(is_true(object, "Established") && is_true(object, "NamesAccepted"), || {
        match condition(object, "Established") {
            Some(established) => format!("the definition is not established: {}", words(established)),
            None => "the definition is not established yet".to_owned(),
        }
    })
}

pub fn service(object: &Value) -> Readiness {
    if object.pointer("/spec/service").is_none_or(Value::is_null) {
        return Readiness::Ready;
    }
    Readiness::when(is_true(object, "Available"), || match condition(object, "Available") {
        Some(available) => format!("the API does not answer: {}", words(available)),
        None => "the API has not been asked yet".to_owned(),
    })
}

/// Ready once every Service that is asked has somebody behind it.
pub fn webhooks(object: &Value, signs: &Signs) -> Readiness {
    let silent = items(object, "/webhooks").find_map(|webhook| {
        let service = webhook.pointer("/clientConfig/service")?;
        let (namespace, name) = (text(service, "/namespace"), text(service, "/name"));
        (!signs.answers(namespace, name)).then(|| (text(webhook, "/name"), format!("{namespace}/{name}")))
    });
    match silent {
        Some((webhook, service)) => {
            Readiness::Waiting(format!("webhook `{webhook}` asks Service {service}, and no pod behind it is ready"))
        }
        None => Readiness::Ready,
    }
}

/// The Services that the webhooks of a configuration ask, by namespace and name.
pub fn asked_services(object: &Value) -> Vec<(String, String)> {
    let services = items(object, "/webhooks").filter_map(|webhook| webhook.pointer("/clientConfig/service"));
    let mut list: Vec<(String, String)> =
        services.map(|service| (text(service, "/namespace").to_owned(), text(service, "/name").to_owned())).collect();
    list.sort();
    list.dedup();
    list
}
