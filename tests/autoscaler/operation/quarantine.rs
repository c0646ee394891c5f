//! Objects that are not as their kind says.

use serde_json::{Value, json};

use super::post::{CLASSES, POOLS, Post, pool};
use crate::stage::until;

#[test]
fn an_object_that_cannot_be_read_is_named_and_stops_nothing() {
    let post = Post::bare();
    post.define_laxly();
    let mut broken = pool("broken");
    broken["spec"]["template"] = "soon".into();
    post.hands.makes(POOLS, &broken);
    post.hands.makes(
        CLASSES,
        &json!({ "apiVersion": "karpenter.k8s.aws/v1", "kind": "EC2NodeClass", "metadata": { "name": "odd" },
            "spec": { "tags": ["none"] } }),
    );
    let autoscaler = post.autoscaler("a");
    autoscaler.is_ready();
    post.pool("fine");
    assert_eq!(post.told("fine", "ValidationSucceeded").0, "True");
    for (kind, name) in [("NodePool", "broken"), ("EC2NodeClass", "odd")] {
        let about = |event: &Value| event["involvedObject"]["kind"] == kind && event["involvedObject"]["name"] == name;
        until(&format!("the {kind} is named"), || {
            let events = post.hands.gets("/api/v1/namespaces/default/events");
            let events = events["items"].as_array()?.clone();
            events.into_iter().find(|event| event["reason"] == "Quarantined" && about(event))
        });
        let count = format!("karpenter_quarantined_objects_total{{kind=\"{kind}\"}}");
        assert_eq!(autoscaler.metric(&count), Some(1.0));
    }
    let says = |truth: &str, reason: &str| (truth.to_owned(), reason.to_owned());
    for path in [format!("{POOLS}/broken"), format!("{CLASSES}/odd")] {
        for kind in ["ValidationSucceeded", "Ready"] {
            let found = until("the object says so", || post.condition(&path, kind));
            assert_eq!(found, says("False", "Unreadable"), "{kind} of {path}");
        }
    }
    let mended = pool("broken");
    post.hands.changes(&format!("{POOLS}/broken"), "somebody", &json!({ "spec": mended["spec"] }));
    until("it is as its kind says again", || {
        let now = post.condition(&format!("{POOLS}/broken"), "ValidationSucceeded")?;
        (now.0 == "True").then_some(())
    });
}
