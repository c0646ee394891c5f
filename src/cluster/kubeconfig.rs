//! The way into a cluster as an entry of a kubeconfig, put into a file that has others. What is there stays: other
//! entries, fields that this version does not know, the order, and the comments outside of what changes. Pure.

use serde_json::{Map, Value, json};

/// A cluster, a user and a context that belong together.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// What all three are called.
    pub name: String,
    /// The cluster's name in EKS.
    pub cluster: String,
    /// The cluster's region.
    pub region: String,
    /// Where the API answers: `https://…`.
    pub endpoint: String,
    /// The certificate authority of the API, PEM in base64.
    pub certificate_authority: String,
    /// The profile whose credentials are used; without one, those of whoever asks.
    pub profile: Option<String>,
}

/// Why a kubeconfig cannot be changed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum KubeconfigError {
    /// The text is no YAML.
    #[error("it is not valid YAML: {0}")]
    Syntax(String),
    /// It is YAML, and something else than a kubeconfig.
    #[error("`{0}` is not what it is in a kubeconfig")]
    Shape(String),
    /// It cannot be written.
    #[error("it cannot be written as YAML: {0}")]
    Unwritable(String),
}

const LISTS: [&str; 3] = ["clusters", "contexts", "users"];

/// A kubeconfig with nothing in it, in the order in which kubectl writes one.
const SKELETON: &str = "apiVersion: v1\nkind: Config\nclusters: []\ncontexts: []\ncurrent-context: \"\"\nusers: []\n";

/// The text of a kubeconfig with `entry` in it; `make_current` also makes its context the current one. A file that
/// names no current context gets it in any case.
///
/// # Errors
/// `existing` is no kubeconfig.
pub fn merge(existing: &str, entry: &Entry, make_current: bool) -> Result<String, KubeconfigError> {
    let existing = if existing.trim().is_empty() { SKELETON } else { existing };
    let standing = parse(existing)?;
    let wanted = merged(&standing, entry, make_current)?;
    if wanted == Value::Object(standing.clone()) {
        return Ok(existing.to_owned());
    }
    let spliced = splice(existing, &standing, &wanted, entry);
    match spliced.filter(|text| parse(text).ok().map(Value::Object).as_ref() == Some(&wanted)) {
        Some(text) => Ok(text),
        // The file is written in a form that is not changed line by line: everything in it stays but comments.
        None => write(&wanted),
    }
}

fn parse(text: &str) -> Result<Map<String, Value>, KubeconfigError> {
    if text.trim().is_empty() {
        return Ok(Map::new());
    }
    match serde_saphyr::from_str::<Value>(text) {
        Ok(Value::Object(fields)) => Ok(fields),
        Ok(Value::Null) => Ok(Map::new()),
        Ok(_) => Err(KubeconfigError::Shape("the file".to_owned())),
        Err(error) => Err(KubeconfigError::Syntax(error.to_string())),
    }
}

fn write(value: &Value) -> Result<String, KubeconfigError> {
    serde_saphyr::to_string(value).map_err(|error| KubeconfigError::Unwritable(error.to_string()))
}

/// The three parts of `entry`, by the list that each belongs to.
fn parts(entry: &Entry) -> [(&'static str, Value); 3] {
    let environment: Vec<Value> =
        entry.profile.iter().map(|profile| json!({ "name": "AWS_PROFILE", "value": profile })).collect();
    let mut exec = json!({
        "apiVersion": "client.authentication.k8s.io/v1",
        "command": "eksup",
        "args": ["token", "--cluster", entry.cluster, "--region", entry.region],
        "installHint": "eksup has to be in the PATH",
        "interactiveMode": "Never",
        "provideClusterInfo": false,
    });
    if !environment.is_empty() {
        exec["env"] = environment.into();
    }
    [
        (
            LISTS[0],
            json!({ "name": entry.name, "cluster": {
            "certificate-authority-data": entry.certificate_authority, "server": entry.endpoint } }),
        ),
        (LISTS[1], json!({ "name": entry.name, "context": { "cluster": entry.name, "user": entry.name } })),
        (LISTS[2], json!({ "name": entry.name, "user": { "exec": exec } })),
    ]
}

fn merged(standing: &Map<String, Value>, entry: &Entry, make_current: bool) -> Result<Value, KubeconfigError> {
    let mut wanted = standing.clone();
    wanted.entry("apiVersion").or_insert_with(|| "v1".into());
    wanted.entry("kind").or_insert_with(|| "Config".into());
    if wanted["kind"] != "Config" {
        return Err(KubeconfigError::Shape("kind".to_owned()));
    }
    for (list, part) in parts(entry) {
        let items = wanted.entry(list).or_insert_with(|| json!([]));
        if items.is_null() {
            *items = json!([]);
        }
        let items = items.as_array_mut().ok_or_else(|| KubeconfigError::Shape(list.to_owned()))?;
        match items.iter_mut().find(|item| item.get("name") == part.get("name")) {
            Some(item) => *item = laid_over(item, &part),
            None => items.push(part),
        }
    }
    let has_current = wanted.get("current-context").and_then(Value::as_str).is_some_and(|name| !name.is_empty());
    if make_current || !has_current {
        wanted.insert("current-context".to_owned(), entry.name.clone().into());
    }
    Ok(Value::Object(wanted))
}

/// `part` over what stands under its name: fields that `part` does not know stay, such as a context's namespace.
fn laid_over(item: &Value, part: &Value) -> Value {
    match (item, part) {
        // How to get in is ours as a whole: half of another way would not work.
        (_, Value::Object(part)) if part.contains_key("exec") => Value::Object(part.clone()),
        (Value::Object(item), Value::Object(part)) => {
            let mut fields = item.clone();
            for (key, value) in part {
                let standing = fields.get(key).cloned().unwrap_or(Value::Null);
                fields.insert(key.clone(), laid_over(&standing, value));
            }
            Value::Object(fields)
        }
        (_, part) => part.clone(),
    }
}

/// `existing` with the lines changed that have to be; nothing where that is not possible line by line.
fn splice(existing: &str, standing: &Map<String, Value>, wanted: &Value, entry: &Entry) -> Option<String> {
    let mut lines: Vec<String> = existing.lines().map(str::to_owned).collect();
    for list in LISTS {
        let item = wanted.get(list)?.as_array()?.iter().find(|item| item["name"] == entry.name.as_str())?;
        put_item(&mut lines, list, item)?;
    }
    for key in ["apiVersion", "current-context", "kind"] {
        let value = wanted.get(key)?;
        if standing.get(key) != Some(value) {
            put_scalar(&mut lines, key, value.as_str()?);
        }
    }
    Some(lines.join("\n") + "\n")
}

fn put_scalar(lines: &mut Vec<String>, key: &str, value: &str) {
    let line = format!("{key}: {}", scalar(value));
    match lines.iter().position(|line| line.starts_with(&format!("{key}:"))) {
        Some(at) => lines[at] = line,
        None => lines.push(line),
    }
}

/// A text as YAML has it: in quotes where it could be taken for something else.
fn scalar(text: &str) -> String {
    let plain = |character: char| character.is_ascii_alphanumeric() || "-_./:@".contains(character);
    let is_plain = text.starts_with(|first: char| first.is_ascii_alphabetic()) && text.chars().all(plain);
    let stays = matches!(serde_saphyr::from_str::<Value>(text), Ok(Value::String(read)) if read == text);
    if is_plain && stays { text.to_owned() } else { Value::from(text).to_string() }
}

/// Puts `item` into the list called `list`: in the place of its namesake, or at the end.
fn put_item(lines: &mut Vec<String>, list: &str, item: &Value) -> Option<()> {
    let head = format!("{list}:");
    let Some(start) = lines.iter().position(|line| line.starts_with(&head)) else {
        lines.push(head);
        lines.extend(item_lines(item, 0)?);
        return Some(());
    };
    let rest = lines[start][head.len()..].trim();
    if !rest.is_empty() && !rest.starts_with('#') {
        if !["[]", "null", "~"].contains(&rest) {
            return None;
        }
        lines[start] = head;
    }
    let end = end_of_block(lines, start);
    let indent =
        lines[start + 1..end].iter().find(|line| line.trim_start().starts_with("- ")).map_or(0, |line| indent(line));
    let starts: Vec<usize> = (start + 1..end).filter(|at| is_item(&lines[*at], indent)).collect();
    let new = item_lines(item, indent)?;
    for (number, from) in starts.iter().enumerate() {
        let until = starts.get(number + 1).copied().unwrap_or(end);
        let until = without_trailing_remarks(lines, *from, until);
        let standing: Vec<Value> = serde_saphyr::from_str(&lines[*from..until].join("\n")).ok()?;
        match standing.first() {
            Some(standing) if standing == item => return Some(()),
            Some(standing) if standing.get("name") == item.get("name") => {
                lines.splice(*from..until, new);
                return Some(());
            }
            _ => {}
        }
    }
    let at = starts.last().map_or(start + 1, |last| without_trailing_remarks(lines, *last, end));
    lines.splice(at..at, new);
    Some(())
}

/// The line after the last one of the block that begins at `start`.
fn end_of_block(lines: &[String], start: usize) -> usize {
    let leaves = |line: &String| !line.is_empty() && !line.starts_with([' ', '-', '#', '\t']);
    lines[start + 1..].iter().position(leaves).map_or(lines.len(), |offset| start + 1 + offset)
}

fn is_item(line: &str, at: usize) -> bool {
    indent(line) == at && line[at..].starts_with("- ")
}

fn indent(line: &str) -> usize {
    line.len() - line.trim_start_matches(' ').len()
}

/// Empty lines and comments below an item belong to what follows.
fn without_trailing_remarks(lines: &[String], from: usize, until: usize) -> usize {
    let is_remark = |line: &String| line.trim().is_empty() || line.trim_start().starts_with('#');
    let remarks = lines[from..until].iter().rev().take_while(|line| is_remark(line)).count();
    until - remarks
}

fn item_lines(item: &Value, indent: usize) -> Option<Vec<String>> {
    let text = serde_saphyr::to_string(item).ok()?;
    let margin = " ".repeat(indent);
    let lines =
        text.lines().enumerate().map(|(at, line)| format!("{margin}{}{line}", if at == 0 { "- " } else { "  " }));
    Some(lines.collect())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn entry(name: &str) -> Entry {
        Entry {
            name: name.into(),
            cluster: "shop".into(),
            region: "eu-central-1".into(),
            endpoint: "https://abc.eks.amazonaws.com".into(),
            certificate_authority: "Q0E=".into(),
            profile: None,
        }
    }

    const EXISTING: &str = "\
# mine
apiVersion: v1
kind: Config
preferences: {}
clusters:
# the one at home
- name: home
  cluster:
    server: https://home   # behind the router
    unknown-field: kept
users:
- name: home
  user:
    token: x
contexts:
- context:
    cluster: home
    user: home
  name: home
current-context: home
";

    #[test]
    fn an_empty_file_becomes_one_that_works() {
        insta::assert_snapshot!(merge("", &entry("shop"), false).expect("a kubeconfig"), @r"
        apiVersion: v1
        kind: Config
        clusters:
        - cluster:
            certificate-authority-data: Q0E=
            server: https://abc.eks.amazonaws.com
          name: shop
        contexts:
        - context:
            cluster: shop
            user: shop
          name: shop
        current-context: shop
        users:
        - name: shop
          user:
            exec:
              apiVersion: client.authentication.k8s.io/v1
              args:
              - token
              - --cluster
              - shop
              - --region
              - eu-central-1
              command: eksup
              installHint: eksup has to be in the PATH
              interactiveMode: Never
              provideClusterInfo: false
        ");
    }

    #[test]
    fn what_is_there_stays_with_its_comments_and_its_order() {
        let text = merge(EXISTING, &entry("shop"), false).expect("a kubeconfig");
        for line in EXISTING.lines() {
            assert!(text.lines().any(|kept| kept == line), "`{line}` is lost:\n{text}");
        }
        assert!(text.contains("current-context: home"));
        let kept: Vec<&str> = text.lines().filter(|line| EXISTING.lines().any(|other| other == *line)).collect();
        assert!(
            kept.iter()
                .copied()
                .filter(|line| line.starts_with(|c: char| c.is_alphabetic()))
                .eq(EXISTING.lines().filter(|line| line.starts_with(|c: char| c.is_alphabetic())))
        );
    }

    #[test]
    fn doing_it_twice_changes_nothing() {
        let once = merge(EXISTING, &entry("shop"), true).expect("a kubeconfig");
        assert_eq!(merge(&once, &entry("shop"), true).as_ref(), Ok(&once));
    }

    #[test]
    fn an_entry_of_the_same_name_is_brought_up_to_date_and_keeps_what_it_had_beside() {
        let once = merge(EXISTING, &entry("shop"), false).expect("a kubeconfig");
        let with_namespace = once.replace("    cluster: shop\n", "    cluster: shop\n    namespace: web\n");
        let moved = Entry { endpoint: "https://new.example".into(), ..entry("shop") };
        let text = merge(&with_namespace, &moved, false).expect("a kubeconfig");
        assert!(text.contains("https://new.example") && !text.contains("abc.eks"), "{text}");
        assert!(text.contains("namespace: web"), "{text}");
    }

    #[test]
    fn the_current_context_moves_only_when_asked() {
        assert!(merge(EXISTING, &entry("shop"), true).is_ok_and(|text| text.contains("current-context: shop\n")));
    }

    #[test]
    fn a_file_in_another_form_keeps_everything_but_comments() {
        let json = r#"{ "clusters": [{ "name": "home", "cluster": { "server": "https://home" } }], "users": null }"#;
        let text = merge(json, &entry("shop"), false).expect("a kubeconfig");
        let value = parse(&text).expect("YAML");
        assert_eq!(value["clusters"][0]["name"], "home");
        assert_eq!(value["clusters"][1]["name"], "shop");
        assert_eq!(value["users"][0]["user"]["exec"]["command"], "eksup");
    }

    #[test]
    fn what_is_no_kubeconfig_is_not_touched() {
        assert!(matches!(merge("- a\n", &entry("shop"), false), Err(KubeconfigError::Shape(_))));
        assert!(matches!(merge("kind: Pod\n", &entry("shop"), false), Err(KubeconfigError::Shape(_))));
        assert!(matches!(merge("a: [", &entry("shop"), false), Err(KubeconfigError::Syntax(_))));
    }

    proptest! {
        #[test]
        fn no_entry_of_others_is_ever_lost(names in prop::collection::btree_set("[a-z]{3,6}[0-9]", 0..5), indented: bool, current: bool) {
            let margin = if indented { "  " } else { "" };
            let item = |name: &String| format!("{margin}- name: {name}\n{margin}  cluster:\n{margin}    server: https://{name}\n");
            let clusters: String = names.iter().map(item).collect();
            let existing = if names.is_empty() { String::new() } else { format!("kind: Config\nclusters:\n{clusters}users: []\n") };
            let text = merge(&existing, &entry("shop-1"), current).expect("a kubeconfig");
            let value = parse(&text).expect("YAML");
            let listed: Vec<&str> = value["clusters"].as_array().into_iter().flatten().filter_map(|item| item["name"].as_str()).collect();
            prop_assert_eq!(listed.len(), names.len() + 1);
            for name in &names {
                prop_assert!(listed.contains(&name.as_str()));
            }
        }
    }
}
