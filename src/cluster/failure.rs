//! What a request to the API server can come back with, sorted by what is to be done about it, and said in one
//! sentence with the way out.

use kube::core::Status;

use super::refusal;
use crate::aws::{Class, CloudError};

/// Whom a request was sent to, and by whom: for the words of its failure.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Whom {
    /// The cluster's name.
    pub cluster: String,
    /// Where its API server answers.
    pub endpoint: String,
    /// Who is asking, as an ARN; unknown behind a kubeconfig.
    pub caller: Option<String>,
}

/// What a failed request was for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Purpose {
    /// It only looked.
    Look,
    /// It would have changed something.
    Change,
    /// It would have changed something, in a cluster that has not let us in yet: who may come in is known there only
    /// some seconds after it has been said.
    FirstChange,
}

/// A failed request, sorted. `action` says what was asked: `patch Deployment shop/backend`.
pub fn sorted(action: &str, error: &kube::Error, whom: &Whom, purpose: Purpose) -> CloudError {
    match error {
        kube::Error::Api(status) => of_answer(action, status, whom, purpose),
        kube::Error::SerdeError(error) => CloudError::incomplete(action.to_owned(), &format!("object: {error}")),
        other => of_transport(action, &chain_of(other), whom, purpose),
    }
}

/// The failure of an answer that the API server has given.
pub fn of_answer(action: &str, status: &Status, whom: &Whom, purpose: Purpose) -> CloudError {
    let early = purpose == Purpose::FirstChange;
    let error = |class, message: String, advice: Option<String>| CloudError {
        action: action.to_owned().into(),
        code: Some(code_of(status)),
        message,
        class,
        advice,
    };
    let words = status.message.clone();
    match status.code {
        401 => {
            let class = if early { Class::NotYet } else { Class::Denied };
            error(class, format!("the API server of `{}` does not know {}", whom.cluster, who(whom)), let_in(whom))
        }
        403 if words.contains("because it is being terminated") => error(Class::Busy, words, None),
        403 if words.contains("exceeded quota") => {
            error(Class::Refused, words, Some("raise the namespace's ResourceQuota, or ask for less".to_owned()))
        }
        403 => error(if early { Class::NotYet } else { Class::Denied }, words, rights(whom)),
        404 => error(Class::Missing, words, None),
        409 if status.reason == "AlreadyExists" => error(Class::Exists, words, None),
        409 => match refusal::conflict(status) {
            Some(conflict) => error(Class::Refused, conflict.to_string(), Some(conflict.way_out())),
            None => error(Class::Throttled, words, None),
        },
        410 | 504 => error(Class::Unanswered, words, None),
        429 => error(Class::Throttled, words, None),
        500.. if refusal::misfits(&words).is_some() => {
            error(Class::Refused, refusal::reasons(status).unwrap_or(words), None)
        }
        500.. => match refusal::webhook(&words) {
            Some(webhook) => error(webhook.class(), webhook.to_string(), Some(webhook.way_out())),
            None => error(Class::Unanswered, words, None),
        },
        _ => error(Class::Refused, refusal::reasons(status).unwrap_or(words), None),
    }
}

/// The failure of a request that got no answer.
fn of_transport(action: &str, chain: &str, whom: &Whom, purpose: Purpose) -> CloudError {
    let error = |class, message: String, advice: Option<String>| CloudError {
        action: action.to_owned().into(),
        code: None,
        message,
        class,
        advice,
    };
    let lower = chain.to_lowercase();
    let says = |words: &[&str]| words.iter().any(|word| lower.contains(word));
    if says(&["no usable aws credentials"]) {
        return error(Class::Credentials, chain.to_owned(), None);
    }
    if says(&["certificate", "unknownissuer", "notvalidforname"]) {
        let message = format!(
            "the certificate of `{}` is not signed by the authority of cluster `{}`: {chain}",
            whom.endpoint, whom.cluster
        );
        let advice =
            "a proxy that opens TLS may stand between: set `NO_PROXY` for the endpoint, or use another network";
        return error(Class::Refused, message, Some(advice.to_owned()));
    }
    if says(&[
        "dns error",
        "failed to lookup",
        "connection refused",
        "tcp connect",
        "network is unreachable",
        "no route",
    ]) || (says(&["connect"]) && says(&["timed out", "deadline", "timeout"]))
    {
        let class = if purpose == Purpose::FirstChange { Class::Unanswered } else { Class::Unreachable };
        return error(class, unreachable_words(whom, chain), Some(unreachable_way_out(whom)));
    }
    error(Class::Unanswered, chain.to_owned(), None)
}

fn unreachable_words(whom: &Whom, chain: &str) -> String {
    format!("the API server of `{}` (`{}`) cannot be reached from here: {chain}", whom.cluster, whom.endpoint)
}

fn unreachable_way_out(whom: &Whom) -> String {
    format!(
        "if its endpoint is private, run this from inside the VPC (the bastion, a VPN), or set `cluster.endpoint.public: \
         true` with your address in `cluster.endpoint.publicCidrs`; if it is public, see that `publicCidrs` has your \
         address. `--kubeconfig` leads to `{}` another way",
        whom.cluster
    )
}

/// The words for an API server whose address belongs to a private network, once that is known.
pub fn private_endpoint(mut error: CloudError, whom: &Whom) -> CloudError {
    // However long one waits, this network does not lead there.
    error.class = Class::Unreachable;
    error.message = format!(
        "the API server's endpoint is private: `{}` has addresses inside the VPC of `{}` only, and they cannot be \
         reached from here",
        whom.endpoint, whom.cluster
    );
    error.advice = Some(
        "run this from inside the VPC (the bastion, a VPN), or set `cluster.endpoint.public: true` with your address in \
         `cluster.endpoint.publicCidrs`"
            .to_owned(),
    );
    error
}

fn code_of(status: &Status) -> String {
    if status.reason.is_empty() { status.code.to_string() } else { status.reason.clone() }
}

fn who(whom: &Whom) -> String {
    whom.caller.as_ref().map_or_else(|| "these credentials".to_owned(), |caller| format!("`{caller}`"))
}

fn let_in(whom: &Whom) -> Option<String> {
    let Some(caller) = &whom.caller else {
        return Some(
            "log in to the cluster again: the kubeconfig's credentials are over or belong elsewhere".to_owned(),
        );
    };
    Some(format!(
        "give it an access entry: someone who may administer the cluster adds this to the stack file and applies it:\n\
         cluster:\n  access:\n    - {{ principal: \"{}\", policy: clusterAdmin }}",
        principal_of(caller)
    ))
}

fn rights(whom: &Whom) -> Option<String> {
    let Some(caller) = &whom.caller else {
        return Some("use a context of the kubeconfig whose user may do everything in the cluster".to_owned());
    };
    Some(format!(
        "eksup needs the access policy `AmazonEKSClusterAdminPolicy` for `{}`: in the stack file, `cluster.access` with \
         `policy: clusterAdmin`",
        principal_of(caller)
    ))
}

/// The role or user behind a caller: of a session, the role that it is of. A role's path is not known from a session.
pub fn principal_of(caller: &str) -> String {
    let parts: Vec<&str> = caller.splitn(6, ':').collect();
    let role = parts.get(5).and_then(|rest| rest.strip_prefix("assumed-role/")).and_then(|rest| rest.split('/').next());
    match (role, parts.as_slice()) {
        (Some(role), [_, partition, _, _, account, _]) => format!("arn:{partition}:iam::{account}:role/{role}"),
        _ => caller.to_owned(),
    }
}

/// An error with its sources, each said once.
pub fn chain_of(error: &(dyn std::error::Error + 'static)) -> String {
    let mut parts: Vec<String> = Vec::new();
    let mut next = Some(error);
    while let Some(current) = next {
        let text = current.to_string();
        match parts.iter_mut().find(|part| part.contains(&text)) {
            // kube writes the source into its own words too: the source alone says it.
            Some(part) if part.ends_with(&text) => *part = text,
            Some(_) => {}
            None => parts.push(text),
        }
        next = current.source();
    }
    parts.join(": ")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn whom() -> Whom {
        Whom {
            cluster: "shop".into(),
            endpoint: "https://abc.eks.amazonaws.com".into(),
            caller: Some("arn:aws:sts::111122223333:assumed-role/Dev/ann".into()),
        }
    }

    fn status(code: u16, reason: &str, message: &str) -> Status {
        Status { code, reason: reason.into(), message: message.into(), ..Status::default() }
    }

    fn class(code: u16, reason: &str, message: &str) -> Class {
        of_answer("get Pod a/b", &status(code, reason, message), &whom(), Purpose::Look).class
    }

    #[test]
    fn each_answer_is_sorted_by_what_is_to_be_done() {
        let table = [
            (404, "NotFound", "pods \"b\" not found", Class::Missing),
            (409, "AlreadyExists", "", Class::Exists),
            (409, "Conflict", "the object has been modified", Class::Throttled),
            (429, "TooManyRequests", "", Class::Throttled),
            (500, "InternalError", "etcdserver: request timed out", Class::Unanswered),
            (503, "ServiceUnavailable", "", Class::Unanswered),
            (
                403,
                "Forbidden",
                "unable to create new content in namespace a because it is being terminated",
                Class::Busy,
            ),
            (403, "Forbidden", "cannot list resource \"pods\"", Class::Denied),
            (422, "Invalid", "spec.replicas: Invalid value", Class::Refused),
            (400, "BadRequest", "unknown field", Class::Refused),
        ];
        for (code, reason, message, expected) in table {
            assert_eq!(class(code, reason, message), expected, "{code} {message}");
        }
    }

    #[test]
    fn whoever_is_not_known_is_told_how_to_be_let_in() {
        let error = of_answer("get Pod a/b", &status(401, "Unauthorized", "Unauthorized"), &whom(), Purpose::Look);
        assert!(error.message.contains("does not know `arn:aws:sts::111122223333:assumed-role/Dev/ann`"), "{error}");
        assert!(error.help().is_some_and(|help| help.contains("principal: \"arn:aws:iam::111122223333:role/Dev\"")));
    }

    #[test]
    fn a_new_cluster_may_take_a_moment_to_let_its_maker_in() {
        let refused = status(401, "Unauthorized", "Unauthorized");
        assert_eq!(of_answer("x", &refused, &whom(), Purpose::FirstChange).class, Class::NotYet);
        assert_eq!(of_answer("x", &refused, &whom(), Purpose::Change).class, Class::Denied);
    }

    #[test]
    fn a_missing_right_is_named_as_the_api_server_names_it() {
        let words = "deployments.apps is forbidden: User \"x\" cannot patch resource \"deployments\"";
        let error = of_answer("patch Deployment a/b", &status(403, "Forbidden", words), &whom(), Purpose::Change);
        assert!(error.to_string().contains("cannot patch resource"), "{error}");
        assert!(error.help().is_some_and(|help| help.contains("AmazonEKSClusterAdminPolicy")));
    }

    #[test]
    fn an_api_server_that_cannot_be_reached_is_said_with_the_way_out() {
        for chain in ["client error (Connect): tcp connect error: deadline has elapsed", "dns error: no such host"] {
            let error = of_transport("list Pods", chain, &whom(), Purpose::Look);
            assert_eq!(error.class, Class::Unreachable, "{chain}");
            assert!(error.help().is_some_and(|help| help.contains("publicCidrs")), "{error:?}");
        }
    }

    #[test]
    fn a_private_endpoint_is_said_at_once_even_of_a_new_cluster() {
        let chain = "client error (Connect): tcp connect error: deadline has elapsed";
        let early = of_transport("apply Namespace a", chain, &whom(), Purpose::FirstChange);
        assert_eq!(early.class, Class::Unanswered, "a new name may not be known everywhere yet");
        let error = private_endpoint(early, &whom());
        assert_eq!(error.class, Class::Unreachable);
        assert!(error.message.starts_with("the API server's endpoint is private"), "{error}");
        assert!(error.help().is_some_and(|help| help.contains("from inside the VPC")), "{error:?}");
    }

    #[test]
    fn a_wrong_certificate_is_not_tried_again() {
        let chain = "client error (Connect): invalid peer certificate: UnknownIssuer";
        let error = of_transport("list Pods", chain, &whom(), Purpose::Change);
        assert_eq!(error.class, Class::Refused);
        assert!(error.message.contains("not signed by the authority"), "{error}");
    }

    #[test]
    fn a_connection_that_broke_is_looked_at_again() {
        let error = of_transport("patch X", "connection closed before message completed", &whom(), Purpose::Change);
        assert_eq!(error.class, Class::Unanswered);
    }
}
