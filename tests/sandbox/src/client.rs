//! A few lines of HTTP/1.1, enough to talk to the cloud's own paths on the loopback interface.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use serde::de::DeserializeOwned;

/// Sends one request and parses the JSON that comes back.
pub(crate) fn request<T: DeserializeOwned>(port: u16, method: &str, path: &str, body: &str) -> Result<T> {
    let answer =
        exchange(port, method, path, body).with_context(|| format!("asking the local cloud: {method} {path}"))?;
    serde_json::from_str(&answer).with_context(|| format!("reading the local cloud's answer to {method} {path}"))
}

fn exchange(port: u16, method: &str, path: &str, body: &str) -> Result<String> {
    let mut stream = TcpStream::connect(("127.0.0.1", port))?;
    stream.set_nodelay(true)?;
    stream.set_read_timeout(Some(Duration::from_secs(60)))?;
    let length = body.len();
    write!(
        stream,
        "{method} {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\
         Content-Length: {length}\r\n\r\n{body}"
    )?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    let Some((head, body)) = answer.split_once("\r\n\r\n") else {
        bail!("the answer is no HTTP");
    };
    let status = head.split(' ').nth(1).unwrap_or_default();
    if status != "200" {
        bail!("status {status}: {body}");
    }
    Ok(body.to_owned())
}
