//! What the definitions say besides the shape of the types: the rules of `validate` and `validate_class`, as far as
//! an API server can check them, so that a wrong manifest is refused when it is applied, with its field named.

use super::labels;
use serde_json::{Value, json};

const KEY: &str = "^([a-z0-9]([-a-z0-9]*[a-z0-9])?([.][a-z0-9]([-a-z0-9]*[a-z0-9])?)*/)?[A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?$";
const LABEL_VALUE: &str = "^([A-Za-z0-9]([-A-Za-z0-9_.]*[A-Za-z0-9])?)?$";
const DURATION: &str = "^([0-9]+(h|m|s))+$";
const LIFETIME: &str = "^(([0-9]+(h|m|s))+|Never)$";
const BUDGET: &str = "^((100|[0-9]{1,2})%|[0-9]+)$";
const BUDGET_DURATION: &str = "^([0-9]+h([0-9]+m)?|[0-9]+m)(0s)?$";
const SCHEDULE: &str = "^(@(hourly|daily|midnight|weekly|monthly|yearly|annually)|[^ @][^ ]*( +[^ ]+){4})$";
const QUANTITY: &str = "^[+-]?([0-9]+([.][0-9]*)?|[.][0-9]+)([KMGTPE]i|[numkMGTPE]|[eE][+-]?[0-9]+)?$";
const RESERVES: &str = "['cpu', 'memory', 'ephemeral-storage', 'pid']";
const SIGNALS: &str = "['memory.available', 'nodefs.available', 'nodefs.inodesFree', 'imagefs.available', 'imagefs.inodesFree', 'pid.available']";

/// A schema, and the fields in it that rules are added to.
struct Schema<'a>(&'a mut Value);

impl Schema<'_> {
    /// The field at `path`: names with dots between them, `[]` for entries of a list, `{}` for values of a map.
    fn at(&mut self, path: &str) -> Schema<'_> {
        let mut place = &mut *self.0;
        for step in path.split('.') {
            let name = step.trim_end_matches("[]").trim_end_matches("{}");
            if !name.is_empty() {
                place = &mut place["properties"][name];
            }
            if step.ends_with("[]") {
                place = &mut place["items"];
            } else if step.ends_with("{}") {
                place = &mut place["additionalProperties"];
            }
        }
        Schema(place)
    }

    /// Says `keyword: value`.
    fn says(self, keyword: &str, value: impl Into<Value>) -> Self {
        self.0[keyword] = value.into();
        self
    }

    fn pattern(self, pattern: &str) -> Self {
        self.says("pattern", pattern)
    }

    fn one_of(self, values: &[&str]) -> Self {
        self.says("enum", json!(values))
    }

    fn between(self, least: i64, most: i64) -> Self {
        self.says("minimum", least).says("maximum", most)
    }

    /// Adds a rule in CEL, and what to tell whoever breaks it.
    fn rule(self, rule: &str, message: &str) -> Self {
        let entry = json!({ "rule": rule, "message": message });
        match self.0["x-kubernetes-validations"].as_array_mut() {
            Some(rules) => rules.push(entry),
            None => self.0["x-kubernetes-validations"] = json!([entry]),
        }
        self
    }

    /// The fields that have to be there; none of them has a default.
    fn requires(self, names: &[&str]) -> Self {
        for name in names {
            if let Some(field) = self.0["properties"][name].as_object_mut() {
                field.remove("default");
            }
        }
        let present = self.0["required"].as_array().cloned().unwrap_or_default();
        let mut all: Vec<Value> = names.iter().map(|name| json!(name)).collect();
        all.extend(present.into_iter().filter(|name| !name.as_str().is_some_and(|name| names.contains(&name))));
        self.says("required", all)
    }
}

/// Adds the rules of a NodePool to its schema.
pub(super) fn node_pool(schema: &mut Value) {
    let mut schema = Schema(schema);
    let mut spec = schema.at("spec");
    spec.at("template.metadata.labels").says("maxProperties", 100).rule(
        &format!("self.all(key, {})", allowed("key")),
        "has a label that is not yours to set: the host's name, or one in a domain of the autoscaler's",
    );
    spec.at("template.metadata.labels{}").says("maxLength", 63).pattern(LABEL_VALUE);
    node(&mut spec.at("template.spec"));
    spec.at("disruption.consolidateAfter").pattern(LIFETIME);
    spec.at("disruption.budgets").says("maxItems", 50).rule(
        "self.all(budget, has(budget.schedule) == has(budget.duration))",
        "`schedule` and `duration` go together: give both or neither",
    );
    spec.at("disruption.budgets[].nodes").pattern(BUDGET);
    spec.at("disruption.budgets[].schedule").pattern(SCHEDULE);
    spec.at("disruption.budgets[].duration").pattern(BUDGET_DURATION);
    quantity(spec.at("limits{}"));
    let spec =
        spec.rule("!has(self.replicas) || !has(self.weight)", "`weight` cannot be used together with `replicas`");
    let spec = spec.rule(
        "!has(self.replicas) || !has(self.limits) || self.limits.all(name, name == 'nodes')",
        "with `replicas` only `nodes` can be limited",
    );
    spec.rule(
        "has(self.replicas) == has(oldSelf.replicas)",
        "`replicas` cannot be added to a pool or taken from it; make a new pool instead",
    );
}

/// Adds the rules of a NodeClaim to its schema.
pub(super) fn node_claim(schema: &mut Value) {
    let mut schema = Schema(schema);
    let mut spec = schema.at("spec");
    node(&mut spec);
    spec.rule("self == oldSelf", "a claim cannot change; delete it, and another one is made");
}

/// What pools and claims say alike about a node.
fn node(spec: &mut Schema<'_>) {
    for taints in ["taints[]", "startupTaints[]"] {
        spec.at(&format!("{taints}.key")).says("minLength", 1).pattern(KEY);
        spec.at(&format!("{taints}.value")).pattern(LABEL_VALUE);
        spec.at(&format!("{taints}.effect")).one_of(&["NoSchedule", "PreferNoSchedule", "NoExecute"]);
    }
    let rules = [
        ("self.all(x, x.operator != 'In' || (has(x.values) && x.values.size() > 0))", "`In` needs at least one value"),
        (
            "self.all(x, !(x.operator in ['Gt', 'Lt', 'Gte', 'Lte']) \
             || (has(x.values) && x.values.size() == 1 && x.values[0].matches('^[0-9]+$')))",
            "`Gt`, `Lt`, `Gte` and `Lte` take exactly one integer of zero or more",
        ),
        (
            "self.all(x, x.operator != 'In' || !has(x.minValues) || (has(x.values) && x.values.size() >= x.minValues))",
            "`minValues` asks for more values than `In` lists",
        ),
    ];
    let mut requirements = spec.at("requirements").says("maxItems", 100);
    for (rule, message) in rules {
        requirements = requirements.rule(rule, message);
    }
    // Claims carry the name of their pool as a requirement.
    let own = "self == 'karpenter.sh/nodepool' || ";
    let own = if spec.0["properties"]["resources"].is_null() { "" } else { own };
    spec.at("requirements[].key").pattern(KEY).rule(
        &format!("{own}({})", allowed("self")),
        "cannot be required: it is the host's name, or one in a domain of the autoscaler's that is none of its labels",
    );
    spec.at("requirements[].values[]").says("maxLength", 63);
    for name in ["group", "kind", "name"] {
        spec.at(&format!("nodeClassRef.{name}")).says("minLength", 1);
    }
    spec.at("nodeClassRef.group").pattern("^[^/]*$");
    spec.at("nodeClassRef").rule(
        "self.group == oldSelf.group && self.kind == oldSelf.kind",
        "group and kind cannot change; make a new pool instead",
    );
    spec.at("expireAfter").pattern(LIFETIME);
    spec.at("terminationGracePeriod").pattern(DURATION);
}

/// The condition in CEL under which the label key `name` may be chosen by users.
fn allowed(name: &str) -> String {
    let known: Vec<String> = labels::AWS_KEYS.iter().map(|key| format!("'karpenter.k8s.aws/{key}'")).collect();
    format!(
        "{name} != 'kubernetes.io/hostname' \
         && ({name} == '{capacity}' || !{name}.matches('^([^/]*[.])?karpenter[.]sh/')) \
         && ({name} in [{known}] || !{name}.matches('^([^/]*[.])?karpenter[.]k8s[.]aws/'))",
        capacity = labels::CAPACITY_TYPE,
        known = known.join(", "),
    )
}

/// An amount of something: text, or a number.
fn quantity(schema: Schema<'_>) {
    if let Some(fields) = schema.0.as_object_mut() {
        fields.remove("type");
    }
    schema
        .says("anyOf", json!([{ "type": "integer" }, { "type": "string" }]))
        .says("x-kubernetes-int-or-string", true)
        .pattern(QUANTITY);
}

/// Adds the rules of an EC2NodeClass to its schema.
pub(super) fn ec2_node_class(schema: &mut Value) {
    let mut schema = Schema(schema);
    let mut spec = schema
        .at("spec")
        .requires(&["subnetSelectorTerms", "securityGroupSelectorTerms", "amiSelectorTerms"])
        .rule("has(self.role) != has(self.instanceProfile)", "exactly one of `role` and `instanceProfile` is needed")
        .rule(
            "has(self.amiFamily) || self.amiSelectorTerms.exists(term, has(term.alias))",
            "`amiFamily` is needed when no term has an `alias`",
        )
        .rule(
            "!has(self.amiFamily) || self.amiFamily == 'Custom' || self.amiSelectorTerms.all(term, \
             !has(term.alias) || term.alias.startsWith(self.amiFamily.lowerAscii() + '@'))",
            "the `alias` is of another family than `amiFamily`",
        );
    spec.at("role").says("minLength", 1);
    spec.at("instanceProfile").says("minLength", 1);
    selectors(&mut spec);
    images(&mut spec);
    spec.at("tags").says("maxProperties", 50).rule(
        "self.all(key, key != '' && !key.startsWith('kubernetes.io/cluster') && !(key in ['eks:eks-cluster-name', \
         'karpenter.sh/nodepool', 'karpenter.sh/nodeclaim', 'karpenter.k8s.aws/ec2nodeclass']))",
        "has an empty key, or a tag that the autoscaler sets",
    );
    kubelet(&mut spec.at("kubelet"));
    disks(&mut spec);
    network(&mut spec);
    spec.at("metadataOptions.httpEndpoint").one_of(&["enabled", "disabled"]);
    spec.at("metadataOptions.httpProtocolIPv6").one_of(&["enabled", "disabled"]);
    spec.at("metadataOptions.httpTokens").one_of(&["required", "optional"]);
    spec.at("cpuOptions.nestedVirtualization").one_of(&["enabled", "disabled"]);
}

fn selectors(spec: &mut Schema<'_>) {
    let lists: [(&str, &[&str], &str); 2] = [
        ("subnetSelectorTerms", &["tags", "id"], "subnet"),
        ("securityGroupSelectorTerms", &["tags", "id", "name"], "sg"),
    ];
    for (list, ways, prefix) in lists {
        let used: Vec<String> = ways.iter().map(|way| format!("(has(term.{way}) ? 1 : 0)")).collect();
        spec.at(list).says("minItems", 1).says("maxItems", 30).rule(
            &format!("self.all(term, {} == 1)", used.join(" + ")),
            &format!("each term selects by exactly one of {}", ways.join(", ")),
        );
        spec.at(&format!("{list}[].id")).pattern(&format!("^{prefix}-[0-9a-z]+$"));
        tags(spec.at(&format!("{list}[].tags")));
    }
    let reservations = "capacityReservationSelectorTerms";
    spec.at(reservations).rule(
        "self.all(term, has(term.id) ? !has(term.tags) && !has(term.ownerID) && !has(term.instanceMatchCriteria) \
         : has(term.tags) || has(term.instanceMatchCriteria))",
        "each term selects by `id` alone, or by `tags` or `instanceMatchCriteria`",
    );
    spec.at(&format!("{reservations}[].id")).pattern("^cr-[0-9a-z]+$");
    spec.at(&format!("{reservations}[].ownerID")).pattern("^[0-9]{12}$");
    spec.at(&format!("{reservations}[].instanceMatchCriteria")).one_of(&["open", "targeted"]);
    tags(spec.at(&format!("{reservations}[].tags")));
    spec.at("placementGroupSelector").rule("has(self.name) != has(self.id)", "select by exactly one of name, id");
    spec.at("placementGroupSelector.id").pattern("^pg-[0-9a-z]+$");
}

/// Tags to select by.
fn tags(schema: Schema<'_>) {
    schema
        .says("maxProperties", 20)
        .rule("self.all(key, key != '' && self[key] != '')", "keys and values must not be empty; `*` is any value");
}

fn images(spec: &mut Schema<'_>) {
    let list = spec.at("amiSelectorTerms").says("minItems", 1).says("maxItems", 30);
    let list = list.rule(
        "self.all(term, has(term.id) || has(term.alias) || has(term.ssmParameter) || has(term.tags) || has(term.name))",
        "each term selects by `alias`, `id`, `ssmParameter`, or by `tags` or `name`",
    );
    let list = list.rule(
        "self.all(term, (has(term.id) ? 1 : 0) + (has(term.alias) ? 1 : 0) + (has(term.ssmParameter) ? 1 : 0) \
         + ((has(term.tags) || has(term.name) || has(term.owner)) ? 1 : 0) <= 1)",
        "each term selects in one way: `alias`, `id`, `ssmParameter`, or `tags`, `name` and `owner`",
    );
    list.rule("!self.exists(term, has(term.alias)) || self.size() == 1", "a term with `alias` must be the only term");
    spec.at("amiSelectorTerms[].id").pattern("^ami-[0-9a-z]+$");
    tags(spec.at("amiSelectorTerms[].tags"));
    spec.at("amiSelectorTerms[].alias").says("maxLength", 30).rule(
        "self.matches('^(al2|al2023|bottlerocket)@.+$') || self.matches('^windows(2019|2022|2025)@latest$')",
        "is not `family@version` with a family of al2, al2023, bottlerocket, or windows2019, windows2022, windows2025 \
         and the version `latest`",
    );
    let families = ["AL2", "AL2023", "Bottlerocket", "Windows2019", "Windows2022", "Windows2025", "Custom"];
    spec.at("amiFamily").one_of(&families);
}

fn kubelet(kubelet: &mut Schema<'_>) {
    for reserved in ["systemReserved", "kubeReserved"] {
        kubelet
            .at(reserved)
            .says("maxProperties", 10)
            .rule(
                &format!("self.all(key, key in {RESERVES})"),
                "reserves are of cpu, memory, ephemeral-storage and pid",
            )
            .rule("self.all(key, !string(self[key]).startsWith('-'))", "a reserve must not be negative");
        quantity(kubelet.at(&format!("{reserved}{{}}")));
        kubelet.at(&format!("{reserved}{{}}")).says("maxLength", 63);
    }
    for signals in ["evictionHard", "evictionSoft", "evictionSoftGracePeriod"] {
        kubelet
            .at(signals)
            .says("maxProperties", 10)
            .rule(&format!("self.all(key, key in {SIGNALS})"), "has a signal that kubelets do not know");
    }
    for count in ["maxPods", "podsPerCore"] {
        kubelet.at(count).says("minimum", 0);
    }
    for share in ["imageGCHighThresholdPercent", "imageGCLowThresholdPercent"] {
        kubelet.at(share).between(0, 100);
    }
    let same = |one: &str, other: &str| {
        format!("!has(self.{one}) || (has(self.{other}) && self.{one}.all(key, key in self.{other}))")
    };
    let kubelet = Schema(&mut *kubelet.0);
    kubelet
        .rule(
            &same("evictionSoft", "evictionSoftGracePeriod"),
            "each `evictionSoft` needs an `evictionSoftGracePeriod`",
        )
        .rule(
            &same("evictionSoftGracePeriod", "evictionSoft"),
            "each `evictionSoftGracePeriod` needs an `evictionSoft`",
        )
        .rule(
            "!has(self.imageGCHighThresholdPercent) || !has(self.imageGCLowThresholdPercent) \
             || self.imageGCHighThresholdPercent > self.imageGCLowThresholdPercent",
            "`imageGCHighThresholdPercent` must be above `imageGCLowThresholdPercent`",
        );
}

fn disks(spec: &mut Schema<'_>) {
    spec.at("blockDeviceMappings").says("maxItems", 50).rule(
        "self.filter(disk, has(disk.rootVolume) && disk.rootVolume).size() <= 1",
        "only one can be the `rootVolume`",
    );
    spec.at("blockDeviceMappings[].ebs")
        .rule("has(self.volumeSize) || has(self.snapshotID)", "needs `volumeSize` or `snapshotID`")
        .rule(
            "!has(self.volumeInitializationRate) || has(self.snapshotID)",
            "`volumeInitializationRate` needs a `snapshotID`",
        );
    quantity(spec.at("blockDeviceMappings[].ebs.volumeSize"));
    spec.at("blockDeviceMappings[].ebs.volumeInitializationRate").between(100, 300);
    spec.at("blockDeviceMappings[].ebs.volumeType").one_of(&super::validate_class::VOLUME_TYPES);
    spec.at("instanceStorePolicy").one_of(&["RAID0"]);
}

fn network(spec: &mut Schema<'_>) {
    spec.at("networkInterfaces")
        .says("maxItems", 150)
        .rule(
            "self.size() == 0 || self.exists(nic, nic.networkCardIndex == 0 && nic.deviceIndex == 0 \
             && nic.interfaceType == 'interface')",
            "device 0 of card 0 must be there, as `interface`",
        )
        .rule(
            "self.all(nic, self.exists_one(other, other.networkCardIndex == nic.networkCardIndex \
             && other.deviceIndex == nic.deviceIndex))",
            "a card and device are there twice",
        )
        .rule(
            "self.all(nic, nic.interfaceType != 'efa-only' || self.exists_one(other, \
             other.interfaceType == 'efa-only' && other.networkCardIndex == nic.networkCardIndex))",
            "a card has two `efa-only` interfaces",
        );
    let interface = spec.at("networkInterfaces[]");
    interface.requires(&["networkCardIndex", "deviceIndex", "interfaceType"]);
    spec.at("networkInterfaces[].interfaceType").one_of(&["interface", "efa-only"]);
    spec.at("connectionTracking.tcpEstablishedTimeout").between(60, 432_000);
    spec.at("connectionTracking.udpStreamTimeout").between(60, 180);
    spec.at("connectionTracking.udpTimeout").between(30, 60);
}

/// Takes away what makes an API server refuse a definition: a default of nothing is no default.
pub(super) fn without_null_defaults(schema: &mut Value) {
    match schema {
        Value::Object(fields) => {
            if fields.get("default").is_some_and(Value::is_null) {
                fields.remove("default");
            }
            fields.values_mut().for_each(without_null_defaults);
        }
        Value::Array(entries) => entries.iter_mut().for_each(without_null_defaults),
        _ => {}
    }
}

/// Whether a schema has a field, so that a rule does not invent one.
#[cfg(test)]
pub(super) fn invented(schema: &Value) -> Vec<String> {
    let mut found = Vec::new();
    if let Some(fields) = schema["properties"].as_object() {
        for (name, field) in fields {
            let typed = ["type", "anyOf", "x-kubernetes-int-or-string", "x-kubernetes-preserve-unknown-fields"];
            if !typed.iter().any(|keyword| field.get(keyword).is_some()) {
                found.push(name.clone());
            }
            found.extend(invented(field).into_iter().map(|inner| format!("{name}.{inner}")));
            found.extend(invented(&field["items"]).into_iter().map(|inner| format!("{name}[].{inner}")));
        }
    }
    found
}
