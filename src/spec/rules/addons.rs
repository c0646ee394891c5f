//! Rules for `addons`: what a controller may use is no less than what it asks for.

use super::{Finding, Report};
use crate::spec::document::Path;
use crate::spec::model::{ContainerResources, Stack};

/// The units of CPU and memory with their factors, those with more letters first.
const UNITS: [(&str, f64); 9] = [
    ("Ki", 1024.0),
    ("Mi", 1024.0 * 1024.0),
    ("Gi", 1024.0 * 1024.0 * 1024.0),
    ("Ti", 1024.0 * 1024.0 * 1024.0 * 1024.0),
    ("m", 0.001),
    ("k", 1e3),
    ("M", 1e6),
    ("G", 1e9),
    ("T", 1e12),
];

pub(super) fn check(stack: &Stack, report: &mut Report<'_>) {
    let Some(addons) = &stack.addons else {
        return;
    };
    let controller = addons.load_balancer_controller.as_ref().and_then(|one| one.resources.as_ref());
    let server = addons.metrics_server.as_ref().and_then(|one| one.resources.as_ref());
    for (name, resources) in [("loadBalancerController", controller), ("metricsServer", server)] {
        if let Some(resources) = resources {
            limits_cover_requests(&Path::of("addons").key(name).key("resources"), resources, report);
        }
    }
}

/// What a container may use, at `path`, is no less than what it asks for.
pub(super) fn limits_cover_requests(path: &Path, resources: &ContainerResources, report: &mut Report<'_>) {
    let ContainerResources { requests, limits } = resources;
    for (key, request, limit) in [("cpu", &requests.cpu, &limits.cpu), ("memory", &requests.memory, &limits.memory)] {
        let (Some(request), Some(limit)) = (request, limit) else { continue };
        if amount(limit) < amount(request) {
            report.add(
                Finding::new(
                    path.key("limits").key(key),
                    format!("the limit `{limit}` is less than the request `{request}`"),
                    format!("write `{request}` or more, or leave the limit out"),
                )
                .see(path.key("requests").key(key), "the request"),
            );
        }
    }
}

/// CPUs or bytes; nothing for a text that is neither, which the schema has reported.
fn amount(text: &str) -> Option<f64> {
    let unit = UNITS.iter().find_map(|(unit, factor)| Some((text.strip_suffix(unit)?, factor)));
    let (number, factor) = unit.unwrap_or((text, &1.0));
    number.parse::<f64>().ok().map(|number| number * factor)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn amounts_compare_across_units() {
        for (less, more) in [("100m", "1"), ("0.2", "250m"), ("500M", "512Mi"), ("1023Mi", "1Gi"), ("1Gi", "1.1G")] {
            assert!(amount(less) < amount(more), "{less} {more}");
        }
        assert_eq!(amount("1000m"), amount("1"));
        assert_eq!(amount("x"), None);
    }
}
