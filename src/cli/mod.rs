//! The command line: one file per command, and what a command's end means to the shell.

mod apply;
mod arguments;
mod autoscaler;
mod completions;
mod destroy;
mod exit;
mod graph;
mod init;
mod kubeconfig;
mod output;
mod outputs;
mod plan;
mod render;
mod run;
mod schema;
mod session;
mod signals;
mod token;
mod validate;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

pub use exit::Exit;

/// Builds a whole autoscaling EKS platform from one file, shows what it will change before it does,
/// and takes it all down again without leaving anything behind.
#[derive(Debug, Parser)]
#[command(name = "eksup", version, max_term_width = 100, after_help = AFTER_HELP)]
struct Eksup {
    #[command(subcommand)]
    command: Command,
    /// Log what eksup asks the cloud: `EKSUP_LOG=debug` says more.
    #[arg(long, short, global = true)]
    verbose: bool,
}

const AFTER_HELP: &str = "Credentials, profiles and endpoints are found as the AWS CLI finds them.\n\
Exit codes: 0 done or no change, 1 failed, 2 changes pending (`plan --detailed-exitcode`), 3 bad input.";

#[derive(Debug, Subcommand)]
enum Command {
    /// Show what would change, and change nothing.
    Plan(plan::Arguments),
    /// Make the cloud as the stack file says.
    Apply(apply::Arguments),
    /// Take everything of the stack away, and prove that nothing is left.
    Destroy(destroy::Arguments),
    /// Check a stack file without asking the cloud anything.
    Validate(validate::Arguments),
    /// Write a stack file to start from.
    Init(init::Arguments),
    /// Show policies, user data and templates as they would be used, without asking the cloud anything.
    Render(render::Arguments),
    /// Show what the stack's resources are called: ids, ARNs, endpoints.
    Outputs(outputs::Arguments),
    /// Write the way into the stack's cluster into a kubeconfig, and leave what is in there as it is.
    Kubeconfig(kubeconfig::Arguments),
    /// Print a token for a cluster, as kubectl asks for it.
    Token(token::Arguments),
    /// Show what waits for what.
    Graph(graph::Arguments),
    /// Scale the nodes of a cluster, or work out which nodes workloads need.
    Autoscaler(autoscaler::Arguments),
    /// Print the JSON Schema of the stack file, for editors.
    Schema,
    /// Print completions for a shell.
    Completions(completions::Arguments),
}

/// Parses the command line, runs the command, and says how it ended.
pub fn main() -> ExitCode {
    let eksup = match Eksup::try_parse() {
        Ok(eksup) => eksup,
        Err(error) => {
            let _ = error.print();
            return if error.use_stderr() { Exit::BadInput.into() } else { Exit::Done.into() };
        }
    };
    if !matches!(&eksup.command, Command::Autoscaler(arguments) if arguments.logs_itself()) {
        start_logging(eksup.verbose);
    }
    match eksup.command {
        Command::Schema => schema::run(),
        Command::Completions(arguments) => completions::run(&arguments),
        Command::Validate(arguments) => validate::run(&arguments),
        Command::Init(arguments) => init::run(&arguments),
        Command::Render(arguments) => render::run(&arguments),
        Command::Plan(arguments) => session::block_on(plan::run(arguments)),
        Command::Apply(arguments) => session::block_on(apply::run(arguments)),
        Command::Destroy(arguments) => session::block_on(destroy::run(arguments)),
        Command::Outputs(arguments) => session::block_on(outputs::run(arguments)),
        Command::Kubeconfig(arguments) => session::block_on(kubeconfig::run(arguments)),
        Command::Token(arguments) => session::block_on(token::run(arguments)),
        Command::Autoscaler(arguments) => autoscaler::run(&arguments),
        Command::Graph(arguments) => graph::run(&arguments),
    }
    .into()
}

fn start_logging(verbose: bool) {
    let default = if verbose { "eksup=debug" } else { "off" };
    let filter = tracing_subscriber::EnvFilter::try_from_env("EKSUP_LOG").unwrap_or_else(|_| default.into());
    tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).init();
}
