//! Who may not come in, or not do what is to be done, and where nobody answers: each is said with the way out.

use std::process::Output;

use sandbox::{KubernetesWeather, Weather};

use crate::stage::{NAMESPACE, Stage, settings};
use crate::support::{connect, example, text};

const REGION: &str = "eu-central-1";
const ACCOUNT: &str = "123456789012";

fn manifests(colour: &str) -> String {
    NAMESPACE.to_owned() + &settings(colour)
}

/// An access key of a new user.
struct Key {
    id: String,
    secret: String,
}

fn user(stage: &Stage, name: &str) -> Key {
    tokio::runtime::Runtime::new().expect("a runtime").block_on(async {
        let iam = connect(&stage.rig.cloud, REGION).await.write.iam.clone();
        iam.create_user().user_name(name).send().await.expect("a user");
        let made = iam.create_access_key().user_name(name).send().await.expect("a key");
        let key = made.access_key().expect("a key");
        Key { id: key.access_key_id().to_owned(), secret: key.secret_access_key().to_owned() }
    })
}

/// What eksup says to whoever has `key`.
fn said_to(stage: &Stage, key: &Key, arguments: &[&str]) -> String {
    let mut command = stage.rig.command(arguments);
    command.env("AWS_ACCESS_KEY_ID", &key.id).env("AWS_SECRET_ACCESS_KEY", &key.secret);
    failed(&command.output().expect("eksup runs"))
}

fn failed(output: &Output) -> String {
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(1), "{}\n{said}", String::from_utf8_lossy(&output.stdout));
    // A sentence may be broken into lines.
    said.split_whitespace().filter(|word| *word != "│" && *word != "|").collect::<Vec<_>>().join(" ")
}

fn expect_words(said: &str, words: &[&str]) {
    for word in words {
        assert!(said.contains(word), "`{word}` is not in\n{said}");
    }
}

#[test]
fn who_may_not_come_in_and_who_may_not_change_anything_is_told_so_with_the_way_out() {
    let viewer = format!("arn:aws:iam::{ACCOUNT}:user/viewer");
    let with_viewer = example("minimal.yaml").replace(
        "  version: \"1.35\"\n",
        &format!("  version: \"1.35\"\n  access: [{{ principal: \"{viewer}\", policy: view }}]\n"),
    );
    let stage = Stage::set(&format!("{with_viewer}workloads:\n  manifests: [objects.yaml]\n"));
    stage.write(&manifests("blue"));
    let (viewing, stranger) = (user(&stage, "viewer"), user(&stage, "stranger"));
    let early = stage.rig.eksup(&["kubeconfig", stage.path()]).expect(1);
    expect_words(&early.stderr, &["the stack `minimal` has no cluster that answers yet", "`eksup apply` makes it"]);
    stage.apply();
    a_new_user_gets_in(&stage);

    let said = said_to(&stage, &stranger, &["plan", stage.path()]);
    expect_words(
        &said,
        &[
            &format!("the API server of `minimal` does not know `arn:aws:iam::{ACCOUNT}:user/stranger`"),
            "give it an access entry",
            &format!("principal: \"arn:aws:iam::{ACCOUNT}:user/stranger\", policy: clusterAdmin"),
        ],
    );

    stage.write(&manifests("green"));
    let said = said_to(&stage, &viewing, &["plan", stage.path()]);
    expect_words(&said, &["is forbidden: User", "cannot", "resource", "AmazonEKSClusterAdminPolicy", &viewer]);
    stage.write(&manifests("blue"));

    nobody_answers(&stage);
    stage.expect_empty_plan();
    let before = stage.rig.inventory();
    stage.rig.eksup(&["destroy", "--yes", stage.path()]).expect(0);
    let left = stage.rig.inventory();
    assert!(left.keys().all(|kind| kind.contains("iam")), "only the users stay of {before:#?}: {left:#?}");
}

/// By a kubeconfig that eksup has written beside what stood in it, and that makes its tokens by eksup.
fn a_new_user_gets_in(stage: &Stage) {
    let file = stage.rig.file("kubeconfig");
    let mine = "# mine\napiVersion: v1\nkind: Config\nclusters:\n- name: home\n  cluster: { server: \"https://home\" }\n\
                contexts: []\nusers: []\ncurrent-context: home\n";
    std::fs::write(&file, mine).expect("a file");
    let path = text(&file);
    let written = stage.rig.eksup(&["kubeconfig", "--file", path, "--alias", "work", stage.path()]).expect(0);
    expect_words(&written.stderr, &["leads to cluster `minimal` as context `work`"]);
    let now = std::fs::read_to_string(&file).expect("a file");
    assert!(
        now.starts_with("# mine\n") && now.contains("https://home") && now.contains("current-context: home"),
        "{now}"
    );

    let token = stage.rig.eksup(&["token", "--cluster", "minimal", "--region", REGION]).expect(0);
    let token: serde_json::Value = serde_json::from_str(&token.stdout).expect("JSON");
    assert!(token["status"]["token"].as_str().is_some_and(|token| token.starts_with("k8s-aws-v1.")), "{token}");
    assert!(token["status"]["expirationTimestamp"].as_str().is_some_and(|time| time.ends_with('Z')), "{token}");
    let homeless = stage.rig.eksup(&["token", "--cluster", "minimal"]).expect(3);
    expect_words(&homeless.stderr, &["the region of the cluster is not known", "`--region`"]);

    let eksup = std::path::Path::new(env!("CARGO_BIN_EXE_eksup")).parent().expect("a folder");
    let rest = std::env::var_os("PATH").unwrap_or_default();
    let paths = std::env::join_paths(std::iter::once(eksup.to_owned()).chain(std::env::split_paths(&rest)));
    let paths = paths.expect("a path");
    let through = |context: &str| {
        let way = ["--kubeconfig", path, "--context", context];
        let mut command = stage.rig.command(&["plan", "--detailed-exitcode", stage.path()]);
        command.args(way).env("PATH", &paths).output().expect("eksup runs")
    };
    let planned = through("work");
    let said = String::from_utf8_lossy(&planned.stderr).into_owned();
    assert_eq!(planned.status.code(), Some(0), "{}\n{said}", String::from_utf8_lossy(&planned.stdout));
    expect_words(&failed(&through("nowhere")), &["the kubeconfig cannot be used", "nowhere"]);
}

fn nobody_answers(stage: &Stage) {
    let unreachable = KubernetesWeather { unreachable: true, ..KubernetesWeather::default() };
    stage.rig.weather(&Weather { kubernetes: unreachable, ..Weather::default() });
    let said = failed(&stage.rig.command(&["plan", stage.path()]).output().expect("eksup runs"));
    expect_words(
        &said,
        &[
            "the API server of `minimal`",
            "cannot be reached from here",
            "if its endpoint is private, run this from inside the VPC",
            "`cluster.endpoint.publicCidrs`",
            "`--kubeconfig`",
        ],
    );
    assert_eq!(said.matches("cannot be reached").count(), 1, "it is said once: {said}");
    stage.rig.weather(&Weather::default());
}
