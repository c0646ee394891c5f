//! The problem in the form that packing works on: items with sizes, shapes with capacities,
//! and the few rules that still matter once zones have been dealt out.

use super::vector::Vector;
use crate::state::instance_types::Price;

/// A set of small numbers.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct BitSet(Vec<u64>);

impl BitSet {
    /// Adds a number.
    pub fn insert(&mut self, number: usize) {
        let word = number / 64;
        if self.0.len() <= word {
            self.0.resize(word + 1, 0);
        }
        self.0[word] |= 1 << (number % 64);
    }

    /// Whether a number is in the set.
    pub fn contains(&self, number: usize) -> bool {
        self.0.get(number / 64).is_some_and(|word| word >> (number % 64) & 1 == 1)
    }

    /// Whether nothing is in the set.
    pub fn is_empty(&self) -> bool {
        self.0.iter().all(|word| *word == 0)
    }

    /// Whether all of `other` is in this set.
    pub fn covers(&self, other: &Self) -> bool {
        other.0.iter().enumerate().all(|(at, word)| word & !self.0.get(at).copied().unwrap_or(0) == 0)
    }
}

/// A rule between pods of one host: where a pod that *carries* the term runs, at most `limit` pods
/// that *match* it may run. Anti-affinity has limit 1 for carriers that match their own term and 0
/// for others; a spread over hosts has its maxSkew; a host port has 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HostTerm {
    /// The most matching pods beside a carrier (itself included).
    pub limit: u32,
    /// Whether a carrier that runs already keeps others away too. A spread only asks where its own pod goes.
    pub mutual: bool,
}

/// How an item takes part in a [`HostTerm`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct HostRule {
    /// Index of the term.
    pub term: u32,
    /// How many pods of one item count as matching.
    pub matches: u32,
    /// Whether one of them carries the term.
    pub carries: bool,
}

/// Pods of one group that may go to the same places: what packing moves about.
#[derive(Clone, Debug)]
pub struct Item {
    /// The group that the pods come from.
    pub group: u32,
    /// How many pods of the group one item stands for (more than one when they must stay together).
    pub pods_each: u32,
    /// Pods of other groups that go with each item: (group, count).
    pub companions: Box<[(u32, u32)]>,
    /// Only nodes that already run certain pods may take it: the host terms of which one pod must be there.
    pub beside: Box<[u32]>,
    /// What one item takes.
    pub size: Vector,
    /// Which shapes accept it, as an index into the bits of [`Shape::accepts`].
    pub class: u32,
    /// The cell that it has been dealt to; `None` goes anywhere.
    pub cell: Option<u16>,
    /// How many there are.
    pub count: u32,
    /// The most of this item on one node.
    pub per_node: u32,
    /// Rules between pods of one host.
    pub rules: Box<[HostRule]>,
    /// What one of them costs at the linear program's prices, in dollars per hour.
    pub value: f64,
    /// The bucket of items alike in size, class and cell.
    pub bucket: u32,
}

/// Items that only differ in their host rules.
#[derive(Clone, Debug)]
pub struct Bucket {
    /// What one item takes.
    pub size: Vector,
    /// See [`Item::class`].
    pub class: u32,
    /// See [`Item::cell`].
    pub cell: Option<u16>,
    /// See [`Item::value`].
    pub value: f64,
}

/// A node that could be bought.
#[derive(Clone, Debug)]
pub struct Shape {
    /// Index of the pool variant.
    pub variant: u32,
    /// Index of the instance type in the catalogue.
    pub instance_type: u32,
    /// Index of the offering of the type.
    pub offering: u32,
    /// Price per hour.
    pub price: Price,
    /// What it leaves for pods, daemons taken off.
    pub capacity: Vector,
    /// Index of the set of classes that it accepts.
    pub accepts: u32,
    /// The cell it belongs to.
    pub cell: u16,
    /// What a dollar of it holds at the linear program's prices; 1 is best.
    pub efficiency: f64,
    /// How much each dimension weighs when it is filled.
    pub weights: [f64; super::vector::MAX_DIMENSIONS],
}

/// A limit of a pool, for the shapes that belong to it.
#[derive(Clone, Debug, Default)]
pub struct PoolLimit {
    /// What is left of each limited resource; the last one counts nodes.
    pub left: Vec<i64>,
}

/// The packing problem.
#[derive(Clone, Debug, Default)]
pub struct Model {
    /// How many dimensions are in use.
    pub dimensions: usize,
    /// What is to be placed.
    pub items: Vec<Item>,
    /// Items alike in size, class and cell.
    pub buckets: Vec<Bucket>,
    /// What can be bought, cheapest first.
    pub shapes: Vec<Shape>,
    /// Sets of classes that shapes accept.
    pub accept_sets: Vec<BitSet>,
    /// Rules between pods of one host.
    pub host_terms: Vec<HostTerm>,
    /// How many cells there are; at least one.
    pub cells: usize,
    /// Shapes by cell, cheapest first.
    pub shapes_of_cell: Vec<Vec<u32>>,
    /// Limits by pool; `None` for pools without.
    pub pool_limits: Vec<Option<PoolLimit>>,
    /// What one node of a shape takes from the limits of its pool, by shape; empty when no pool has limits.
    pub limit_use: Vec<Vec<i64>>,
    /// The pool of each variant.
    pub pool_of_variant: Vec<u32>,
    /// The class of pods (before pool weights) that each class of the model stands for.
    pub base_class: Vec<u32>,
    /// A cost below which no solution can be, in dollars per hour.
    pub bound: f64,
}

impl Model {
    /// Makes shapes dearer by their share of what the limits of their pool leave, of which all is worth so many dollars,
    /// and puts the cheapest first again. Which shape each was before.
    pub fn price_by_limits(&mut self, worth: f64) -> Vec<u32> {
        for (shape, needs) in self.shapes.iter_mut().zip(&self.limit_use) {
            let pool = self.pool_of_variant[shape.variant as usize] as usize;
            let left = self.pool_limits[pool].iter().flat_map(|limit| &limit.left);
            let share = needs.iter().zip(left).map(|(need, left)| *need as f64 / (*left).max(1) as f64);
            let dollars = shape.price.dollars() + worth * share.fold(0.0, f64::max).min(1e3);
            shape.price = Price::from_dollars(dollars).unwrap_or(shape.price);
        }
        let mut order: Vec<u32> = (0_u32..).zip(&self.shapes).map(|(at, _)| at).collect();
        order.sort_by_key(|at| self.shapes[*at as usize].price);
        self.shapes = order.iter().map(|at| self.shapes[*at as usize].clone()).collect();
        self.limit_use = order.iter().map(|at| self.limit_use[*at as usize].clone()).collect();
        order
    }

    /// Whether a shape accepts a class.
    pub fn accepts(&self, shape: &Shape, class: u32) -> bool {
        self.accept_sets[shape.accepts as usize].contains(class as usize)
    }

    /// Whether an item could stand on a shape by class and cell (room and rules aside).
    pub fn allowed(&self, shape: &Shape, item: &Item) -> bool {
        item.cell.is_none_or(|cell| cell == shape.cell) && self.accepts(shape, item.class)
    }

    /// Puts items into buckets, and shapes into cells.
    pub fn index(&mut self) {
        use crate::state::intern::FastMap;
        let mut known: FastMap<(Vector, u32, Option<u16>, u64), u32> = FastMap::default();
        self.buckets.clear();
        for item in &mut self.items {
            let key = (item.size, item.class, item.cell, item.value.to_bits());
            let next = u32::try_from(self.buckets.len()).unwrap_or(u32::MAX);
            item.bucket = *known.entry(key).or_insert(next);
            if item.bucket == next {
                self.buckets.push(Bucket { size: item.size, class: item.class, cell: item.cell, value: item.value });
            }
        }
        self.shapes_of_cell = vec![Vec::new(); self.cells.max(1)];
        for (at, shape) in self.shapes.iter().enumerate() {
            self.shapes_of_cell[usize::from(shape.cell)].push(u32::try_from(at).unwrap_or(u32::MAX));
        }
    }
}
