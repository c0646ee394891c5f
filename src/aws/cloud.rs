//! The clients, and what is known of the account before anything is read from it.

use std::sync::Arc;
use std::time::Duration;

use aws_config::retry::RetryConfig;
use aws_config::timeout::TimeoutConfig;
use aws_config::{BehaviorVersion, Region, SdkConfig};

use super::error::{Class, CloudError, call};
use crate::cluster::connection::Connections;

/// One client for each service.
#[derive(Debug)]
pub struct Clients {
    /// CloudFormation.
    pub cloudformation: aws_sdk_cloudformation::Client,
    /// EC2, which is also VPC.
    pub ec2: aws_sdk_ec2::Client,
    /// EKS.
    pub eks: aws_sdk_eks::Client,
    /// Classic load balancers.
    pub elb: aws_sdk_elasticloadbalancing::Client,
    /// Application and network load balancers.
    pub elbv2: aws_sdk_elasticloadbalancingv2::Client,
    /// EventBridge.
    pub events: aws_sdk_eventbridge::Client,
    /// IAM.
    pub iam: aws_sdk_iam::Client,
    /// CloudWatch Logs.
    pub logs: aws_sdk_cloudwatchlogs::Client,
    /// The price list.
    pub pricing: aws_sdk_pricing::Client,
    /// Service Quotas.
    pub quotas: aws_sdk_servicequotas::Client,
    /// RDS.
    pub rds: aws_sdk_rds::Client,
    /// SQS.
    pub sqs: aws_sdk_sqs::Client,
    /// Systems Manager.
    pub ssm: aws_sdk_ssm::Client,
    /// STS.
    pub sts: aws_sdk_sts::Client,
}

impl Clients {
    fn new(config: &SdkConfig) -> Self {
        Self {
            cloudformation: aws_sdk_cloudformation::Client::new(config),
            ec2: aws_sdk_ec2::Client::new(config),
            eks: aws_sdk_eks::Client::new(config),
            elb: aws_sdk_elasticloadbalancing::Client::new(config),
            elbv2: aws_sdk_elasticloadbalancingv2::Client::new(config),
            events: aws_sdk_eventbridge::Client::new(config),
            iam: aws_sdk_iam::Client::new(config),
            logs: aws_sdk_cloudwatchlogs::Client::new(config),
            pricing: aws_sdk_pricing::Client::from_conf(prices_from(config)),
            quotas: aws_sdk_servicequotas::Client::new(config),
            rds: aws_sdk_rds::Client::new(config),
            sqs: aws_sdk_sqs::Client::new(config),
            ssm: aws_sdk_ssm::Client::new(config),
            sts: aws_sdk_sts::Client::new(config),
        }
    }
}

/// The price list of all regions is served from a few of them.
fn prices_from(config: &SdkConfig) -> aws_sdk_pricing::Config {
    let region = config.region().map(Region::as_ref).unwrap_or_default();
    let nearest = match region.split('-').next() {
        Some("cn") => "cn-northwest-1",
        Some("eu" | "me" | "af" | "il") => "eu-central-1",
        Some("ap") => "ap-south-1",
        _ => "us-east-1",
    };
    aws_sdk_pricing::config::Builder::from(config).region(Region::from_static(nearest)).build()
}

/// A region of an account.
#[derive(Debug, Clone)]
pub struct Cloud {
    /// For calls that change nothing: a failed one is asked again.
    pub read: Arc<Clients>,
    /// For calls that change something: a failed one is never asked again blindly. The engine looks
    /// what happened first, so that a lost answer does not make a second VPC.
    pub write: Arc<Clients>,
    /// The region's name.
    pub region: String,
    /// The account's number.
    pub account: String,
    /// `aws`, `aws-cn` or `aws-us-gov`.
    pub partition: String,
    /// Who is calling, as an ARN.
    pub caller: String,
    /// The ways into clusters.
    pub clusters: Connections,
}

const CALL_TIMEOUT: Duration = Duration::from_secs(40);
const GREETING_ATTEMPTS: u32 = 5;
const READ_ATTEMPTS: u32 = 8;
const LONGEST_PAUSE: Duration = Duration::from_secs(8);

impl Cloud {
    /// Finds credentials as the AWS CLI does, and asks whose they are.
    ///
    /// # Errors
    /// No credentials, credentials that AWS does not take, or an endpoint that cannot be reached.
    pub async fn connect(region: &str) -> Result<Self, CloudError> {
        let region = Region::new(region.to_owned());
        Self::with(aws_config::defaults(BehaviorVersion::latest()).region(region).load().await).await
    }

    /// Asks whose the credentials in `config` are.
    ///
    /// # Errors
    /// Those of [`Cloud::connect`].
    pub async fn with(config: SdkConfig) -> Result<Self, CloudError> {
        let timeouts = TimeoutConfig::builder().operation_attempt_timeout(CALL_TIMEOUT).build();
        let clients = |retry: RetryConfig| {
            let config = config.to_builder().timeout_config(timeouts.clone()).retry_config(retry);
            Clients::new(&config.build())
        };
        let patient = |attempts| RetryConfig::standard().with_max_attempts(attempts).with_max_backoff(LONGEST_PAUSE);
        let greeting = clients(patient(GREETING_ATTEMPTS));
        let identity = call("sts:GetCallerIdentity", greeting.sts.get_caller_identity().send()).await?;
        let caller = identity.arn().unwrap_or_default().to_owned();
        let region = config.region().map(ToString::to_string).unwrap_or_default();
        Ok(Self {
            read: Arc::new(clients(patient(READ_ATTEMPTS))),
            write: Arc::new(clients(RetryConfig::disabled())),
            partition: partition_of(&caller, &region).to_owned(),
            account: identity.account().unwrap_or_default().to_owned(),
            region,
            clusters: Connections::new(config.credentials_provider(), &caller),
            caller,
        })
    }

    /// The ARN of a managed policy of AWS.
    pub fn managed_policy(&self, name: &str) -> String {
        format!("arn:{}:iam::aws:policy/{name}", self.partition)
    }
}

/// The partition in an ARN, or the one that the region's name stands for.
fn partition_of<'a>(caller: &'a str, region: &str) -> &'a str {
    match caller.split(':').nth(1) {
        Some(partition) if !partition.is_empty() => partition,
        _ if region.starts_with("cn-") => "aws-cn",
        _ if region.starts_with("us-gov-") => "aws-us-gov",
        _ => "aws",
    }
}

/// Whether the region of this failure may simply not exist: its name leads nowhere.
pub fn looks_like_a_wrong_region(error: &CloudError) -> bool {
    error.class == Class::Unreachable && error.message.contains("dns error")
}
