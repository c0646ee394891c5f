//! What an autoscaler says about its own decisions, by the metrics that both have.

use serde::{Deserialize, Serialize};

const EVALUATION: &str = "karpenter_voluntary_disruption_decision_evaluation_duration_seconds";
const TIMEOUTS: &str = "karpenter_voluntary_disruption_consolidation_timeouts_total";

/// Decisions about consolidation since the start.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Decisions {
    /// How many were made.
    pub count: f64,
    /// Seconds that they took together.
    pub seconds: f64,
    /// The least number of seconds that the longest of them took: the lower end of its bucket.
    pub longest_over: f64,
    /// How many gave up because of time.
    pub timeouts: f64,
}

/// Reads them out of a page of metrics; drift is left out.
pub fn read(metrics: &str) -> Decisions {
    let mut found = Decisions::default();
    let mut buckets: Vec<(String, f64, f64)> = Vec::new();
    for line in metrics.lines() {
        let Some((name, value)) =
            line.rsplit_once(' ').and_then(|(name, value)| Some((name, value.parse::<f64>().ok()?)))
        else {
            continue;
        };
        if name.starts_with(TIMEOUTS) {
            found.timeouts += value;
        }
        let Some(rest) = name.strip_prefix(EVALUATION).filter(|rest| !rest.to_lowercase().contains("drift")) else {
            continue;
        };
        if rest.starts_with("_sum") {
            found.seconds += value;
        } else if rest.starts_with("_count") {
            found.count += value;
        } else if let Some((series, end)) = split_bucket(rest) {
            buckets.push((series, end, value));
        }
    }
    found.longest_over = buckets
        .iter()
        .filter(|(series, end, count)| {
            let all = buckets.iter().filter(|other| other.0 == *series).map(|other| other.2).fold(0.0, f64::max);
            end.is_finite() && *count < all
        })
        .map(|(_, end, _)| *end)
        .fold(0.0, f64::max);
    found
}

/// The labels of a bucket without its end, and its end.
fn split_bucket(rest: &str) -> Option<(String, f64)> {
    let (before, after) = rest.strip_prefix("_bucket")?.split_once("le=\"")?;
    let (end, after) = after.split_once('"')?;
    let end = if end == "+Inf" { f64::INFINITY } else { end.parse().ok()? };
    Some((format!("{before}{after}"), end))
}
