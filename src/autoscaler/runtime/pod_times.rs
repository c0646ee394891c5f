//! How long pods take: to a plan, to a node, to running. Pods that were there before are not counted.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use anyhow::Result;
use jiff::Timestamp;
use tokio_util::sync::CancellationToken;

use super::context::Context;
use super::metrics::Metrics;
use crate::autoscaler::state::live::{Kind, Live, LivePod, Phase, Uid};
use crate::autoscaler::steering::Plan;

const GATHER: Duration = Duration::from_millis(200);

/// How far a pod has come.
#[derive(Clone, Copy, Debug)]
struct Course {
    seen: Instant,
    planned: Option<Instant>,
    bound: bool,
    runs: bool,
}

/// Counts while this process leads.
///
/// # Errors
/// None.
pub async fn run(context: Context, stop: CancellationToken) -> Result<()> {
    let mut changes = context.live.changes(&[Kind::Pod]);
    let (mut courses, since) = (BTreeMap::new(), context.now());
    loop {
        tokio::select! {
            () = changes.next() => {}
            () = stop.cancelled() => return Ok(()),
        }
        {
            let live = context.live.lock();
            let plan = context.plan.lock();
            look(&live, &plan, &mut courses, since, &context.metrics, context.now());
        }
        tokio::select! {
            () = tokio::time::sleep(GATHER) => {}
            () = stop.cancelled() => return Ok(()),
        }
    }
}

fn look(
    live: &Live,
    plan: &Plan,
    courses: &mut BTreeMap<Uid, Course>,
    since: Timestamp,
    metrics: &Metrics,
    now: Timestamp,
) {
    courses.retain(|uid, _| live.pod(*uid).is_some());
    for pod in live.pods().filter(|pod| pod.created >= since) {
        let course = courses.entry(pod.uid).or_insert_with(|| Course {
            seen: Instant::now(),
            planned: None,
            bound: false,
            runs: false,
        });
        course.goes_on(pod, plan, metrics, now);
    }
}

impl Course {
    fn goes_on(&mut self, pod: &LivePod, plan: &Plan, metrics: &Metrics, now: Timestamp) {
        if self.runs {
            return;
        }
        let age = now.duration_since(pod.created).as_secs_f64().max(0.0);
        if self.planned.is_none() && plan.place_of(pod.uid).is_some() {
            metrics.pods_scheduling_decision.took([], self.seen.elapsed().as_secs_f64());
            self.planned = Some(Instant::now());
        }
        if !self.bound && pod.node.is_some() {
            metrics.pods_bound.took([], age);
            self.bound = true;
        }
        if pod.phase == Phase::Running {
            metrics.pods_startup.took([], age);
            if let Some(planned) = self.planned {
                metrics.pods_provisioning_startup.took([], planned.elapsed().as_secs_f64());
            }
            self.runs = true;
        }
    }
}
