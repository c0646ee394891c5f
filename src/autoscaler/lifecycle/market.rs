//! What can be bought now: the classes that are ready, and one catalogue for all of them.
//!
//! Kept until a class changes or the cloud says that something else can be had. Where classes differ in what
//! nodes they make of a type, the catalogue has the type once for each class, with the class as a label.

use std::collections::BTreeMap;
use std::sync::Arc;

use tokio::sync::Mutex;

use super::plan_claims::NODE_CLASS;
use crate::autoscaler::api::EC2NodeClass;
use crate::autoscaler::cloud::ResolvedClass;
use crate::autoscaler::runtime::Context;
use crate::autoscaler::state::cluster::Cluster;
use crate::autoscaler::state::instance_types::Catalogue;
use crate::autoscaler::state::names::Names;
use crate::autoscaler::state::requirements::ValueSet;

/// What can be bought.
#[derive(Debug, Default)]
pub struct Stock {
    /// The types, in the words of the live state.
    pub catalogue: Catalogue,
    /// The classes that nodes can be launched from, by name.
    pub classes: BTreeMap<String, Arc<ResolvedClass>>,
    /// Whether the catalogue has types once for each class.
    by_class: bool,
}

impl Stock {
    /// Makes a cluster buy for each pool from what its class can give.
    pub fn restrict(&self, cluster: &mut Cluster, class_of: impl Fn(&str) -> Option<String>) {
        if !self.by_class {
            return;
        }
        let key = cluster.names.key(NODE_CLASS);
        for pool in &mut cluster.pools {
            if let Some(class) = class_of(cluster.names.text(pool.name)) {
                let class = cluster.names.strings.intern(&class);
                pool.requirements.add(key, ValueSet::single(class));
            }
        }
    }
}

/// Keeps what can be bought. Cloning it is cheap.
#[derive(Clone, Debug, Default)]
pub struct Market(Arc<Mutex<Kept>>);

#[derive(Debug, Default)]
struct Kept {
    stock: Arc<Stock>,
    /// What it was read with: the cloud's version, and the classes.
    key: Option<(u64, Vec<Arc<ResolvedClass>>)>,
}

impl Market {
    /// What can be bought now.
    pub async fn stock(&self, context: &Context) -> Arc<Stock> {
        let classes = usable_classes(context);
        let mut resolved = BTreeMap::new();
        for class in classes {
            let name = class.metadata.name.clone().unwrap_or_default();
            match context.cloud.resolve(&class).await {
                Ok(found) => drop(resolved.insert(name, found)),
                Err(fault) => tracing::debug!(class = name, %fault, "a class that nothing can be launched from"),
            }
        }
        let mut kept = self.0.lock().await;
        let key = (context.cloud.catalogue_version(), resolved.values().cloned().collect::<Vec<_>>());
        let same = kept.key.as_ref().is_some_and(|(version, classes)| {
            *version == key.0 && classes.len() == key.1.len() && classes.iter().zip(&key.1).all(|(a, b)| a == b)
        });
        if !same && let Some(stock) = read(context, resolved).await {
            (kept.stock, kept.key) = (Arc::new(stock), Some(key));
        }
        Arc::clone(&kept.stock)
    }

    /// What could be bought when it was last asked for; `None` while that is being looked up.
    pub fn last(&self) -> Option<Arc<Stock>> {
        self.0.try_lock().ok().map(|kept| Arc::clone(&kept.stock))
    }
}

/// The classes that are ready.
fn usable_classes(context: &Context) -> Vec<Arc<EC2NodeClass>> {
    let live = context.live.lock();
    live.classes().filter(|class| class.ready()).map(|class| Arc::clone(&class.object)).collect()
}

/// The catalogues of all classes as one; `None` when one of them cannot be read now.
async fn read(context: &Context, classes: BTreeMap<String, Arc<ResolvedClass>>) -> Option<Stock> {
    let mut each: Vec<(String, Catalogue)> = Vec::new();
    for (name, class) in &classes {
        let mut names = Names::default();
        match context.cloud.catalogue(&mut names, class).await {
            Ok(catalogue) => {
                let catalogue = context.live.lock().adopt(&catalogue, &names);
                each.push((name.clone(), catalogue));
            }
            Err(error) => {
                tracing::warn!(class = name, %error, "what can be bought is not known: the last answer counts on");
                return None;
            }
        }
    }
    let alike = each.windows(2).all(|pair| pair[0].1.types == pair[1].1.types);
    if alike {
        let catalogue = each.into_iter().next().map(|(_, catalogue)| catalogue).unwrap_or_default();
        return Some(Stock { catalogue, classes, by_class: false });
    }
    let mut catalogue = Catalogue::default();
    let mut live = context.live.lock();
    for (class, of_class) in each {
        let label = live.with_names(|names| (names.key(NODE_CLASS), names.strings.intern(&class)));
        for mut instance_type in of_class.types {
            let mut labels = instance_type.labels.to_vec();
            labels.push(label);
            labels.sort_unstable();
            instance_type.labels = labels.into();
            catalogue.add(instance_type);
        }
    }
    Some(Stock { catalogue, classes, by_class: true })
}
