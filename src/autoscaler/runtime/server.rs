//! Metrics, health and readiness over HTTP: a few short answers to GET, one for each connection.

use std::net::{Ipv6Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// The longest request that is read.
const MOST_BYTES: usize = 16 * 1024;
/// The longest that a caller may take.
const PATIENCE: Duration = Duration::from_secs(10);

/// An answer: status, content type, body.
pub struct Answer(pub u16, pub &'static str, pub String);

impl Answer {
    /// A line of text.
    pub fn text(status: u16, body: &str) -> Self {
        Self(status, "text/plain; charset=utf-8", format!("{body}\n"))
    }
}

/// What a server answers at a path; `None` where there is nothing.
pub type Pages = Arc<dyn Fn(&str) -> Option<Answer> + Send + Sync>;

/// Serves `pages` on a port of all addresses until `stop`.
///
/// # Errors
/// The port cannot be had.
pub async fn serve(port: u16, pages: Pages, stop: &CancellationToken, tasks: &TaskTracker) -> std::io::Result<()> {
    let listener = listen(port).await?;
    let (stop, connections) = (stop.clone(), tasks.clone());
    tasks.spawn(async move {
        loop {
            let accepted = tokio::select! {
                accepted = listener.accept() => accepted,
                () = stop.cancelled() => return,
            };
            match accepted {
                Ok((stream, _)) => {
                    let pages = Arc::clone(&pages);
                    connections.spawn(async move {
                        let _ = tokio::time::timeout(PATIENCE, answer(stream, &pages)).await;
                    });
                }
                // Out of file handles, mostly: those of others will be closed.
                Err(_) => tokio::time::sleep(Duration::from_millis(100)).await,
            }
        }
    });
    Ok(())
}

/// On IPv6 and IPv4, or on IPv4 where there is no IPv6.
async fn listen(port: u16) -> std::io::Result<TcpListener> {
    match TcpListener::bind(SocketAddr::from((Ipv6Addr::UNSPECIFIED, port))).await {
        Ok(listener) => Ok(listener),
        Err(_) => TcpListener::bind(SocketAddr::from(([0, 0, 0, 0], port))).await,
    }
}

async fn answer(mut stream: TcpStream, pages: &Pages) -> std::io::Result<()> {
    let mut request = Vec::new();
    let mut buffer = [0; 2048];
    while !request.windows(4).any(|end| end == b"\r\n\r\n") {
        let read = stream.read(&mut buffer).await?;
        if read == 0 || request.len() > MOST_BYTES {
            return Ok(());
        }
        request.extend_from_slice(&buffer[..read]);
    }
    let line = request.split(|byte| *byte == b'\r').next().unwrap_or_default();
    let line = String::from_utf8_lossy(line);
    let mut words = line.split(' ');
    let (method, target) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
    let path = target.split('?').next().unwrap_or_default();
    let Answer(status, kind, body) = match method {
        "GET" | "HEAD" => pages(path).unwrap_or_else(|| Answer::text(404, "there is nothing here")),
        _ => Answer::text(405, "only GET is answered here"),
    };
    let reason = match status {
        200 => "OK",
        404 => "Not Found",
        405 => "Method Not Allowed",
        _ => "Service Unavailable",
    };
    let length = body.len();
    let head = format!(
        "HTTP/1.1 {status} {reason}\r\nContent-Type: {kind}\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n"
    );
    stream.write_all(head.as_bytes()).await?;
    if method == "GET" {
        stream.write_all(body.as_bytes()).await?;
    }
    stream.shutdown().await
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn ask(address: SocketAddr, request: &str) -> String {
        let mut stream = TcpStream::connect(address).await.expect("a connection");
        stream.write_all(request.as_bytes()).await.expect("a request");
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.expect("an answer");
        answer
    }

    #[tokio::test]
    async fn pages_are_served_and_nothing_else() {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("an address");
        let pages: Pages = Arc::new(|path| (path == "/healthz").then(|| Answer::text(200, "ok")));
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let _ = answer(stream, &pages).await;
            }
        });
        let healthy = ask(address, "GET /healthz?verbose HTTP/1.1\r\nHost: x\r\n\r\n").await;
        assert!(healthy.starts_with("HTTP/1.1 200 OK") && healthy.ends_with("\r\n\r\nok\n"), "{healthy}");
        assert!(ask(address, "GET /other HTTP/1.1\r\n\r\n").await.starts_with("HTTP/1.1 404"));
        assert!(ask(address, "POST /healthz HTTP/1.1\r\n\r\n").await.starts_with("HTTP/1.1 405"));
    }
}
