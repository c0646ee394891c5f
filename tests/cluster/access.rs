//! Who may not come in, or not do what is to be done, and where nobody answers: each is said with the way out.

use std::process::Output;

use sandbox::{KubernetesWeather, Weather};

use crate::stage::Stage;
use crate::support::{connect, example};

const REGION: &str = "eu-central-1";
const ACCOUNT: &str = "123456789012";

const MANIFESTS: &str = r#"
apiVersion: v1
kind: Namespace
metadata: { name: app }
---
apiVersion: v1
kind: ConfigMap
metadata: { name: settings, namespace: app }
data: { colour: blue }
"#;

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
    stage.write(MANIFESTS);
    let (viewing, stranger) = (user(&stage, "viewer"), user(&stage, "stranger"));
    stage.apply();

    let said = said_to(&stage, &stranger, &["plan", stage.path()]);
    expect_words(
        &said,
        &[
            &format!("the API server of `minimal` does not know `arn:aws:iam::{ACCOUNT}:user/stranger`"),
            "give it an access entry",
            &format!("principal: \"arn:aws:iam::{ACCOUNT}:user/stranger\", policy: clusterAdmin"),
        ],
    );

    stage.write(&MANIFESTS.replace("blue", "green"));
    let said = said_to(&stage, &viewing, &["plan", stage.path()]);
    expect_words(&said, &["is forbidden: User", "cannot", "resource", "AmazonEKSClusterAdminPolicy", &viewer]);
    stage.write(MANIFESTS);

    nobody_answers(&stage);
    stage.expect_empty_plan();
    let before = stage.rig.inventory();
    stage.rig.eksup(&["destroy", "--yes", stage.path()]).expect(0);
    let left = stage.rig.inventory();
    assert!(left.keys().all(|kind| kind.contains("iam")), "only the users stay of {before:#?}: {left:#?}");
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
