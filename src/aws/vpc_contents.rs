//! What others have put into a VPC and what keeps it from being deleted, named.

use aws_sdk_ec2::types::Filter;

use super::error::{CloudError, call};
use super::kind::Work;
use super::reads::filter;

/// Names what is left in the VPC `id` beside what goes with it.
///
/// # Errors
/// The failure of a call.
pub async fn named(id: &str, work: &Work) -> Result<Option<String>, CloudError> {
    let within = filter("vpc-id", id);
    let lists = tokio::try_join!(
        subnets(&within, work),
        security_groups(&within, work),
        route_tables(&within, work),
        network_acls(&within, work),
        endpoints(&within, work),
        internet_gateways(id, work),
    )?;
    let (subnets, groups, tables, acls, endpoints, gateways) = lists;
    let all = [subnets, groups, tables, acls, endpoints, gateways].concat();
    Ok((!all.is_empty()).then(|| format!("it still holds `{}`", all.join("`, `"))))
}

async fn subnets(within: &Filter, work: &Work) -> Result<Vec<String>, CloudError> {
    let sending = work.cloud.read.ec2.describe_subnets().filters(within.clone());
    let answer = call("ec2:DescribeSubnets", sending.send()).await?;
    Ok(answer.subnets().iter().filter_map(|subnet| subnet.subnet_id.clone()).collect())
}

async fn security_groups(within: &Filter, work: &Work) -> Result<Vec<String>, CloudError> {
    let sending = work.cloud.read.ec2.describe_security_groups().filters(within.clone());
    let answer = call("ec2:DescribeSecurityGroups", sending.send()).await?;
    let added = answer.security_groups().iter().filter(|group| group.group_name() != Some("default"));
    Ok(added.filter_map(|group| Some(format!("{} ({})", group.group_id()?, group.group_name()?))).collect())
}

async fn route_tables(within: &Filter, work: &Work) -> Result<Vec<String>, CloudError> {
    let sending = work.cloud.read.ec2.describe_route_tables().filters(within.clone());
    let answer = call("ec2:DescribeRouteTables", sending.send()).await?;
    let added =
        answer.route_tables().iter().filter(|table| !table.associations().iter().any(|each| each.main() == Some(true)));
    Ok(added.filter_map(|table| table.route_table_id.clone()).collect())
}

async fn network_acls(within: &Filter, work: &Work) -> Result<Vec<String>, CloudError> {
    let sending = work.cloud.read.ec2.describe_network_acls().filters(within.clone());
    let answer = call("ec2:DescribeNetworkAcls", sending.send()).await?;
    let added = answer.network_acls().iter().filter(|acl| acl.is_default() != Some(true));
    Ok(added.filter_map(|acl| acl.network_acl_id.clone()).collect())
}

async fn endpoints(within: &Filter, work: &Work) -> Result<Vec<String>, CloudError> {
    let sending = work.cloud.read.ec2.describe_vpc_endpoints().filters(within.clone());
    let answer = call("ec2:DescribeVpcEndpoints", sending.send()).await?;
    Ok(answer.vpc_endpoints().iter().filter_map(|endpoint| endpoint.vpc_endpoint_id.clone()).collect())
}

async fn internet_gateways(id: &str, work: &Work) -> Result<Vec<String>, CloudError> {
    let sending = work.cloud.read.ec2.describe_internet_gateways().filters(filter("attachment.vpc-id", id));
    let answer = call("ec2:DescribeInternetGateways", sending.send()).await?;
    Ok(answer.internet_gateways().iter().filter_map(|gateway| gateway.internet_gateway_id.clone()).collect())
}
