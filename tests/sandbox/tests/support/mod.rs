//! What the tests share: raw calls to the cloud, and waiting for facts.

#![allow(dead_code, reason = "each test crate uses a part of it")]

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

/// Makes one call of EC2 (`Action=CreateVpc&…`), signed as far as the cloud looks. Returns the
/// status and the body.
pub fn ec2(port: u16, form: &str) -> Result<(u16, String)> {
    let body = format!("{form}&Version=2016-11-15");
    let head = format!(
        "POST / HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nConnection: close\r\n\
         Content-Type: application/x-www-form-urlencoded; charset=utf-8\r\n\
         Authorization: AWS4-HMAC-SHA256 Credential=sandbox/20260101/eu-west-1/ec2/aws4_request, \
         SignedHeaders=host, Signature=0\r\nContent-Length: {}\r\n\r\n",
        body.len()
    );
    exchange(port, &format!("{head}{body}"))
}

/// Asks the cloud itself (`/sandbox/…`).
pub fn get(port: u16, path: &str) -> Result<(u16, String)> {
    exchange(port, &format!("GET {path} HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n"))
}

fn exchange(port: u16, request: &str) -> Result<(u16, String)> {
    let mut stream = TcpStream::connect(("127.0.0.1", port))?;
    stream.write_all(request.as_bytes())?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    let (head, body) = answer.split_once("\r\n\r\n").context("no HTTP answer")?;
    let status = head.split(' ').nth(1).context("no status")?.parse()?;
    Ok((status, body.to_owned()))
}

/// Waits until `fact` holds; fails, naming `what`, when it takes unreasonably long.
pub fn until(what: &str, mut fact: impl FnMut() -> bool) -> Result<()> {
    let patience = Instant::now() + Duration::from_secs(60);
    while !fact() {
        if Instant::now() > patience {
            bail!("it never came true that {what}");
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    Ok(())
}

/// Whether a process is there and not just waiting to be collected.
pub fn is_alive(pid: u32) -> bool {
    std::fs::read_to_string(format!("/proc/{pid}/stat"))
        .is_ok_and(|stat| !stat.rsplit(')').next().unwrap_or_default().starts_with(" Z"))
}

/// Makes a call of a service with the query protocol (`iam`, `sts`, `ec2`). Returns the body.
pub fn query(port: u16, service: &str, form: &str) -> Result<String> {
    let head = format!(
        "POST / HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nConnection: close\r\n\
         Content-Type: application/x-www-form-urlencoded; charset=utf-8\r\n{}Content-Length: {}\r\n\r\n",
        signature(service),
        form.len()
    );
    let (status, body) = exchange(port, &format!("{head}{form}"))?;
    if status != 200 {
        bail!("{service} answered {status}: {body}");
    }
    Ok(body)
}

/// Makes a call of EKS. Returns what came back.
pub fn eks(port: u16, method: &str, path: &str, body: &str) -> Result<serde_json::Value> {
    let head = format!(
        "{method} {path} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nConnection: close\r\n{}Content-Length: {}\r\n\r\n",
        signature("eks"),
        body.len()
    );
    let (status, answer) = exchange(port, &format!("{head}{body}"))?;
    if status != 200 {
        bail!("EKS answered {status}: {answer}");
    }
    Ok(serde_json::from_str(&answer)?)
}

/// As much of a signature as the cloud looks at.
fn signature(service: &str) -> String {
    format!(
        "Authorization: AWS4-HMAC-SHA256 Credential=sandbox/20260101/eu-west-1/{service}/aws4_request, \
         SignedHeaders=host, Signature=0\r\n"
    )
}

/// Makes a cluster in a network of its own; returns it as described, once it is active.
pub fn cluster(port: u16, name: &str) -> Result<serde_json::Value> {
    let inner = |text: &str, tag: &str| {
        let inner = text.split(&format!("<{tag}>")).nth(1).unwrap_or_default();
        inner.split('<').next().unwrap_or_default().to_owned()
    };
    let vpc = inner(&ec2(port, "Action=CreateVpc&CidrBlock=10.0.0.0/16")?.1, "vpcId");
    let mut subnets = Vec::new();
    for (number, zone) in ["eu-west-1a", "eu-west-1b"].into_iter().enumerate() {
        let form = format!("Action=CreateSubnet&VpcId={vpc}&CidrBlock=10.0.{number}.0/24&AvailabilityZone={zone}");
        subnets.push(inner(&ec2(port, &form)?.1, "subnetId"));
    }
    let trust = "%7B%22Statement%22%3A%5B%7B%22Effect%22%3A%22Allow%22%2C%22Principal%22%3A%7B%22Service%22%3A\
                 %22eks.amazonaws.com%22%7D%2C%22Action%22%3A%22sts%3AAssumeRole%22%7D%5D%7D";
    let form = format!("Action=CreateRole&Version=2010-05-08&RoleName={name}&AssumeRolePolicyDocument={trust}");
    let role = inner(&query(port, "iam", &form)?, "Arn");
    let policy = "arn:aws:iam::aws:policy/AmazonEKSClusterPolicy";
    query(port, "iam", &format!("Action=AttachRolePolicy&Version=2010-05-08&RoleName={name}&PolicyArn={policy}"))?;
    let asked = serde_json::json!({
        "name": name, "roleArn": role, "resourcesVpcConfig": { "subnetIds": subnets },
        "accessConfig": { "authenticationMode": "API" },
    });
    eks(port, "POST", "/clusters", &asked.to_string())?;
    let mut described = serde_json::Value::Null;
    until("the cluster is active", || {
        described = eks(port, "GET", &format!("/clusters/{name}"), "").unwrap_or_default();
        described["cluster"]["status"] != "CREATING"
    })?;
    Ok(described["cluster"].take())
}
