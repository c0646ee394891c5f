//! Fills in the templates and policies that are embedded in the binary. Pure: a template and what goes into it.

pub mod addons;
pub mod autoscaler;
pub mod autoscaling;
pub mod certificate;
pub mod policies;
#[cfg(test)]
pub(crate) mod testing;
pub mod user_data;
pub mod yaml;

use minijinja::value::Serde;
use minijinja::{AutoEscape, Environment, UndefinedBehavior, Value};
use serde::Serialize;

/// `template` with the fields of `values` filled in. Tags of the template take their whole line with them.
///
/// # Panics
/// When a template of ours is wrong, or wants a field that `values` does not have. Nothing that a user
/// writes decides that, and the tests render every template.
fn fill(template: &str, values: impl Serialize) -> String {
    let mut environment = Environment::new();
    environment.set_undefined_behavior(UndefinedBehavior::Strict);
    environment.set_auto_escape_callback(|_| AutoEscape::None);
    environment.add_filter("json", |value: Value| serde_json::to_string(&value).unwrap_or_default());
    let mut syntax = environment.syntax().to_builder();
    syntax.trim_blocks(true).lstrip_blocks(true).keep_trailing_newline(true);
    environment.set_syntax(syntax.build().expect("only whitespace is configured"));
    environment.render_str(template, Serde(values)).expect("embedded templates are rendered in the tests")
}
