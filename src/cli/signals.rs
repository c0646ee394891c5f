//! Ctrl-C: the first one stops the run at a safe point, the second one ends it at once.

use tokio_util::sync::CancellationToken;

use crate::engine::{Event, Events};

/// A token that is cancelled when the user, or whoever runs eksup, asks it to stop.
pub fn stop_on_request(events: Events) -> CancellationToken {
    let stop = CancellationToken::new();
    let token = stop.clone();
    tokio::spawn(async move {
        asked_to_stop().await;
        events.say(Event::Stopping);
        // The view's channel must close when the run ends, so nothing is kept of it here.
        drop(events);
        token.cancel();
        asked_to_stop().await;
        std::process::exit(130);
    });
    stop
}

#[cfg(unix)]
async fn asked_to_stop() {
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

#[cfg(not(unix))]
async fn asked_to_stop() {
    let _ = tokio::signal::ctrl_c().await;
}
