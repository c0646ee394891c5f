//! What the cloud announces, from EventBridge through SQS to the claims.

use std::time::{Duration, Instant};

use aws_sdk_eventbridge::types::PutEventsRequestEntry;
use aws_sdk_sqs::types::SendMessageBatchRequestEntry;
use eksup::aws::Cloud;
use futures::StreamExt;
use serde_json::{Value, json};
use tokio::runtime::Runtime;

use super::ground::{CLUSTER, Ground, claim_path, memory};
use crate::stage::until;

/// The section that makes a queue and a rule that fills it.
pub const SECTION: &str = "interruption: {}\n";
/// The queue of that section has the cluster's name.
const QUEUE: &str = CLUSTER;
const RECEIVED: &str = "karpenter_interruption_received_messages_total{message_type=";
const MANY: usize = 15_000;

#[test]
fn notices_are_acted_on_and_a_queue_that_goes_comes_back() {
    let ground = Ground::with(6, SECTION);
    let asked = ground.cloud.read.sqs.get_queue_url().queue_name(QUEUE).send();
    let url = ground.runtime.block_on(asked).expect("the queue").queue_url.expect("its URL");
    let controllers = ground.controllers(Some(QUEUE));
    a_stopped_instance_loses_its_claim(&ground);
    a_terminated_instance_is_buried(&ground);
    a_warned_node_is_tainted_and_its_pods_end_in_peace(&ground);
    a_change_that_aws_health_announces_takes_the_node_away(&ground);
    let read = controllers.figure(&format!("{RECEIVED}\"broken\"}}"));
    send(&ground, &url, &["{".to_owned(), "null".to_owned(), "{\"version\":\"0\"}".to_owned()]);
    until("broken messages are counted", || {
        (controllers.figure(&format!("{RECEIVED}\"broken\"}}")) >= read + 2.0).then_some(())
    });
    a_flood_is_taken_in_bounded_memory(&ground, &url, &controllers);
    a_deleted_queue_is_named_and_used_again(&ground, &url);
}

fn a_stopped_instance_loses_its_claim(ground: &Ground) {
    let standing = ground.claimed("stopping", &json!({}));
    ground.says(STATE, &json!({ "instance-id": standing.instance, "state": "stopping" }));
    ground.expect_gone("stopping", &standing);
    ground.hears("InstanceStopping", "stopping");
}

fn a_terminated_instance_is_buried(ground: &Ground) {
    let standing = ground.claimed("terminated", &json!({}));
    ground.pod("lost", &standing, &json!({ "annotations": { "karpenter.sh/do-not-disrupt": "true" } }), &json!({}));
    let request = ground.cloud.write.ec2.terminate_instances().instance_ids(&standing.instance);
    ground.runtime.block_on(request.send()).expect("an answer");
    ground.says(STATE, &json!({ "instance-id": standing.instance, "state": "terminated" }));
    ground.expect_gone("terminated", &standing);
}

fn a_warned_node_is_tainted_and_its_pods_end_in_peace(ground: &Ground) {
    let standing = ground.claimed("warned", &json!({}));
    ground.says(SPOT, &json!({ "instance-id": standing.instance, "instance-action": "terminate" }));
    until("the claim remembers", || {
        let claim = ground.hands.sees(&claim_path("warned"));
        claim.is_none_or(|claim| claim["metadata"]["annotations"]["eksup.dev/interrupted"].is_string()).then_some(())
    });
    // Nothing has to move: it goes at once.
    ground.expect_gone("warned", &standing);
    ground.hears("SpotInterrupted", "warned");
}

fn a_change_that_aws_health_announces_takes_the_node_away(ground: &Ground) {
    let standing = ground.claimed("announced", &json!({}));
    let detail = json!({
        "service": "EC2",
        "eventTypeCategory": "scheduledChange",
        "eventTypeCode": "AWS_EC2_PERSISTENT_INSTANCE_RETIREMENT_SCHEDULED",
        "affectedEntities": [{ "entityValue": standing.instance }],
    });
    ground.says("AWS Health Event", &detail);
    ground.expect_gone("announced", &standing);
    ground.hears("InstanceUnhealthy", "announced");
}

fn a_flood_is_taken_in_bounded_memory(ground: &Ground, url: &str, controllers: &super::ground::Controllers) {
    let deleted = "karpenter_interruption_deleted_messages_total";
    let before = controllers.figure(deleted);
    let (held, begun) = (memory(), Instant::now());
    let bodies: Vec<String> = (0..MANY).map(|at| spot_warning(&format!("i-{at:017x}"))).collect();
    send(ground, url, &bodies);
    let sent = begun.elapsed();
    let mut most = held;
    until("all messages are deleted", || {
        most = most.max(memory());
        (controllers.figure(deleted) >= before + MANY as f64).then_some(())
    });
    eprintln!(
        "{MANY} messages: sent in {sent:?}, all handled {:?} after the first; memory {held} → {most} MiB",
        begun.elapsed()
    );
    assert!(most < held + 64, "memory grew from {held} to {most} MiB");
}

fn a_deleted_queue_is_named_and_used_again(ground: &Ground, url: &str) {
    let pool = json!({
        "apiVersion": "karpenter.sh/v1",
        "kind": "NodePool",
        "metadata": { "name": "told" },
        "spec": { "template": { "spec": {
            "requirements": [],
            "nodeClassRef": { "group": "karpenter.k8s.aws", "kind": "EC2NodeClass", "name": "told" },
        } }, "disruption": { "budgets": [{ "nodes": "0" }] } },
    });
    ground.hands.makes("/apis/karpenter.sh/v1/nodepools", &pool);
    ground.runtime.block_on(ground.cloud.write.sqs.delete_queue().queue_url(url).send()).expect("an answer");
    let heard = |status: &str| {
        let pool = ground.hands.gets("/apis/karpenter.sh/v1/nodepools/told");
        let conditions = pool["status"]["conditions"].as_array().cloned().unwrap_or_default();
        conditions.into_iter().find(|one| one["type"] == "InterruptionsHeard" && one["status"] == status)
    };
    let condition = until("the pool says that the queue is gone", || heard("False"));
    assert!(condition["message"].as_str().is_some_and(|text| text.contains(&format!("`{QUEUE}` does not exist"))));
    // The name of a deleted queue is free again after a while.
    let url = make_queue(ground);
    until("the pool says that the queue is heard", || heard("True"));
    let standing = ground.claimed("after", &json!({}));
    send(ground, &url, &[state_change(&standing.instance, "stopped")]);
    ground.expect_gone("after", &standing);
}

fn make_queue(ground: &Ground) -> String {
    let asked = Instant::now();
    loop {
        let made = ground.runtime.block_on(ground.cloud.write.sqs.create_queue().queue_name(QUEUE).send());
        match made {
            Ok(made) => return made.queue_url().expect("a URL").to_owned(),
            Err(error) => assert!(asked.elapsed() < Duration::from_secs(90), "{error:?}"),
        }
        std::thread::sleep(Duration::from_millis(500));
    }
}

fn send(ground: &Ground, url: &str, bodies: &[String]) {
    let batches = bodies.chunks(10).map(|batch| {
        let mut request = ground.cloud.write.sqs.send_message_batch().queue_url(url);
        for (at, body) in batch.iter().enumerate() {
            let entry = SendMessageBatchRequestEntry::builder().id(at.to_string()).message_body(body);
            request = request.entries(entry.build().expect("a message"));
        }
        request.send()
    });
    let sending = futures::stream::iter(batches).buffer_unordered(8);
    ground.runtime.block_on(sending.for_each(|sent| async { drop(sent.expect("messages are sent")) }));
}

const STATE: &str = "EC2 Instance State-change Notification";
const SPOT: &str = "EC2 Spot Instance Interruption Warning";

impl Ground {
    fn says(&self, kind: &str, detail: &Value) {
        announce(&self.runtime, &self.cloud, kind, detail);
    }
}

/// Has AWS say something, by way of EventBridge.
pub fn announce(runtime: &Runtime, cloud: &Cloud, kind: &str, detail: &Value) {
    let source = if kind.starts_with("AWS Health") { "aws.health" } else { "aws.ec2" };
    let entry = PutEventsRequestEntry::builder().source(source).detail_type(kind).detail(detail.to_string()).build();
    let said = runtime.block_on(cloud.write.events.put_events().entries(entry).send()).expect("an answer");
    assert_eq!(said.failed_entry_count(), 0, "{said:?}");
}

/// Has EC2 warn that it takes a spot instance back.
pub fn warn(runtime: &Runtime, cloud: &Cloud, instance: &str) {
    announce(runtime, cloud, SPOT, &json!({ "instance-id": instance, "instance-action": "terminate" }));
}

/// A message as EventBridge writes it.
fn message(kind: &str, detail: &Value) -> String {
    json!({
        "version": "0", "id": "5f1d", "account": "123456789012", "region": "eu-central-1",
        "time": jiff::Timestamp::now().to_string(), "source": "aws.ec2", "detail-type": kind,
        "resources": [], "detail": detail,
    })
    .to_string()
}

fn spot_warning(instance: &str) -> String {
    message(SPOT, &json!({ "instance-id": instance, "instance-action": "terminate" }))
}

fn state_change(instance: &str, state: &str) -> String {
    message(STATE, &json!({ "instance-id": instance, "state": state }))
}
