//! The rows, by the service that they belong to.

mod eks;
mod iam;
mod instances;
mod kubernetes;
mod logs;
mod network;
mod routing;
mod security;
mod services;

use aws_sdk_ec2::types::Tag;
use eksup::aws::Cloud;
use eksup::plan::Observed;
use futures::future::BoxFuture;

use crate::harness::Row;

/// Every row of what is made in AWS.
pub fn in_aws() -> Vec<Row> {
    let of_ec2 = [network::rows(), routing::rows(), security::rows(), instances::rows()];
    let others = [iam::rows(), eks::rows(), logs::rows(), services::rows()];
    of_ec2.into_iter().chain(others).flatten().collect()
}

/// Every row of what is made in a cluster.
pub fn in_a_cluster() -> Vec<Row> {
    kubernetes::rows()
}

/// The drift of what has nothing but tags: somebody takes its name away.
pub fn without_its_name<'a>(cloud: &'a Cloud, resource: &'a Observed) -> BoxFuture<'a, ()> {
    Box::pin(async move {
        let name = Tag::builder().key("Name").build();
        let sending = cloud.write.ec2.delete_tags().resources(resource.identity()).tags(name);
        sending.send().await.expect("the drift");
    })
}
