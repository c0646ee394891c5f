//! Policy documents as IAM hands them out.

use serde_json::Value;

use super::error::CloudError;

/// The policy document in `text`, which IAM percent-encodes.
///
/// # Errors
/// A text that is no JSON document, encoded or not.
pub fn parse(action: &'static str, text: &str) -> Result<Value, CloudError> {
    if let Ok(document) = serde_json::from_str(text) {
        return Ok(document);
    }
    let decoded = percent_encoding::percent_decode_str(text).decode_utf8_lossy();
    serde_json::from_str(&decoded).map_err(|_| CloudError::incomplete(action, "policy document that can be read"))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_document_is_read_encoded_and_plain() {
        let document = json!({ "Version": "2012-10-17", "Statement": [{ "Resource": "arn:aws:s3:::a%20b/*" }] });
        let plain = document.to_string();
        let encoded = percent_encoding::utf8_percent_encode(&plain, percent_encoding::NON_ALPHANUMERIC).to_string();
        for text in [plain, encoded] {
            assert_eq!(parse("iam:GetRolePolicy", &text).ok(), Some(document.clone()));
        }
    }

    #[test]
    fn what_is_no_document_is_an_error() {
        for text in ["", "%", "%7B", "not json"] {
            assert!(parse("iam:GetRolePolicy", text).is_err(), "{text}");
        }
    }
}
