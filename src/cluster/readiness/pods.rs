//! Why a wait drags: what the pods, the scheduler and the last event say.

use std::collections::BTreeSet;

use serde_json::Value;

use super::{condition, items, text};

/// What was read beside an object.
#[derive(Debug, Clone, Default)]
pub struct Signs {
    /// Its pods.
    pub pods: Vec<Value>,
    /// Events about it or its pods, in any order.
    pub events: Vec<Value>,
    /// The endpoint slices of Services.
    pub endpoints: Vec<Value>,
}

impl Signs {
    /// The most telling reason why it is not ready, in words; nothing where nothing tells.
    pub fn reason(&self) -> Option<String> {
        let mut pods: Vec<&Value> =
            self.pods.iter().filter(|pod| text(pod, "/metadata/deletionTimestamp").is_empty()).collect();
        // The newest pods are those of the newest version.
        pods.sort_by_key(|pod| std::cmp::Reverse(text(pod, "/metadata/creationTimestamp").to_owned()));
        let reasons = [image, crash, unschedulable, configuration, probe];
        let named = |pod: &&Value, why: String| format!("pod {}: {why}", text(pod, "/metadata/name"));
        reasons
            .iter()
            .find_map(|reason| pods.iter().find_map(|pod| Some(named(pod, reason(pod, self)?))))
            .or_else(|| self.last_warning())
    }

    /// Whether a pod is ready behind a Service.
    pub fn answers(&self, namespace: &str, service: &str) -> bool {
        let slices = self.endpoints.iter().filter(|slice| {
            let label = slice.pointer("/metadata/labels").and_then(|labels| labels.get("kubernetes.io/service-name"));
            text(slice, "/metadata/namespace") == namespace && label.and_then(Value::as_str) == Some(service)
        });
        slices
            .flat_map(|slice| items(slice, "/endpoints"))
            .any(|endpoint| endpoint.pointer("/conditions/ready").and_then(Value::as_bool).unwrap_or(true))
    }

    fn last_warning(&self) -> Option<String> {
        let warnings = self.events.iter().filter(|event| text(event, "/type") == "Warning");
        let last = warnings.max_by_key(|event| when(event).to_owned())?;
        Some(format!("{} ({})", one_line(text(last, "/message")), text(last, "/reason")))
    }

    fn warning_about(&self, pod: &Value, reasons: &[&str]) -> Option<&Value> {
        let about = self.events.iter().filter(|event| {
            text(event, "/involvedObject/name") == text(pod, "/metadata/name")
                && reasons.contains(&text(event, "/reason"))
        });
        about.max_by_key(|event| when(event).to_owned())
    }
}

fn when(event: &Value) -> &str {
    let times = ["/series/lastObservedTime", "/lastTimestamp", "/eventTime", "/metadata/creationTimestamp"];
    times.iter().map(|pointer| text(event, pointer)).find(|time| !time.is_empty()).unwrap_or_default()
}

fn containers(pod: &Value) -> impl Iterator<Item = &Value> {
    items(pod, "/status/initContainerStatuses").chain(items(pod, "/status/containerStatuses"))
}

fn waiting<'a>(pod: &'a Value, reasons: &[&str]) -> Option<&'a Value> {
    containers(pod).find(|container| reasons.contains(&text(container, "/state/waiting/reason")))
}

fn image(pod: &Value, signs: &Signs) -> Option<String> {
    const REASONS: &[&str] =
        &["ErrImagePull", "ImagePullBackOff", "InvalidImageName", "ErrImageNeverPull", "RegistryUnavailable"];
    let container = waiting(pod, REASONS)?;
    let said = text(container, "/state/waiting/message");
    let event = signs.warning_about(pod, &["Failed"]).map(|event| text(event, "/message"));
    let why = event.filter(|message| message.contains("pull")).unwrap_or(said);
    Some(format!("the image `{}` cannot be pulled: {}", text(container, "/image"), one_line(why)))
}

fn crash(pod: &Value, _: &Signs) -> Option<String> {
    let crashed = |container: &&Value| {
        text(container, "/state/waiting/reason") == "CrashLoopBackOff"
            || (container.pointer("/lastState/terminated").is_some_and(|last| super::number(last, "/exitCode") != 0)
                && container.get("ready") == Some(&Value::Bool(false)))
    };
    let container = containers(pod).find(crashed)?;
    let last = container.pointer("/lastState/terminated").or_else(|| container.pointer("/state/terminated"));
    let ended = last.map_or_else(String::new, |last| {
        let words = one_line(text(last, "/message"));
        let reason = text(last, "/reason");
        let tail = if words.is_empty() { String::new() } else { format!(": {words}") };
        format!(", last with exit code {} ({reason}){tail}", super::number(last, "/exitCode"))
    });
    let times = super::number(container, "/restartCount");
    Some(format!("container `{}` keeps ending ({times} restarts{ended})", text(container, "/name")))
}

fn unschedulable(pod: &Value, _: &Signs) -> Option<String> {
    let scheduled = condition(pod, "PodScheduled").filter(|scheduled| text(scheduled, "/status") == "False")?;
    Some(format!("no node takes it: {}", one_line(text(scheduled, "/message").trim_end_matches('.'))))
}

fn configuration(pod: &Value, signs: &Signs) -> Option<String> {
    const REASONS: &[&str] = &["CreateContainerConfigError", "CreateContainerError", "RunContainerError"];
    if let Some(container) = waiting(pod, REASONS) {
        let why = one_line(text(container, "/state/waiting/message"));
        return Some(format!("container `{}` cannot be started: {why}", text(container, "/name")));
    }
    let event = signs.warning_about(pod, &["FailedMount", "FailedAttachVolume", "FailedCreatePodSandBox"])?;
    waiting(pod, &["ContainerCreating", "PodInitializing"])
        .map(|_| format!("{} ({})", one_line(text(event, "/message")), text(event, "/reason")))
}

fn probe(pod: &Value, signs: &Signs) -> Option<String> {
    let event = signs.warning_about(pod, &["Unhealthy"])?;
    let silent: BTreeSet<&str> = containers(pod)
        .filter(|container| container.get("ready") == Some(&Value::Bool(false)))
        .map(|container| text(container, "/name"))
        .collect();
    let names: Vec<&str> = silent.into_iter().collect();
    (!names.is_empty())
        .then(|| format!("container `{}` is not ready: {}", names.join("`, `"), one_line(text(event, "/message"))))
}

const LONGEST: usize = 240;

/// A message in one line, and not longer than can be read.
fn one_line(message: &str) -> String {
    let line = message.split_whitespace().collect::<Vec<_>>().join(" ");
    match line.char_indices().nth(LONGEST) {
        Some((at, _)) => format!("{}…", &line[..at]),
        None => line,
    }
}
