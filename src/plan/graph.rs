//! In which order a round of changes is carried out: everything at the moment that what it needs is
//! done. All ordering is decided here.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;
use serde_json::Value;

use super::reference::visit_strings;
use super::{Action, Address, Change, Facts, Observed, Registry, ReplaceOrder};

/// Which half of a change an operation is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum OperationKind {
    /// Create, change in place, or wait until it is ready.
    Make,
    /// Delete, and wait until it is gone.
    Remove,
    /// It goes by itself with the resource that it hangs off.
    GoesAlong,
}

/// One thing to do.
#[derive(Debug, Clone, Serialize)]
pub struct Operation {
    /// Which change of the round it belongs to.
    pub change: usize,
    /// Which half of it.
    pub kind: OperationKind,
    /// The operations that have to be done before, by their place in the graph.
    pub needs: BTreeSet<usize>,
}

/// The operations of one round.
#[derive(Debug, Clone, Serialize)]
pub struct Graph {
    /// All operations; an operation's number is its place here.
    pub operations: Vec<Operation>,
}

impl Graph {
    /// The graph of `changes`.
    ///
    /// # Errors
    /// The addresses of a cycle. No phase can write one by references; an `after` could.
    pub fn of(changes: &[Change], registry: &dyn Registry) -> Result<Self, Vec<Address>> {
        let mut builder = Builder::new(changes, registry);
        builder.order_makes();
        builder.order_updates();
        builder.order_replacements();
        builder.order_removals();
        let graph = Self { operations: builder.operations };
        match graph.leftover_of_topological_order() {
            stuck if stuck.is_empty() => Ok(graph),
            stuck => Err(stuck.into_iter().map(|at| changes[graph.operations[at].change].address.clone()).collect()),
        }
    }

    fn leftover_of_topological_order(&self) -> Vec<usize> {
        let mut done = BTreeSet::new();
        loop {
            let ready: Vec<usize> = (0..self.operations.len())
                .filter(|at| !done.contains(at) && self.operations[*at].needs.is_subset(&done))
                .collect();
            if ready.is_empty() {
                return (0..self.operations.len()).filter(|at| !done.contains(at)).collect();
            }
            done.extend(ready);
        }
    }
}

struct Builder<'a> {
    changes: &'a [Change],
    facts: Vec<Option<&'static Facts>>,
    operations: Vec<Operation>,
    makes: BTreeMap<usize, usize>,
    removes: BTreeMap<usize, usize>,
    /// The changes that take something away before something else may go: they do not go along with anything.
    clearing: BTreeSet<usize>,
}

impl<'a> Builder<'a> {
    fn new(changes: &'a [Change], registry: &dyn Registry) -> Self {
        let facts = changes.iter().map(|change| registry.facts(&change.kind)).collect();
        let mut builder = Self {
            changes,
            facts,
            operations: Vec::new(),
            makes: BTreeMap::new(),
            removes: BTreeMap::new(),
            clearing: BTreeSet::new(),
        };
        for (at, change) in changes.iter().enumerate() {
            if change.action.deletes() {
                let number = builder.push(at, OperationKind::Remove);
                builder.removes.insert(at, number);
            }
            if change.action.is_pending() && change.action.leaves_it_standing() {
                let number = builder.push(at, OperationKind::Make);
                builder.makes.insert(at, number);
            }
        }
        builder
    }

    fn push(&mut self, change: usize, kind: OperationKind) -> usize {
        self.operations.push(Operation { change, kind, needs: BTreeSet::new() });
        self.operations.len() - 1
    }

    fn need(&mut self, later: usize, earlier: usize) {
        if later != earlier {
            self.operations[later].needs.insert(earlier);
        }
    }

    /// A resource is made when everything stands that it refers to.
    fn order_makes(&mut self) {
        let by_address: BTreeMap<&Address, usize> =
            self.makes.iter().map(|(change, operation)| (&self.changes[*change].address, *operation)).collect();
        let edges: Vec<(usize, usize)> = self
            .makes
            .iter()
            .filter_map(|(change, operation)| Some((*operation, self.changes[*change].after.as_ref()?.needs())))
            .flat_map(|(operation, needs)| needs.into_iter().map(move |need| (operation, need)))
            .filter_map(|(operation, need)| Some((operation, *by_address.get(&need)?)))
            .filter(|(operation, need)| !self.is_changed_before(*operation, *need))
            .collect();
        for (later, earlier) in edges {
            self.need(later, earlier);
        }
    }

    /// Where both stand already, some kinds are changed before others.
    fn order_updates(&mut self) {
        let makes: Vec<usize> = self.makes.values().copied().collect();
        for (earlier, later) in makes.iter().flat_map(|earlier| makes.iter().map(move |later| (*earlier, *later))) {
            if self.is_changed_before(earlier, later) {
                self.need(later, earlier);
            }
        }
    }

    /// Whether both operations change what stands, and the first one's kind has to be changed before the
    /// second one's.
    fn is_changed_before(&self, earlier: usize, later: usize) -> bool {
        let (at, change) = (self.operations[earlier].change, &self.changes[self.operations[later].change]);
        let both_stand = self.changes[at].action == Action::Update && change.action == Action::Update;
        let rules = self.facts[at].map_or(&[][..], |facts| facts.changed_before);
        let touches = |field: &str| change.fields.iter().any(|changed| changed.field == field);
        both_stand && rules.iter().any(|(kind, field)| change.kind == *kind && touches(field))
    }

    /// The two halves of a replacement come in the order that its kind asks for, as far as what it stands on
    /// allows that.
    fn order_replacements(&mut self) {
        let both: Vec<(usize, usize, usize)> =
            self.makes.iter().filter_map(|(change, make)| Some((*change, *make, *self.removes.get(change)?))).collect();
        for (change, make, remove) in both {
            match self.makes_before_it_removes(change) {
                true => self.need(remove, make),
                false => self.need(make, remove),
            }
        }
    }

    /// Whether the new one of a replacement comes before the old one goes: when its kind asks for that, and
    /// nothing that the old one stands on has to go first itself.
    fn makes_before_it_removes(&self, change: usize) -> bool {
        let Some(facts) = self.facts[change].filter(|facts| facts.replace == ReplaceOrder::CreateFirst) else {
            return false;
        };
        let Some(standing) = &self.changes[change].before else { return false };
        let replaced = self.changes.iter().enumerate().filter(|(at, other)| {
            *at != change && other.action == Action::Replace && self.facts[*at].is_some_and(|of| of.name != facts.name)
        });
        replaced
            .filter(|(_, other)| other.before.as_ref().is_some_and(|on| referring_field(standing, facts, on).is_some()))
            .all(|(at, _)| self.makes_before_it_removes(at))
    }

    /// Whether what refers to `parent` has to be led elsewhere before it goes.
    fn is_left_first(&self, parent: usize) -> bool {
        match self.changes[parent].action {
            Action::Delete => true,
            Action::Replace => self.makes_before_it_removes(parent),
            _ => false,
        }
    }

    /// A resource is removed when nothing that stands refers to it any more.
    fn order_removals(&mut self) {
        let removed: Vec<(usize, usize)> = self.removes.iter().map(|(change, remove)| (*change, *remove)).collect();
        self.clearing = self
            .removes
            .keys()
            .copied()
            .filter(|at| self.removes.keys().any(|later| self.clears(*at, *later)))
            .collect();
        for (parent, remove_parent) in &removed {
            let Some(standing) = &self.changes[*parent].before else { continue };
            for child in 0..self.changes.len() {
                if child != *parent {
                    self.order_removal_of(*parent, *remove_parent, standing, child);
                }
            }
        }
    }

    fn order_removal_of(&mut self, parent: usize, remove_parent: usize, standing: &Observed, child: usize) {
        let Some(facts) = self.facts[child] else { return };
        let change = &self.changes[child];
        let Some(before) = &change.before else { return };
        let first = self.goes_before(child, &standing.kind) || self.clears(child, parent);
        if let Some(remove) = self.removes.get(&child).copied().filter(|_| first) {
            return self.need(remove_parent, remove);
        }
        if self.takes_its_takers_along(parent, child, facts) {
            return;
        }
        let field = referring_field(before, facts, standing);
        match (self.removes.get(&child).copied(), field) {
            (Some(remove), Some(field)) if facts.dies_with == Some(field) => {
                self.operations[remove].kind = OperationKind::GoesAlong;
                self.need(remove, remove_parent);
            }
            (Some(remove), Some(_)) => self.need(remove_parent, remove),
            (Some(remove), None) if self.outlives(parent, child) => self.need(remove_parent, remove),
            (None, Some(_)) if self.is_left_first(parent) => {
                if let Some(make) = self.makes.get(&child).copied() {
                    self.need(remove_parent, make);
                }
            }
            _ => {}
        }
    }

    /// Whether both are taken away, and the one before the other.
    fn clears(&self, earlier: usize, later: usize) -> bool {
        let standing = |at: usize| self.changes[at].before.as_ref().filter(|_| self.removes.contains_key(&at));
        let (Some(facts), Some(one), Some(other)) = (self.facts[earlier], standing(earlier), standing(later)) else {
            return false;
        };
        earlier != later && (facts.clears)(&one.body, &other.body)
    }

    /// Whether everything of `kind` stays until what `change` takes away has gone.
    fn goes_before(&self, change: usize, kind: &str) -> bool {
        let (Some(facts), Some(standing)) = (self.facts[change], &self.changes[change].before) else { return false };
        let along = self.clearing.contains(&change) && goes_along_with(facts, kind);
        along || (facts.goes_before)(&standing.body).contains(&kind)
    }

    /// Whether `child`, which has these facts, goes along with a kind that `parent` has to go before: then `parent`
    /// cannot wait for it.
    fn takes_its_takers_along(&self, parent: usize, child: usize, facts: &Facts) -> bool {
        let with = facts.references.iter().filter(|(field, _)| Some(*field) == facts.dies_with);
        with.flat_map(|(_, kinds)| kinds.iter())
            .any(|kind| self.goes_before(parent, kind) && !self.goes_before(child, kind))
    }

    /// Whether `parent`, which goes for good, stays until `child` has gone.
    fn outlives(&self, parent: usize, child: usize) -> bool {
        self.changes[parent].action == Action::Delete
            && self.facts[parent].is_some_and(|facts| facts.outlives.contains(&self.changes[child].kind.as_str()))
    }
}

/// Whether what has these facts goes by itself when something of `kind` goes.
fn goes_along_with(facts: &Facts, kind: &str) -> bool {
    facts.references.iter().any(|(field, kinds)| Some(*field) == facts.dies_with && kinds.contains(&kind))
}

/// The field of `child` that refers to `parent`, if one does.
fn referring_field(child: &Observed, facts: &Facts, parent: &Observed) -> Option<&'static str> {
    let candidates = facts.references.iter().filter(|(_, kinds)| kinds.contains(&parent.kind.as_str()));
    candidates
        .map(|(field, _)| *field)
        .find(|field| child.body.get(*field).is_some_and(|value| mentions(value, parent)))
}

fn mentions(value: &Value, parent: &Observed) -> bool {
    let mut found = false;
    visit_strings(value, &mut |text| {
        found |= parent.outputs.values().any(|output| output.as_str() == Some(text));
    });
    found
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::plan::{Desired, Facts, State, TagChange};

    static CLUSTER: Facts = Facts { outputs: &["name"], ..Facts::new("cluster") };
    static NODES: Facts =
        Facts { outputs: &["name"], references: &[("cluster", &["cluster"])], ..Facts::new("node-group") };
    static OBJECT: Facts = Facts {
        outputs: &["id"],
        references: &[("cluster", &["cluster"]), ("needs", &["object"])],
        dies_with: Some("cluster"),
        goes_before: |body| if body["holds"] == true { &["cluster", "node-group"] } else { &[] },
        clears: |earlier, later| earlier["runs"] == true && later["holds"] == true,
        ..Facts::new("object")
    };

    struct Three;

    impl Registry for Three {
        fn facts(&self, name: &str) -> Option<&'static Facts> {
            [&CLUSTER, &NODES, &OBJECT].into_iter().find(|facts| facts.name == name)
        }
    }

    fn removal(kind: &str, name: &str, body: Value) -> Change {
        let before = Observed {
            address: name.into(),
            kind: kind.into(),
            body,
            outputs: serde_json::Map::from_iter([("id".to_owned(), json!(name)), ("name".to_owned(), json!(name))]),
            tags: Default::default(),
            state: State::Ready,
        };
        Change {
            address: name.into(),
            kind: kind.into(),
            action: Action::Delete,
            before: Some(before),
            after: None::<Desired>,
            fields: Vec::new(),
            tags: TagChange::default(),
            marks: BTreeSet::new(),
            reason: None,
        }
    }

    /// `NAME: what it waits for`, with `(along)` for what goes by itself.
    fn said(changes: &[Change]) -> Vec<String> {
        let graph = Graph::of(changes, &Three).expect("no circle");
        let name = |at: usize| changes[graph.operations[at].change].address.to_string();
        let line = |(at, operation): (usize, &Operation)| {
            let along = if operation.kind == OperationKind::GoesAlong { " (along)" } else { "" };
            format!(
                "{}{along}: {}",
                name(at),
                operation.needs.iter().map(|need| name(*need)).collect::<Vec<_>>().join(" ")
            )
        };
        graph.operations.iter().enumerate().map(line).collect()
    }

    #[test]
    fn what_holds_something_goes_before_who_takes_it_away_and_the_rest_goes_along() {
        let object = |name: &str, holds: bool, needs: Value| {
            removal("object", name, json!({ "cluster": "c", "holds": holds, "needs": needs }))
        };
        let changes = [
            removal("cluster", "c", json!({})),
            removal("node-group", "n", json!({ "cluster": "c" })),
            object("ingress", true, json!(["class"])),
            object("class", false, json!([])),
        ];
        assert_eq!(said(&changes), ["c: n ingress", "n: ingress", "ingress: ", "class (along): c ingress"]);
    }

    #[test]
    fn what_holds_something_does_not_wait_for_what_goes_along_with_the_cluster() {
        let changes = [
            removal("cluster", "c", json!({})),
            removal("object", "service", json!({ "cluster": "c", "holds": true, "needs": [] })),
            removal("object", "user", json!({ "cluster": "c", "holds": false, "needs": ["service"] })),
        ];
        assert_eq!(said(&changes), ["c: service", "service: ", "user (along): c"]);
    }

    #[test]
    fn what_has_to_be_cleared_first_does_not_go_along_and_waits_for_nothing_that_does() {
        let object = |name: &str, holds: bool, runs: bool, needs: Value| {
            removal("object", name, json!({ "cluster": "c", "holds": holds, "runs": runs, "needs": needs }))
        };
        let changes = [
            removal("cluster", "c", json!({})),
            object("pool", true, false, json!([])),
            object("workload", false, true, json!([])),
            object("scaler", false, false, json!(["workload"])),
        ];
        assert_eq!(said(&changes), ["c: pool workload", "pool: workload", "workload: ", "scaler (along): c"]);
        assert_eq!(said(&[changes[0].clone(), changes[2].clone()]), ["c: ", "workload (along): c"]);
    }

    #[test]
    fn of_two_that_hold_something_the_one_that_needs_the_other_goes_first() {
        let object = |name: &str, needs: Value| {
            removal("object", name, json!({ "cluster": "c", "holds": true, "needs": needs }))
        };
        let changes =
            [removal("cluster", "c", json!({})), object("class", json!([])), object("pool", json!(["class"]))];
        assert_eq!(said(&changes), ["c: class pool", "class: pool", "pool: "]);
    }

    #[test]
    fn objects_that_are_no_longer_wanted_go_before_what_they_stand_on() {
        let object = |name: &str, needs: Value| removal("object", name, json!({ "cluster": "c", "needs": needs }));
        let changes = [object("definition", json!([])), object("thing", json!(["definition"]))];
        assert_eq!(said(&changes), ["definition: thing", "thing: "]);
    }
}
