//! Quotas of the account, read before the first of a thing is made.

use std::sync::atomic::{AtomicU32, Ordering};

use super::error::{CloudError, call};
use super::reads::Reads;

/// A quota of the account in the region.
#[derive(Debug, Clone, Copy)]
pub struct Quota {
    /// The service's code in Service Quotas.
    pub service: &'static str,
    /// The quota's own code.
    pub code: &'static str,
    /// What there can be only so many of, in the plural.
    pub what: &'static str,
}

/// How many VPCs a region may have.
pub const VPCS: Quota = Quota { service: "vpc", code: "L-F678F1CE", what: "VPCs" };
/// How many elastic IPs a region may have.
pub const ELASTIC_IPS: Quota = Quota { service: "ec2", code: "L-0263D0A3", what: "elastic IPs" };

/// Whether there is room for one more than those that asked before in this look; `used` are there.
/// The text says that there is not.
///
/// # Errors
/// None: a quota that cannot be read is not in the way.
pub async fn room(quota: Quota, used: usize, reads: &Reads) -> Result<Option<String>, CloudError> {
    let limit = reads.once(format!("quota {}", quota.code), || limit_of(quota, reads)).await?;
    let asked = reads.once(format!("asked for {}", quota.code), || async { Ok(AtomicU32::new(0)) }).await?;
    let wanted = asked.fetch_add(1, Ordering::Relaxed) + 1;
    Ok(limit.and_then(|limit| refusal(quota, limit, used, wanted)))
}

async fn limit_of(quota: Quota, reads: &Reads) -> Result<Option<f64>, CloudError> {
    let client = &reads.cloud.read.quotas;
    let sending = client.get_service_quota().service_code(quota.service).quota_code(quota.code);
    let answer = call("servicequotas:GetServiceQuota", sending.send()).await;
    Ok(answer.ok().and_then(|answer| answer.quota?.value))
}

fn refusal(quota: Quota, limit: f64, used: usize, wanted: u32) -> Option<String> {
    (used as f64 + f64::from(wanted) > limit).then(|| {
        format!(
            "the account may have {limit} {} in this region and has {used}: delete one, or ask for more in Service \
             Quotas (`{}`, `{}`)",
            quota.what, quota.service, quota.code
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_free_place_is_given_once() {
        assert_eq!(refusal(VPCS, 5.0, 4, 1), None);
        assert!(
            refusal(VPCS, 5.0, 4, 2).is_some_and(|text| text.contains("may have 5 VPCs") && text.contains("has 4"))
        );
        assert!(refusal(ELASTIC_IPS, 5.0, 5, 1).is_some());
    }
}
