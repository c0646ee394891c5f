//! MIME documents of several parts, as cloud-init reads them.

use super::UserDataFault;

/// The usual boundary between parts.
const BOUNDARY: &str = "//";

/// A part: its head, without the line that ends it, and its body.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Part {
    head: String,
    body: String,
}

impl Part {
    /// A part of one type.
    pub fn new(content_type: &str, body: impl Into<String>) -> Self {
        Self { head: format!("Content-Type: {content_type}"), body: body.into() }
    }
}

/// The parts of a document, or the one part that a text stands for, whose type `content_type` tells.
pub fn read(text: &str, content_type: impl Fn(&str) -> &'static str) -> Result<Vec<Part>, UserDataFault> {
    let begin = text.trim_start().get(..12).unwrap_or_default().to_ascii_lowercase();
    if !begin.starts_with("mime-version") && !begin.starts_with("content-type") {
        return Ok(vec![Part::new(content_type(text), text)]);
    }
    let text = text.trim_start().replace("\r\n", "\n");
    let Some((head, body)) = text.split_once("\n\n") else {
        return Err(UserDataFault::in_users(
            "begins as a MIME document and ends before a body: put an empty line after its head",
        ));
    };
    if !head.to_ascii_lowercase().contains("multipart/") {
        let head: Vec<&str> =
            head.lines().filter(|line| !line.to_ascii_lowercase().starts_with("mime-version")).collect();
        return Ok(vec![Part { head: head.join("\n"), body: body.to_owned() }]);
    }
    let boundary = boundary(head).ok_or_else(|| {
        UserDataFault::in_users(
            "is a MIME document whose `Content-Type` has no `boundary`: write `multipart/mixed; boundary=\"//\"`",
        )
    })?;
    parts(body, &boundary)
}

/// The value of `boundary=` in a head.
fn boundary(head: &str) -> Option<String> {
    let (_, rest) = head.split_once("boundary=")?;
    let value = match rest.strip_prefix('"') {
        Some(quoted) => quoted.split('"').next()?,
        None => rest.split([';', '\n', ' ', '\t']).next()?,
    };
    (!value.is_empty()).then(|| value.to_owned())
}

fn parts(body: &str, boundary: &str) -> Result<Vec<Part>, UserDataFault> {
    let (between, last) = (format!("--{boundary}"), format!("--{boundary}--"));
    let mut found: Vec<Vec<&str>> = Vec::new();
    for line in body.lines() {
        if line.trim_end() == last {
            break;
        }
        if line.trim_end() == between {
            found.push(Vec::new());
        } else if let Some(part) = found.last_mut() {
            part.push(line);
        }
    }
    if found.is_empty() {
        return Err(UserDataFault::in_users(format!("is a MIME document without parts: none begins with `{between}`")));
    }
    let split = |lines: Vec<&str>| {
        let end = lines.iter().position(|line| line.is_empty()).unwrap_or(lines.len());
        let head = lines[..end].join("\n");
        let body = lines.get(end + 1..).unwrap_or_default().join("\n");
        Part { head, body: body + "\n" }
    };
    Ok(found.into_iter().map(split).collect())
}

/// The document of these parts.
pub fn write(parts: &[Part]) -> String {
    let occurs = |boundary: &str| {
        parts.iter().any(|part| part.body.lines().any(|line| line.starts_with(&format!("--{boundary}"))))
    };
    let boundary = std::iter::once(BOUNDARY.to_owned())
        .chain((1..).map(|number| format!("{BOUNDARY}{number}")))
        .find(|boundary| !occurs(boundary))
        .unwrap_or_default();
    let mut text = format!("MIME-Version: 1.0\nContent-Type: multipart/mixed; boundary=\"{boundary}\"\n");
    for part in parts {
        text.push_str(&format!("\n--{boundary}\n{}\n\n{}\n", part.head, part.body.trim_end()));
    }
    text.push_str(&format!("\n--{boundary}--\n"));
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_written_is_read_back_whatever_it_holds() {
        let script =
            Part { head: "Content-Type: text/x-shellscript".into(), body: "#!/bin/sh\necho '--//'\n--//\n".into() };
        let config = Part::new("application/node.eks.aws", "kind: NodeConfig\n");
        let text = write(&[script.clone(), config.clone()]);
        let read = read(&text, |_| "").unwrap_or_default();
        let trimmed: Vec<(&str, &str)> = read.iter().map(|part| (part.head.as_str(), part.body.trim_end())).collect();
        assert_eq!(
            trimmed,
            [(script.head.as_str(), script.body.trim_end()), (config.head.as_str(), config.body.trim_end())]
        );
    }

    #[test]
    fn a_plain_text_is_one_part() {
        let read = read("#!/bin/sh\n", |_| "text/x-shellscript").unwrap_or_default();
        assert_eq!(read, [Part::new("text/x-shellscript", "#!/bin/sh\n")]);
    }
}
