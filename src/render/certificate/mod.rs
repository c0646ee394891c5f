//! The certificate of a webhook: made here, kept in its Secret, renewed before it ends.
//!
//! The Secret in the cluster is the state. What stands there and is good is kept, so that a second plan is empty and
//! running controllers are not disturbed. When it has to be replaced, the authorities that are still good stay in the
//! bundle beside the new one, so that callers trust a controller that has not read the new Secret yet.
//!
//! The authority signs one certificate and its key is forgotten: nobody can sign a second one.

mod der;

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use jiff::Timestamp;
use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, ExtendedKeyUsagePurpose, IsCa, KeyPair,
    KeyUsagePurpose, PublicKeyData,
};
use serde_json::{Value, json};

/// How long a certificate is good for.
const LIFETIME: Duration = Duration::from_secs(10 * 365 * 24 * 60 * 60);

/// How long before its end a certificate is replaced: eksup runs now and then, and nothing else renews it.
const RENEWED_BEFORE_END: Duration = Duration::from_secs(365 * 24 * 60 * 60);

/// How far clocks may be behind the one that the certificate was made by.
const CLOCK_SKEW: Duration = Duration::from_secs(60 * 60);

/// After so many authorities a bundle grows no more.
const MOST_AUTHORITIES: usize = 3;

/// What the state of a good certificate is called; that of any other says why it has to be replaced.
pub const GOOD: &str = "good";

/// A certificate with its key, and the authorities that vouch for it; all PEM.
#[derive(Clone, PartialEq, Eq)]
pub struct Certificate {
    /// The authorities: the one that has signed, and earlier ones that are still good.
    pub authorities: String,
    /// The certificate.
    pub certificate: String,
    /// Its private key.
    pub key: String,
}

/// The key is not shown.
impl fmt::Debug for Certificate {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Certificate").field("certificate", &self.certificate).finish_non_exhaustive()
    }
}

/// Why a certificate that stands is not kept. Displays as what goes on after "the certificate …".
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reason {
    /// The Secret has none.
    Missing,
    /// Something in it cannot be read, or its parts do not belong together.
    Damaged(&'static str),
    /// It is for other names.
    OtherNames,
    /// It ends soon, or has ended.
    Ends(Timestamp),
}

impl fmt::Display for Reason {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Missing => formatter.write_str("is not there"),
            Self::Damaged(what) => write!(formatter, "cannot be used: {what}"),
            Self::OtherNames => formatter.write_str("is for other names"),
            Self::Ends(when) => write!(formatter, "ends on {}", when.strftime("%Y-%m-%d")),
        }
    }
}

/// Why a certificate could not be made: the system's random numbers or its cryptography failed.
#[derive(Debug, thiserror::Error)]
#[error("the certificate for `{name}` could not be made")]
pub struct MakingFailed {
    name: String,
    source: rcgen::Error,
}

/// What to do about the certificate in a cluster.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Decision {
    /// It is good.
    Keep(Certificate),
    /// Another one takes its place.
    Replace(Reason),
}

/// The names by which the API server calls a Service.
pub fn service_names(service: &str, namespace: &str) -> Vec<String> {
    ["", ".svc", ".svc.cluster.local"].iter().map(|ending| format!("{service}.{namespace}{ending}")).collect()
}

/// Whether the certificate in `secret`, the live Secret if there is one, is kept. `names` are the names that it has
/// to be good for.
pub fn decide(secret: Option<&Value>, names: &[String], now: Timestamp) -> Decision {
    match secret.and_then(read) {
        None => Decision::Replace(Reason::Missing),
        Some(standing) => match complaint(&standing, names, now) {
            None => Decision::Keep(standing),
            Some(reason) => Decision::Replace(reason),
        },
    }
}

/// The names that the certificate in `secret` is for; none where there is no certificate.
pub fn names(secret: &Value) -> Vec<String> {
    let standing = read(secret).map(|standing| der::certificates(&standing.certificate)).unwrap_or_default();
    standing.first().and_then(|(_, der)| der::read(der)).map(|facts| facts.names).unwrap_or_default()
}

/// The state of the certificate in `secret`, as a plan compares it: [`GOOD`], or a [`Reason`] in words.
pub fn state(secret: Option<&Value>, names: &[String], now: Timestamp) -> String {
    match decide(secret, names, now) {
        Decision::Keep(_) => GOOD.to_owned(),
        Decision::Replace(reason) => reason.to_string(),
    }
}

/// The certificate to serve: the one that stands, or a new one and why.
///
/// # Errors
/// When a new one cannot be made.
pub fn settle(
    secret: Option<&Value>,
    names: &[String],
    now: Timestamp,
) -> Result<(Certificate, Option<Reason>), MakingFailed> {
    match decide(secret, names, now) {
        Decision::Keep(standing) => Ok((standing, None)),
        Decision::Replace(reason) => {
            let mut made = make(names, now)?;
            let earlier = secret.and_then(read).map(|standing| standing.authorities).unwrap_or_default();
            let kept = der::certificates(&earlier).into_iter().filter(|(_, der)| is_good(der, now));
            for (pem, _) in kept.take(MOST_AUTHORITIES - 1) {
                made.authorities.push_str(&pem);
            }
            Ok((made, Some(reason)))
        }
    }
}

/// A new authority, and a certificate of it for `names`, good from `now`.
///
/// # Errors
/// When the system's random numbers or its cryptography fail.
pub fn make(names: &[String], now: Timestamp) -> Result<Certificate, MakingFailed> {
    let failed = |source| MakingFailed { name: names.first().cloned().unwrap_or_default(), source };
    let authority = CertifiedIssuer::self_signed(authority(names, now), KeyPair::generate().map_err(failed)?);
    let authority = authority.map_err(failed)?;
    let key = KeyPair::generate().map_err(failed)?;
    let mut parameters = CertificateParams::new(names.to_vec()).map_err(failed)?;
    parameters.distinguished_name.push(DnType::CommonName, common_name(names, ""));
    parameters.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    parameters.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    parameters.use_authority_key_identifier_extension = true;
    limit(&mut parameters, now);
    let certificate = parameters.signed_by(&key, &authority).map_err(failed)?;
    Ok(Certificate { authorities: authority.pem(), certificate: certificate.pem(), key: key.serialize_pem() })
}

fn authority(names: &[String], now: Timestamp) -> CertificateParams {
    let mut parameters = CertificateParams::default();
    parameters.distinguished_name = rcgen::DistinguishedName::new();
    // Two authorities of one name would be taken for each other.
    let suffix = format!(" authority {}", now.as_second());
    parameters.distinguished_name.push(DnType::CommonName, common_name(names, &suffix));
    parameters.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    parameters.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::DigitalSignature];
    limit(&mut parameters, now);
    parameters
}

/// X.509 allows 64 characters here.
fn common_name(names: &[String], suffix: &str) -> String {
    let name = names.first().map(String::as_str).unwrap_or("webhook");
    let kept: String = name.chars().take(64_usize.saturating_sub(suffix.len())).collect();
    format!("{kept}{suffix}")
}

fn limit(parameters: &mut CertificateParams, now: Timestamp) {
    let epoch = rcgen::date_time_ymd(1970, 1, 1);
    let since = Duration::from_secs(u64::try_from(now.as_second()).unwrap_or_default());
    parameters.not_before = epoch + since.saturating_sub(CLOCK_SKEW);
    parameters.not_after = epoch + since + LIFETIME;
}

/// What is wrong with a certificate, if anything is.
fn complaint(standing: &Certificate, names: &[String], now: Timestamp) -> Option<Reason> {
    let Some((_, certificate)) = der::certificates(&standing.certificate).into_iter().next() else {
        return Some(Reason::Damaged("`tls.crt` holds no certificate"));
    };
    let Some(facts) = der::read(&certificate) else {
        return Some(Reason::Damaged("`tls.crt` holds no certificate that can be read"));
    };
    let Ok(key) = KeyPair::from_pem(&standing.key) else {
        return Some(Reason::Damaged("`tls.key` holds no private key"));
    };
    if facts.public_key != key.subject_public_key_info() {
        return Some(Reason::Damaged("`tls.key` is not the key of `tls.crt`"));
    }
    let authorities = der::certificates(&standing.authorities);
    let signed_by_one = authorities.iter().filter_map(|(_, der)| der::read(der)).any(|one| one.subject == facts.issuer);
    if !signed_by_one {
        return Some(Reason::Damaged("`ca.crt` does not hold the authority of `tls.crt`"));
    }
    if !names.iter().all(|name| facts.names.contains(name)) {
        return Some(Reason::OtherNames);
    }
    let due = facts.ends.checked_sub(RENEWED_BEFORE_END).unwrap_or(facts.ends);
    (now >= due || now < facts.begins).then_some(Reason::Ends(facts.ends))
}

fn is_good(der: &[u8], now: Timestamp) -> bool {
    der::read(der).is_some_and(|facts| facts.begins <= now && now < facts.ends)
}

/// The certificate in a Secret, if it has all three parts.
fn read(secret: &Value) -> Option<Certificate> {
    let part = |name: &str| {
        let encoded = secret.get("data")?.get(name)?.as_str()?;
        String::from_utf8(BASE64.decode(encoded).ok()?).ok()
    };
    Some(Certificate { authorities: part("ca.crt")?, certificate: part("tls.crt")?, key: part("tls.key")? })
}

/// What a webhook configuration holds as its `caBundle`: the authorities, in base64.
pub fn bundle(certificate: &Certificate) -> String {
    BASE64.encode(&certificate.authorities)
}

/// The Secret that holds `certificate`.
pub fn secret(name: &str, namespace: &str, labels: &BTreeMap<String, String>, certificate: &Certificate) -> Value {
    let Certificate { authorities, certificate, key } = certificate;
    let data = [("ca.crt", authorities), ("tls.crt", certificate), ("tls.key", key)];
    let data: BTreeMap<&str, String> = data.into_iter().map(|(name, part)| (name, BASE64.encode(part))).collect();
    outline(name, namespace, labels, json!(data))
}

/// The same Secret with something else in place of what it holds.
pub fn outline(name: &str, namespace: &str, labels: &BTreeMap<String, String>, data: Value) -> Value {
    json!({
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": { "name": name, "namespace": namespace, "labels": labels },
        "type": "kubernetes.io/tls",
        "data": data,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> Timestamp {
        text.parse().expect("a time")
    }

    fn names() -> Vec<String> {
        service_names("webhook", "kube-system")
    }

    fn in_secret(certificate: &Certificate) -> Value {
        secret("tls", "kube-system", &BTreeMap::new(), certificate)
    }

    #[test]
    fn a_certificate_that_stands_is_kept_as_it_is() {
        let now = at("2026-11-20T12:00:00Z");
        let made = make(&names(), now).expect("a certificate");
        let live = in_secret(&made);
        assert_eq!(super::names(&live), names());
        for later in ["2026-11-20T12:00:00Z", "2027-06-01T00:00:00Z", "2035-11-17T00:00:00Z"] {
            assert_eq!(state(Some(&live), &names(), at(later)), GOOD);
            let (settled, reason) = settle(Some(&live), &names(), at(later)).expect("a certificate");
            assert_eq!((settled, reason), (made.clone(), None), "{later}");
        }
    }

    #[test]
    fn a_certificate_is_renewed_a_year_before_it_ends_and_earlier_authorities_stay() {
        let made = make(&names(), at("2026-11-20T12:00:00Z")).expect("a certificate");
        let live = in_secret(&made);
        let (renewed, reason) = settle(Some(&live), &names(), at("2035-11-18T12:00:00Z")).expect("a certificate");
        assert_eq!(reason.map(|reason| reason.to_string()).as_deref(), Some("ends on 2036-11-17"));
        assert_ne!(renewed.certificate, made.certificate);
        assert!(renewed.authorities.contains(made.authorities.trim()), "callers still trust the old certificate");
        let (kept, reason) = settle(Some(&in_secret(&renewed)), &names(), at("2035-11-18T12:00:01Z")).expect("one");
        assert_eq!((kept, reason), (renewed, None), "a renewed certificate is kept");
        let (late, _) = settle(Some(&live), &names(), at("2037-01-01T00:00:00Z")).expect("a certificate");
        assert!(!late.authorities.contains(made.authorities.trim()), "an authority that has ended is dropped");
    }

    #[test]
    fn a_secret_without_a_good_certificate_gets_one_and_says_why() {
        let now = at("2026-11-20T12:00:00Z");
        let made = make(&names(), now).expect("a certificate");
        let other = make(&names(), now + Duration::from_secs(1)).expect("a certificate");
        let why = |live: Option<&Value>| state(live, &names(), now);
        assert_eq!(why(None), "is not there");
        assert_eq!(why(Some(&json!({ "data": { "tls.crt": "" } }))), "is not there");
        let mixed = Certificate { key: other.key.clone(), ..made.clone() };
        assert!(why(Some(&in_secret(&mixed))).contains("not the key of"));
        let orphan = Certificate { authorities: other.authorities, ..made.clone() };
        assert!(why(Some(&in_secret(&orphan))).contains("does not hold the authority"));
        let garbled = Certificate {
            certificate: "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n".into(),
            ..made.clone()
        };
        assert!(why(Some(&in_secret(&garbled))).contains("`tls.crt`"));
        let elsewhere = make(&service_names("webhook", "other"), now).expect("a certificate");
        assert_eq!(why(Some(&in_secret(&elsewhere))), "is for other names");
    }

    #[test]
    fn a_certificate_is_good_on_machines_whose_clock_is_behind() {
        let made = make(&names(), at("2026-11-20T12:00:00Z")).expect("a certificate");
        let behind = at("2026-11-20T11:30:00Z");
        assert!(matches!(decide(Some(&in_secret(&made)), &names(), behind), Decision::Keep(_)));
    }

    #[test]
    fn the_key_is_not_shown_by_accident() {
        let made = make(&names(), at("2026-11-20T12:00:00Z")).expect("a certificate");
        assert!(!format!("{made:?}").contains("PRIVATE KEY"));
    }
}
