//! The answer for people.

use super::report::{Report, ReportNode};
use std::fmt;

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if !self.nodes.is_empty() {
            writeln!(
                f,
                "{:<10} {:<16} {:<18} {:<16} {:<10} {:>5} {:>5} {:>7} {:>10}  SECOND CHOICE",
                "NODE", "POOL", "TYPE", "ZONE", "CAPACITY", "PODS", "CPU", "MEMORY", "$/HOUR"
            )?;
        }
        for node in &self.nodes {
            writeln!(
                f,
                "{:<10} {:<16} {:<18} {:<16} {:<10} {:>5} {:>4.0}% {:>6.0}% {:>10.4}  {}",
                node.name,
                node.pool,
                node.instance_type,
                node.zone,
                node.capacity_type,
                node.pods.len(),
                node.cpu_use * 100.0,
                node.memory_use * 100.0,
                node.hourly_cost,
                second(node)
            )?;
        }
        for node in &self.existing {
            writeln!(f, "{} takes {} {}", node.name, node.pods.len(), pods(node.pods.len()))?;
        }
        writeln!(
            f,
            "{} {} on {} new {}: {:.4} $ per hour, {:.2} $ per month; CPU {:.0}%, memory {:.0}% in use",
            self.placed,
            pods(self.placed),
            self.nodes.len(),
            if self.nodes.len() == 1 { "node" } else { "nodes" },
            self.hourly_cost,
            self.monthly_cost,
            self.cpu_use * 100.0,
            self.memory_use * 100.0
        )?;
        if self.lower_bound > 0.0 && self.hourly_cost > 0.0 {
            let above = (self.hourly_cost / self.lower_bound - 1.0) * 100.0;
            writeln!(
                f,
                "no other choice costs less than {:.4} $ per hour; this one is {above:.1}% above",
                self.lower_bound
            )?;
        }
        for group in &self.unplaced {
            let first = group.pods.first().map(String::as_str).unwrap_or_default();
            let more = if group.pods.len() > 1 { format!(" and {} more", group.pods.len() - 1) } else { String::new() };
            writeln!(f, "no place for `{first}`{more}: {}", group.reason)?;
        }
        Ok(())
    }
}

/// What else would have held the pods of a node, and its price.
fn second(node: &ReportNode) -> String {
    node.second.as_ref().map_or_else(
        || "none".to_owned(),
        |other| {
            let elsewhere = if other.zone == node.zone { String::new() } else { format!(" in {}", other.zone) };
            let otherwise = if other.capacity_type == node.capacity_type {
                String::new()
            } else {
                format!(" {}", other.capacity_type)
            };
            format!("{}{otherwise}{elsewhere} at {:.4}", other.instance_type, other.hourly_cost)
        },
    )
}

fn pods(count: usize) -> &'static str {
    if count == 1 { "pod" } else { "pods" }
}
