//! The stack file under attack: whatever the bytes are, the reader answers, and its answers can be shown.

use std::path::{Path, PathBuf};

use eksup::spec::{self, Problems, Style};
use proptest::prelude::*;
use serde_json::{Value, json};

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/valid")
}

fn valid(name: &str) -> String {
    std::fs::read_to_string(folder().join(name)).unwrap()
}

/// Reads the bytes, and shows whatever is said about them in every form there is.
fn read_and_show(bytes: &[u8]) {
    let variables = |name: &str| (name != "MISSING").then(|| "3".to_owned());
    let problems = match spec::parse_bytes(bytes, "stack.yaml", variables, &folder()) {
        Ok(loaded) => loaded.warnings,
        Err(problems) => {
            assert!(problems.errors() > 0);
            problems
        }
    };
    show(&problems, &[("stack.yaml", bytes)]);
}

/// Reads a stack whose manifest has these bytes.
fn read_manifest_and_show(bytes: &[u8]) {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("a.yaml"), bytes).unwrap();
    let stack = valid("defaults.yaml") + "workloads: { manifests: [a.yaml] }\n";
    match spec::parse(&stack, "stack.yaml", |_| None, folder.path()) {
        Ok(loaded) => assert!(loaded.stack.workloads.is_some_and(|workloads| workloads.objects.is_some())),
        Err(problems) => show(&problems, &[("stack.yaml", stack.as_bytes()), ("a.yaml", bytes)]),
    }
}

/// Shows the problems; every one of them has to be about one of the files, given with their names.
fn show(problems: &Problems, files: &[(&str, &[u8])]) {
    let drawn = problems.render(Style::default());
    assert!(!drawn.contains("mistake in eksup"), "{drawn}");
    let steers = |character: char| character.is_control() && character != '\n' && character != '\t';
    assert!(!drawn.contains(steers), "{drawn:?}");
    for record in problems.records() {
        let bytes = files.iter().find(|(name, _)| *name == record.file).unwrap().1;
        let lines = String::from_utf8_lossy(bytes).matches('\n').count() + 1;
        assert!(record.line.is_none_or(|line| (1..=lines).contains(&line)), "{record:?}");
        assert!(!record.message.is_empty() && !record.help.is_empty());
    }
    // ASCII for a terminal that has nothing else.
    let _ = problems.render(Style { colour: true, unicode: false, width: 1 });
}

/// Pieces of text that mean something to YAML or to the format.
fn token() -> impl Strategy<Value = String> {
    let fixed = prop::sample::select(vec![
        ":",
        ": ",
        "- ",
        "\n",
        "\n  ",
        "\t",
        "[",
        "]",
        "{",
        "}",
        "\"",
        "'",
        "|",
        ">",
        "&a ",
        "*a",
        "<<: ",
        "#",
        "---\n",
        "...\n",
        "!!str ",
        "!x ",
        "?",
        ",",
        "~",
        "null",
        "true",
        "yes",
        "-1",
        "1.30",
        "1e99",
        ".inf",
        "0x1f",
        "${env:X}",
        "${env:",
        "$${env:X}",
        "${env:MISSING}",
        "${X}",
        "10.0.0.0/8",
        "10.0.0.1/16",
        "20Gi",
        "0.0.0.0/0",
        "arn:aws:iam::aws:policy/X",
        "\u{0}",
        "\u{1b}[31m",
        "\u{202e}",
        "\u{feff}",
        "é",
        "🦀",
        "\r",
        "\u{2028}",
        "cluster",
        "network",
        "existing",
        "zones",
        "none",
        "[]",
        "{}",
        "\\u",
        "%",
    ])
    .prop_map(str::to_owned);
    prop_oneof![4 => fixed, 1 => "\\PC{0,12}", 1 => "[a-zA-Z]{1,10}: "]
}

/// Manifests with everything that the reader looks at.
const MANIFESTS: &str = "\
apiVersion: v1
kind: List
items:
  - apiVersion: v1
    kind: Secret
    metadata: { name: credentials, namespace: shop }
    stringData: &data { user: a, \"key\": \"b\" }
---
apiVersion: apps/v1
kind: Deployment
metadata:
  name: web
  creationTimestamp: null
spec: { template: { spec: { volumes: [{ name: v, secret: { defaultMode: 0400 } }] } } }
---
apiVersion: autoscaling/v1
kind: HorizontalPodAutoscaler
metadata: { name: web }
spec: { maxReplicas: 3, scaleTargetRef: { kind: Deployment, name: other } }
---
apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata: { name: things.example.org }
spec: { group: example.org, scope: Cluster, names: { kind: Thing, plural: things }, versions: [{ name: v1 }] }
---
apiVersion: example.org/v1
kind: Thing
metadata: { name: \"a\" }
";

/// Pieces of text that mean something in a manifest.
fn manifest_token() -> impl Strategy<Value = String> {
    let own = prop::sample::select(vec![
        "\n---\n",
        "apiVersion: v1\n",
        "apiVersion: apps/v1beta1\n",
        "kind: Secret\n",
        "kind: List\n",
        "kind: Deploymnt\n",
        "metadata: { name: a }\n",
        "metadata:\n  generateName: 1\n",
        "  namespace: ~\n",
        "items: []\n",
        "items:\n- ",
        "data:\n",
        "<<: *a\n",
        "%YAML 1.2\n",
    ])
    .prop_map(str::to_owned);
    prop_oneof![2 => own, 1 => token()]
}

/// A change of a text, at places that are shares of its length.
#[derive(Clone, Debug)]
enum Edit {
    Insert(f64, String),
    Replace(f64, f64, String),
    Delete(f64, f64),
    Repeat(f64, f64),
    SwapLines(f64, f64),
    Truncate(f64),
}

fn edit() -> impl Strategy<Value = Edit> {
    let place = 0.0..1.0_f64;
    let length = 0.0..0.05_f64;
    prop_oneof![
        (place.clone(), token()).prop_map(|(at, text)| Edit::Insert(at, text)),
        (place.clone(), length.clone(), token()).prop_map(|(at, length, text)| Edit::Replace(at, length, text)),
        (place.clone(), length.clone()).prop_map(|(at, length)| Edit::Delete(at, length)),
        (place.clone(), length).prop_map(|(at, length)| Edit::Repeat(at, length)),
        (place.clone(), place.clone()).prop_map(|(one, two)| Edit::SwapLines(one, two)),
        place.prop_map(Edit::Truncate),
    ]
}

#[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, clippy::cast_precision_loss)]
fn place(text: &str, share: f64) -> usize {
    text.floor_char_boundary((text.len() as f64 * share) as usize)
}

fn apply(mut text: String, edit: &Edit) -> String {
    match edit {
        Edit::Insert(at, new) => text.insert_str(place(&text, *at), new),
        Edit::Replace(at, length, new) => {
            let range = place(&text, *at)..place(&text, (at + length).min(1.0));
            text.replace_range(range, new);
        }
        Edit::Delete(at, length) => {
            let range = place(&text, *at)..place(&text, (at + length).min(1.0));
            text.replace_range(range, "");
        }
        Edit::Repeat(at, length) => {
            let range = place(&text, *at)..place(&text, (at + length).min(1.0));
            let piece = text[range.clone()].to_owned();
            text.insert_str(range.end, &piece);
        }
        Edit::SwapLines(one, two) => {
            let mut lines: Vec<&str> = text.split('\n').collect();
            let count = lines.len();
            #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, clippy::cast_precision_loss)]
            let index = |share: &f64| ((count as f64 * share) as usize).min(count - 1);
            lines.swap(index(one), index(two));
            text = lines.join("\n");
        }
        Edit::Truncate(at) => text.truncate(place(&text, *at)),
    }
    text
}

/// A value that stands where another was expected.
fn stray() -> impl Strategy<Value = Value> {
    let scalar = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        (0..70_000_i64).prop_map(Value::from),
        any::<f64>().prop_map(|number| json!(number)),
        token().prop_map(Value::from),
        "[a-z0-9./-]{0,20}".prop_map(Value::from),
        (any::<[u8; 4]>(), 0..34_u8).prop_map(|([a, b, c, d], prefix)| json!(format!("{a}.{b}.{c}.{d}/{prefix}"))),
        (0..200_000_u32).prop_map(|size| json!(format!("{size}Gi"))),
    ];
    scalar.prop_recursive(3, 12, 4, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            prop::collection::btree_map("[a-zA-Z]{1,8}", inner, 0..4)
                .prop_map(|map| Value::Object(map.into_iter().collect())),
        ]
    })
}

/// Every place of a document.
fn pointers(value: &Value, at: &str, found: &mut Vec<String>) {
    found.push(at.to_owned());
    match value {
        Value::Object(map) => map.iter().for_each(|(key, value)| {
            let key = key.replace('~', "~0").replace('/', "~1");
            pointers(value, &format!("{at}/{key}"), found);
        }),
        Value::Array(items) => items.iter().enumerate().for_each(|(index, value)| {
            pointers(value, &format!("{at}/{index}"), found);
        }),
        _ => {}
    }
}

/// The stack with every key, as JSON, which is YAML too.
fn whole_stack() -> Value {
    let variables = |_: &str| Some("3".to_owned());
    let stack = spec::parse(&valid("everything.yaml"), "stack.yaml", variables, &folder()).unwrap().stack;
    serde_json::to_value(stack).unwrap()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 150, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn arbitrary_bytes_are_answered(bytes in prop::collection::vec(any::<u8>(), 0..400)) {
        read_and_show(&bytes);
    }

    #[test]
    fn arbitrary_bytes_as_a_manifest_are_answered(bytes in prop::collection::vec(any::<u8>(), 0..400)) {
        read_manifest_and_show(&bytes);
    }

    #[test]
    fn manifests_with_changes_are_answered(
        tokens in prop::collection::vec(manifest_token(), 0..40),
        edits in prop::collection::vec(edit(), 1..6),
    ) {
        read_manifest_and_show(tokens.concat().as_bytes());
        read_manifest_and_show(edits.iter().fold(MANIFESTS.to_owned(), apply).as_bytes());
    }

    #[test]
    fn pieces_of_yaml_in_any_order_are_answered(tokens in prop::collection::vec(token(), 0..60)) {
        let text = format!("apiVersion: eksup.dev/v1\nkind: Stack\n{}", tokens.concat());
        read_and_show(text.as_bytes());
        read_and_show(tokens.concat().as_bytes());
    }

    #[test]
    fn a_valid_file_with_changes_is_answered(
        file in prop::sample::select(vec!["everything.yaml", "defaults.yaml", "existing.yaml", "private.yaml"]),
        edits in prop::collection::vec(edit(), 1..6),
    ) {
        let text = edits.iter().fold(valid(file), apply);
        read_and_show(text.as_bytes());
    }

    #[test]
    fn a_stack_with_strange_values_is_answered(
        strays in prop::collection::vec((any::<prop::sample::Index>(), stray()), 1..5),
    ) {
        let mut stack = whole_stack();
        for (index, stray) in strays {
            let mut places = Vec::new();
            pointers(&stack, "", &mut places);
            let place: &String = index.get(&places);
            if let Some(place) = stack.pointer_mut(place) {
                *place = stray;
            }
        }
        read_and_show(serde_json::to_string_pretty(&stack).unwrap().as_bytes());
    }

    #[test]
    fn a_stack_without_some_of_its_keys_is_answered(
        missing in prop::collection::vec(any::<prop::sample::Index>(), 1..8),
    ) {
        let mut stack = whole_stack();
        for index in missing {
            let mut places = Vec::new();
            pointers(&stack, "", &mut places);
            let place: &String = index.get(&places);
            let Some((parent, key)) = place.rsplit_once('/') else { continue };
            if let Some(Value::Object(map)) = stack.pointer_mut(parent) {
                map.remove(&key.replace("~1", "/").replace("~0", "~"));
            }
        }
        read_and_show(serde_json::to_string(&stack).unwrap().as_bytes());
    }
}

/// Large files, each made to be expensive: none may take more than its share of time. There is no
/// limit in seconds here; an answer that takes quadratic time would take minutes, and be noticed.
#[test]
fn large_files_that_are_made_to_be_expensive_are_answered() {
    let head = "apiVersion: eksup.dev/v1\nkind: Stack\nmetadata: { name: shop, region: eu-central-1 }\n";
    let repeated = |start: &str, piece: &dyn Fn(usize) -> String, end: &str| {
        let mut text = format!("{head}{start}");
        for number in 0.. {
            let next = piece(number);
            if text.len() + next.len() + end.len() > 200 * 1024 {
                break;
            }
            text.push_str(&next);
        }
        text + end
    };
    let files = [
        repeated("", &|number| format!("k{number}: 1\n"), ""),
        repeated("", &|number| format!("networ{number}: 1\n"), ""),
        repeated("", &|_| "network: {}\n".to_owned(), ""),
        repeated("network:\n  endpoints: [", &|number| format!("e{number},"), "]\n"),
        repeated("network:\n  publicSubnets: [", &|_| "10.0.0.0/24,".to_owned(), "]\n"),
        repeated("network:\n  zones: [", &|_| "[],".to_owned(), "]\n"),
        repeated("cluster:\n  nodeGroups: [", &|_| "{},".to_owned(), "]\n"),
        repeated("cluster:\n  access: [", &|_| "{a: 1},".to_owned(), "]\n"),
        repeated("autoscaler:\n  nodePools:\n    - name: a\n      spec: {", &|number| format!("k{number}: x,"), "}\n"),
        repeated("cluster: { addons: [", &|_| "${env:X},".to_owned(), "] }\n"),
        repeated("bastion:\n  keyName: \"", &|_| "${env:X}".to_owned(), "\"\n"),
        repeated("bastion:\n  keyName: \"", &|_| "${env:MISSING".to_owned(), "\"\n"),
        repeated("bastion:\n  keyName: \"", &|_| "password: ".to_owned(), "\"\n"),
        repeated("a: ", &|_| "[".to_owned(), ""),
        repeated("a: ", &|_| "{a: ".to_owned(), ""),
        repeated("", &|_| "? ".to_owned(), ""),
        repeated("a: &a [x]\nb: [", &|_| "*a,".to_owned(), "]\n"),
        repeated("a: |\n", &|_| " \n".to_owned(), ""),
        repeated("metadata: {}\nx: \"", &|_| "\u{1f980}".to_owned(), "\"\n"),
    ];
    for file in files {
        read_and_show(file.as_bytes());
        read_manifest_and_show(file.as_bytes());
    }
}

/// The same for what only manifests have.
#[test]
fn large_manifests_that_are_made_to_be_expensive_are_answered() {
    let object = "apiVersion: v1\nkind: ConfigMap\nmetadata: { name: a }\n";
    let merged: String = (0..3_000).map(|number| format!("  <<: {{ k{number}: 1 }}\n  j{number}: 1\n")).collect();
    let files = [
        format!("{object}---\n").repeat(3_000),
        "---\n".repeat(100_000),
        format!("{object}data:\n{merged}"),
        format!("{object}kind: Secret\ndata: {{\n{}", "  data: {\n".repeat(20_000)),
        format!("apiVersion: v1\nkind: List\nitems: {}", "[".repeat(50_000)),
    ];
    for file in files {
        read_manifest_and_show(file.as_bytes());
    }
}
