//! The command line of eksup.

use std::process::ExitCode;

fn main() -> ExitCode {
    eksup::cli::main()
}
