//! Merge keys: `<<: *defaults` puts the entries of another mapping beside those that are written out.

use std::collections::HashSet;

use super::{Entry, Node, Value};
use crate::spec::problem::Problem;

/// The key that merges.
pub(super) const KEY: &str = "<<";

/// The entries of a mapping with those that it merges; what is written out stands, and the first mapping that is
/// merged before the others.
///
/// # Errors
/// When what is to be merged is no mapping and no list of mappings.
pub(super) fn merged(entries: Vec<Entry>) -> Result<Vec<Entry>, Box<Problem>> {
    let (merging, mut own): (Vec<Entry>, Vec<Entry>) = entries.into_iter().partition(|entry| entry.key == KEY);
    if merging.is_empty() {
        return Ok(own);
    }
    let mut known: HashSet<String> = own.iter().map(|entry| entry.key.clone()).collect();
    for Entry { node, key_span, .. } in merging {
        let wrong = || {
            let message = format!("`<<` merges mappings, and this is {}", node.kind());
            Box::new(Problem::error(key_span.clone(), message, "write an alias to a mapping, such as `<<: *defaults`"))
        };
        let sources: &[Node] = match &node.value {
            Value::Map(_) => std::slice::from_ref(&node),
            Value::List(items) => items,
            _ => return Err(wrong()),
        };
        for source in sources {
            let Value::Map(entries) = &source.value else { return Err(wrong()) };
            own.extend(entries.iter().filter(|entry| known.insert(entry.key.clone())).cloned());
        }
    }
    Ok(own)
}
