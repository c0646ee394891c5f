//! The weather as the command line says it: a file, and single settings over it.

use std::fs;
use std::path::PathBuf;

use anyhow::{Context, Result, bail};
use clap::Args;
use sandbox::Weather;
use serde_json::{Map, Value};

/// Where the weather comes from.
#[derive(Args)]
pub(crate) struct WeatherArguments {
    /// A JSON file with the weather.
    #[arg(long, value_name = "FILE")]
    weather: Option<PathBuf>,
    /// One setting: `latency_ms=60`, `seconds.cluster=20`, `deny=ec2:CreateVpc,eks:*`.
    #[arg(long = "set", value_name = "KEY=VALUE")]
    set: Vec<String>,
}

impl WeatherArguments {
    /// The weather that was asked for; what was not said is fine.
    pub(crate) fn parse(&self) -> Result<Weather> {
        let mut weather = match &self.weather {
            Some(path) => {
                let text = fs::read_to_string(path).with_context(|| format!("reading `{}`", path.display()))?;
                serde_json::from_str(&text).with_context(|| format!("`{}` is no JSON object", path.display()))?
            }
            None => Map::new(),
        };
        for setting in &self.set {
            let Some((key, value)) = setting.split_once('=') else {
                bail!("`--set {setting}` has no `=`: write `--set latency_ms=60`");
            };
            put(&mut weather, key, value).with_context(|| format!("in `--set {setting}`"))?;
        }
        serde_json::from_value(Value::Object(weather)).context("no such weather")
    }
}

/// Puts one setting in its place; a dot in the key goes one level down.
fn put(weather: &mut Map<String, Value>, key: &str, value: &str) -> Result<()> {
    if let Some((outer, inner)) = key.split_once('.') {
        let below = weather.entry(outer).or_insert_with(|| Value::Object(Map::new()));
        let Value::Object(below) = below else { bail!("`{outer}` has nothing below it") };
        return put(below, inner, value);
    }
    weather.insert(key.to_owned(), parsed(key, value));
    Ok(())
}

/// The value as JSON where it is, as a list where the key wants one, as text otherwise.
fn parsed(key: &str, value: &str) -> Value {
    match serde_json::from_str(value) {
        Ok(value) => value,
        Err(_) if matches!(key, "deny" | "insufficient_capacity" | "callers" | "calls") => {
            value.split(',').map(Value::from).collect()
        }
        Err(_) => Value::from(value),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(settings: &[&str]) -> Result<Weather> {
        let set = settings.iter().map(|text| (*text).to_owned()).collect();
        WeatherArguments { weather: None, set }.parse()
    }

    #[test]
    fn settings_of_every_form_reach_the_weather() -> Result<()> {
        let weather = parse(&[
            "latency_ms=60",
            "seconds.cluster=20",
            "deny=ec2:CreateVpc,eks:*",
            "kill_at=3",
            "expired=true",
            "quotas.L-F678F1CE=5",
        ])?;
        assert_eq!(weather.latency_ms, 60.0);
        assert_eq!(weather.seconds[&sandbox::Kind::Cluster], 20.0);
        assert_eq!(weather.deny, ["ec2:CreateVpc", "eks:*"]);
        assert_eq!(weather.kill_at, Some(3));
        assert!(weather.expired);
        assert_eq!(weather.quotas["L-F678F1CE"], 5.0);
        Ok(())
    }

    #[test]
    fn a_setting_that_does_not_exist_is_refused() {
        assert!(parse(&["latencyms=60"]).is_err());
        assert!(parse(&["seconds.castle=60"]).is_err());
        assert!(parse(&["latency_ms"]).is_err());
    }
}
