//! `sandbox`: a local cloud to try eksup on, by hand.

#![forbid(unsafe_code)]

mod command;
mod settings;

use std::io::Write;
use std::process::ExitCode;

use anyhow::Result;
use clap::{Args, Parser, Subcommand};
use sandbox::registry;

use settings::WeatherArguments;

/// A local cloud that behaves like AWS, on its bad days too.
#[derive(Parser)]
#[command(version)]
struct Arguments {
    #[command(subcommand)]
    command: Verb,
}

#[derive(Subcommand)]
enum Verb {
    /// Start a cloud that stays; prints what `eval` makes a shell use it with.
    Up {
        /// What to call it; several can be up.
        #[arg(default_value = "default")]
        name: String,
        #[command(flatten)]
        kubernetes: KubernetesArguments,
        #[command(flatten)]
        weather: WeatherArguments,
    },
    /// Install and build everything now that a cloud installs and builds on first use.
    Build {
        /// Programs beyond that, by name: `karpenter` is upstream Karpenter, to be measured and to hand fleets to.
        #[arg(value_name = "PROGRAM")]
        besides: Vec<String>,
    },
    /// End a cloud that is up.
    Down {
        /// Which one.
        #[arg(default_value = "default")]
        name: String,
    },
    /// List the clouds that are up.
    List,
    /// Change the weather of a cloud that is up; what is not set goes back to fine.
    Weather {
        /// Which one.
        #[arg(default_value = "default")]
        name: String,
        #[command(flatten)]
        weather: WeatherArguments,
    },
    /// Start a cloud, run a command that uses it, end the cloud; the exit code is the command's.
    Run {
        #[command(flatten)]
        kubernetes: KubernetesArguments,
        #[command(flatten)]
        weather: WeatherArguments,
        /// The command and its arguments.
        #[arg(last = true, required = true)]
        command: Vec<std::ffi::OsString>,
    },
}

/// Whether clusters are real.
#[derive(Args)]
struct KubernetesArguments {
    /// Give every EKS cluster a real control plane; building it takes minutes the first time.
    #[arg(long)]
    kubernetes: bool,
}

fn main() -> ExitCode {
    match perform(Arguments::parse().command) {
        Ok(code) => code,
        Err(error) => {
            let _ = writeln!(std::io::stderr(), "sandbox: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn perform(verb: Verb) -> Result<ExitCode> {
    match verb {
        Verb::Up { name, kubernetes, weather } => up(&name, &weather, kubernetes.kubernetes)?,
        Verb::Build { besides } => build(&besides)?,
        Verb::Down { name } => registry::down(&name)?,
        Verb::List => list()?,
        Verb::Weather { name, weather } => change(&name, &weather)?,
        Verb::Run { kubernetes, weather, command } => {
            return command::run(&weather.parse()?, kubernetes.kubernetes, &command);
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// Everything that takes time the first time, done now.
fn build(besides: &[String]) -> Result<()> {
    sandbox::install::python()?;
    let mut built: Vec<_> = sandbox::go::build_all()?.into_values().collect();
    for name in besides {
        built.push(sandbox::go::program(name)?);
    }
    let mut out = std::io::stdout().lock();
    for path in built {
        writeln!(out, "{}", path.display())?;
    }
    Ok(())
}

fn up(name: &str, weather: &WeatherArguments, kubernetes: bool) -> Result<()> {
    let cloud = registry::up(name, &weather.parse()?, kubernetes)?;
    let mut out = std::io::stdout().lock();
    for (name, value) in cloud.access().environment() {
        writeln!(out, "export {name}={value}")?;
    }
    for name in sandbox::CONFUSING_VARIABLES {
        writeln!(out, "unset {name}")?;
    }
    writeln!(std::io::stderr(), "sandbox: `{name}` is up on {}", cloud.access().endpoint())?;
    Ok(())
}

fn list() -> Result<()> {
    let mut out = std::io::stdout().lock();
    for cloud in registry::list()? {
        let (endpoint, log) = (cloud.access().endpoint(), cloud.log.display().to_string());
        writeln!(out, "{}\t{endpoint}\tpid {}\t{log}", cloud.name, cloud.pid)?;
    }
    Ok(())
}

fn change(name: &str, weather: &WeatherArguments) -> Result<()> {
    let clouds = registry::list()?;
    let Some(cloud) = clouds.iter().find(|cloud| cloud.name == name) else {
        anyhow::bail!("no cloud called `{name}` is up");
    };
    cloud.access().set_weather(&weather.parse()?)
}
