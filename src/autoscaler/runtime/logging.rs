//! Log lines as JSON, in the shape that collectors know from Karpenter: level, time, logger, message, fields.

use std::fmt::{self, Debug};

use jiff::Timestamp;
use serde_json::{Map, Value};
use tracing::field::{Field, Visit};
use tracing::{Event, Level, Subscriber};
use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::{FmtContext, FormatEvent, FormatFields};
use tracing_subscriber::registry::LookupSpan;

use super::settings::LogLevel;

/// Logs from now on. `EKSUP_LOG` says more or less of single parts.
pub fn start(level: LogLevel) {
    let level = match level {
        LogLevel::Debug => "info,eksup=debug",
        LogLevel::Info => "warn,eksup=info",
        LogLevel::Warn => "warn",
        LogLevel::Error => "error",
    };
    let filter = EnvFilter::try_from_env("EKSUP_LOG").unwrap_or_else(|_| level.into());
    let lines = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    // Whoever has set up logging before keeps it.
    let _ = lines.event_format(Lines).try_init();
}

struct Lines;

impl<S, N> FormatEvent<S, N> for Lines
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
{
    fn format_event(&self, _: &FmtContext<'_, S, N>, mut out: Writer<'_>, event: &Event<'_>) -> fmt::Result {
        writeln!(out, "{}", line(event, Timestamp::now()))
    }
}

fn line(event: &Event<'_>, now: Timestamp) -> Value {
    let metadata = event.metadata();
    let mut fields = Fields::default();
    event.record(&mut fields);
    let level = match *metadata.level() {
        Level::ERROR => "ERROR",
        Level::WARN => "WARN",
        Level::INFO => "INFO",
        _ => "DEBUG",
    };
    let mut all = Map::new();
    all.insert("level".to_owned(), level.into());
    all.insert("time".to_owned(), format!("{now:.3}").into());
    all.insert("logger".to_owned(), logger(metadata.target()).into());
    all.insert("message".to_owned(), fields.message.into());
    all.extend(fields.others);
    Value::Object(all)
}

/// `eksup::autoscaler::runtime::leader` is `runtime.leader`.
fn logger(target: &str) -> String {
    target.trim_start_matches("eksup::").trim_start_matches("autoscaler::").replace("::", ".")
}

#[derive(Default)]
struct Fields {
    message: String,
    others: Map<String, Value>,
}

impl Fields {
    fn put(&mut self, field: &Field, value: Value) {
        match (field.name(), value) {
            ("message", Value::String(text)) => self.message = text,
            (name, value) => {
                self.others.insert(name.to_owned(), value);
            }
        }
    }
}

impl Visit for Fields {
    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        self.put(field, format!("{value:?}").into());
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.put(field, value.into());
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.put(field, value.into());
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.put(field, value.into());
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.put(field, value.into());
    }

    fn record_f64(&mut self, field: &Field, value: f64) {
        self.put(field, value.into());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;
    use std::sync::{Arc, Mutex};

    #[derive(Clone, Default)]
    struct Written(Arc<Mutex<Vec<u8>>>);

    impl Write for Written {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.0.lock().expect("a lock").write(bytes)
        }

        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn a_line_is_one_json_object_with_karpenters_keys() {
        let written = Written::default();
        let to = written.clone();
        let subscriber = tracing_subscriber::fmt().with_writer(move || to.clone()).event_format(Lines).finish();
        tracing::subscriber::with_default(subscriber, || tracing::info!(node = "a", count = 3, "it \"works\""));
        let text = String::from_utf8(written.0.lock().expect("a lock").clone()).expect("text");
        let line: Value = serde_json::from_str(&text).expect("JSON");
        assert_eq!((&line["level"], &line["message"]), (&"INFO".into(), &"it \"works\"".into()));
        assert_eq!((&line["node"], &line["count"]), (&"a".into(), &3.into()));
        assert_eq!(line["logger"], "runtime.logging.tests");
        assert!(line["time"].as_str().is_some_and(|time| time.parse::<Timestamp>().is_ok()), "{line}");
    }
}
