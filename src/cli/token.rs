//! `eksup token`: a token for kubectl and others, as an `ExecCredential`.

use std::time::SystemTime;

use aws_config::{BehaviorVersion, Region};
use clap::Args;
use jiff::Timestamp;
use serde_json::json;

use super::session::{Ended, complain};
use super::{Exit, output};
use crate::cluster::token::TokenSource;

/// The arguments of `eksup token`.
#[derive(Debug, Args)]
pub struct Arguments {
    /// The cluster's name, which is the stack's.
    #[arg(long, value_name = "NAME")]
    cluster: String,
    /// Its region; without one, that of the AWS profile.
    #[arg(long, value_name = "REGION")]
    region: Option<String>,
}

/// Runs the command.
pub async fn run(arguments: Arguments) -> Ended {
    let mut loader = aws_config::defaults(BehaviorVersion::latest());
    if let Some(region) = &arguments.region {
        loader = loader.region(Region::new(region.clone()));
    }
    let config = loader.load().await;
    let Some(region) = config.region().map(ToString::to_string) else {
        complain("the region of the cluster is not known", Some("add `--region`, or set `AWS_REGION`"));
        return Err(Exit::BadInput);
    };
    let Some(credentials) = config.credentials_provider() else {
        complain("there are no AWS credentials", Some("set `AWS_PROFILE`, or log in (`aws sso login`)"));
        return Err(Exit::BadInput);
    };
    let token = TokenSource::new(&arguments.cluster, &region, credentials).token().await.map_err(|error| {
        complain(&error.to_string(), Some("check `AWS_PROFILE`, or log in again (`aws sso login`)"));
        Exit::BadInput
    })?;
    let expires = Timestamp::try_from(token.expires).unwrap_or_else(|_| now());
    let document = json!({
        "apiVersion": "client.authentication.k8s.io/v1",
        "kind": "ExecCredential",
        "spec": { "interactive": false },
        "status": { "expirationTimestamp": whole_seconds(expires), "token": token.text },
    });
    output::line(document.to_string());
    Ok(Exit::Done)
}

fn now() -> Timestamp {
    Timestamp::try_from(SystemTime::now()).unwrap_or(Timestamp::UNIX_EPOCH)
}

/// `2026-01-01T00:00:00Z`: not every reader takes fractions of seconds.
fn whole_seconds(time: Timestamp) -> String {
    time.strftime("%Y-%m-%dT%H:%M:%SZ").to_string()
}
