//! What a call to AWS or to Kubernetes can come back with, sorted by what is to be done about it.

use std::borrow::Cow;
use std::fmt;
use std::sync::OnceLock;
use std::time::{Duration, Instant};

use aws_smithy_runtime_api::client::orchestrator::HttpResponse;
use aws_smithy_runtime_api::client::result::SdkError;
use aws_smithy_types::error::metadata::ProvideErrorMetadata;

/// A failed call.
#[derive(Debug, Clone, thiserror::Error)]
pub struct CloudError {
    /// The call: as an IAM policy names it, `ec2:CreateVpc`; of Kubernetes, `patch Deployment shop/backend`.
    pub action: Cow<'static, str>,
    /// The service's code for what happened, if an answer came.
    pub code: Option<String>,
    /// The service's words, or the transport's.
    pub message: String,
    /// What is to be done about it.
    pub class: Class,
    /// What the user can do about it, where that is particular to this failure.
    pub advice: Option<String>,
}

/// What is to be done about a failed call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Class {
    /// What was asked for does not exist.
    Missing,
    /// What was to be made exists.
    Exists,
    /// Asked too often: the same call, later.
    Throttled,
    /// No answer, or a broken one: it may have happened, so look before asking again.
    Unanswered,
    /// Something that was just made is not believed yet: the same call, for up to two minutes.
    NotYet,
    /// Something still hangs on it, or another change of it runs: the same call, until that is over.
    Busy,
    /// The credentials may not do it.
    Denied,
    /// The credentials are missing, wrong or over.
    Credentials,
    /// The account has no room for another one.
    Quota,
    /// The endpoint cannot be reached at all.
    Unreachable,
    /// AWS does not take it as it is.
    Refused,
    /// The user has ended the wait for it.
    Stopped,
}

impl Class {
    /// Whether the same question may be answered a moment later.
    pub fn may_pass(self) -> bool {
        matches!(self, Self::Throttled | Self::Unanswered | Self::NotYet | Self::Busy)
    }
}

impl fmt::Display for CloudError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.code {
            Some(code) => {
                write!(formatter, "`{}` failed: {} ({code})", self.action, self.message.trim_end_matches('.'))
            }
            None => write!(formatter, "`{}` got no answer: {}", self.action, self.message),
        }
    }
}

impl CloudError {
    /// An answer of AWS that does not hold what it has to.
    pub fn incomplete(action: impl Into<Cow<'static, str>>, what: &str) -> Self {
        let message = format!("the answer holds no {what}");
        let code = Some("IncompleteAnswer".into());
        Self { action: action.into(), code, message, class: Class::Unanswered, advice: None }
    }

    /// A failure that stands in an answer, as those of single members of a batch do.
    pub fn answered(action: impl Into<Cow<'static, str>>, code: &str, message: &str) -> Self {
        let class = class_of(code, message, 400);
        Self { action: action.into(), code: Some(code.to_owned()), message: message.to_owned(), class, advice: None }
    }

    /// Something that cannot be done, in our own words.
    pub fn refused(action: impl Into<Cow<'static, str>>, message: impl Into<String>) -> Self {
        let code = Some("Refused".into());
        Self { action: action.into(), code, message: message.into(), class: Class::Refused, advice: None }
    }

    /// The same failure, where "it does not exist" can only mean that something new is not known
    /// everywhere yet.
    pub fn missing_is_not_yet(mut self) -> Self {
        if self.class == Class::Missing {
            self.class = Class::NotYet;
        }
        self
    }

    /// What the user can do about it, where that can be said.
    pub fn help(&self) -> Option<String> {
        if self.advice.is_some() {
            return self.advice.clone();
        }
        match self.class {
            Class::Denied => Some(format!(
                "the credentials need this statement:\n{{ \"Effect\": \"Allow\", \"Action\": \"{}\", \"Resource\": \"{}\" }}",
                self.action,
                denied_resource(&self.message).unwrap_or("*")
            )),
            Class::Credentials => Some(
                "check `AWS_PROFILE`, or log in again (`aws sso login`), and see that the account is the right one"
                    .to_owned(),
            ),
            Class::Unreachable => Some(
                "check the network, the region's name and `AWS_ENDPOINT_URL`, then run the same command again".to_owned(),
            ),
            Class::Quota => Some(
                "delete what is not needed, or ask for a higher limit in the Service Quotas console, then run the same \
                 command again"
                    .to_owned(),
            ),
            _ => None,
        }
    }
}

/// Is told of every call that has ended: its name, how long it took, and how it failed.
type Watcher = dyn Fn(&'static str, Duration, Option<&CloudError>) + Send + Sync;

static WATCHER: OnceLock<Box<Watcher>> = OnceLock::new();

/// Has every call of this process told to `watcher` from now on; the first one stays.
pub fn watch_calls(watcher: Box<Watcher>) {
    let _ = WATCHER.set(watcher);
}

/// Waits for `sending` and sorts its failure. `action` is the call's name as an IAM policy has it.
///
/// # Errors
/// The call's failure, sorted.
pub async fn call<T, E>(
    action: &'static str,
    sending: impl Future<Output = Result<T, SdkError<E, HttpResponse>>>,
) -> Result<T, CloudError>
where
    E: ProvideErrorMetadata + std::error::Error + 'static,
{
    // On the heap: the futures of the SDK are large and deeply nested.
    let began = Instant::now();
    let ended = Box::pin(sending).await.map_err(|error| sorted(action, &error));
    if let Err(error) = &ended {
        tracing::debug!(action, class = ?error.class, "{error}");
    }
    if let Some(watcher) = WATCHER.get() {
        watcher(action, began.elapsed(), ended.as_ref().err());
    }
    ended
}

/// Turns "it does not exist" into `None`.
///
/// # Errors
/// Every other failure.
pub fn existing<T>(result: Result<T, CloudError>) -> Result<Option<T>, CloudError> {
    match result {
        Ok(value) => Ok(Some(value)),
        Err(error) if error.class == Class::Missing => Ok(None),
        Err(error) => Err(error),
    }
}

fn sorted<E>(action: &'static str, error: &SdkError<E, HttpResponse>) -> CloudError
where
    E: ProvideErrorMetadata + std::error::Error + 'static,
{
    if let SdkError::ServiceError(answer) = error {
        let code = answer.err().code().unwrap_or("Unknown").to_owned();
        let message = answer.err().message().unwrap_or("AWS gave no reason").to_owned();
        let class = class_of(&code, &message, answer.raw().status().as_u16());
        return CloudError { action: action.into(), code: Some(code), message, class, advice: None };
    }
    let chain = chain_of(error);
    let class = match error {
        SdkError::ConstructionFailure(_) => Class::Refused,
        _ if chain.to_lowercase().contains("credential") => Class::Credentials,
        SdkError::DispatchFailure(failure) if failure.is_user() => Class::Refused,
        SdkError::DispatchFailure(_) if never_connected(&chain) => Class::Unreachable,
        _ => Class::Unanswered,
    };
    CloudError { action: action.into(), code: None, message: chain, class, advice: None }
}

fn never_connected(chain: &str) -> bool {
    let chain = chain.to_lowercase();
    ["dns error", "connection refused", "tcp connect error", "failed to lookup"].iter().any(|text| chain.contains(text))
}

fn chain_of(error: &(dyn std::error::Error + 'static)) -> String {
    let mut parts: Vec<String> = Vec::new();
    let mut next = Some(error);
    while let Some(current) = next {
        let text = current.to_string();
        if !parts.iter().any(|part| part.contains(&text)) {
            parts.push(text);
        }
        next = current.source();
    }
    parts.join(": ")
}

const THROTTLED: &[&str] = &[
    "RequestLimitExceeded",
    "EC2ThrottledException",
    "Throttling",
    "ThrottlingException",
    "ThrottledException",
    "RequestThrottled",
    "RequestThrottledException",
    "TooManyRequestsException",
    "SlowDown",
    "BandwidthLimitExceeded",
];

const CREDENTIALS: &[&str] = &[
    "ExpiredToken",
    "ExpiredTokenException",
    "RequestExpired",
    "InvalidClientTokenId",
    "UnrecognizedClientException",
    "SignatureDoesNotMatch",
    "InvalidSignatureException",
    "MissingAuthenticationToken",
    "IncompleteSignature",
    "AuthFailure",
    "OptInRequired",
];

const DENIED: &[&str] = &["AccessDenied", "AccessDeniedException", "UnauthorizedOperation", "AuthorizationError"];

const QUOTA: &[&str] = &[
    "VpcLimitExceeded",
    "AddressLimitExceeded",
    "SubnetLimitExceeded",
    "InternetGatewayLimitExceeded",
    "NatGatewayLimitExceeded",
    "SecurityGroupLimitExceeded",
    "RulesPerSecurityGroupLimitExceeded",
    "NetworkAclLimitExceeded",
    "RouteTableLimitExceeded",
    "VcpuLimitExceeded",
    "InstanceLimitExceeded",
    "ResourceLimitExceeded",
    "ResourceLimitExceededException",
    "LimitExceeded",
    "LimitExceededException",
    "InstanceQuotaExceeded",
    "StorageQuotaExceeded",
    "DBInstanceQuotaExceeded",
    "ServiceQuotaExceededException",
];

const BUSY: &[&str] = &[
    "DependencyViolation",
    "DeleteConflict",
    "ResourceInUseException",
    "InvalidIPAddress.InUse",
    "InvalidNetworkInterface.InUse",
    "InvalidDBInstanceState",
    "InvalidDBSubnetGroupStateFault",
    "ConcurrentModification",
    "ConcurrentModificationException",
    "OperationAbortedException",
    "QueueDeletedRecently",
    "AWS.SimpleQueueService.QueueDeletedRecently",
    "IncorrectState",
    "IncorrectInstanceState",
    "ResourceInUse",
    "VolumeInUse",
];

/// What a new role or profile is answered with until every service knows it.
const NOT_YET: &[(&str, &[&str])] = &[
    ("InvalidParameterValue", &["Invalid IAM Instance Profile", "has no associated IAM Roles"]),
    (
        "InvalidParameterException",
        &[
            "does not exist",
            "Error in role params",
            "Role could not be assumed because the trusted entity is not correct",
            "doesn't have the Amazon EKS Managed Policies",
            "IAM role's policy must include",
            "principalArn parameter format is not valid",
            "The specified principalArn is invalid",
        ],
    ),
    ("InvalidRequestException", &["role with arn", "could not be assumed"]),
    ("MalformedPolicyDocument", &["Invalid principal in policy"]),
];

fn class_of(code: &str, message: &str, status: u16) -> Class {
    let is_one_of = |codes: &[&str]| codes.contains(&code);
    if is_one_of(THROTTLED) {
        Class::Throttled
    } else if is_one_of(CREDENTIALS) {
        Class::Credentials
    } else if is_one_of(DENIED) {
        Class::Denied
    } else if is_one_of(QUOTA) {
        Class::Quota
    } else if NOT_YET.iter().any(|(known, texts)| *known == code && texts.iter().any(|text| message.contains(text))) {
        Class::NotYet
    } else if is_one_of(BUSY) || (code == "ValidationError" && message.contains("_IN_PROGRESS state")) {
        Class::Busy
    } else if says_missing(code) || words_say_missing(code, message) {
        Class::Missing
    } else if says_exists(code) {
        Class::Exists
    } else if status >= 500 {
        Class::Unanswered
    } else {
        Class::Refused
    }
}

/// Whether a code that stands for many things says, in its words, that something is missing.
fn words_say_missing(code: &str, message: &str) -> bool {
    match code {
        "ClientException" => message.starts_with("No cluster found"),
        "ValidationError" => message.starts_with("Stack") && message.contains("does not exist"),
        _ => false,
    }
}

fn says_missing(code: &str) -> bool {
    const MISSING: &[&str] = &[
        "NoSuchEntity",
        "NatGatewayNotFound",
        "Gateway.NotAttached",
        "ResourceNotFoundException",
        "NotFoundException",
        "ParameterNotFound",
        "QueueDoesNotExist",
        "AWS.SimpleQueueService.NonExistentQueue",
        "DBInstanceNotFound",
        "DBInstanceNotFoundFault",
        "DBSubnetGroupNotFoundFault",
        "LoadBalancerNotFound",
        "TargetGroupNotFound",
        "NoSuchResourceException",
    ];
    MISSING.contains(&code) || code.ends_with(".NotFound") || code.ends_with(".NotFoundException")
}

fn says_exists(code: &str) -> bool {
    const EXISTS: &[&str] = &[
        "EntityAlreadyExists",
        "ParameterAlreadyExists",
        "ResourceAlreadyExistsException",
        "DBInstanceAlreadyExists",
        "DBSubnetGroupAlreadyExists",
        "QueueAlreadyExists",
        "QueueNameExists",
        "AlreadyExistsException",
        "RouteAlreadyExists",
        "NetworkAclEntryAlreadyExists",
        "Resource.AlreadyAssociated",
    ];
    EXISTS.contains(&code) || code.ends_with(".Duplicate") || code.ends_with(".AlreadyExistsException")
}

/// The resource that a denial names: `… on resource: ARN because …`.
fn denied_resource(message: &str) -> Option<&str> {
    let (_, rest) = message.split_once("on resource: ")?;
    rest.split_whitespace().next().map(|word| word.trim_end_matches(['.', ',']))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_answer_is_sorted_by_what_is_to_be_done() {
        let table = [
            ("RequestLimitExceeded", "", 503, Class::Throttled),
            ("InternalError", "", 500, Class::Unanswered),
            ("InvalidVpcID.NotFound", "", 400, Class::Missing),
            ("ClientException", "No cluster found for name: shop.", 400, Class::Missing),
            ("ValidationError", "Stack with id Karpenter-shop does not exist", 400, Class::Missing),
            ("ValidationError", "Stack:arn… is in UPDATE_IN_PROGRESS state and can not be updated.", 400, Class::Busy),
            ("ValidationError", "No updates are to be performed.", 400, Class::Refused),
            ("DependencyViolation", "", 400, Class::Busy),
            ("InvalidParameterException", "Role with arn: … does not exist", 400, Class::NotYet),
            ("InvalidParameterException", "The following supported versions …", 400, Class::Refused),
            ("LimitExceededException", "", 400, Class::Quota),
            ("InvalidGroup.Duplicate", "", 400, Class::Exists),
            ("UnauthorizedOperation", "", 403, Class::Denied),
        ];
        for (code, message, status, class) in table {
            assert_eq!(class_of(code, message, status), class, "{code}");
        }
    }

    #[test]
    fn a_denial_names_the_statement_that_is_missing() {
        let error = CloudError {
            action: "iam:CreateRole".into(),
            advice: None,
            code: Some("AccessDenied".into()),
            message:
                "User: arn:aws:iam::111122223333:user/a is not authorized to perform: iam:CreateRole on resource: \
                      arn:aws:iam::111122223333:role/r because no identity-based policy allows it"
                    .into(),
            class: Class::Denied,
        };
        let help = error.help().unwrap_or_default();
        assert!(help.contains(r#""Action": "iam:CreateRole""#) && help.contains("role/r"), "{help}");
    }
}
