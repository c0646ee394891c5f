//! As much of X.509 as it takes to judge a certificate: for whom it is, by whom, and how long.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use jiff::Timestamp;
use jiff::civil::DateTime;
use jiff::tz::TimeZone;

const BEGIN: &str = "-----BEGIN CERTIFICATE-----";
const END: &str = "-----END CERTIFICATE-----";

const INTEGER: u8 = 0x02;
const EXTENSIONS: u8 = 0xa3;
const OBJECT_IDENTIFIER: u8 = 0x06;
const OCTET_STRING: u8 = 0x04;
const UTC_TIME: u8 = 0x17;
const GENERALIZED_TIME: u8 = 0x18;
const SEQUENCE: u8 = 0x30;
const VERSION: u8 = 0xa0;
const DNS_NAME: u8 = 0x82;

/// `2.5.29.17`: the names that a certificate is for.
const SUBJECT_ALTERNATIVE_NAME: &[u8] = &[0x55, 0x1d, 0x11];

/// What a certificate says.
#[derive(Debug)]
pub(super) struct Facts {
    /// Who has signed it: a name, as it is encoded.
    pub(super) issuer: Vec<u8>,
    /// Whose it is: a name, as it is encoded.
    pub(super) subject: Vec<u8>,
    /// From when it is good.
    pub(super) begins: Timestamp,
    /// Until when it is good.
    pub(super) ends: Timestamp,
    /// Its key, as a SubjectPublicKeyInfo.
    pub(super) public_key: Vec<u8>,
    /// The DNS names that it is for.
    pub(super) names: Vec<String>,
}

/// The certificates in a PEM text: each as PEM with its line end, and decoded. What is no certificate is left out.
pub(super) fn certificates(pem: &str) -> Vec<(String, Vec<u8>)> {
    let mut found = Vec::new();
    for part in pem.split(BEGIN).skip(1) {
        let Some((body, _)) = part.split_once(END) else { continue };
        let compact: String = body.chars().filter(|character| !character.is_whitespace()).collect();
        if let Ok(der) = BASE64.decode(compact) {
            found.push((format!("{BEGIN}{body}{END}\n"), der));
        }
    }
    found
}

/// What a certificate says, if it is one.
pub(super) fn read(der: &[u8]) -> Option<Facts> {
    let mut certificate = Reader(Reader(der).take(SEQUENCE)?.content);
    let mut fields = Reader(certificate.take(SEQUENCE)?.content);
    if fields.next_is(VERSION) {
        fields.take(VERSION)?;
    }
    fields.take(INTEGER)?;
    fields.take(SEQUENCE)?;
    let issuer = fields.take(SEQUENCE)?.whole.to_vec();
    let mut validity = Reader(fields.take(SEQUENCE)?.content);
    let (begins, ends) = (time(&validity.any()?)?, time(&validity.any()?)?);
    let subject = fields.take(SEQUENCE)?.whole.to_vec();
    let public_key = fields.take(SEQUENCE)?.whole.to_vec();
    let mut names = Vec::new();
    while let Some(field) = fields.any() {
        if field.tag == EXTENSIONS {
            names = alternative_names(field.content).unwrap_or_default();
        }
    }
    Some(Facts { issuer, subject, begins, ends, public_key, names })
}

fn alternative_names(extensions: &[u8]) -> Option<Vec<String>> {
    let mut extensions = Reader(Reader(extensions).take(SEQUENCE)?.content);
    while let Some(extension) = extensions.any() {
        let mut parts = Reader(extension.content);
        if parts.take(OBJECT_IDENTIFIER)?.content != SUBJECT_ALTERNATIVE_NAME {
            continue;
        }
        // Whether it is critical may stand before the value.
        let value = std::iter::from_fn(|| parts.any()).find(|part| part.tag == OCTET_STRING)?;
        let mut names = Reader(Reader(value.content).take(SEQUENCE)?.content);
        let dns = std::iter::from_fn(|| names.any()).filter(|name| name.tag == DNS_NAME);
        return Some(dns.filter_map(|name| String::from_utf8(name.content.to_vec()).ok()).collect());
    }
    None
}

/// A UTCTime (`YYMMDDHHMMSSZ`, years from 1950 on) or a GeneralizedTime (`YYYYMMDDHHMMSSZ`).
fn time(value: &Element<'_>) -> Option<Timestamp> {
    let text = std::str::from_utf8(value.content).ok()?.strip_suffix('Z')?;
    let digits = match value.tag {
        UTC_TIME if text.get(..2)? < "50" => format!("20{text}"),
        UTC_TIME => format!("19{text}"),
        GENERALIZED_TIME => text.to_owned(),
        _ => return None,
    };
    let time = DateTime::strptime("%Y%m%d%H%M%S", digits).ok()?;
    time.to_zoned(TimeZone::UTC).ok().map(|zoned| zoned.timestamp())
}

/// A value with its tag.
struct Element<'a> {
    tag: u8,
    content: &'a [u8],
    /// With tag and length.
    whole: &'a [u8],
}

/// Reads values one after the other.
struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    fn next_is(&self, tag: u8) -> bool {
        self.0.first() == Some(&tag)
    }

    /// The next value, which has this tag.
    fn take(&mut self, tag: u8) -> Option<Element<'a>> {
        if self.next_is(tag) { self.any() } else { None }
    }

    /// The next value.
    fn any(&mut self) -> Option<Element<'a>> {
        let (tag, first) = (*self.0.first()?, *self.0.get(1)?);
        let (length, start) = match first {
            0..=0x7f => (usize::from(first), 2),
            0x81..=0x84 => {
                let count = usize::from(first & 0x7f);
                let bytes = self.0.get(2..2 + count)?;
                (bytes.iter().fold(0, |length, byte| (length << 8) | usize::from(*byte)), 2 + count)
            }
            _ => return None,
        };
        let end = start.checked_add(length)?;
        let element = Element { tag, content: self.0.get(start..end)?, whole: self.0.get(..end)? };
        self.0 = &self.0[end..];
        Some(element)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_certificate_says_for_whom_it_is_and_how_long() {
        let mut parameters =
            rcgen::CertificateParams::new(vec!["a.b".to_owned(), "a.b.svc".to_owned()]).expect("names");
        parameters.not_before = rcgen::date_time_ymd(2049, 12, 31);
        parameters.not_after = rcgen::date_time_ymd(2050, 1, 1);
        let key = rcgen::KeyPair::generate().expect("a key");
        let certificate = parameters.self_signed(&key).expect("a certificate");
        let facts = read(certificate.der()).expect("a certificate that can be read");
        assert_eq!(facts.names, ["a.b", "a.b.svc"]);
        assert_eq!(facts.issuer, facts.subject);
        assert_eq!(facts.begins.to_string(), "2049-12-31T00:00:00Z", "the last year of the short form");
        assert_eq!(facts.ends.to_string(), "2050-01-01T00:00:00Z", "the first year of the long form");
        let [(pem, der)] = certificates(&format!("noise\n{}noise", certificate.pem())).try_into().expect("one");
        assert_eq!((der.as_slice(), pem.trim()), (certificate.der().as_ref(), certificate.pem().trim()));
    }

    #[test]
    fn nothing_that_is_cut_off_or_odd_is_read_or_breaks_the_reader() {
        let key = rcgen::KeyPair::generate().expect("a key");
        let parameters = rcgen::CertificateParams::new(vec!["a.b".to_owned()]).expect("a name");
        let der = parameters.self_signed(&key).expect("a certificate").der().to_vec();
        for end in 0..der.len() {
            assert!(read(&der[..end]).is_none(), "{end} of {} bytes", der.len());
        }
        for at in 0..der.len() {
            let mut odd = der.clone();
            odd[at] ^= 0xff;
            let _ = read(&odd);
        }
        for odd in
            [&[][..], &[0x30], &[0x30, 0x84, 0xff, 0xff, 0xff, 0xff], &[0x30, 0x80], &[0x30, 0x85, 1, 1, 1, 1, 1]]
        {
            assert!(read(odd).is_none());
        }
    }
}
