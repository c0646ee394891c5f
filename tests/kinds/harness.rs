//! What a row is, and how it is lived through.

use std::sync::Arc;

use eksup::aws::{Cloud, KINDS, Kinds, Reads};
use eksup::engine::{self, Events};
use eksup::plan::{
    Action, Address, Change, Desired, Fingerprint, Observed, Plan, Purpose, Resources, Round, Tags, diff, tear_down,
};
use futures::future::BoxFuture;
use sandbox::{Sandbox, Weather};
use tokio_util::sync::CancellationToken;

use crate::support::connect;

/// The stack that every row belongs to.
pub const STACK: &str = "row";
/// Where it lives.
pub const REGION: &str = "us-east-1";

/// Kinds for which having more than is wanted is no difference.
const ONLY_GROW: &[&str] = &["object-set", "webhook-certificate"];

/// Which form of the resource a row is to declare.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// As it is made first.
    Original,
    /// With a difference that can be changed in place.
    Changed,
    /// With a difference that forces a replacement.
    Replaced,
}

/// What somebody does by hand to a resource.
pub type Drift = for<'a> fn(&'a Cloud, &'a Observed) -> BoxFuture<'a, ()>;

/// One kind's life.
pub struct Row {
    /// The kind's name.
    pub kind: &'static str,
    /// The address of the resource that is watched.
    pub address: &'static str,
    /// Declares the resource in a form, and what it needs around it.
    pub declare: fn(&mut Resources, Form),
    /// Whether it can be changed in place; what cannot has no `Changed` form.
    pub changes: bool,
    /// Whether it can be replaced.
    pub replaces: bool,
    /// What somebody does to it by hand, that the next plan has to show and repair.
    pub drift: Option<Drift>,
}

/// A cloud to live on.
pub struct Life {
    sandbox: Sandbox,
    cloud: Cloud,
}

type Lived<T = ()> = Result<T, String>;

impl Life {
    /// Starts a cloud of its own, with Kubernetes or without.
    pub async fn start(kubernetes: bool) -> Self {
        let sandbox = tokio::task::spawn_blocking(move || Sandbox::start_as(&Weather::default(), kubernetes))
            .await
            .expect("the sandbox thread")
            .expect("a local cloud");
        let cloud = connect(&sandbox, REGION).await;
        Self { sandbox, cloud }
    }

    /// Forgets everything on the cloud.
    pub async fn reset(&self) {
        self.sandbox.reset().expect("a fresh cloud");
    }

    /// Goes through the whole life of `row`.
    pub async fn live(&self, row: &Row) -> Lived {
        let original = declared(row, Form::Original);
        self.step("create", &original, row, Action::Create).await?;
        if row.changes {
            let changed = declared(row, Form::Changed);
            self.step("change in place", &changed, row, Action::Update).await?;
            let back = if ONLY_GROW.contains(&row.kind) { Action::Keep } else { Action::Update };
            self.step("change back", &original, row, back).await?;
        }
        if let Some(drift) = row.drift {
            drift(&self.cloud, &self.one(row).await?).await;
            let change = self.planned(&original, row).await?;
            if !change.action.changes_something() {
                return Err(format!("drift is not seen: {:?}", self.one(row).await?.body));
            }
            self.converge(&original).await.map_err(|why| format!("repair: {why}"))?;
            self.expect_empty("repair", &original).await?;
        }
        if row.replaces {
            let replaced = declared(row, Form::Replaced);
            self.step("replace", &replaced, row, Action::Replace).await?;
        }
        self.delete_everything().await
    }

    async fn step(&self, what: &str, desired: &[Desired], row: &Row, expected: Action) -> Lived {
        let change = self.planned(desired, row).await.map_err(|why| format!("{what}: {why}"))?;
        if change.action != expected {
            return Err(format!("{what}: planned as {:?}, not {expected:?}: {:?}", change.action, change.fields));
        }
        self.converge(desired).await.map_err(|why| format!("{what}: {why}"))?;
        self.expect_empty(what, desired).await
    }

    async fn planned(&self, desired: &[Desired], row: &Row) -> Lived<Change> {
        let changes = self.changes(desired).await?;
        let address = Address::from(row.address);
        changes.into_iter().find(|change| change.address == address).ok_or_else(|| "it is not in the plan".to_owned())
    }

    async fn changes(&self, desired: &[Desired]) -> Lived<Vec<Change>> {
        diff(desired, &self.observed().await?, &Kinds).map_err(|problems| format!("{problems:?}"))
    }

    async fn observed(&self) -> Lived<Vec<Observed>> {
        let reads = Arc::new(Reads::new(self.cloud.clone(), STACK));
        engine::observe(&reads, KINDS, &Events::silent()).await.map_err(|error| error.to_string())
    }

    async fn one(&self, row: &Row) -> Lived<Observed> {
        let address = Address::from(row.address);
        let mut observed = self.observed().await?.into_iter();
        observed.find(|resource| resource.address == address).ok_or_else(|| "it is not there".to_owned())
    }

    async fn converge(&self, desired: &[Desired]) -> Lived {
        let changes = self.changes(desired).await?;
        self.carry_out(Purpose::Apply, changes).await
    }

    async fn carry_out(&self, purpose: Purpose, changes: Vec<Change>) -> Lived {
        let fingerprint = Fingerprint::of(&[]);
        let rounds = vec![Round { title: None, changes }];
        let plan = Plan::new(purpose, STACK, REGION, &self.cloud.account, &engine::run_id(), fingerprint, rounds);
        let (sender, mut receiver) = tokio::sync::mpsc::unbounded_channel();
        let result = engine::apply(&plan, &self.cloud, &Events::to(sender), &CancellationToken::new()).await;
        let mut said = Vec::new();
        while let Ok(timed) = receiver.try_recv() {
            if let engine::Event::Failed { why, .. } = timed.event {
                said.push(why);
            }
        }
        result.map_err(|failure| format!("{failure}: {}", said.join("; ")))
    }

    async fn expect_empty(&self, what: &str, desired: &[Desired]) -> Lived {
        let pending: Vec<String> = self
            .changes(desired)
            .await?
            .into_iter()
            .filter(|change| change.action.is_pending())
            .map(|change| format!("{} {:?} {:?} {:?}", change.address, change.action, change.fields, change.tags))
            .collect();
        if pending.is_empty() {
            Ok(())
        } else {
            Err(format!("after {what} the plan is not empty: {}", pending.join("\n")))
        }
    }

    async fn delete_everything(&self) -> Lived {
        let changes = tear_down(&self.observed().await?, &Kinds).map_err(|problems| format!("{problems:?}"))?;
        self.carry_out(Purpose::Destroy, changes).await.map_err(|why| format!("delete: {why}"))?;
        let mut left = self.sandbox.inventory().map_err(|error| error.to_string())?;
        // Roles that AWS services share in an account outlive every stack.
        left.remove("global/iam/service_linked_roles");
        if left.is_empty() { Ok(()) } else { Err(format!("after delete the cloud still has {left:?}")) }
    }
}

fn declared(row: &Row, form: Form) -> Vec<Desired> {
    let mut resources = Resources::new(STACK, Tags::new());
    (row.declare)(&mut resources, form);
    resources.finish()
}
