//! A connection to the API server of a cluster: with a token made from AWS credentials, or as a kubeconfig says.

use std::collections::HashMap;
use std::net::{IpAddr, ToSocketAddrs};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, PoisonError};
use std::time::Duration;

use aws_credential_types::provider::SharedCredentialsProvider;
use http::{HeaderValue, Method, Request};
use kube::client::{Body, ClientBuilder};
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::{Client, Config};
use serde_json::{Value, json};
use tokio::sync::Mutex;

use super::failure::{Purpose, Whom, chain_of, private_endpoint, sorted};
use super::token::TokenSource;
use crate::aws::{Class, CloudError};
use crate::spec::objects::ObjectKind;
use crate::spec::objects::served::{self, Served};

/// What an audit log calls this program.
const USER_AGENT: &str = concat!("eksup/", env!("CARGO_PKG_VERSION"));
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// The longest that the API server keeps a request that is no watch.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(60);
/// How often a request that only looks is made, where a failure may pass.
const LOOKS: u32 = 4;
const FIRST_PAUSE: Duration = Duration::from_millis(150);

/// Where a cluster's API server is.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Target {
    /// The cluster's name.
    pub name: String,
    /// Its region.
    pub region: String,
    /// Where the API answers: `https://…`.
    pub endpoint: String,
    /// The certificate authority of the API, PEM in base64.
    pub certificate_authority: String,
}

/// A kubeconfig that leads to the cluster instead of what AWS says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Detour {
    /// The file; without one, `KUBECONFIG` or `~/.kube/config`.
    pub file: Option<PathBuf>,
    /// The context; without one, the current one.
    pub context: Option<String>,
}

/// The ways into clusters: each is opened once and shared. Cloning it is cheap.
#[derive(Debug, Clone)]
pub struct Connections {
    credentials: Option<SharedCredentialsProvider>,
    caller: String,
    detour: Option<Detour>,
    open: Arc<Mutex<HashMap<Target, Arc<Connection>>>>,
}

impl Connections {
    /// With the credentials of `caller`, an ARN.
    pub fn new(credentials: Option<SharedCredentialsProvider>, caller: &str) -> Self {
        Self { credentials, caller: caller.to_owned(), detour: None, open: Arc::default() }
    }

    /// The same, but every cluster is reached as a kubeconfig says.
    pub fn through(self, detour: Detour) -> Self {
        Self { detour: Some(detour), open: Arc::default(), ..self }
    }

    /// The connection to `target`. Nothing is asked yet.
    ///
    /// # Errors
    /// No credentials, an endpoint that is no URL, a kubeconfig that cannot be used.
    pub async fn to(&self, target: &Target) -> Result<Arc<Connection>, CloudError> {
        let mut open = self.open.lock().await;
        if let Some(connection) = open.get(target) {
            return Ok(Arc::clone(connection));
        }
        let connection = match (&self.detour, &self.credentials) {
            (Some(detour), _) => Connection::by_kubeconfig(detour, &target.name).await?,
            (None, Some(credentials)) => {
                let tokens = TokenSource::new(&target.name, &target.region, credentials.clone());
                Connection::by_token(target, tokens, &self.caller).await?
            }
            (None, None) => {
                return Err(refused("there are no AWS credentials to make a token from".to_owned()));
            }
        };
        let connection = Arc::new(connection);
        // A cluster that was made anew has taken the place of the one of its name.
        open.retain(|other, _| other.name != target.name);
        open.insert(target.clone(), Arc::clone(&connection));
        Ok(connection)
    }
}

impl Connections {
    /// The connection to the cluster called `name`, which has been opened before.
    ///
    /// # Errors
    /// It has not.
    pub async fn opened(&self, name: &str) -> Result<Arc<Connection>, CloudError> {
        let open = self.open.lock().await;
        let connection = open.values().find(|connection| connection.whom.cluster == name);
        connection.cloned().ok_or_else(|| refused(format!("no way into cluster `{name}` has been opened")))
    }
}

/// A connection to one API server.
pub struct Connection {
    client: Client,
    tokens: Option<TokenSource>,
    whom: Whom,
    /// Whether the API server has ever let us in.
    admitted: AtomicBool,
    kinds: std::sync::Mutex<HashMap<ObjectKind, Served>>,
}

impl std::fmt::Debug for Connection {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Connection").field("whom", &self.whom).finish_non_exhaustive()
    }
}

impl Connection {
    /// To the API server at `target`, with a token on every request.
    ///
    /// # Errors
    /// The endpoint is no URL, or the certificate authority is none.
    pub async fn by_token(target: &Target, tokens: TokenSource, caller: &str) -> Result<Self, CloudError> {
        let kubeconfig = json!({
            "clusters": [{ "name": "cluster", "cluster": {
                "server": target.endpoint, "certificate-authority-data": target.certificate_authority } }],
            "users": [{ "name": "caller", "user": {} }],
            "contexts": [{ "name": "way", "context": { "cluster": "cluster", "user": "caller" } }],
            "current-context": "way",
        });
        let kubeconfig: Kubeconfig = serde_json::from_value(kubeconfig)
            .map_err(|error| refused(format!("the endpoint of `{}`: {error}", target.name)))?;
        let config = Config::from_custom_kubeconfig(kubeconfig, &KubeConfigOptions::default())
            .await
            .map_err(|error| refused(format!("cluster `{}` cannot be used: {}", target.name, chain_of(&error))))?;
        let whom =
            Whom { cluster: target.name.clone(), endpoint: target.endpoint.clone(), caller: Some(caller.to_owned()) };
        Self::of(config, Some(tokens), whom)
    }

    /// As a kubeconfig says; `name` is what the cluster is called in messages.
    ///
    /// # Errors
    /// The file or the context is not there, or does not lead anywhere.
    pub async fn by_kubeconfig(detour: &Detour, name: &str) -> Result<Self, CloudError> {
        let options = KubeConfigOptions { context: detour.context.clone(), ..KubeConfigOptions::default() };
        let config = match &detour.file {
            Some(file) => Config::from_custom_kubeconfig(read_kubeconfig(file)?, &options).await,
            None => Config::from_kubeconfig(&options).await,
        };
        let config = config.map_err(|error| refused(format!("the kubeconfig cannot be used: {}", chain_of(&error))))?;
        let whom = Whom { cluster: name.to_owned(), endpoint: config.cluster_url.to_string(), caller: None };
        Self::of(config, None, whom)
    }

    fn of(mut config: Config, tokens: Option<TokenSource>, whom: Whom) -> Result<Self, CloudError> {
        config.connect_timeout = Some(CONNECT_TIMEOUT);
        // What failed is repeated by those who know whether it may have happened.
        config.default_retry = false;
        config.headers.push((http::header::USER_AGENT, HeaderValue::from_static(USER_AGENT)));
        let namespace = config.default_namespace.clone();
        let plain = ClientBuilder::try_from(config)
            .map_err(|error| refused(format!("cluster `{}` cannot be used: {}", whom.cluster, chain_of(&error))))?
            .build();
        let client = match &tokens {
            Some(tokens) => with_tokens(plain, tokens.clone(), &namespace),
            None => plain,
        };
        Ok(Self { client, tokens, whom, admitted: AtomicBool::new(false), kinds: std::sync::Mutex::default() })
    }

    /// A client for those who watch: every request gets a token that is good.
    pub fn client(&self) -> Client {
        self.client.clone()
    }

    /// Whom this connection leads to.
    pub fn whom(&self) -> &Whom {
        &self.whom
    }

    /// What stands at `path`; nothing where the API server knows no such object or no such kind.
    ///
    /// # Errors
    /// The request failed for good.
    pub async fn look(&self, action: &str, path: &str) -> Result<Option<Value>, CloudError> {
        let mut pause = FIRST_PAUSE;
        for attempt in 1.. {
            let error = match self.send(Method::GET, path, None, "").await {
                Ok(answer) => return Ok(Some(answer)),
                Err(error) => self.explain(action, &error, Purpose::Look).await,
            };
            match error.class {
                Class::Missing => return Ok(None),
                Class::Throttled | Class::Unanswered | Class::NotYet if attempt < LOOKS => {
                    tokio::time::sleep(pause).await;
                    pause *= 3;
                }
                _ => return Err(error),
            }
        }
        Ok(None)
    }

    /// Every object at `path` that `selector` picks, page by page.
    ///
    /// # Errors
    /// The request failed for good.
    pub async fn list(&self, action: &str, path: &str, selector: &str) -> Result<Vec<Value>, CloudError> {
        const PAGE: &str = "limit=500";
        let selector = percent_encoding::utf8_percent_encode(selector, percent_encoding::NON_ALPHANUMERIC);
        let joint = if path.contains('?') { '&' } else { '?' };
        let first = format!("{path}{joint}{PAGE}&labelSelector={selector}");
        let mut found = Vec::new();
        let mut next = Some(first.clone());
        while let Some(page) = next.take() {
            let Some(mut answer) = self.look(action, &page).await? else { break };
            if let Some(Value::Array(items)) = answer.get_mut("items").map(Value::take) {
                found.extend(items);
            }
            let more = answer.pointer("/metadata/continue").and_then(Value::as_str).filter(|more| !more.is_empty());
            next = more.map(|more| {
                let more = percent_encoding::utf8_percent_encode(more, percent_encoding::NON_ALPHANUMERIC);
                format!("{first}&continue={more}")
            });
        }
        Ok(found)
    }

    /// A request that changes something; made once.
    ///
    /// # Errors
    /// The request's failure, sorted.
    pub async fn change(
        &self,
        action: &str,
        method: Method,
        path: &str,
        body: Option<&Value>,
        content: &'static str,
    ) -> Result<Value, CloudError> {
        match self.send(method, path, body, content).await {
            Ok(answer) => Ok(answer),
            Err(error) => Err(self.explain(action, &error, self.change_purpose()).await),
        }
    }

    /// What a request that changes something is, as long as it is not known whether we are let in.
    pub fn change_purpose(&self) -> Purpose {
        if self.admitted.load(Ordering::Relaxed) { Purpose::Change } else { Purpose::FirstChange }
    }

    /// One request and its answer. A token that is not taken is replaced once.
    ///
    /// # Errors
    /// As kube tells it, for those who look into the answer themselves.
    pub async fn send(
        &self,
        method: Method,
        path: &str,
        body: Option<&Value>,
        content: &'static str,
    ) -> Result<Value, kube::Error> {
        let mut result = self.send_once(&method, path, body, content).await;
        if let (Err(kube::Error::Api(status)), Some(tokens)) = (&result, &self.tokens)
            && status.code == 401
        {
            tokens.renew().await;
            result = self.send_once(&method, path, body, content).await;
        }
        match &result {
            Err(kube::Error::Api(status)) if [401, 403].contains(&status.code) => {}
            Ok(_) | Err(kube::Error::Api(_)) => self.admitted.store(true, Ordering::Relaxed),
            Err(_) => {}
        }
        result
    }

    async fn send_once(
        &self,
        method: &Method,
        path: &str,
        body: Option<&Value>,
        content: &'static str,
    ) -> Result<Value, kube::Error> {
        let bytes = body.map(|body| body.to_string().into_bytes()).unwrap_or_default();
        let mut request = Request::builder().method(method.clone()).uri(path).header("accept", "application/json");
        if !content.is_empty() {
            request = request.header("content-type", content);
        }
        let request = request.body(bytes).map_err(kube::Error::HttpError)?;
        match tokio::time::timeout(ANSWER_TIMEOUT, self.client.request::<Value>(request)).await {
            Ok(answer) => answer,
            Err(_) => Err(kube::Error::Service("no answer within a minute".into())),
        }
    }

    /// A failure in the words of [`sorted`]; one that did not get through says whether the endpoint is private.
    pub async fn explain(&self, action: &str, error: &kube::Error, purpose: Purpose) -> CloudError {
        let mut sorted = sorted(action, error, &self.whom, purpose);
        if sorted.class == Class::Unreachable && self.admitted.load(Ordering::Relaxed) {
            // It has answered before: this is an interruption, and may pass.
            sorted.class = Class::Unanswered;
        }
        tracing::debug!(action, class = ?sorted.class, "{sorted}");
        let went_nowhere = sorted.code.is_none() && sorted.message.contains("cannot be reached");
        if went_nowhere && self.tokens.is_some() && leads_inside(&self.whom.endpoint).await {
            return private_endpoint(sorted, &self.whom);
        }
        sorted
    }

    /// How `kind` is served; nothing where this API server does not know it.
    ///
    /// # Errors
    /// The question failed for good.
    pub async fn served(&self, kind: &ObjectKind) -> Result<Option<Served>, CloudError> {
        if let Some(served) = served::built_in(kind) {
            return Ok(Some(served));
        }
        if let Some(served) = self.known_kinds(|kinds| kinds.get(kind).cloned()) {
            return Ok(Some(served));
        }
        let root = if kind.group.is_empty() { "/api" } else { "/apis" };
        let path = format!("{root}/{}", kind.api_version());
        let action = format!("list the kinds of {}", kind.api_version());
        let served = self.look(&action, &path).await?.and_then(|list| served::listed(&kind.kind, &list));
        if let Some(served) = &served {
            self.known_kinds(|kinds| kinds.insert(kind.clone(), served.clone()));
        }
        Ok(served)
    }

    fn known_kinds<T>(&self, with: impl FnOnce(&mut HashMap<ObjectKind, Served>) -> T) -> T {
        with(&mut self.kinds.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// The client `plain` with a token on every request that goes out.
fn with_tokens(plain: Client, tokens: TokenSource, namespace: &str) -> Client {
    let service = tower::service_fn(move |mut request: Request<Body>| {
        let (client, tokens) = (plain.clone(), tokens.clone());
        async move {
            let token = tokens.token().await.map_err(|error| kube::Error::Service(Box::new(error)))?;
            let mut header = HeaderValue::try_from(format!("Bearer {}", token.text))
                .map_err(|error| kube::Error::HttpError(error.into()))?;
            header.set_sensitive(true);
            request.headers_mut().insert(http::header::AUTHORIZATION, header);
            client.send(request).await
        }
    });
    Client::new(service, namespace)
}

fn read_kubeconfig(file: &Path) -> Result<Kubeconfig, CloudError> {
    Kubeconfig::read_from(file)
        .map_err(|error| refused(format!("the kubeconfig `{}` cannot be read: {}", file.display(), chain_of(&error))))
}

fn refused(message: String) -> CloudError {
    CloudError::refused("connect to Kubernetes", message)
}

/// Whether every address of an endpoint belongs to a private network.
async fn leads_inside(endpoint: &str) -> bool {
    let Some(host) = endpoint.parse::<http::Uri>().ok().and_then(|uri| uri.host().map(str::to_owned)) else {
        return false;
    };
    let resolved = tokio::task::spawn_blocking(move || {
        let addresses: Vec<IpAddr> = (host.as_str(), 443).to_socket_addrs().ok()?.map(|address| address.ip()).collect();
        Some(!addresses.is_empty() && addresses.iter().all(is_private))
    });
    matches!(tokio::time::timeout(CONNECT_TIMEOUT, resolved).await, Ok(Ok(Some(true))))
}

fn is_private(address: &IpAddr) -> bool {
    match address {
        // 100.64.0.0/10 is what large VPCs use beside the private blocks.
        IpAddr::V4(address) => {
            address.is_private() || (address.octets()[0] == 100 && (64..128).contains(&address.octets()[1]))
        }
        IpAddr::V6(address) => address.is_unique_local(),
    }
}

#[cfg(test)]
mod tests {
    use aws_credential_types::Credentials;

    use super::*;

    fn target(endpoint: &str) -> Target {
        Target {
            name: "shop".into(),
            region: "eu-central-1".into(),
            endpoint: endpoint.into(),
            certificate_authority: String::new(),
        }
    }

    fn connections() -> Connections {
        let credentials = Credentials::new("AKIDEXAMPLE", "not-a-secret", None, None, "test");
        Connections::new(Some(SharedCredentialsProvider::new(credentials)), "arn:aws:iam::111122223333:user/ann")
    }

    #[tokio::test]
    async fn an_api_server_that_is_not_there_is_said_in_one_sentence() {
        let connection = connections().to(&target("http://127.0.0.1:1")).await.expect("a connection");
        let error = connection.look("list Pods", "/api/v1/pods").await.expect_err("nobody answers");
        assert_eq!(error.class, Class::Unreachable, "{error:?}");
        assert!(error.message.contains("cannot be reached"), "{error}");
        assert!(error.help().is_some_and(|help| help.contains("publicCidrs")));
    }

    #[tokio::test]
    async fn a_connection_is_opened_once() {
        let connections = connections();
        let first = connections.to(&target("http://127.0.0.1:1")).await.expect("a connection");
        let second = connections.to(&target("http://127.0.0.1:1")).await.expect("a connection");
        assert!(Arc::ptr_eq(&first, &second));
    }

    #[tokio::test]
    async fn a_kubeconfig_that_is_not_there_is_named() {
        let detour = Detour { file: Some("/nowhere/config".into()), context: None };
        let error = connections().through(detour).to(&target("http://x")).await.expect_err("no such file");
        assert!(error.message.contains("/nowhere/config"), "{error}");
    }

    #[test]
    fn addresses_of_a_vpc_are_told_from_public_ones() {
        let private = |text: &str| is_private(&text.parse().expect("an address"));
        assert!(private("10.0.1.7") && private("100.64.3.2") && private("fd00::1"));
        assert!(!private("52.29.1.1") && !private("100.128.0.1"));
    }
}
