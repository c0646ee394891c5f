//! Instances for claims, with few calls, each bought once.
//!
//! | file | holds |
//! |---|---|
//! | `grouping` | which requests share a call |
//! | `request` | the call |
//! | `outcome` | what was answered, and what follows from it |
//! | `ledger` | what this process has bought for whom |
//! | `adoption` | what was bought before by somebody who could not write it down |
//!
//! # Once, whatever gets lost
//!
//! A claim's instance is written down twice: by EC2 when it answers CreateFleet, and by the claim's status some time
//! later. Several claims share a fleet, so EC2 cannot carry the claims' names from the beginning. Between the two
//! moments stand:
//!
//! - *An answer that is lost.* Every call has a client token of its own, and is sent again with it, the same to the
//!   last byte: EC2 answers with the fleet that it has made. When no answer comes at all, the claims are in doubt.
//! - *A claim that is asked for again*, because its status could not be written: the ledger of this process knows
//!   its instance and gives it again.
//! - *The end of this process.* The next one knows nothing, and says so (`unsure`). Claims that are unsure or in doubt
//!   are first given running instances of ours, of their pool and class and of a kind that they accept, that no claim
//!   names and no claim was given. Only for the rest a call is made. A token cannot do this: the next process may
//!   group the claims otherwise, and a token outlives its instances.
//! - Whatever is left over after that belongs to nobody, and the collector of orphans ends it.

mod adoption;
mod grouping;
mod ledger;
mod outcome;
mod request;

use std::collections::BTreeSet;
use std::fmt::Write as _;

use futures::future::join_all;
use jiff::Timestamp;

pub use ledger::Ledger;

use self::grouping::{Group, group};
use self::outcome::{Lesson, Miss};
use self::request::Order;
use super::ec2::Ec2;
use super::insist::{insist, pause};
use super::instances;
use super::launch::{LaunchError, LaunchOption, LaunchRequest, Launched};
use super::market::Market;
use super::unavailable::Scope;
use crate::aws::{CloudError, call};

/// How often what is left of the requests is asked for.
const ROUNDS: usize = 12;
/// How often a call is made again for nothing but a moment's trouble.
const MOST_AGAIN: usize = 6;

/// Requests on their way to an answer.
#[derive(Debug)]
struct Desk {
    requests: Vec<LaunchRequest>,
    answers: Vec<Option<Result<Launched, LaunchError>>>,
    /// What cannot be started so, request by request.
    never: Vec<BTreeSet<(String, String)>>,
    /// What went wrong last, request by request.
    last: Vec<Option<CloudError>>,
    /// How often a group of it met a moment's trouble.
    again: Vec<usize>,
}

/// What became of a call.
struct Bought {
    order: Order,
    got: Vec<outcome::Got>,
    missed: Vec<Miss>,
    /// The failure of the call as a whole.
    failed: Option<CloudError>,
}

impl Ec2 {
    /// Buys an instance for each request, with few calls; requests that are alike share one. `claimed` are the
    /// ids of instances that a claim names. One answer for each request, by claim.
    pub async fn launch(
        &self,
        requests: Vec<LaunchRequest>,
        claimed: &BTreeSet<String>,
    ) -> Vec<(String, Result<Launched, LaunchError>)> {
        let mut desk = Desk::new(requests);
        for at in desk.pending() {
            if let Some(launched) = self.ledger.given(&desk.requests[at].uid) {
                desk.answers[at] = Some(Ok(launched));
            }
        }
        if let Err(error) = self.adopt(&mut desk, claimed).await {
            tracing::warn!("instances without claims were not looked for: {error}");
            desk.fail_unsure(&error, |uid| self.ledger.is_in_doubt(uid));
        }
        if !desk.pending().is_empty() {
            match self.market().await {
                Ok(market) => self.buy_all(&mut desk, &market).await,
                Err(error) => desk.fail_rest(&error),
            }
        }
        desk.done()
    }

    async fn buy_all(&self, desk: &mut Desk, market: &Market) {
        for round in 1..=ROUNDS {
            let pending = desk.pending();
            let now = Timestamp::now();
            let open = |at: usize, option: &LaunchOption| self.is_open(desk, at, option, now);
            let is_plain = |name: &str| market.get(name).is_none_or(is_plain);
            let (groups, exhausted) = group(&desk.requests, &pending, open, is_plain);
            for at in exhausted {
                desk.answers[at] = Some(Err(self.exhausted(desk, at, now)));
            }
            if groups.is_empty() {
                return;
            }
            let orders = self.orders(desk, market, groups);
            let orders = self.with_templates(desk, orders).await;
            let troubled: usize = desk.again.iter().sum();
            for bought in join_all(orders.into_iter().map(|order| self.buy(&desk.requests, order))).await {
                self.settle(desk, bought);
            }
            if desk.again.iter().sum::<usize>() > troubled {
                tokio::time::sleep(pause(u32::try_from(round).unwrap_or(1))).await;
            }
        }
        let error = CloudError::refused("ec2:CreateFleet", "EC2 gave neither instances nor a reason that helps");
        desk.fail_rest(&error);
    }

    /// Whether an offering may be asked for.
    fn is_open(&self, desk: &Desk, at: usize, option: &LaunchOption, now: Timestamp) -> bool {
        let LaunchOption { instance_type, zone, .. } = option;
        if self.unavailable.until_for(option, now).is_some()
            || desk.never[at].contains(&(instance_type.to_string(), zone.to_string()))
        {
            return false;
        }
        let mut subnets = desk.requests[at].class.subnets.iter().filter(|subnet| *subnet.zone == **zone);
        subnets.any(|subnet| !self.unavailable.is_full(&subnet.id, now))
    }

    /// Plans the calls of a round. Members of a group that cannot be planned have their answer after this.
    fn orders(&self, desk: &mut Desk, market: &Market, groups: Vec<Group>) -> Vec<Order> {
        let mut orders = Vec::new();
        for group in groups {
            let members = group.members.clone();
            match self.order(market, &desk.requests, group) {
                Ok(order) if order.overrides() > 0 => orders.push(order),
                Ok(order) => {
                    // Types that EC2 does not sell, or that no image suits.
                    for &at in &members {
                        let all = order.group.options.iter();
                        desk.never[at].extend(all.map(|each| (each.instance_type.to_string(), each.zone.to_string())));
                    }
                }
                Err(fault) => desk.answer_all(&members, &LaunchError::ClassNotReady { message: fault.to_string() }),
            }
        }
        orders
    }

    /// Sees to the launch templates of all orders at once; those whose templates cannot be made fail.
    async fn with_templates(&self, desk: &mut Desk, orders: Vec<Order>) -> Vec<Order> {
        let all = orders.iter().flat_map(|order| &order.templates);
        let wanted = all.map(|(name, (blueprint, _))| (name.clone(), blueprint.clone())).collect();
        let failed = self.settle_templates(&wanted).await;
        let mut ready = Vec::new();
        for mut order in orders {
            let mut error = None;
            for (name, why) in &failed {
                if order.templates.remove(name).is_some() {
                    error = Some(why.clone());
                }
            }
            match error.filter(|_| order.overrides() == 0) {
                Some(error) => desk.answer_all(&order.group.members, &LaunchError::Cloud(error)),
                None => ready.push(order),
            }
        }
        ready
    }

    async fn buy(&self, requests: &[LaunchRequest], order: Order) -> Bought {
        let request = &requests[order.group.members[0]];
        let token = self.ledger.token();
        let count = i64::try_from(order.group.members.len()).unwrap_or(0);
        let share = |subnets: usize| (count + subnets as i64 - 1) / (subnets.max(1) as i64);
        let reserved = share(order.subnets.len());
        order.subnets.values().for_each(|subnet| self.room.take(&subnet.id, reserved));
        let sending = self.fleet(&order, request, &token);
        let sent = insist(|| async { call("ec2:CreateFleet", sending.clone().send()).await }).await;
        let (got, missed, failed) = match sent {
            Ok(answer) => {
                let (got, missed) = outcome::read(&answer);
                (got, missed, None)
            }
            Err(error) => (Vec::new(), Vec::new(), Some(error)),
        };
        for subnet in order.subnets.values() {
            let used = got.iter().filter(|each| each.subnet == subnet.id).count();
            self.room.take(&subnet.id, i64::try_from(used).unwrap_or(0) - reserved);
        }
        Bought { order, got, missed, failed }
    }

    /// Hands out what was bought, and learns from what was not.
    fn settle(&self, desk: &mut Desk, bought: Bought) {
        let Bought { order, got, missed, failed } = bought;
        let mut waiting = order.group.members.iter().copied();
        let (capacity_type, reservation) = (order.group.capacity_type, order.group.reservation.as_deref());
        let any = got.len();
        for instance in got {
            let zone = order.zone_of(&instance.subnet).unwrap_or_default();
            self.unavailable.clear(&match reservation {
                Some(id) => Scope::Reservation(id.to_owned()),
                None => Scope::offering(capacity_type, &instance.instance_type, &zone),
            });
            let Some(at) = waiting.next() else {
                tracing::warn!(id = instance.id, "EC2 gave more instances than were asked for; the collector ends it");
                continue;
            };
            let launched = Launched {
                provider_id: instances::provider_id(&zone, &instance.id),
                image_id: order.images.get(&instance.instance_type).cloned().unwrap_or_default(),
                zone_id: order.subnets.get(&zone).map(|subnet| subnet.zone_id.clone()).unwrap_or_default(),
                instance_id: instance.id,
                instance_type: instance.instance_type,
                zone,
                capacity_type,
                reservation: reservation.map(str::to_owned),
                adopted: false,
            };
            if let Some(id) = reservation {
                self.books.launched(id, &desk.requests[at].claim);
            }
            self.ledger.give(&desk.requests[at].uid, &launched);
            desk.answers[at] = Some(Ok(launched));
        }
        let left: Vec<usize> = waiting.collect();
        if let Some(error) = failed {
            return self.settle_failure(desk, &order, &left, error);
        }
        self.learn(desk, &order, &left, &missed);
        if any == 0 && missed.is_empty() {
            let error = CloudError::incomplete("ec2:CreateFleet", "instance, and no error");
            desk.answer_all(&left, &LaunchError::Cloud(error));
        }
    }

    /// The call has failed as a whole.
    fn settle_failure(&self, desk: &mut Desk, order: &Order, left: &[usize], error: CloudError) {
        let whole = Miss { instance_type: None, subnet: None, error };
        match whole.lesson(order.group.capacity_type, order.group.reservation.as_deref(), |_| None) {
            Lesson::Avoid(scope) => {
                let reason = whole.error.to_string();
                self.unavailable.mark(scope, &reason, Timestamp::now());
                left.iter().for_each(|at| desk.last[*at] = Some(whole.error.clone()));
            }
            Lesson::MakeTemplateAnew if left.iter().all(|at| desk.again[*at] == 0) => {
                self.templates.forget(order.templates.keys());
                left.iter().for_each(|at| desk.again[*at] += MOST_AGAIN / 2);
            }
            _ => {
                let doubtful = whole.error.class == crate::aws::Class::Unanswered;
                for at in left.iter().filter(|_| doubtful) {
                    self.ledger.doubt(&desk.requests[*at].uid);
                }
                desk.answer_all(left, &LaunchError::Cloud(whole.error));
            }
        }
    }

    /// Remembers what could not be had, and takes it off the lists of those who are left.
    fn learn(&self, desk: &mut Desk, order: &Order, left: &[usize], missed: &[Miss]) {
        let now = Timestamp::now();
        let mut is_again = false;
        for miss in missed {
            let reservation = order.group.reservation.as_deref();
            match miss.lesson(order.group.capacity_type, reservation, |subnet| order.zone_of(subnet)) {
                Lesson::Avoid(scope) => self.unavailable.mark(scope, &miss.error.to_string(), now),
                Lesson::MakeTemplateAnew => {
                    self.templates.forget(order.templates.keys());
                    is_again = true;
                }
                Lesson::Again => is_again = true,
                Lesson::Never => {
                    let zone = miss.subnet.as_deref().and_then(|subnet| order.zone_of(subnet));
                    let matching = order.group.options.iter().filter(|option| {
                        miss.instance_type.as_deref().is_none_or(|name| *option.instance_type == *name)
                            && zone.as_deref().is_none_or(|zone| *option.zone == *zone)
                    });
                    let never: Vec<_> =
                        matching.map(|each| (each.instance_type.to_string(), each.zone.to_string())).collect();
                    left.iter().for_each(|at| desk.never[*at].extend(never.iter().cloned()));
                }
            }
            left.iter().for_each(|at| desk.last[*at] = Some(miss.error.clone()));
        }
        if is_again {
            for &at in left {
                desk.again[at] += 1;
                if let Some(error) = desk.last[at].clone().filter(|_| desk.again[at] > MOST_AGAIN) {
                    desk.answers[at] = Some(Err(LaunchError::Cloud(error)));
                }
            }
        }
    }

    /// The answer to a request to which nothing is open any more.
    fn exhausted(&self, desk: &Desk, at: usize, now: Timestamp) -> LaunchError {
        let request = &desk.requests[at];
        let last = desk.last[at].as_ref();
        // Every offering was refused for a reason that is none of EC2's room: that reason is what has to be mended.
        if let Some(error) = last.filter(|_| !desk.never[at].is_empty() && !self.any_avoided(request, now)) {
            return LaunchError::Cloud(error.clone());
        }
        let mut message = format!(
            "EC2 has no capacity for any of the {} offerings that would do: {}",
            request.options.len(),
            shown(&request.options)
        );
        if let Some(error) = last {
            let _ = write!(
                message,
                "; it says: {} ({})",
                error.message.trim_end_matches('.'),
                error.code.as_deref().unwrap_or("no code")
            );
        }
        let pauses = request.options.iter();
        let pauses = pauses.filter_map(|each| self.unavailable.until_for(each, now));
        if let Some(until) = pauses.min() {
            let _ = write!(message, "; the first of them is asked for again at {until:.0}");
        }
        message.push_str("; allow more instance types, zones or capacity types in the NodePool");
        LaunchError::InsufficientCapacity { message }
    }

    fn any_avoided(&self, request: &LaunchRequest, now: Timestamp) -> bool {
        request.options.iter().any(|option| self.unavailable.until_for(option, now).is_some())
            || request.class.subnets.iter().any(|subnet| self.unavailable.is_full(&subnet.id, now))
    }
}

/// A machine without special devices, and not a bare one.
fn is_plain(sold: &super::market::Sold) -> bool {
    !sold.facts.name.contains("metal") && sold.facts.extended.iter().all(|(name, _)| name.ends_with("/efa"))
}

/// The first few of a list.
fn shown(options: &[LaunchOption]) -> String {
    const MOST: usize = 6;
    let told = |option: &LaunchOption| {
        let LaunchOption { capacity_type, instance_type, zone, reservation, .. } = option;
        let of = reservation.as_ref().map(|id| format!(" of `{id}`")).unwrap_or_default();
        format!("{} {instance_type} in {zone}{of}", capacity_type.text())
    };
    let mut text = options.iter().take(MOST).map(told).collect::<Vec<_>>().join(", ");
    if options.len() > MOST {
        let _ = write!(text, " and {} more", options.len() - MOST);
    }
    text
}

impl Desk {
    fn new(requests: Vec<LaunchRequest>) -> Self {
        let count = requests.len();
        Self {
            requests,
            answers: vec![None; count],
            never: vec![BTreeSet::new(); count],
            last: vec![None; count],
            again: vec![0; count],
        }
    }

    fn pending(&self) -> Vec<usize> {
        (0..self.requests.len()).filter(|at| self.answers[*at].is_none()).collect()
    }

    fn answer_all(&mut self, members: &[usize], error: &LaunchError) {
        members.iter().for_each(|at| self.answers[*at] = Some(Err(error.clone())));
    }

    fn fail_rest(&mut self, error: &CloudError) {
        let pending = self.pending();
        self.answer_all(&pending, &LaunchError::Cloud(error.clone()));
    }

    /// While nobody knows what is there, nothing is bought for whom there may be something.
    fn fail_unsure(&mut self, error: &CloudError, is_in_doubt: impl Fn(&str) -> bool) {
        let mut unsure = self.pending();
        unsure.retain(|at| self.requests[*at].unsure || is_in_doubt(&self.requests[*at].uid));
        self.answer_all(&unsure, &LaunchError::Cloud(error.clone()));
    }

    fn done(self) -> Vec<(String, Result<Launched, LaunchError>)> {
        let nothing = || Err(CloudError::incomplete("ec2:CreateFleet", "answer").into());
        let answers = self.answers.into_iter().map(|answer| answer.unwrap_or_else(nothing));
        self.requests.into_iter().map(|request| request.claim).zip(answers).collect()
    }
}
