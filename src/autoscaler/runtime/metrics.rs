//! What is counted, under Karpenter's names. What can be read off the state is not kept here but worked out
//! when somebody asks: see `gauges`.

use super::series::{Count, Level, Time};
use prometheus_client::collector::Collector;
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use prometheus_client::registry::Registry;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use crate::aws::CloudError;

/// Everything that is counted.
#[derive(Debug)]
pub struct Metrics {
    registry: Mutex<Registry>,
    /// NodeClaims that were made.
    pub nodeclaims_created: Count<3>,
    /// NodeClaims that are gone.
    pub nodeclaims_terminated: Count<1>,
    /// NodeClaims that were taken away, and why.
    pub nodeclaims_disrupted: Count<3>,
    /// From the deletion of a NodeClaim to its end.
    pub nodeclaims_termination: Time<1>,
    /// From the order to end an instance to its end.
    pub instance_termination: Time<1>,
    /// Nodes that have registered.
    pub nodes_created: Count<1>,
    /// Nodes that are gone.
    pub nodes_terminated: Count<1>,
    /// How long nodes lived.
    pub nodes_lifetime: Time<1>,
    /// From the deletion of a node to its end.
    pub nodes_termination: Time<1>,
    /// Nodes that were drained.
    pub nodes_drained: Count<1>,
    /// From the making of a pod to its running.
    pub pods_startup: Time<0>,
    /// From the making of a pod to its binding.
    pub pods_bound: Time<0>,
    /// From the first sight of a pod to a plan for it.
    pub pods_scheduling_decision: Time<0>,
    /// From a plan for a pod to its binding.
    pub pods_provisioning_bound: Time<0>,
    /// From a plan for a pod to its running.
    pub pods_provisioning_startup: Time<0>,
    /// Requests to evict a pod, by the API server's answer.
    pub evictions: Count<1>,
    /// Pods that were moved off a node.
    pub pods_drained: Count<1>,
    /// How many nodes of a pool may go now.
    pub allowed_disruptions: Level<2>,
    /// Nodes of a pool that are going, or not ready.
    pub consuming_budgets: Level<1>,
    /// What the nodes of a pool cost in an hour, in dollars.
    pub pool_cost: Level<1>,
    /// Decisions to take nodes away.
    pub decisions: Count<3>,
    /// Nodes that may be taken away.
    pub eligible_nodes: Level<1>,
    /// How long a decision took.
    pub decision_evaluation: Time<2>,
    /// Decisions that were cut short.
    pub consolidation_timeouts: Count<1>,
    /// Decisions that had become wrong before they were carried out.
    pub failed_validations: Count<2>,
    /// Decisions that failed while they were carried out.
    pub queue_failures: Count<3>,
    /// How long a plan for pods took.
    pub scheduling: Time<1>,
    /// Pods that wait for a plan.
    pub queue_depth: Level<1>,
    /// Pods that no node can be bought for.
    pub unschedulable_pods: Level<1>,
    /// Pods that are left alone.
    pub ignored_pods: Level<0>,
    /// How long the plan in work has taken so far.
    pub unfinished_work: Level<1>,
    /// The version of eksup.
    pub build_info: Level<1>,
    /// How long calls to the cloud took.
    pub cloud_calls: Time<3>,
    /// Calls to the cloud that failed.
    pub cloud_errors: Count<4>,
    /// Requests in one call to the cloud.
    pub batch_size: Time<1>,
    /// Messages of the interruption queue.
    pub messages_received: Count<1>,
    /// Messages that were taken off the interruption queue.
    pub messages_deleted: Count<0>,
    /// From the sending of a message to its receipt.
    pub message_queue: Time<0>,
    /// Whether the interruption queue can be read.
    pub queue_heard: Level<0>,
    /// Objects that were left out because they could not be used.
    pub quarantined: Count<1>,
    /// Events that were not said because too many were.
    pub events_dropped: Count<0>,
    /// Whether this process acts.
    pub leads: Level<0>,
    /// What this process holds in memory, in bytes.
    pub memory: Level<0>,
}

fn sizes() -> Histogram {
    Histogram::new(exponential_buckets(1.0, 2.0, 11))
}

impl Default for Metrics {
    fn default() -> Self {
        Self::new()
    }
}

impl Metrics {
    /// All at zero.
    #[rustfmt::skip]
    pub fn new() -> Self {
        let mut registry = Registry::with_prefix("karpenter");
        let r = &mut registry;
        let metrics = Self {
            registry: Mutex::default(),
            nodeclaims_created: Count::new(r, "nodeclaims_created", "NodeClaims that were made", ["reason", "nodepool", "min_values_relaxed"]),
            nodeclaims_terminated: Count::new(r, "nodeclaims_terminated", "NodeClaims that are gone", ["nodepool"]),
            nodeclaims_disrupted: Count::new(r, "nodeclaims_disrupted", "NodeClaims that were taken away, and why", ["reason", "nodepool", "capacity_type"]),
            nodeclaims_termination: Time::new(r, "nodeclaims_termination_duration_seconds", "From the deletion of a NodeClaim to its end", ["nodepool"]),
            instance_termination: Time::new(r, "nodeclaims_instance_termination_duration_seconds", "From the order to end an instance to its end", ["nodepool"]),
            nodes_created: Count::new(r, "nodes_created", "Nodes that have registered", ["nodepool"]),
            nodes_terminated: Count::new(r, "nodes_terminated", "Nodes that are gone", ["nodepool"]),
            nodes_lifetime: Time::new(r, "nodes_lifetime_duration_seconds", "How long nodes lived", ["nodepool"]),
            nodes_termination: Time::new(r, "nodes_termination_duration_seconds", "From the deletion of a node to its end", ["nodepool"]),
            nodes_drained: Count::new(r, "nodes_drained", "Nodes that were drained", ["nodepool"]),
            pods_startup: Time::new(r, "pods_startup_duration_seconds", "From the making of a pod to its running", []),
            pods_bound: Time::new(r, "pods_bound_duration_seconds", "From the making of a pod to its binding", []),
            pods_scheduling_decision: Time::new(r, "pods_scheduling_decision_duration_seconds", "From the first sight of a pod to a plan for it", []),
            pods_provisioning_bound: Time::new(r, "pods_provisioning_bound_duration_seconds", "From a plan for a pod to its binding", []),
            pods_provisioning_startup: Time::new(r, "pods_provisioning_startup_duration_seconds", "From a plan for a pod to its running", []),
            evictions: Count::new(r, "pods_eviction_requests", "Requests to evict a pod, by the API server's answer", ["code"]),
            pods_drained: Count::new(r, "pods_drained", "Pods that were moved off a node", ["reason"]),
            allowed_disruptions: Level::new(r, "nodepools_allowed_disruptions", "How many nodes of a pool may go now", ["nodepool", "reason"]),
            consuming_budgets: Level::new(r, "nodepools_nodes_consuming_budgets", "Nodes of a pool that are going, or not ready", ["nodepool"]),
            pool_cost: Level::new(r, "nodepools_cost_total", "What the nodes of a pool cost in an hour, in dollars", ["nodepool"]),
            decisions: Count::new(r, "voluntary_disruption_decisions", "Decisions to take nodes away", ["decision", "reason", "consolidation_type"]),
            eligible_nodes: Level::new(r, "voluntary_disruption_eligible_nodes", "Nodes that may be taken away", ["reason"]),
            decision_evaluation: Time::new(r, "voluntary_disruption_decision_evaluation_duration_seconds", "How long a decision took", ["reason", "consolidation_type"]),
            consolidation_timeouts: Count::new(r, "voluntary_disruption_consolidation_timeouts", "Decisions that were cut short", ["consolidation_type"]),
            failed_validations: Count::new(r, "voluntary_disruption_failed_validations", "Decisions that had become wrong before they were carried out", ["reason", "consolidation_type"]),
            queue_failures: Count::new(r, "voluntary_disruption_queue_failures", "Decisions that failed while they were carried out", ["decision", "reason", "consolidation_type"]),
            scheduling: Time::new(r, "scheduler_scheduling_duration_seconds", "How long a plan for pods took", ["controller"]),
            queue_depth: Level::new(r, "scheduler_queue_depth", "Pods that wait for a plan", ["controller"]),
            unschedulable_pods: Level::new(r, "scheduler_unschedulable_pods_count", "Pods that no node can be bought for", ["controller"]),
            ignored_pods: Level::new(r, "scheduler_ignored_pods_count", "Pods that are left alone", []),
            unfinished_work: Level::new(r, "scheduler_unfinished_work_seconds", "How long the plan in work has taken so far", ["controller"]),
            build_info: Level::new(r, "build_info", "The version of eksup", ["version"]),
            cloud_calls: Time::new(r, "cloudprovider_duration_seconds", "How long calls to the cloud took", ["controller", "method", "provider"]),
            cloud_errors: Count::new(r, "cloudprovider_errors", "Calls to the cloud that failed", ["controller", "method", "provider", "error"]),
            batch_size: Time::with(r, "cloudprovider_batcher_batch_size", "Requests in one call to the cloud", ["batcher"], sizes),
            messages_received: Count::new(r, "interruption_received_messages", "Messages of the interruption queue", ["message_type"]),
            messages_deleted: Count::new(r, "interruption_deleted_messages", "Messages that were taken off the interruption queue", []),
            message_queue: Time::new(r, "interruption_message_queue_duration_seconds", "From the sending of a message to its receipt", []),
            queue_heard: Level::new(r, "interruption_queue_heard", "Whether the interruption queue can be read", []),
            quarantined: Count::new(r, "quarantined_objects", "Objects that were left out because they could not be used", ["kind"]),
            events_dropped: Count::new(r, "events_dropped", "Events that were not said because too many were", []),
            leads: Level::new(r, "leader", "Whether this process acts", []),
            memory: Level::new(r, "memory_resident_bytes", "What this process holds in memory", []),
        };
        metrics.build_info.set([env!("CARGO_PKG_VERSION")], 1.0);
        *metrics.registry.lock().unwrap_or_else(PoisonError::into_inner) = registry;
        metrics
    }

    /// Counts a call to the cloud, as `ec2:CreateFleet`, that has ended.
    pub fn called(&self, action: &str, took: Duration, failure: Option<&CloudError>) {
        let method = action.rsplit(':').next().unwrap_or(action);
        self.cloud_calls.took(["", method, "aws"], took.as_secs_f64());
        if let Some(error) = failure {
            self.cloud_errors.count(["", method, "aws", error.code.as_deref().unwrap_or("unreachable")]);
        }
    }

    /// Adds what is worked out when somebody asks.
    pub fn collect(&self, collector: Box<dyn Collector>) {
        self.registry.lock().unwrap_or_else(PoisonError::into_inner).register_collector(collector);
    }

    /// Everything as Prometheus reads it.
    pub fn text(&self) -> String {
        let registry = self.registry.lock().unwrap_or_else(PoisonError::into_inner);
        let mut text = String::new();
        if let Err(error) = prometheus_client::encoding::text::encode(&mut text, &registry) {
            tracing::warn!(%error, "metrics cannot be written");
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_those_that_dashboards_ask_for() {
        let metrics = Metrics::new();
        metrics.nodeclaims_created.count(["provisioned", "default", "false"]);
        metrics.scheduling.took(["provisioner"], 0.2);
        let text = metrics.text();
        for line in [
            "karpenter_nodeclaims_created_total{reason=\"provisioned\",nodepool=\"default\",min_values_relaxed=\"false\"} 1",
            "karpenter_scheduler_scheduling_duration_seconds_count{controller=\"provisioner\"} 1",
        ] {
            assert!(text.contains(line), "{line} in {text}");
        }
    }
}
