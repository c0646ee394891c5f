//! Clusters with a real control plane, from outside: they come, stay apart, and leave nothing behind.

mod support;

use std::collections::BTreeSet;
use std::io::{BufRead, BufReader};
use std::net::TcpStream;
use std::process::{Command, Stdio};

use anyhow::{Context, Result, ensure};
use sandbox::{Access, Sandbox, Weather, install};
use support::{cluster, eks, get, is_alive, until};

/// The processes of a cloud's namespace, by the namespace of its first process.
fn processes(access: Access) -> Result<BTreeSet<u32>> {
    let (_, text) = get(access.port(), "/sandbox/kubernetes/clusters")?;
    let clusters: serde_json::Value = serde_json::from_str(&text)?;
    let first = clusters[0]["first_process"].as_u64().context("no first process")?;
    let namespace = |pid: &str| std::fs::read_link(format!("/proc/{pid}/ns/pid")).ok();
    let wanted = namespace(&first.to_string()).context("the first process is gone")?;
    let mut found = BTreeSet::new();
    for entry in std::fs::read_dir("/proc")? {
        let name = entry?.file_name().to_string_lossy().into_owned();
        if namespace(&name).is_some_and(|its| its == wanted) {
            found.extend(name.parse::<u32>().ok());
        }
    }
    Ok(found)
}

/// Whether something listens where a cluster has its endpoint.
fn answers(cluster: &serde_json::Value) -> bool {
    let endpoint = cluster["endpoint"].as_str().unwrap_or_default();
    TcpStream::connect(endpoint.trim_start_matches("https://")).is_ok()
}

/// Asks for the namespaces without a token.
fn knock(cluster: &serde_json::Value) -> Result<()> {
    let endpoint = cluster["endpoint"].as_str().context("no endpoint")?;
    let script = format!(
        "import ssl, urllib.request\n\
         urllib.request.urlopen('{endpoint}/api/v1/namespaces', context=ssl._create_unverified_context())"
    );
    let output = install::python()?.command().args(["-c", &script]).output()?;
    let words = String::from_utf8_lossy(&output.stderr);
    ensure!(words.contains("HTTP Error 401"), "{words}");
    Ok(())
}

#[test]
fn clouds_side_by_side_have_clusters_of_their_own_until_they_end() -> Result<()> {
    let one = Sandbox::start_with_kubernetes(Weather::default())?;
    let two = Sandbox::start_with_kubernetes(Weather::default())?;
    let first = cluster(one.port(), "shop")?;
    let second = cluster(two.port(), "shop")?;
    assert_eq!(first["status"], "ACTIVE", "{:?}", one.kubernetes_logs("shop"));
    assert_eq!(second["status"], "ACTIVE", "{:?}", two.kubernetes_logs("shop"));
    assert_ne!(first["endpoint"], second["endpoint"]);
    assert_ne!(first["certificateAuthority"], second["certificateAuthority"]);
    assert!(one.kubeconfig("shop")?.contains(first["endpoint"].as_str().context("no endpoint")?));

    // Who brings no token is refused, and remembered by its own cloud alone.
    knock(&first)?;
    let requests = one.kubernetes_requests()?;
    assert_eq!((requests[0].cluster.as_str(), requests[0].status), ("shop", 401), "{requests:?}");
    assert!(!requests[0].mutating && requests[0].user.is_empty());
    assert_eq!(two.kubernetes_requests()?, []);
    one.clear_kubernetes_requests()?;
    assert_eq!(one.kubernetes_requests()?, []);
    assert_eq!(one.kubernetes_kills()?, []);

    // A reset and a deletion end a control plane as the end of its cloud does.
    let inside = processes(one.access())?;
    assert!(inside.len() >= 6, "etcd, API server, door, controllers, scheduler: {inside:?}");
    one.reset()?;
    until("a reset ends the control plane", || !inside.iter().any(|pid| is_alive(*pid)))?;
    assert!(answers(&second) && !answers(&first));
    let inside = processes(two.access())?;
    eks(two.port(), "DELETE", "/clusters/shop", "")?;
    until("a deletion closes the endpoint", || !answers(&second))?;
    drop(two);
    until("nothing is left", || !inside.iter().any(|pid| is_alive(*pid)))
}

#[test]
fn nothing_of_a_cluster_survives_a_run_that_is_killed() -> Result<()> {
    let mut run = Command::new(env!("CARGO_BIN_EXE_sandbox"))
        .args(["run", "--kubernetes", "--", "sh", "-c", "echo $AWS_ENDPOINT_URL; exec sleep 1000"])
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()?;
    let mut line = String::new();
    BufReader::new(run.stdout.take().context("no output")?).read_line(&mut line)?;
    let port = line.trim().rsplit(':').next().context("no port")?.parse()?;
    let shop = cluster(port, "shop")?;
    let inside = processes(Access::at(port))?;
    assert!(answers(&shop));
    run.kill()?;
    run.wait()?;
    until("nothing is left", || !inside.iter().any(|pid| is_alive(*pid)) && !answers(&shop))
}
