//! The certificate of a webhook: kept while it is good, renewed before it ends, and what is said where one is over.

use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use eksup::render::certificate::{self, Certificate};
use jiff::{Timestamp, ToSpan};
use serde_json::{Value, json};

use crate::stage::{NAMESPACE, Somebody, Stage, settings, until};
use crate::support::example;

const SECRET: &str = "/api/v1/namespaces/kube-system/secrets/aws-load-balancer-tls";
const HOOKS: &str = "/apis/admissionregistration.k8s.io/v1/validatingwebhookconfigurations";
const OURS: &str = "/apis/admissionregistration.k8s.io/v1/validatingwebhookconfigurations/aws-load-balancer-webhook";
/// How long one is good for.
const YEARS: i32 = 10;

#[test]
fn a_certificate_is_kept_while_it_is_good_and_renewed_before_it_ends() {
    let addons = "addons: { loadBalancerController: {} }\nworkloads: { manifests: [objects.yaml] }\n";
    let stage = Stage::set(&format!("{}{addons}", example("minimal.yaml")));
    stage.write(&(NAMESPACE.to_owned() + &settings("blue")));
    stage.apply();
    let somebody = stage.somebody_in("minimal");
    let first = somebody.gets(SECRET)["data"].clone();

    // Kept, whatever else is changed.
    stage.expect_empty_plan();
    stage.write(&(NAMESPACE.to_owned() + &settings("green")));
    stage.apply();
    assert_eq!(somebody.gets(SECRET)["data"], first, "it is kept");

    // Time goes by: nine years and a half later, half a year before its end.
    put(&somebody, &made(9, 6));
    let plan = stage.plan();
    assert!(plan.contains("~ ") && plan.contains("state: ends on ") && plan.contains("→ good"), "{plan}");
    assert!(!plan.contains("BEGIN") && !plan.contains("PRIVATE"), "{plan}");
    let old = somebody.gets(SECRET)["data"].clone();
    stage.apply();
    stage.expect_empty_plan();
    let renewed = somebody.gets(SECRET)["data"].clone();
    assert_ne!(renewed["tls.crt"], old["tls.crt"]);
    assert_eq!(somebody.gets(OURS)["webhooks"][0]["clientConfig"]["caBundle"], renewed["ca.crt"]);
    assert_eq!(
        authorities(&renewed),
        2,
        "pods that still serve the old one are trusted until they have read the new one"
    );

    one_that_is_over_is_named_and_a_stack_renews_its_own(&stage, &somebody);
    stage.destroy();
}

/// A certificate for the controller's webhooks that was made `years` and `months` ago.
fn made(years: i32, months: i32) -> Certificate {
    let now = Timestamp::now().to_zoned(jiff::tz::TimeZone::UTC);
    let then = now.checked_sub(years.years().months(months)).expect("a time").timestamp();
    certificate::make(&certificate::service_names("aws-load-balancer-webhook-service", "kube-system"), then)
        .expect("a certificate")
}

/// Puts it where the controller's own is, and where the API server looks.
fn put(somebody: &Somebody, certificate: &Certificate) {
    let secret = certificate::secret("x", "kube-system", &Default::default(), certificate);
    somebody.changes(SECRET, "kubectl-edit", &json!({ "data": secret["data"] }));
}

fn authorities(data: &Value) -> usize {
    let pem = BASE64.decode(data["ca.crt"].as_str().unwrap_or_default()).expect("base64");
    String::from_utf8_lossy(&pem).matches("BEGIN CERTIFICATE").count()
}

/// A stranger's webhook that is asked through the controller's pods, and trusts what they serve.
fn stranger(bundle: &str) -> Value {
    json!({
        "apiVersion": "admissionregistration.k8s.io/v1", "kind": "ValidatingWebhookConfiguration",
        "metadata": { "name": "stranger" },
        "webhooks": [{
            "name": "stranger.example.org", "failurePolicy": "Fail", "sideEffects": "None",
            "admissionReviewVersions": ["v1"], "timeoutSeconds": 5,
            "clientConfig": { "caBundle": bundle, "service": {
                "namespace": "kube-system", "name": "aws-load-balancer-webhook-service", "path": "/validate-networking-v1-ingress" } },
            "namespaceSelector": { "matchLabels": { "kubernetes.io/metadata.name": "app" } },
            "rules": [{ "operations": ["*"], "apiGroups": [""], "apiVersions": ["v1"], "resources": ["configmaps"] }],
        }],
    })
}

fn one_that_is_over_is_named_and_a_stack_renews_its_own(stage: &Stage, somebody: &Somebody) {
    let over = made(YEARS, 1);
    put(somebody, &over);
    somebody.makes(HOOKS, &stranger(&certificate::bundle(&over)));
    let probe = json!({ "metadata": { "annotations": { "probe": "x" } } });
    until("the certificate in the pods", || {
        let refused = somebody.tries("/api/v1/namespaces/app/configmaps/settings", &probe)?;
        refused.contains("certificate has expired").then_some(())
    });
    stage.write(&(NAMESPACE.to_owned() + &settings("red")));
    let said = stage.fails_to_apply();
    for words in [
        "the webhook `stranger.example.org` has to agree and does not answer",
        "certificate has expired",
        "renew the certificate of webhook `stranger.example.org` where it runs",
    ] {
        assert!(said.contains(words), "`{words}` is not in\n{said}");
    }
    // The stack's own is renewed by the same command, and goes on to be asked.
    somebody.deletes(&format!("{HOOKS}/stranger"));
    stage.apply();
    stage.expect_empty_plan();
    assert_eq!(authorities(&somebody.gets(SECRET)["data"]), 1, "an authority that is over is not kept");
}
