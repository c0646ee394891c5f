//! References that the user writes, `${output:ADDRESS#NAME}`: whether they lead anywhere.

use serde_json::Value;

use crate::aws::Kinds;
use crate::plan::{Desired, Placeholder, placeholders};

/// What is wrong with the references in `document`, which stands at `place`.
pub fn complaints(place: &str, document: &Value, resources: &[Desired]) -> Vec<String> {
    placeholders(document).iter().filter_map(|wanted| complaint(place, wanted, resources)).collect()
}

/// What is wrong with the references in policies and whatever else a resource got from a file.
pub fn dangling(resources: &[Desired]) -> Option<String> {
    // Objects of the workloads are spoken of with the file and the line that they are from.
    let others =
        resources.iter().filter(|resource| resource.kind != "object" || resource.address.phase() == "autoscaler");
    let complaints: Vec<String> =
        others.flat_map(|resource| complaints(resource.address.as_str(), &resource.body, resources)).collect();
    (!complaints.is_empty()).then(|| complaints.join("; "))
}

fn complaint(place: &str, wanted: &Placeholder, resources: &[Desired]) -> Option<String> {
    let Placeholder { address, output } = wanted;
    let Some(resource) = resources.iter().find(|resource| resource.address == *address) else {
        let likely = resources.iter().map(|resource| resource.address.as_str());
        let likely = likely.max_by(|one, other| closeness(one, wanted).total_cmp(&closeness(other, wanted)));
        let hint = likely.map(|likely| format!(", such as `{likely}`")).unwrap_or_default();
        return Some(format!(
            "`{place}` refers to `{address}`, and the stack has no such resource: write an address that `eksup graph` \
             lists{hint}"
        ));
    };
    let known = Kinds::get(&resource.kind).map(|kind| kind.facts().outputs).unwrap_or_default();
    (!known.contains(&output.as_str()))
        .then(|| format!("`{place}` refers to `{output}` of `{address}`, which has only `{}`", known.join("`, `")))
}

fn closeness(address: &str, wanted: &Placeholder) -> f64 {
    strsim::jaro_winkler(address, wanted.address.as_str())
}
