//! Subnets and security groups: each term of a selector is a question of its own, all are asked at once, and ids
//! together.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use aws_sdk_ec2::types::Filter;
use futures::future::try_join_all;

use super::Subnet;
use crate::autoscaler::api::ec2_node_class::{
    EC2NodeClassSpec, FoundGroup, SecurityGroupSelectorTerm, SubnetSelectorTerm,
};
use crate::autoscaler::cloud::Ec2;
use crate::aws::{CloudError, call, filter};

/// How long the security groups of a class are believed.
const GROUPS_KEPT: Duration = Duration::from_secs(300);
/// The most values of one filter.
const MOST_VALUES: usize = 200;

/// Filters for tags: `*` is any value.
pub fn tag_filters(tags: &BTreeMap<String, String>) -> Vec<Filter> {
    let of = |(key, value): (&String, &String)| match value.as_str() {
        "*" => filter("tag-key", key),
        value => filter(&format!("tag:{key}"), value),
    };
    tags.iter().map(of).collect()
}

/// Filters that hold for any of these values; several where they are too many for one.
pub fn any_of(name: &str, values: &[&str]) -> Vec<Vec<Filter>> {
    let one = |values: &[&str]| {
        let values = values.iter().map(|value| (*value).to_owned()).collect();
        vec![Filter::builder().name(name).set_values(Some(values)).build()]
    };
    values.chunks(MOST_VALUES).map(one).collect()
}

/// The questions that subnet terms stand for.
fn subnet_questions(terms: &[SubnetSelectorTerm]) -> Vec<Vec<Filter>> {
    let ids: Vec<&str> = terms.iter().filter_map(|term| term.id.as_deref()).collect();
    let tagged = terms.iter().filter(|term| term.id.is_none()).map(|term| tag_filters(&term.tags));
    any_of("subnet-id", &ids).into_iter().chain(tagged).collect()
}

/// The questions that security group terms stand for.
fn group_questions(terms: &[SecurityGroupSelectorTerm]) -> Vec<Vec<Filter>> {
    let ids: Vec<&str> = terms.iter().filter_map(|term| term.id.as_deref()).collect();
    let names: Vec<&str> = terms.iter().filter_map(|term| term.name.as_deref()).collect();
    let tagged = terms.iter().filter(|term| term.id.is_none() && term.name.is_none());
    let tagged = tagged.map(|term| tag_filters(&term.tags));
    any_of("group-id", &ids).into_iter().chain(any_of("group-name", &names)).chain(tagged).collect()
}

impl Ec2 {
    /// The subnets of a class, those with most free addresses first.
    pub(super) async fn find_subnets(&self, spec: &EC2NodeClassSpec) -> Result<Arc<Vec<Subnet>>, CloudError> {
        let key = serde_json::to_string(&spec.subnet_selector_terms).unwrap_or_default();
        self.subnets
            .get(&key, self.settings.subnet_refresh, || async {
                let questions = subnet_questions(&spec.subnet_selector_terms);
                let answers = try_join_all(questions.into_iter().map(|filters| self.read_subnets(filters))).await?;
                let by_id: BTreeMap<String, Subnet> =
                    answers.into_iter().flatten().map(|subnet| (subnet.id.clone(), subnet)).collect();
                let mut subnets: Vec<Subnet> = by_id.into_values().collect();
                subnets.sort_by(|a, b| b.free_addresses.cmp(&a.free_addresses).then_with(|| a.id.cmp(&b.id)));
                self.room.read(&subnets);
                Ok(Arc::new(subnets))
            })
            .await
    }

    async fn read_subnets(&self, filters: Vec<Filter>) -> Result<Vec<Subnet>, CloudError> {
        let request = self.cloud.read.ec2.describe_subnets().set_filters(Some(filters));
        let answers = request.into_paginator().items().send().collect::<Result<Vec<_>, _>>();
        let answers = call("ec2:DescribeSubnets", answers).await?;
        let read = |answer: &aws_sdk_ec2::types::Subnet| {
            Some(Subnet {
                id: answer.subnet_id()?.to_owned(),
                zone: answer.availability_zone()?.to_owned(),
                zone_id: answer.availability_zone_id().unwrap_or_default().to_owned(),
                free_addresses: answer.available_ip_address_count().map_or(0, i64::from),
            })
        };
        Ok(answers.iter().filter_map(read).collect())
    }

    /// The security groups of a class, by id.
    pub(super) async fn find_groups(&self, spec: &EC2NodeClassSpec) -> Result<Arc<Vec<FoundGroup>>, CloudError> {
        let key = serde_json::to_string(&spec.security_group_selector_terms).unwrap_or_default();
        self.groups
            .get(&key, GROUPS_KEPT, || async {
                let questions = group_questions(&spec.security_group_selector_terms);
                let answers = try_join_all(questions.into_iter().map(|filters| self.read_groups(filters))).await?;
                let by_id: BTreeMap<String, FoundGroup> =
                    answers.into_iter().flatten().map(|group| (group.id.clone(), group)).collect();
                Ok(Arc::new(by_id.into_values().collect()))
            })
            .await
    }

    async fn read_groups(&self, filters: Vec<Filter>) -> Result<Vec<FoundGroup>, CloudError> {
        let request = self.cloud.read.ec2.describe_security_groups().set_filters(Some(filters));
        let answers = request.into_paginator().items().send().collect::<Result<Vec<_>, _>>();
        let answers = call("ec2:DescribeSecurityGroups", answers).await?;
        let read = |answer: &aws_sdk_ec2::types::SecurityGroup| {
            Some(FoundGroup {
                id: answer.group_id()?.to_owned(),
                name: answer.group_name().unwrap_or_default().to_owned(),
            })
        };
        Ok(answers.iter().filter_map(read).collect())
    }

    /// The placement group that a class selects: its id, or `None` where there is none such.
    pub(super) async fn find_placement_group(&self, spec: &EC2NodeClassSpec) -> Result<Option<String>, CloudError> {
        let Some(selector) = &spec.placement_group_selector else { return Ok(None) };
        let filters = match (&selector.id, &selector.name) {
            (Some(id), _) => vec![filter("group-id", id)],
            (None, name) => vec![filter("group-name", name.as_deref().unwrap_or_default())],
        };
        let request = self.cloud.read.ec2.describe_placement_groups().set_filters(Some(filters));
        let answer = call("ec2:DescribePlacementGroups", request.send()).await?;
        let found = answer.placement_groups().iter().find(|group| {
            selector.id.as_deref().is_none_or(|id| group.group_id() == Some(id))
                && selector.name.as_deref().is_none_or(|name| group.group_name() == Some(name))
        });
        Ok(found.and_then(|group| group.group_id()).map(str::to_owned))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(questions: &[Vec<Filter>]) -> Vec<String> {
        let filter = |filter: &Filter| format!("{}={}", filter.name().unwrap_or_default(), filter.values().join("|"));
        questions.iter().map(|filters| filters.iter().map(filter).collect::<Vec<_>>().join(" ")).collect()
    }

    fn tags(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
        pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
    }

    #[test]
    fn ids_are_asked_for_together_and_tags_term_by_term() {
        let id = |id: &str| SubnetSelectorTerm { id: Some(id.into()), ..SubnetSelectorTerm::default() };
        let tagged = |pairs| SubnetSelectorTerm { tags: tags(pairs), id: None };
        let terms = [
            id("subnet-1"),
            tagged(&[("karpenter.sh/discovery", "shop"), ("private", "*")]),
            id("subnet-2"),
            tagged(&[("tier", "web")]),
        ];
        assert_eq!(
            shown(&subnet_questions(&terms)),
            ["subnet-id=subnet-1|subnet-2", "tag:karpenter.sh/discovery=shop tag-key=private", "tag:tier=web"]
        );
        let name = SecurityGroupSelectorTerm { name: Some("nodes".into()), ..SecurityGroupSelectorTerm::default() };
        assert_eq!(shown(&group_questions(&[name])), ["group-name=nodes"]);
    }
}
