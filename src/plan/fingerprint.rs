//! A short text that changes whenever the cloud does: a saved plan is refused when it has.

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::Observed;

/// What the cloud looked like when a plan was made.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Fingerprint(String);

impl Fingerprint {
    /// The fingerprint of everything that was observed, in whatever order it was read.
    pub fn of(observed: &[Observed]) -> Self {
        let mut lines: Vec<String> =
            observed.iter().map(|resource| serde_json::to_string(resource).unwrap_or_default()).collect();
        lines.sort();
        let mut hash = Sha256::new();
        for line in &lines {
            hash.update(line.as_bytes());
            hash.update(b"\n");
        }
        Self(hex(&hash.finalize()))
    }

    /// A fingerprint of a text, as a stable name: `length` hexadecimal digits.
    pub fn short(text: &str, length: usize) -> String {
        let mut digits = hex(&Sha256::digest(text.as_bytes()));
        digits.truncate(length);
        digits
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
