//! Counters, gauges and histograms with labels, of which only the values are told each time.

use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::Registry;
use std::sync::atomic::AtomicU64;

type Labels<const N: usize> = [(&'static str, String); N];
type Amount = Gauge<f64, AtomicU64>;

/// From a hundredth of a second to an hour.
const SECONDS: [f64; 18] =
    [0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.0, 5.0, 10.0, 20.0, 30.0, 60.0, 120.0, 300.0, 600.0, 1800.0, 3600.0];

fn seconds() -> Histogram {
    Histogram::new(SECONDS)
}

fn labelled<const N: usize>(names: [&'static str; N], values: [&str; N]) -> Labels<N> {
    let mut values = values.into_iter();
    names.map(|name| (name, values.next().unwrap_or_default().to_owned()))
}

/// Something that is counted.
#[derive(Clone, Debug)]
pub struct Count<const N: usize> {
    names: [&'static str; N],
    family: Family<Labels<N>, Counter>,
}

impl<const N: usize> Count<N> {
    /// Registers it; `_total` is added to the name.
    pub(super) fn new(registry: &mut Registry, name: &str, help: &str, names: [&'static str; N]) -> Self {
        let family = Family::default();
        registry.register(name, help, family.clone());
        Self { names, family }
    }

    /// One more.
    pub fn count(&self, values: [&str; N]) {
        self.add(values, 1);
    }

    /// So many more.
    pub fn add(&self, values: [&str; N], more: u64) {
        self.family.get_or_create(&labelled(self.names, values)).inc_by(more);
    }

    /// How many there have been.
    pub fn value(&self, values: [&str; N]) -> u64 {
        self.family.get_or_create(&labelled(self.names, values)).get()
    }
}

/// Something that goes up and down.
#[derive(Clone, Debug)]
pub struct Level<const N: usize> {
    names: [&'static str; N],
    family: Family<Labels<N>, Amount>,
}

impl<const N: usize> Level<N> {
    /// Registers it.
    pub(super) fn new(registry: &mut Registry, name: &str, help: &str, names: [&'static str; N]) -> Self {
        let family = Family::default();
        registry.register(name, help, family.clone());
        Self { names, family }
    }

    /// It is so much now.
    pub fn set(&self, values: [&str; N], level: f64) {
        self.family.get_or_create(&labelled(self.names, values)).set(level);
    }

    /// It is no more.
    pub fn forget(&self, values: [&str; N]) {
        self.family.remove(&labelled(self.names, values));
    }
}

/// How long something takes.
#[derive(Clone, Debug)]
pub struct Time<const N: usize> {
    names: [&'static str; N],
    family: Family<Labels<N>, Histogram, fn() -> Histogram>,
}

impl<const N: usize> Time<N> {
    /// Registers it.
    pub(super) fn new(registry: &mut Registry, name: &str, help: &str, names: [&'static str; N]) -> Self {
        Self::with(registry, name, help, names, seconds)
    }

    /// Registers it with buckets of its own.
    pub(super) fn with(
        registry: &mut Registry,
        name: &str,
        help: &str,
        names: [&'static str; N],
        buckets: fn() -> Histogram,
    ) -> Self {
        let family = Family::new_with_constructor(buckets);
        registry.register(name, help, family.clone());
        Self { names, family }
    }

    /// It took so many seconds, or was so large.
    pub fn took(&self, values: [&str; N], seconds: f64) {
        self.family.get_or_create(&labelled(self.names, values)).observe(seconds);
    }
}
