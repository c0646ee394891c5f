//! `eksup validate`: checks a stack file without asking the cloud anything.

use clap::Args;

use super::arguments::{Format, StackFile};
use super::session::problem_style;
use super::{Exit, output};
use crate::spec;

/// The arguments of `eksup validate`.
#[derive(Debug, Args)]
pub struct Arguments {
    #[command(flatten)]
    stack: StackFile,
    /// In which form mistakes are printed: text, or json for editors and programs.
    #[arg(short, long, value_enum, default_value_t)]
    output: Format,
}

/// Runs the command.
pub fn run(arguments: &Arguments) -> Exit {
    let path = &arguments.stack.path;
    match (spec::read(path), arguments.output) {
        (Ok(loaded), Format::Json) => {
            output::line(serde_json::json!(loaded.warnings.records()));
            Exit::Done
        }
        (Ok(loaded), _) => {
            if !loaded.warnings.is_empty() {
                eprintln!("{}", loaded.warnings.render(problem_style()));
            }
            let about = &loaded.stack.metadata;
            output::line(format!("`{}` is a valid stack file: `{}` in {}", path.display(), about.name, about.region));
            Exit::Done
        }
        (Err(problems), Format::Json) => {
            output::line(serde_json::json!(problems.records()));
            Exit::BadInput
        }
        (Err(problems), _) => {
            eprint!("{}", problems.render(problem_style()));
            Exit::BadInput
        }
    }
}
