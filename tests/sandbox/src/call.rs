//! One call that the cloud has answered, as its log has it.

use serde::Deserialize;

/// A call to the cloud.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub struct Call {
    /// Position in the log, from 1.
    pub number: u64,
    /// When it came in, in seconds since 1970.
    pub time: f64,
    /// The service, by moto's name (`ec2`, `eks`, `elbv2`).
    pub service: String,
    /// The action (`CreateVpc`).
    pub action: String,
    /// The region that it was signed for.
    pub region: String,
    /// Whether it may have changed something.
    pub mutating: bool,
    /// HTTP status; 0 when the caller was killed before the call was done.
    pub status: u16,
    /// Milliseconds from the request to the answer, the weather's latency included.
    pub ms: f64,
    /// The port of the client's end of the connection: calls of one connection share it.
    pub connection: u16,
    /// The program that called, as its user agent.
    pub agent: String,
    /// The service's error code, or what the weather did (`lost answer`, `killed after`).
    pub error: Option<String>,
    /// The ARN of the principal that signed it; empty for one that nobody signed.
    #[serde(default)]
    pub caller: String,
    /// The actions that it needs permission for, as IAM writes them: its own first.
    #[serde(default)]
    pub needs: Vec<String>,
    /// The process that was killed at this call.
    #[serde(default)]
    pub killed: Option<u32>,
}

impl Call {
    /// `service:Action`, as IAM writes it.
    #[must_use]
    pub fn name(&self) -> String {
        format!("{}:{}", self.service, self.action)
    }

    /// Whether the cloud did what was asked.
    #[must_use]
    pub fn succeeded(&self) -> bool {
        (200..400).contains(&self.status)
    }
}
