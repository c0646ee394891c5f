//! Refusals of the API server that a user can do something about: a field that somebody else owns, a field that never
//! changes, a webhook that does not answer.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use kube::core::Status;
use kube::core::response::StatusCause;

use crate::aws::Class;

/// Fields that other managers own and set to something else.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Conflict {
    /// The fields of each manager.
    pub fields: BTreeMap<String, BTreeSet<String>>,
}

/// The conflict with other field managers that `status` tells of, if it does.
pub fn conflict(status: &Status) -> Option<Conflict> {
    let mut fields: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for cause in causes(status).iter().filter(|cause| cause.reason == "FieldManagerConflict") {
        let field = cause.field.trim_start_matches('.').to_owned();
        fields.entry(manager_in(&cause.message)).or_default().insert(field);
    }
    (!fields.is_empty()).then_some(Conflict { fields })
}

fn causes(status: &Status) -> &[StatusCause] {
    status.details.as_ref().map_or(&[], |details| &details.causes)
}

/// The manager in `conflict with "kubectl" using apps/v1 at …`.
fn manager_in(message: &str) -> String {
    message.split('"').nth(1).unwrap_or("somebody").to_owned()
}

impl fmt::Display for Conflict {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, (manager, fields)) in self.fields.iter().enumerate() {
            let fields: Vec<String> = fields.iter().map(|field| format!("`{field}`")).collect();
            let separator = if at == 0 { "" } else { "; " };
            write!(formatter, "{separator}`{manager}` manages {} and has set another value", fields.join(", "))?;
        }
        Ok(())
    }
}

impl Conflict {
    /// What the user can do.
    pub fn way_out(&self) -> String {
        let managers: Vec<String> = self.fields.keys().map(|manager| format!("`{manager}`")).collect();
        format!(
            "leave these fields out of the manifest so that {} keeps them, or make {} give them up (for `kubectl`: \
             `kubectl apply --server-side --field-manager=eksup --force-conflicts`) and run the same command again",
            managers.join(", "),
            if managers.len() == 1 { "it" } else { "them" }
        )
    }
}

/// The fields that cannot be changed as the object stands, if that is all that `status` refuses.
pub fn immutable(status: &Status) -> Option<BTreeSet<String>> {
    const SAYS_SO: &[&str] = &[
        "field is immutable",
        "may not be changed",
        "updates to statefulset spec for fields other than",
        "spec is immutable after creation",
        "cannot change roleRef",
        "is immutable",
        "updates to provisioner are forbidden",
        "updates to parameters are forbidden",
        "updates to reclaimPolicy are forbidden",
        "may not be unset",
        "may not change once set",
    ];
    if status.code != 422 {
        return None;
    }
    let never_changes = |text: &str| SAYS_SO.iter().any(|words| text.contains(words));
    let causes = causes(status);
    if causes.is_empty() {
        return never_changes(&status.message).then(BTreeSet::new);
    }
    causes
        .iter()
        .all(|cause| never_changes(&cause.message))
        .then(|| causes.iter().map(|cause| cause.field.trim_start_matches('.').to_owned()).collect())
}

/// What an invalid object gets wrong, cause by cause.
pub fn reasons(status: &Status) -> Option<String> {
    if let Some(words) = misfits(&status.message) {
        return Some(words);
    }
    let said: BTreeSet<String> = causes(status)
        .iter()
        .map(|cause| match cause.field.trim_start_matches('.') {
            "" | "<nil>" => cause.message.clone(),
            field => format!("`{field}`: {}", cause.message),
        })
        .collect();
    (!said.is_empty()).then(|| said.into_iter().collect::<Vec<_>>().join("; "))
}

/// What of an object does not fit its schema: the API server says this as if it were a failure of its own.
pub fn misfits(message: &str) -> Option<String> {
    let (_, rest) = message.split_once("failed to create typed patch object (")?;
    let (_, words) = rest.split_once("): ")?;
    let words = words.trim_start_matches("errors:").trim();
    Some(words.lines().map(|line| line.trim().trim_start_matches('.')).collect::<Vec<_>>().join("; "))
}

/// How the names of webhooks end whose certificate a stack keeps.
const RENEWED: &str = ".elbv2.k8s.aws";

/// A webhook that the API server asked and that did not answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Webhook {
    /// Its name.
    pub name: String,
    /// What went wrong.
    pub why: String,
}

/// The webhook that failed, if `message` speaks of one.
pub fn webhook(message: &str) -> Option<Webhook> {
    let (_, rest) = message.split_once("failed calling webhook \"")?;
    let (name, why) = rest.split_once('"')?;
    let why = why.trim_start_matches([':', ' ']).trim_start_matches("failed to call webhook: ");
    Some(Webhook { name: name.to_owned(), why: why.to_owned() })
}

impl Webhook {
    /// Whether it may answer soon: its pods may still be starting. A certificate that is over does not come back, unless
    /// it is one that the same apply renews: then its pods read it in a moment.
    pub fn class(&self) -> Class {
        if self.certificate_is_wrong() && !self.name.ends_with(RENEWED) { Class::Refused } else { Class::NotYet }
    }

    fn certificate_is_wrong(&self) -> bool {
        self.why.contains("has expired") || self.why.contains("not valid for")
    }

    /// What the user can do.
    pub fn way_out(&self) -> String {
        if self.certificate_is_wrong() {
            return format!(
                "renew the certificate of webhook `{}` where it runs, and the `caBundle` in its configuration; a webhook \
                 of the stack gets a new one from `eksup apply`",
                self.name
            );
        }
        format!(
            "see why the pods behind webhook `{}` do not answer; if what it belongs to is gone, delete its webhook \
             configuration",
            self.name
        )
    }
}

impl fmt::Display for Webhook {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "the webhook `{}` has to agree and does not answer: {}", self.name, self.why)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn status(document: serde_json::Value) -> Status {
        serde_json::from_value(document).expect("a status of the test")
    }

    #[test]
    fn a_conflict_names_the_manager_and_its_fields() {
        let status = status(json!({ "code": 409, "reason": "Conflict", "details": { "causes": [
            { "reason": "FieldManagerConflict", "field": ".spec.replicas",
              "message": "conflict with \"kube-controller-manager\" with subresource \"scale\" using apps/v1" },
            { "reason": "FieldManagerConflict", "field": ".spec.template.spec.containers[name=\"app\"].image",
              "message": "conflict with \"kubectl-set\" using apps/v1 at 2026-01-01T00:00:00Z" },
        ] } }));
        let conflict = conflict(&status).expect("a conflict");
        insta::assert_snapshot!(conflict, @r#"`kube-controller-manager` manages `spec.replicas` and has set another value; `kubectl-set` manages `spec.template.spec.containers[name="app"].image` and has set another value"#);
    }

    #[test]
    fn an_object_that_was_modified_meanwhile_is_no_conflict_of_managers() {
        assert_eq!(conflict(&status(json!({ "code": 409, "reason": "Conflict", "message": "modified" }))), None);
    }

    #[test]
    fn a_field_that_never_changes_is_told_from_a_wrong_one() {
        let refused = |causes: serde_json::Value| {
            immutable(&status(json!({ "code": 422, "reason": "Invalid", "details": { "causes": causes } })))
        };
        let selector = json!({ "field": "spec.selector", "message": "Invalid value: …: field is immutable" });
        let wrong = json!({ "field": "spec.replicas", "message": "must be greater than or equal to 0" });
        assert_eq!(refused(json!([selector])), Some(BTreeSet::from(["spec.selector".to_owned()])));
        assert_eq!(refused(json!([selector, wrong])), None);
    }

    #[test]
    fn a_dead_webhook_is_named_and_may_come_back() {
        let words = "Internal error occurred: failed calling webhook \"vingress.elbv2.k8s.aws\": failed to call webhook: \
                     Post \"https://x\": no endpoints available for service \"aws-load-balancer-webhook-service\"";
        let webhook = webhook(words).expect("a webhook");
        assert_eq!(webhook.name, "vingress.elbv2.k8s.aws");
        assert_eq!(webhook.class(), Class::NotYet);
        assert!(webhook.to_string().contains("no endpoints available"), "{webhook}");
    }

    #[test]
    fn a_webhook_with_an_expired_certificate_does_not_come_back_by_itself() {
        let words = "failed calling webhook \"a.b\": failed to call webhook: Post \"https://x\": tls: failed to verify \
                     certificate: x509: certificate has expired or is not yet valid";
        let webhook = webhook(words).expect("a webhook");
        assert_eq!(webhook.class(), Class::Refused);
        assert!(webhook.way_out().contains("renew the certificate"));
        let own = Webhook { name: "vingress.elbv2.k8s.aws".to_owned(), ..webhook };
        assert_eq!(own.class(), Class::NotYet, "the apply that is told so renews it");
    }

    #[test]
    fn a_field_that_does_not_exist_is_named() {
        let words = "failed to create typed patch object (shop/backend; apps/v1, Kind=Deployment): .spec.replcas: field \
                     not declared in schema";
        assert_eq!(misfits(words).as_deref(), Some("spec.replcas: field not declared in schema"));
        assert_eq!(misfits("etcdserver: request timed out"), None);
    }

    #[test]
    fn every_cause_of_an_invalid_object_is_said() {
        let status = status(json!({ "code": 422, "details": { "causes": [
            { "field": "spec.ports[0].port", "message": "Required value" },
            { "field": "<nil>", "message": "name is too long" },
        ] } }));
        assert_eq!(reasons(&status).as_deref(), Some("`spec.ports[0].port`: Required value; name is too long"));
    }
}
