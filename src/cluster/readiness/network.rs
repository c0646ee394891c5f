//! What gets an address from outside, and where objects live.

use serde_json::Value;

use super::{Readiness, items, text};

fn has_address(object: &Value) -> bool {
    items(object, "/status/loadBalancer/ingress")
        .any(|address| !text(address, "/hostname").is_empty() || !text(address, "/ip").is_empty())
}

pub fn ingress(object: &Value) -> Readiness {
    Readiness::when(has_address(object), || "it has no address yet".to_owned())
}

pub fn service(object: &Value) -> Readiness {
    let wants_one = text(object, "/spec/type") == "LoadBalancer";
    Readiness::when(!wants_one || has_address(object), || "its load balancer has no address yet".to_owned())
}

pub fn namespace(object: &Value) -> Readiness {
    match text(object, "/status/phase") {
        "Terminating" => Readiness::Waiting("the namespace is being deleted".to_owned()),
        _ => Readiness::Ready,
    }
}
