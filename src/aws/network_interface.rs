//! Network interfaces that keep a subnet, a security group or a VPC from being deleted: named, and
//! removed where they are plainly what the VPC CNI left behind.

use aws_sdk_ec2::types::{NetworkInterface, NetworkInterfaceStatus};

use super::error::{CloudError, call, existing};
use super::kind::Work;
use super::reads::filter;

/// Names what is still in `filter_name` = `id`, after removing the interfaces of nodes that are gone.
///
/// # Errors
/// The failure of a call.
pub async fn blocker(filter_name: &str, id: &str, work: &Work) -> Result<Option<String>, CloudError> {
    let sending = work.cloud.read.ec2.describe_network_interfaces().filters(filter(filter_name, id));
    let answer = call("ec2:DescribeNetworkInterfaces", sending.send()).await?;
    let mut named = Vec::new();
    for interface in answer.network_interfaces() {
        match interface.network_interface_id() {
            Some(stray) if is_stray(interface) => delete(stray, work).await?,
            _ => named.push(describe(interface)),
        }
    }
    Ok((!named.is_empty())
        .then(|| format!("{} still there: {}", if named.len() == 1 { "it is" } else { "they are" }, named.join(", "))))
}

/// Whether a node that died left this interface: detached, and marked by the VPC CNI.
pub fn is_stray(interface: &NetworkInterface) -> bool {
    let detached = interface.status() == Some(&NetworkInterfaceStatus::Available);
    let described = interface.description().is_some_and(|text| text.starts_with("aws-K8S-"));
    let tagged = interface.tag_set().iter().any(|tag| {
        tag.key() == Some("node.k8s.amazonaws.com/instance_id")
            || (tag.key() == Some("eks:eni:owner") && tag.value() == Some("amazon-vpc-cni"))
    });
    detached && (described || tagged)
}

/// Deletes an interface that nothing is attached to.
///
/// # Errors
/// AWS's refusal; one that is gone is none.
pub async fn delete(id: &str, work: &Work) -> Result<(), CloudError> {
    let sending = work.cloud.write.ec2.delete_network_interface().network_interface_id(id);
    existing(call("ec2:DeleteNetworkInterface", sending.send()).await).map(drop)
}

fn describe(interface: &NetworkInterface) -> String {
    let id = interface.network_interface_id().unwrap_or("an interface");
    match interface.description() {
        Some(text) if !text.is_empty() => format!("`{id}` ({text})"),
        _ => format!("`{id}`"),
    }
}
