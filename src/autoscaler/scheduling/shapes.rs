//! Which nodes could be bought, and which pods each of them accepts.
//!
//! Pods are sorted into *classes* of equal node requirements, tolerations and host ports; a shape
//! accepts a set of classes. Of shapes that accept the same pods only those stay that no other
//! offers as much for as little.

use super::daemons::{daemons_of, overhead};
use super::groups::Groups;
use super::model::{BitSet, PoolLimit, Shape};
use super::problem::Problem;
use super::variants::{Variant, Wanted, tolerates, variants};
use super::vector::{MAX_DIMENSIONS, Vector, fits, vector};
use crate::state::cluster::Cluster;
use crate::state::instance_types::{InstanceType, Offering};
use crate::state::intern::{FastMap, Symbol};
use crate::state::pod_spec::{PodSpec, label};
use crate::state::resources::{Amounts, ResourceId};

/// The values of the topology keys that required terms use, by cell.
#[derive(Clone, Debug, Default)]
pub struct Cells {
    /// The topology keys, hostname aside.
    pub keys: Vec<Symbol>,
    /// The value of each key, by cell.
    pub values: Vec<Vec<Option<Symbol>>>,
    known: FastMap<Vec<Option<Symbol>>, u16>,
}

impl Cells {
    /// Cells over some keys.
    pub fn new(keys: Vec<Symbol>) -> Self {
        Self { keys, ..Self::default() }
    }

    /// The cell of a node, if there is one.
    pub fn known(&self, label_of: impl Fn(Symbol) -> Option<Symbol>) -> Option<u16> {
        let values: Vec<Option<Symbol>> = self.keys.iter().map(|key| label_of(*key)).collect();
        self.known.get(&values).copied()
    }

    /// The cell of a node, made when it is new.
    pub fn of(&mut self, label_of: impl Fn(Symbol) -> Option<Symbol>) -> u16 {
        let values: Vec<Option<Symbol>> = self.keys.iter().map(|key| label_of(*key)).collect();
        if let Some(&cell) = self.known.get(&values) {
            return cell;
        }
        let cell = u16::try_from(self.values.len()).unwrap_or(u16::MAX);
        self.known.insert(values.clone(), cell);
        self.values.push(values);
        cell
    }
}

/// Everything that can be bought.
#[derive(Clone, Debug, Default)]
pub struct Shapes {
    /// Resources in use.
    pub dimensions: Vec<ResourceId>,
    /// Pools with their open labels chosen.
    pub variants: Vec<Variant>,
    /// Class of each group.
    pub class_of_group: Vec<u32>,
    /// One group of each class.
    pub example_of_class: Vec<u32>,
    /// The shapes, cheapest first.
    pub shapes: Vec<Shape>,
    /// Sets of classes.
    pub accept_sets: Vec<BitSet>,
    /// Limits by pool.
    pub pool_limits: Vec<Option<PoolLimit>>,
    /// The resources that a pool limits, by pool.
    pub limited: Vec<Vec<ResourceId>>,
}

impl Shapes {
    /// Finds all shapes of a problem.
    pub fn new(problem: &Problem<'_>, groups: &Groups, cells: &mut Cells) -> Self {
        let wanted = Wanted::new(problem, groups);
        let mut shapes =
            Self { dimensions: problem.dimensions(), variants: variants(problem, &wanted), ..Self::default() };
        shapes.sort_into_classes(problem, groups);
        shapes.read_limits(problem);
        let mut builder = Builder::new(problem, groups, &shapes);
        for variant in 0..shapes.variants.len() {
            builder.add_variant(&shapes, variant, cells);
        }
        builder.keep_choice(&shapes);
        shapes.shapes = builder.found;
        shapes.accept_sets = builder.sets.sets;
        shapes
    }

    fn sort_into_classes(&mut self, problem: &Problem<'_>, groups: &Groups) {
        let cluster = problem.cluster;
        let mut by_spec: FastMap<u32, u32> = FastMap::default();
        let mut known: FastMap<u64, Vec<u32>> = FastMap::default();
        for (at, group) in (0_u32..).zip(&groups.groups) {
            if let Some(&class) = by_spec.get(&group.spec) {
                self.class_of_group.push(class);
                continue;
            }
            let spec = cluster.spec(group.spec);
            let hash = class_hash(spec);
            let list = known.entry(hash).or_default();
            let same = |class: &u32| {
                same_class(cluster.spec(groups.groups[self.example_of_class[*class as usize] as usize].spec), spec)
            };
            let class = match list.iter().copied().find(same) {
                Some(class) => class,
                None => {
                    let class = u32::try_from(self.example_of_class.len()).unwrap_or(u32::MAX);
                    self.example_of_class.push(at);
                    list.push(class);
                    class
                }
            };
            by_spec.insert(group.spec, class);
            self.class_of_group.push(class);
        }
    }

    fn read_limits(&mut self, problem: &Problem<'_>) {
        let cluster = problem.cluster;
        for pool in &cluster.pools {
            let limited: Vec<ResourceId> = pool.limits.iter().map(|(id, _)| id).collect();
            if limited.is_empty() && pool.node_limit.is_none() {
                self.limited.push(Vec::new());
                self.pool_limits.push(None);
                continue;
            }
            let mut left: Vec<i64> = limited.iter().map(|id| pool.limits.get(*id)).collect();
            let mut nodes = pool.node_limit.unwrap_or(i64::MAX);
            for (node, _) in cluster.nodes.iter().zip(&problem.without).filter(|(_, gone)| !**gone) {
                if label(&node.labels, cluster.names.known.node_pool) == Some(pool.name) {
                    for (left, id) in left.iter_mut().zip(&limited) {
                        *left -= node.capacity.get(*id);
                    }
                    nodes -= 1;
                }
            }
            left.push(nodes);
            self.limited.push(limited);
            self.pool_limits.push(Some(PoolLimit { left }));
        }
    }

    /// Whether the limits of its pool leave room for one node of a shape.
    pub fn within_limits(&self, cluster: &Cluster, shape: &Shape) -> bool {
        let pool = self.variants[shape.variant as usize].pool;
        let Some(limit) = &self.pool_limits[pool as usize] else { return true };
        let needs = self.limit_use(pool, &cluster.catalogue.types[shape.instance_type as usize]);
        limit.left.iter().zip(needs).all(|(left, need)| need <= *left)
    }

    /// Whether a node can be bought that a pod of a group fits on.
    pub fn sell(&self, cluster: &Cluster, group: usize, size: &Vector) -> bool {
        let class = self.class_of_group[group] as usize;
        self.shapes.iter().any(|shape| {
            self.accept_sets[shape.accepts as usize].contains(class)
                && fits(size, &shape.capacity, self.dimensions.len())
                && self.within_limits(cluster, shape)
        })
    }

    /// What a node of a type takes from the limits of a pool.
    pub fn limit_use(&self, pool: u32, instance_type: &InstanceType) -> Vec<i64> {
        if self.pool_limits[pool as usize].is_none() {
            return Vec::new();
        }
        self.limited[pool as usize].iter().map(|id| instance_type.capacity.get(*id)).chain([1]).collect()
    }
}

fn class_hash(spec: &PodSpec) -> u64 {
    use std::hash::{Hash, Hasher};
    let mut hasher = crate::state::intern::FastHasher::default();
    (&spec.node_terms, &spec.tolerations, &spec.host_ports).hash(&mut hasher);
    hasher.finish()
}

fn same_class(a: &PodSpec, b: &PodSpec) -> bool {
    a.node_terms == b.node_terms && a.tolerations == b.tolerations && a.host_ports == b.host_ports
}

/// Interned sets of classes.
#[derive(Default)]
pub struct Sets {
    known: FastMap<BitSet, u32>,
    /// The sets.
    pub sets: Vec<BitSet>,
}

impl Sets {
    /// The number of a set.
    pub fn id(&mut self, set: &BitSet) -> u32 {
        if let Some(&id) = self.known.get(set) {
            return id;
        }
        let id = u32::try_from(self.sets.len()).unwrap_or(u32::MAX);
        self.known.insert(set.clone(), id);
        self.sets.push(set.clone());
        id
    }
}

/// Works through pools, types and offerings.
struct Builder<'a> {
    problem: &'a Problem<'a>,
    classes: Vec<&'a PodSpec>,
    /// Whether a class looks at labels that types or offerings decide.
    looks_at_type: Vec<bool>,
    looks_at_offering: Vec<bool>,
    found: Vec<Shape>,
    sets: Sets,
}

impl<'a> Builder<'a> {
    fn new(problem: &'a Problem<'a>, groups: &Groups, shapes: &Shapes) -> Self {
        let cluster = problem.cluster;
        let classes: Vec<&PodSpec> =
            shapes.example_of_class.iter().map(|group| cluster.spec(groups.groups[*group as usize].spec)).collect();
        let decided = |spec: &&PodSpec| {
            spec.node_terms
                .iter()
                .flat_map(|term| term.iter())
                .any(|(key, _)| cluster.catalogue.decides(&cluster.names, key))
        };
        let known = cluster.names.known;
        let offered = |spec: &&PodSpec| {
            spec.node_terms.iter().flat_map(|term| term.iter()).any(|(key, _)| {
                key == known.zone || key == known.capacity_type || super::variants::is_cloud_key(&cluster.names, key)
            })
        };
        Self {
            problem,
            looks_at_type: classes.iter().map(decided).collect(),
            looks_at_offering: classes.iter().map(offered).collect(),
            classes,
            found: Vec::new(),
            sets: Sets::default(),
        }
    }

    fn add_variant(&mut self, shapes: &Shapes, index: usize, cells: &mut Cells) {
        let cluster = self.problem.cluster;
        let names = &cluster.names;
        let variant = &shapes.variants[index];
        let pool = &cluster.pools[variant.pool as usize];
        let variant_label = |key: Symbol| label(&variant.labels, key);
        let daemons = daemons_of(self.problem, pool);
        let open: Vec<bool> = self.classes.iter().map(|spec| tolerates(names, spec, &pool.taints)).collect();
        let at_pool: Vec<bool> = self
            .classes
            .iter()
            .zip(&open)
            .map(|(spec, open)| *open && spec.node_terms.iter().any(|term| term.met_by(&names.strings, variant_label)))
            .collect();
        for (type_at, instance_type) in (0_u32..).zip(&cluster.catalogue.types) {
            if !type_allowed(self.problem, pool, instance_type) {
                continue;
            }
            let type_label = |key: Symbol| variant_label(key).or_else(|| label(&instance_type.labels, key));
            let (overhead, ports) = overhead(names, &daemons, &type_label);
            let mut capacity = room_of(self.problem, &shapes.dimensions, &instance_type.allocatable);
            self.leave_room(&mut capacity);
            for (slot, taken) in capacity.iter_mut().zip(vector(&shapes.dimensions, &overhead)) {
                *slot -= taken;
            }
            if capacity.iter().any(|slot| *slot < 0) {
                continue;
            }
            let at_type: Vec<bool> = (0..self.classes.len())
                .map(|class| {
                    let spec = self.classes[class];
                    open[class]
                        && !spec.host_ports.iter().any(|own| ports.iter().any(|taken| taken.conflicts(own)))
                        && if self.looks_at_offering[class] {
                            true
                        } else if self.looks_at_type[class] {
                            spec.node_terms.iter().any(|term| term.met_by(&names.strings, type_label))
                        } else {
                            at_pool[class]
                        }
                })
                .collect();
            let mut best: Vec<(u32, u16, u32)> = Vec::new();
            for (offering_at, offering) in (0_u32..).zip(&instance_type.offerings) {
                let label_of = |key: Symbol| variant_label(key).or_else(|| instance_type.label(names, offering, key));
                if !offering.available
                    || !pool.requirements.met_by(&names.strings, pool_view(names.known.node_pool, pool.name, &label_of))
                {
                    continue;
                }
                let accepted = self.accepted(&at_type, &label_of);
                if accepted.is_empty() {
                    continue;
                }
                let set = self.sets.id(&accepted);
                let cell = cells.of(label_of);
                keep_cheapest(&mut best, instance_type, offering_at, offering, set, cell);
            }
            for (set, cell, offering) in best {
                self.found.push(Shape {
                    variant: u32::try_from(index).unwrap_or(u32::MAX),
                    instance_type: type_at,
                    offering,
                    price: instance_type.offerings[offering as usize].price,
                    capacity,
                    accepts: set,
                    cell,
                    efficiency: 0.0,
                    weights: [0.0; MAX_DIMENSIONS],
                });
            }
        }
    }

    /// Takes off what is planned to stay free.
    fn leave_room(&self, capacity: &mut Vector) {
        let headroom = self.problem.settings.headroom.clamp(0.0, 0.9);
        if headroom > 0.0 {
            capacity.iter_mut().for_each(|slot| *slot -= (*slot as f64 * headroom) as i64);
        }
    }

    /// In pools that ask for a minimum of values, only shapes stay that enough others of the pool could
    /// stand in for: whatever is put onto such a node, a launch has that many to choose from.
    fn keep_choice(&mut self, shapes: &Shapes) {
        let cluster = self.problem.cluster;
        let dims = shapes.dimensions.len();
        let pool_of = |shape: &Shape| &cluster.pools[shapes.variants[shape.variant as usize].pool as usize];
        if self.found.iter().all(|shape| pool_of(shape).min_values.is_empty()) {
            return;
        }
        let all = std::mem::take(&mut self.found);
        let value = |shape: &Shape, key: Symbol| {
            let instance_type = &cluster.catalogue.types[shape.instance_type as usize];
            instance_type.label(&cluster.names, &instance_type.offerings[shape.offering as usize], key)
        };
        let there = |shape: &Shape, key: Symbol| {
            let own = all.iter().filter(|other| other.variant == shape.variant);
            own.filter_map(|other| value(other, key)).collect::<std::collections::BTreeSet<Symbol>>().len()
        };
        let fewer = self.problem.settings.fewer_values;
        let mut most: std::collections::BTreeMap<(u32, Symbol), usize> = std::collections::BTreeMap::new();
        for shape in &all {
            let enough = pool_of(shape).min_values.iter().all(|(key, least)| {
                let mut least = *least as usize;
                if fewer {
                    least = least.min(*most.entry((shape.variant, *key)).or_insert_with(|| there(shape, *key)));
                }
                let stands_in = |other: &&Shape| {
                    other.variant == shape.variant
                        && other.cell == shape.cell
                        && fits(&shape.capacity, &other.capacity, dims)
                        && self.sets.sets[other.accepts as usize].covers(&self.sets.sets[shape.accepts as usize])
                };
                let values: std::collections::BTreeSet<Symbol> =
                    all.iter().filter(stands_in).filter_map(|other| value(other, *key)).collect();
                values.len() >= least
            });
            if enough {
                self.found.push(shape.clone());
            }
        }
    }

    fn accepted(&self, at_type: &[bool], label_of: &impl Fn(Symbol) -> Option<Symbol>) -> BitSet {
        let names = &self.problem.cluster.names;
        let mut set = BitSet::default();
        for (class, passed) in at_type.iter().enumerate() {
            let fine = *passed
                && (!self.looks_at_offering[class]
                    || self.classes[class].node_terms.iter().any(|term| term.met_by(&names.strings, label_of)));
            if fine {
                set.insert(class);
            }
        }
        set
    }
}

/// The labels that a pool's own requirements see: its name among them.
pub(super) fn pool_view<'a>(
    node_pool: Symbol,
    name: Symbol,
    label_of: &'a impl Fn(Symbol) -> Option<Symbol>,
) -> impl Fn(Symbol) -> Option<Symbol> + 'a {
    move |key| {
        if key == node_pool { Some(name) } else { label_of(key) }
    }
}

/// Whether a type passes those requirements of a pool that do not hang on the offering.
pub(super) fn type_allowed(
    problem: &Problem<'_>,
    pool: &crate::state::pools::Pool,
    instance_type: &InstanceType,
) -> bool {
    let names = &problem.cluster.names;
    pool.requirements.iter().all(|(key, set)| match label(&instance_type.labels, key) {
        Some(value) => set.allows(&names.strings, Some(value)),
        None => true,
    })
}

/// Keeps one offering for each set of accepted classes and cell: the cheapest.
fn keep_cheapest(
    best: &mut Vec<(u32, u16, u32)>,
    of: &InstanceType,
    at: u32,
    offering: &Offering,
    set: u32,
    cell: u16,
) {
    match best.iter_mut().find(|(known, place, _)| *known == set && *place == cell) {
        Some((_, _, held)) => {
            if offering.price < of.offerings[*held as usize].price {
                *held = at;
            }
        }
        None => best.push((set, cell, at)),
    }
}

/// What a node has, by dimension. Volumes are only limited where it says how many it takes.
pub fn room_of(problem: &Problem<'_>, dimensions: &[ResourceId], allocatable: &Amounts) -> Vector {
    let mut room = vector(dimensions, allocatable);
    for (slot, id) in room.iter_mut().zip(dimensions) {
        let limits = problem.cluster.names.resources.name(*id).starts_with("attachable-volumes-");
        if limits && allocatable.stated(*id).is_none() {
            *slot = i64::from(u32::MAX);
        }
    }
    room
}

/// Drops shapes of a pool that another shape of it replaces for every pod, at no higher price.
/// Pools with limits keep all of theirs: there a smaller machine can be worth more than a cheaper one.
pub fn drop_dominated(
    shapes: Vec<Shape>,
    variants: &[Variant],
    limits: &[Option<PoolLimit>],
    sets: &[BitSet],
    dims: usize,
) -> Vec<Shape> {
    let mut sorted = shapes;
    sorted.sort_by(|a, b| {
        a.price
            .cmp(&b.price)
            .then_with(|| b.capacity.cmp(&a.capacity))
            .then(a.variant.cmp(&b.variant))
            .then(a.instance_type.cmp(&b.instance_type))
    });
    let mut kept: Vec<Shape> = Vec::with_capacity(sorted.len().min(256));
    let mut fronts: FastMap<(u32, u16), Vec<u32>> = FastMap::default();
    for shape in sorted {
        let pool = variants[shape.variant as usize].pool;
        if limits[pool as usize].is_some() {
            kept.push(shape);
            continue;
        }
        let front = fronts.entry((pool, shape.cell)).or_default();
        let dominated = front.iter().rev().any(|at| {
            let better = &kept[*at as usize];
            fits(&shape.capacity, &better.capacity, dims)
                && (better.accepts == shape.accepts
                    || sets[better.accepts as usize].covers(&sets[shape.accepts as usize]))
        });
        if !dominated {
            front.push(u32::try_from(kept.len()).unwrap_or(u32::MAX));
            kept.push(shape);
        }
    }
    kept
}
