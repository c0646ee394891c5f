//! Capacity reservations: what the terms of a class select, as EC2 shows it. How many instances are left of each is in
//! [`books`](crate::autoscaler::cloud::books).

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Instant;

use aws_sdk_ec2::types::{CapacityReservation as Shown, CapacityReservationState, CapacityReservationType, Filter};
use futures::future::try_join_all;
use jiff::{SignedDuration, Timestamp};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

use super::selectors::tag_filters;
use crate::autoscaler::api::ec2_node_class::{CapacityReservationSelectorTerm, EC2NodeClassSpec, FoundReservation};
use crate::autoscaler::cloud::Ec2;
use crate::aws::{CloudError, call, existing, filter};

/// EC2 ends the instances of a capacity block half an hour before its end; ten minutes earlier nothing is begun there.
const LAST_OF_A_BLOCK: SignedDuration = SignedDuration::from_mins(40);

/// A capacity reservation that a class selects.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reservation {
    /// `cr-…`
    pub id: String,
    /// The zone that it is in.
    pub zone: String,
    /// The type of its instances.
    pub instance_type: String,
    /// The account that owns it.
    pub owner: String,
    /// Whether it is a capacity block, whose instances EC2 ends when it ends.
    pub is_block: bool,
    /// `open` or `targeted`.
    pub criteria: String,
    /// Whether EC2 may take its instances back.
    pub interruptible: bool,
    /// When it ends.
    pub ends: Option<Timestamp>,
    /// Whether it is a capacity block that is about to end.
    pub expiring: bool,
}

impl Reservation {
    /// The value of the label `karpenter.k8s.aws/capacity-reservation-type`.
    pub fn kind(&self) -> &'static str {
        if self.is_block { "capacity-block" } else { "default" }
    }

    /// Whether nodes are launched into it.
    pub fn is_used(&self) -> bool {
        !self.expiring && !self.interruptible
    }

    /// As the status of a class shows it.
    pub fn found(&self) -> FoundReservation {
        FoundReservation {
            id: self.id.clone(),
            availability_zone: self.zone.clone(),
            instance_type: self.instance_type.clone(),
            owner_id: self.owner.clone(),
            reservation_type: self.kind().to_owned(),
            instance_match_criteria: self.criteria.clone(),
            interruptible: self.interruptible,
            end_time: self.ends.map(Time),
            state: if self.expiring { "expiring" } else { "active" }.to_owned(),
        }
    }
}

/// What is asked for a term: one reservation by its id, or all that filters let through.
#[derive(Clone, Debug, PartialEq)]
struct Question {
    id: Option<String>,
    filters: Vec<Filter>,
}

/// The questions that terms stand for.
fn questions(terms: &[CapacityReservationSelectorTerm]) -> Vec<Question> {
    terms.iter().map(question).collect()
}

fn question(term: &CapacityReservationSelectorTerm) -> Question {
    let mut filters = vec![filter("state", CapacityReservationState::Active.as_str())];
    if term.id.is_none() {
        filters.extend(term.owner_id.iter().map(|owner| filter("owner-id", owner)));
        filters.extend(tag_filters(&term.tags));
        let criteria = term.instance_match_criteria.iter();
        filters.extend(criteria.map(|criteria| filter("instance-match-criteria", criteria)));
    }
    Question { id: term.id.clone(), filters }
}

impl Ec2 {
    /// The capacity reservations of a class, by id: none where the feature is switched off.
    pub(super) async fn find_reservations(&self, spec: &EC2NodeClassSpec) -> Result<Arc<Vec<Reservation>>, CloudError> {
        let terms = &spec.capacity_reservation_selector_terms;
        if terms.is_empty() || !self.settings.reserved_capacity {
            return Ok(Arc::default());
        }
        self.books.open();
        let key = serde_json::to_string(terms).unwrap_or_default();
        self.reservations
            .get(&key, self.settings.subnet_refresh, || async {
                let asked = Instant::now();
                let answers = questions(terms).into_iter().map(|question| self.read_reservations(question));
                let answers = try_join_all(answers).await?;
                let by_id: BTreeMap<String, (Reservation, i64)> =
                    answers.into_iter().flatten().map(|(one, left)| (one.id.clone(), (one, left))).collect();
                self.books.read(by_id.iter().map(|(id, (_, left))| (id.clone(), *left)), asked);
                Ok(Arc::new(by_id.into_values().map(|(reservation, _)| reservation).collect()))
            })
            .await
    }

    async fn read_reservations(&self, question: Question) -> Result<Vec<(Reservation, i64)>, CloudError> {
        let request = self.cloud.read.ec2.describe_capacity_reservations();
        let request = request.set_capacity_reservation_ids(question.id.map(|id| vec![id]));
        let request = request.set_filters(Some(question.filters));
        let answers = request.into_paginator().items().send().collect::<Result<Vec<_>, _>>();
        // An id that EC2 does not know selects nothing, as tags do that nothing has.
        let answers = existing(call("ec2:DescribeCapacityReservations", answers).await)?.unwrap_or_default();
        let now = Timestamp::now();
        Ok(answers.iter().filter_map(|shown| read(shown, now)).collect())
    }
}

/// A reservation, and how many instances are left of it.
fn read(shown: &Shown, now: Timestamp) -> Option<(Reservation, i64)> {
    if shown.state() != Some(&CapacityReservationState::Active) {
        return None;
    }
    let is_block = shown.reservation_type() == Some(&CapacityReservationType::CapacityBlock);
    let ends = shown.end_date().and_then(|moment| Timestamp::from_second(moment.secs()).ok());
    let last = now.saturating_add(LAST_OF_A_BLOCK).unwrap_or(now);
    let reservation = Reservation {
        id: shown.capacity_reservation_id()?.to_owned(),
        zone: shown.availability_zone()?.to_owned(),
        instance_type: shown.instance_type()?.to_owned(),
        owner: shown.owner_id().unwrap_or_default().to_owned(),
        is_block,
        criteria: shown.instance_match_criteria().map_or("open", |criteria| criteria.as_str()).to_owned(),
        interruptible: shown.interruptible().unwrap_or(false),
        ends,
        expiring: is_block && ends.is_some_and(|ends| ends <= last),
    };
    Some((reservation, i64::from(shown.available_instance_count().unwrap_or(0))))
}

#[cfg(test)]
mod tests {
    use super::*;
    use aws_smithy_types::DateTime;

    fn told(question: &Question) -> String {
        let filter = |filter: &Filter| format!("{}={}", filter.name().unwrap_or_default(), filter.values().join("|"));
        let filters = question.filters.iter().map(filter);
        question.id.iter().cloned().chain(filters).collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn a_term_asks_for_active_reservations_by_its_id_or_by_all_else_that_it_says() {
        let by_id = CapacityReservationSelectorTerm { id: Some("cr-1".into()), ..Default::default() };
        let tagged = CapacityReservationSelectorTerm {
            tags: [("team", "web"), ("paid", "*")].map(|(key, value)| (key.to_owned(), value.to_owned())).into(),
            owner_id: Some("123456789012".into()),
            instance_match_criteria: Some("targeted".into()),
            id: None,
        };
        let asked: Vec<String> = questions(&[by_id, tagged]).iter().map(told).collect();
        assert_eq!(
            asked,
            [
                "cr-1 state=active",
                "state=active owner-id=123456789012 tag-key=paid tag:team=web instance-match-criteria=targeted"
            ]
        );
    }

    fn shown(state: CapacityReservationState, kind: CapacityReservationType, ends: i64) -> Shown {
        Shown::builder()
            .capacity_reservation_id("cr-1")
            .availability_zone("a")
            .instance_type("m5.large")
            .state(state)
            .reservation_type(kind)
            .end_date(DateTime::from_secs(ends))
            .available_instance_count(3)
            .build()
    }

    #[test]
    fn capacity_blocks_that_are_about_to_end_are_not_used_and_other_reservations_are_to_their_end() {
        let now = Timestamp::UNIX_EPOCH;
        let minutes = |count: i64| count * 60;
        let found = |kind, ends| read(&shown(CapacityReservationState::Active, kind, ends), now).map(|(one, _)| one);
        let is_used = |kind, ends| found(kind, ends).map(|one| one.is_used());
        assert_eq!(is_used(CapacityReservationType::CapacityBlock, minutes(40)), Some(false));
        assert_eq!(is_used(CapacityReservationType::CapacityBlock, minutes(41)), Some(true));
        assert_eq!(is_used(CapacityReservationType::Default, minutes(1)), Some(true));
        let status = found(CapacityReservationType::CapacityBlock, minutes(40)).map(|one| one.found());
        let status = status.map(|found| (found.reservation_type, found.state, found.instance_match_criteria));
        assert_eq!(status, Some(("capacity-block".into(), "expiring".into(), "open".into())));
    }

    #[test]
    fn what_is_not_active_is_not_selected() {
        let cancelled = shown(CapacityReservationState::Cancelled, CapacityReservationType::Default, 0);
        assert_eq!(read(&cancelled, Timestamp::UNIX_EPOCH), None);
    }
}
