//! Ctrl-C: the first one stops the run at a safe point, the second one ends it at once.

use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::engine::{Event, Events};

/// Listens for the user, or whoever runs eksup, to ask it to stop; for as long as this lives.
pub struct Interrupt {
    /// Cancelled at the first request.
    pub token: CancellationToken,
    listener: JoinHandle<()>,
}

impl Interrupt {
    /// Listens from now on, and says a request as an event.
    pub fn listen(events: Events) -> Self {
        let token = CancellationToken::new();
        let asked = token.clone();
        let listener = tokio::spawn(async move {
            asked_to_stop().await;
            events.say(Event::Stopping);
            asked.cancel();
            asked_to_stop().await;
            std::process::exit(130);
        });
        Self { token, listener }
    }
}

impl Drop for Interrupt {
    fn drop(&mut self) {
        self.listener.abort();
    }
}

/// Returns at the next Ctrl-C, or when the process is asked to end.
#[cfg(unix)]
pub async fn asked_to_stop() {
    use tokio::signal::unix::{SignalKind, signal};
    match signal(SignalKind::terminate()) {
        Ok(mut terminate) => {
            tokio::select! {
                _ = tokio::signal::ctrl_c() => {}
                _ = terminate.recv() => {}
            }
        }
        Err(_) => {
            let _ = tokio::signal::ctrl_c().await;
        }
    }
}

/// Returns at the next Ctrl-C.
#[cfg(not(unix))]
pub async fn asked_to_stop() {
    let _ = tokio::signal::ctrl_c().await;
}
