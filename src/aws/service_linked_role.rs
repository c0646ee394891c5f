//! A role that AWS makes for one of its services. It belongs to the account: it is made where it is
//! missing, shared by every stack, never deleted, and never counted among what a stack leaves.

use aws_sdk_iam::types;
use serde::{Deserialize, Serialize};

use super::error::{CloudError, call, existing};
use super::kind::{Found, Kind, Made, Work};
use super::reads::Reads;
use super::role_details;
use super::tagging::Tagged;
use crate::plan::{Address, Describe, Effect, Facts, State, Tags};

/// Where the role for spot instances stands in every stack that has it.
pub const SPOT_ADDRESS: &str = "nodes/service-linked-role/spot";
/// The service that takes back spot instances.
pub const SPOT_SERVICE: &str = "spot.amazonaws.com";
/// What IAM calls its role.
const SPOT_ROLE: &str = "AWSServiceRoleForEC2Spot";

/// The role of one service; only [`SPOT_SERVICE`] is asked for.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ServiceLinkedRole {
    /// The service, as in `spot.amazonaws.com`.
    pub service: String,
}

/// What others may refer to.
#[derive(Debug, Serialize, Deserialize)]
pub struct Outputs {
    /// Its ARN.
    pub arn: String,
}

impl Describe for ServiceLinkedRole {
    const FACTS: Facts = Facts {
        fields: &[("service", Effect::Replace)],
        outputs: &["arn"],
        taggable: false,
        shared: true,
        ..Facts::new("service-linked-role")
    };
}

impl Kind for ServiceLinkedRole {
    type Outputs = Outputs;

    /// It is asked for by name where a look at the stack's own roles has not shown it already.
    async fn find(reads: &Reads) -> Result<Vec<Found<Self>>, CloudError> {
        let known = role_details::known(reads).await?;
        let arn = match known.service_linked.get(SPOT_ROLE) {
            Some(arn) => Some(arn.clone()),
            None => get(&reads.cloud.read.iam).await?.map(|role| role.arn),
        };
        let found = arn.map(|arn| Found {
            address: Address::new(SPOT_ADDRESS),
            body: Self { service: SPOT_SERVICE.to_owned() },
            outputs: Outputs { arn },
            tags: Tags::new(),
            state: State::Ready,
        });
        Ok(found.into_iter().collect())
    }

    async fn create(&self, work: &Work) -> Result<Made<Outputs>, CloudError> {
        let client = &work.cloud.write.iam;
        let sending = client.create_service_linked_role().aws_service_name(&self.service);
        let role = match call("iam:CreateServiceLinkedRole", sending.send()).await {
            Ok(answer) => answer.role,
            Err(error) if error.message.contains("has been taken") => get(&work.cloud.read.iam).await?,
            Err(error) => return Err(error),
        };
        let arn = role
            .map(|role| role.arn)
            .ok_or_else(|| CloudError::incomplete("iam:CreateServiceLinkedRole", "role that can be read at once"))?;
        Ok(Made::ready(Outputs { arn }))
    }

    async fn update(&self, found: &Found<Self>, _: &Work) -> Result<Made<Outputs>, CloudError> {
        Ok(Made::ready(Outputs { arn: found.outputs.arn.clone() }))
    }

    /// Never asked for, as the kind is shared; others in the account may count on the role.
    async fn delete(_: &Found<Self>, _: &Work) -> Result<(), CloudError> {
        Ok(())
    }

    fn tagged(_: &Outputs) -> Tagged {
        Tagged::Nothing
    }
}

async fn get(client: &aws_sdk_iam::Client) -> Result<Option<types::Role>, CloudError> {
    let answer = existing(call("iam:GetRole", client.get_role().role_name(SPOT_ROLE).send()).await)?;
    Ok(answer.and_then(|answer| answer.role))
}
