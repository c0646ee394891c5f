//! What the process holds in memory, and a word when that comes near `MEMORY_LIMIT`.
//!
//! Nothing is collected here that could be collected sooner: who comes near the limit needs a higher one, and is told
//! before the kernel ends the process without a word.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::metrics::Metrics;

const LOOK: Duration = Duration::from_secs(10);
/// How often the same is said.
const REMINDER: Duration = Duration::from_secs(600);
/// A process that has listed nothing yet takes about half of this.
const LEAST: u64 = 64 * MEBIBYTE;
const MEBIBYTE: u64 = 1024 * 1024;

/// Why a limit is too low to begin with.
pub fn too_low(limit: Option<u64>) -> Option<String> {
    let limit = limit.filter(|limit| *limit < LEAST)?;
    Some(format!(
        "MEMORY_LIMIT is {limit} bytes, which is too little to run in: give the container {} Mi or more",
        LEAST / MEBIBYTE
    ))
}

/// Counts what is held until `stop`, and says so when nine tenths of `limit` are.
pub async fn watch(limit: Option<u64>, metrics: Arc<Metrics>, stop: CancellationToken) {
    let mut said: Option<Instant> = None;
    loop {
        let held = resident(&std::fs::read_to_string("/proc/self/status").unwrap_or_default());
        if let Some(held) = held {
            metrics.memory.set([], held as f64);
        }
        if let (Some(held), Some(limit)) = (held, limit)
            && is_near(held, limit)
            && said.is_none_or(|said| said.elapsed() > REMINDER)
        {
            said = Some(Instant::now());
            tracing::warn!(held, limit, "nine tenths of MEMORY_LIMIT are used: give the container more memory");
        }
        tokio::select! {
            () = tokio::time::sleep(LOOK) => {}
            () = stop.cancelled() => return,
        }
    }
}

fn is_near(held: u64, limit: u64) -> bool {
    held >= limit - limit / 10
}

/// The resident bytes that the kernel tells of a process.
fn resident(status: &str) -> Option<u64> {
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    Some(line.trim().trim_end_matches(" kB").parse::<u64>().ok()? * 1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_limit_is_near_at_nine_tenths() {
        assert_eq!(resident("Name:\teksup\nVmRSS:\t   20480 kB\nRssAnon:\t 10 kB\n"), Some(20 * MEBIBYTE));
        assert_eq!(resident(""), None);
        assert!(is_near(90, 100) && !is_near(89, 100));
        assert!(too_low(Some(MEBIBYTE)).is_some_and(|words| words.contains("64 Mi")));
        assert_eq!((too_low(Some(512 * MEBIBYTE)), too_low(None)), (None, None));
    }
}
