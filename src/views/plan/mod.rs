//! A plan as people read it, as programs read it, and as a pull request shows it. What is said about
//! a change is decided once, in [`page`]; the three forms only lay it out.

mod difference;
mod essence;
mod json;
mod markdown;
mod page;
#[cfg(test)]
mod tests;
mod text;
mod unknown;

pub use json::plan_json;
pub use markdown::plan_markdown;
pub use text::{nothing_to_do, plan_text};
