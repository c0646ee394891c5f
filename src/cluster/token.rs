//! The token with which EKS lets an AWS identity into a cluster: a signed question to STS that nobody has asked yet.
//!
//! The API server asks it, and takes whoever STS names for the caller. A token is good for fifteen minutes; it is
//! made anew well before that, without a call to AWS.

use std::fmt;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use aws_credential_types::Credentials;
use aws_credential_types::provider::{ProvideCredentials, SharedCredentialsProvider};
use aws_sigv4::http_request::{SignableBody, SignableRequest, SignatureLocation, SigningSettings, sign};
use aws_sigv4::sign::v4;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use tokio::sync::Mutex;

/// What every token begins with.
pub const PREFIX: &str = "k8s-aws-v1.";
/// How long the API server takes a token, from the moment that it was signed.
pub const LIFETIME: Duration = Duration::from_secs(15 * 60);
/// How long before its end a token is given to a client that keeps it.
const MARGIN: Duration = Duration::from_secs(60);
/// How old a token gets before this process makes another one.
const RENEWED_AFTER: Duration = Duration::from_secs(10 * 60);
/// Names the cluster in the signature, so that a token for one cluster opens no other.
const CLUSTER_HEADER: &str = "x-k8s-aws-id";
/// What `X-Amz-Expires` says: it has to be there, and STS does not look at it.
const EXPIRES: Duration = Duration::from_secs(60);

/// Why no token could be made.
#[derive(Debug, Clone, thiserror::Error)]
pub enum TokenError {
    /// No credentials, or expired ones.
    #[error("there are no usable AWS credentials: {0}")]
    Credentials(String),
    /// The question could not be signed.
    #[error("the request to STS cannot be signed: {0}")]
    Signing(String),
}

/// A token and the moment from which it must not be used any more.
#[derive(Clone)]
pub struct Token {
    /// The token itself.
    pub text: String,
    /// When a client that keeps it has to ask for another one.
    pub expires: SystemTime,
    signed: SystemTime,
}

impl fmt::Debug for Token {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Token").field("expires", &self.expires).finish_non_exhaustive()
    }
}

/// A token for `cluster` in `region`, signed with `credentials` at `now`.
///
/// # Errors
/// The name of the cluster or of the region cannot stand in a request.
pub fn mint(cluster: &str, region: &str, credentials: &Credentials, now: SystemTime) -> Result<Token, TokenError> {
    let failed = |error: &dyn fmt::Display| TokenError::Signing(error.to_string());
    let question = format!("https://{}/?Action=GetCallerIdentity&Version=2011-06-15", sts_host(region));
    let identity = credentials.clone().into();
    let mut settings = SigningSettings::default();
    settings.signature_location = SignatureLocation::QueryParams;
    settings.expires_in = Some(EXPIRES);
    let parameters = v4::SigningParams::builder()
        .identity(&identity)
        .region(region)
        .name("sts")
        .time(now)
        .settings(settings)
        .build()
        .map_err(|error| failed(&error))?;
    let headers = std::iter::once((CLUSTER_HEADER, cluster));
    let request = SignableRequest::new("GET", question.as_str(), headers, SignableBody::empty())
        .map_err(|error| failed(&error))?;
    let (instructions, _) = sign(request, &parameters.into()).map_err(|error| failed(&error))?.into_parts();
    let url = instructions.params().iter().fold(question, |url, (name, value)| {
        format!("{url}&{name}={}", percent_encoding::utf8_percent_encode(value, UNRESERVED))
    });
    Ok(Token {
        text: format!("{PREFIX}{}", URL_SAFE_NO_PAD.encode(url)),
        expires: expiry(credentials, now),
        signed: now,
    })
}

/// The characters of a query that are not escaped: those that a signature counts as they are.
const UNRESERVED: &percent_encoding::AsciiSet =
    &percent_encoding::NON_ALPHANUMERIC.remove(b'-').remove(b'_').remove(b'.').remove(b'~');

fn expiry(credentials: &Credentials, now: SystemTime) -> SystemTime {
    let own = now + LIFETIME - MARGIN;
    credentials.expiry().map_or(own, |end| end.min(own))
}

fn sts_host(region: &str) -> String {
    let suffix = if region.starts_with("cn-") { "amazonaws.com.cn" } else { "amazonaws.com" };
    format!("sts.{region}.{suffix}")
}

/// Makes tokens for one cluster, and keeps one as long as it is good.
#[derive(Debug, Clone)]
pub struct TokenSource {
    cluster: String,
    region: String,
    credentials: SharedCredentialsProvider,
    kept: Arc<Mutex<Option<Token>>>,
}

impl TokenSource {
    /// Tokens for `cluster` in `region`, signed with what `credentials` gives.
    pub fn new(cluster: &str, region: &str, credentials: SharedCredentialsProvider) -> Self {
        Self { cluster: cluster.to_owned(), region: region.to_owned(), credentials, kept: Arc::default() }
    }

    /// A token that is good for some minutes yet.
    ///
    /// # Errors
    /// No credentials, or a name that cannot be signed.
    pub async fn token(&self) -> Result<Token, TokenError> {
        let mut kept = self.kept.lock().await;
        let now = SystemTime::now();
        if let Some(token) = kept.as_ref().filter(|token| is_fresh(token, now)) {
            return Ok(token.clone());
        }
        let credentials = self
            .credentials
            .provide_credentials()
            .await
            .map_err(|error| TokenError::Credentials(super::failure::chain_of(&error)))?;
        let token = mint(&self.cluster, &self.region, &credentials, now)?;
        *kept = Some(token.clone());
        Ok(token)
    }

    /// Forgets the token that is kept, because the API server did not take it.
    pub async fn renew(&self) {
        *self.kept.lock().await = None;
    }
}

fn is_fresh(token: &Token, now: SystemTime) -> bool {
    let young = now.duration_since(token.signed).is_ok_and(|age| age < RENEWED_AFTER);
    young && now < token.expires
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    fn credentials(expires: Option<SystemTime>) -> Credentials {
        Credentials::new("AKIDEXAMPLE", "not-a-secret", Some("session/+=".to_owned()), expires, "test")
    }

    fn url_of(token: &Token) -> String {
        let encoded = token.text.strip_prefix(PREFIX).expect("the prefix");
        String::from_utf8(URL_SAFE_NO_PAD.decode(encoded).expect("base64 without padding")).expect("a URL")
    }

    #[test]
    fn a_token_holds_exactly_what_the_api_server_takes() {
        let now = SystemTime::UNIX_EPOCH + Duration::from_secs(1_800_000_000);
        let token = mint("shop", "eu-central-1", &credentials(None), now).expect("a token");
        let url = url_of(&token);
        let query = url.strip_prefix("https://sts.eu-central-1.amazonaws.com/?").expect("the path is `/`");
        let pairs: Vec<(&str, &str)> = query.split('&').filter_map(|pair| pair.split_once('=')).collect();
        let keys: BTreeSet<String> = pairs.iter().map(|(key, _)| key.to_lowercase()).collect();
        let allowed = [
            "action",
            "version",
            "x-amz-algorithm",
            "x-amz-credential",
            "x-amz-date",
            "x-amz-expires",
            "x-amz-security-token",
            "x-amz-signature",
            "x-amz-signedheaders",
        ];
        assert_eq!(keys, allowed.iter().map(|key| (*key).to_owned()).collect());
        assert_eq!(pairs.len(), keys.len(), "each once");
        let value = |name: &str| pairs.iter().find(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, value)| *value);
        assert_eq!(value("x-amz-signedheaders"), Some("host%3Bx-k8s-aws-id"));
        assert_eq!(value("x-amz-expires"), Some("60"));
        assert_eq!(value("x-amz-security-token"), Some("session%2F%2B%3D"));
        assert!(token.text.len() < 4096 && !token.text.contains('='));
    }

    #[test]
    fn a_token_for_one_cluster_differs_from_one_for_another() {
        let now = SystemTime::UNIX_EPOCH + Duration::from_secs(1_800_000_000);
        let signature = |cluster| {
            let url = url_of(&mint(cluster, "eu-central-1", &credentials(None), now).expect("a token"));
            url.split("X-Amz-Signature=").nth(1).map(str::to_owned)
        };
        assert!(signature("shop").is_some());
        assert_ne!(signature("shop"), signature("shop2"));
    }

    #[test]
    fn a_token_ends_with_the_credentials_that_signed_it() {
        let now = SystemTime::UNIX_EPOCH + Duration::from_secs(1_800_000_000);
        let soon = now + Duration::from_secs(120);
        assert_eq!(mint("a", "eu-west-1", &credentials(Some(soon)), now).map(|token| token.expires).ok(), Some(soon));
        let own = mint("a", "eu-west-1", &credentials(None), now).map(|token| token.expires).ok();
        assert_eq!(own, Some(now + LIFETIME - MARGIN));
    }

    #[test]
    fn china_has_hosts_of_its_own() {
        assert_eq!(sts_host("cn-north-1"), "sts.cn-north-1.amazonaws.com.cn");
    }

    #[tokio::test]
    async fn a_token_is_kept_until_the_api_server_refuses_it() {
        let provider = SharedCredentialsProvider::new(credentials(None));
        let source = TokenSource::new("shop", "eu-central-1", provider);
        let first = source.token().await.expect("a token");
        assert_eq!(source.token().await.expect("the same").signed, first.signed);
        source.renew().await;
        assert_ne!(source.token().await.expect("another").signed, first.signed);
    }

    #[test]
    fn a_debugged_token_does_not_show_itself() {
        let token = mint("a", "eu-west-1", &credentials(None), SystemTime::UNIX_EPOCH).expect("a token");
        assert!(!format!("{token:?}").contains(PREFIX));
    }
}
