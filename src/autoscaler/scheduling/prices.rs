//! What CPU, memory and the other resources are worth: the dual of a linear program in which pods
//! may be split and spread over any machines that accept them. Its value is a lower bound of the
//! cost; its prices tell which machines are worth their money and what each pod costs.
//!
//! One more resource stands for the node itself: when a rule lets a node hold only so many pods of
//! some kind, opening nodes has a price of its own.

use super::model::{Item, Model};
use super::simplex::Program;
use super::vector::MAX_DIMENSIONS;
use std::collections::BTreeMap;

/// More columns than this, and kinds of pods are priced together.
const MOST_COLUMNS: usize = 160;
const MOST_PIVOTS: usize = 3000;

/// Pods that may go to the same machines.
type Kind = (u32, Option<u16>);

/// Sets values, efficiencies, weights and the bound of a model.
pub fn set_prices(model: &mut Model) {
    let slot = scarce_slot(model);
    let dims = model.dimensions + usize::from(slot.is_some());
    let kinds = kinds(model);
    let layout = Layout::new(model, &kinds, dims).unwrap_or_else(|| Layout::merged(model, &kinds));
    let total = totals(model, slot, dims);
    let demand = demands(model, slot, &layout, &total, dims);
    let mut prices = solve(model, &layout, &demand, &total, dims);
    make_feasible(model, &layout, &mut prices, &total, dims);
    apply(model, &layout, &prices, &total, slot, dims);
    model.bound = demand.iter().zip(&prices).map(|(d, p)| d * p).sum();
}

/// The host term that forces the most nodes, with how much of a node one carrier takes.
fn scarce_slot(model: &Model) -> Option<u32> {
    let mut wanted = vec![0_u64; model.host_terms.len()];
    for item in &model.items {
        for rule in &item.rules {
            if rule.matches > 0 && rule.carries && model.host_terms[rule.term as usize].limit > 0 {
                wanted[rule.term as usize] += u64::from(item.count) * u64::from(rule.matches);
            }
        }
    }
    let nodes = |(term, count): (usize, &u64)| (*count / u64::from(model.host_terms[term].limit.max(1)), term);
    wanted
        .iter()
        .enumerate()
        .filter(|(_, count)| **count > 1)
        .map(nodes)
        .max()
        .and_then(|(_, term)| u32::try_from(term).ok())
}

fn slot_share(model: &Model, item: &Item, slot: Option<u32>) -> f64 {
    let uses =
        slot.is_some_and(|term| item.rules.iter().any(|rule| rule.term == term && rule.matches > 0 && rule.carries));
    match slot {
        Some(term) if uses => 1.0 / f64::from(model.host_terms[term as usize].limit.max(1)),
        _ => 0.0,
    }
}

fn kinds(model: &Model) -> Vec<Kind> {
    let mut kinds: Vec<Kind> = model.items.iter().map(|item| (item.class, item.cell)).collect();
    kinds.sort_unstable();
    kinds.dedup();
    kinds
}

/// Which columns there are: prices per kind, and per set of kinds that some shapes accept.
struct Layout {
    /// Column block of each kind.
    kind_block: BTreeMap<Kind, usize>,
    /// Column block of each (accept set, cell).
    shape_block: BTreeMap<(u32, u16), usize>,
    /// Kind block ≤ set block.
    within: Vec<(usize, usize)>,
    blocks: usize,
}

impl Layout {
    /// One block per kind, unless that makes too many columns.
    fn new(model: &Model, kinds: &[Kind], dims: usize) -> Option<Self> {
        if kinds.len() * dims > MOST_COLUMNS {
            return None;
        }
        let kind_block: BTreeMap<Kind, usize> = kinds.iter().copied().zip(0..).collect();
        let mut layout = Self { kind_block, shape_block: BTreeMap::new(), within: Vec::new(), blocks: kinds.len() };
        let mut known: BTreeMap<Vec<usize>, usize> = BTreeMap::new();
        for shape in &model.shapes {
            let key = (shape.accepts, shape.cell);
            if layout.shape_block.contains_key(&key) {
                continue;
            }
            let set = &model.accept_sets[shape.accepts as usize];
            let members: Vec<usize> = kinds
                .iter()
                .enumerate()
                .filter(|(_, (class, cell))| {
                    set.contains(*class as usize) && cell.is_none_or(|cell| cell == shape.cell)
                })
                .map(|(at, _)| at)
                .collect();
            let block = match members.as_slice() {
                [] => continue,
                [only] => *only,
                _ => *known.entry(members.clone()).or_insert_with(|| {
                    layout.blocks += 1;
                    layout.within.extend(members.iter().map(|member| (*member, layout.blocks - 1)));
                    layout.blocks - 1
                }),
            };
            layout.shape_block.insert(key, block);
        }
        (layout.blocks * dims <= MOST_COLUMNS).then_some(layout)
    }

    /// The columns that some machine has something of.
    fn held(&self, model: &Model, dims: usize) -> Vec<bool> {
        let mut held = vec![false; self.blocks * dims];
        for shape in &model.shapes {
            if let Some(block) = self.shape_block.get(&(shape.accepts, shape.cell)) {
                for dim in 0..dims {
                    held[block * dims + dim] |= capacity(model, shape, dim) > 0.0;
                }
            }
        }
        held
    }

    /// All kinds in one block: as if every machine accepted all of them, which keeps the bound valid.
    fn merged(model: &Model, kinds: &[Kind]) -> Self {
        Self {
            kind_block: kinds.iter().map(|kind| (*kind, 0)).collect(),
            shape_block: model.shapes.iter().map(|shape| ((shape.accepts, shape.cell), 0)).collect(),
            within: Vec::new(),
            blocks: 1,
        }
    }
}

fn amount(model: &Model, item: &Item, slot: Option<u32>, dim: usize) -> f64 {
    if dim < model.dimensions { item.size[dim].max(0) as f64 } else { slot_share(model, item, slot) }
}

fn totals(model: &Model, slot: Option<u32>, dims: usize) -> Vec<f64> {
    let mut total = vec![0.0; dims];
    for item in &model.items {
        for (dim, sum) in total.iter_mut().enumerate() {
            *sum += amount(model, item, slot, dim) * f64::from(item.count);
        }
    }
    total.iter().map(|sum| sum.max(1e-9)).collect()
}

/// Demand by block and dimension, as a share of the total.
fn demands(model: &Model, slot: Option<u32>, layout: &Layout, total: &[f64], dims: usize) -> Vec<f64> {
    let mut demand = vec![0.0; layout.blocks * dims];
    for item in &model.items {
        let block = layout.kind_block[&(item.class, item.cell)];
        for dim in 0..dims {
            demand[block * dims + dim] += amount(model, item, slot, dim) * f64::from(item.count) / total[dim];
        }
    }
    demand
}

fn solve(model: &Model, layout: &Layout, demand: &[f64], total: &[f64], dims: usize) -> Vec<f64> {
    let columns = layout.blocks * dims;
    let mut program = Program { objective: demand.to_vec(), ..Program::default() };
    let mut row = vec![0.0; columns];
    for shape in &model.shapes {
        let Some(block) = layout.shape_block.get(&(shape.accepts, shape.cell)) else {
            continue;
        };
        row.fill(0.0);
        for dim in 0..dims {
            row[block * dims + dim] = capacity(model, shape, dim) / total[dim];
        }
        // Scaled so that the largest coefficient is one: machines differ by a factor of thousands.
        let largest = row.iter().copied().fold(1e-12, f64::max);
        row.iter_mut().for_each(|entry| *entry /= largest);
        program.constrain(&row, shape.price.dollars() / largest);
    }
    // What no machine of a set has does not hold the price of a kind down: other machines may have it.
    let held = layout.held(model, dims);
    for (kind, set) in &layout.within {
        for dim in (0..dims).filter(|dim| held[set * dims + dim]) {
            row.fill(0.0);
            row[kind * dims + dim] = 1.0;
            row[set * dims + dim] = -1.0;
            program.constrain(&row, 0.0);
        }
    }
    // What no machine at all has for a kind has no price.
    for block in 0..layout.blocks {
        for dim in 0..dims {
            let bounded = held[block * dims + dim]
                || layout.within.iter().any(|(kind, set)| *kind == block && held[set * dims + dim]);
            if !bounded {
                row.fill(0.0);
                row[block * dims + dim] = 1.0;
                program.constrain(&row, 0.0);
            }
        }
    }
    program.maximise(MOST_PIVOTS)
}

/// Rounding must never make the bound too high: prices are lowered until no machine is worth more
/// than it costs, and no kind of pod more than the machines that take it.
fn make_feasible(model: &Model, layout: &Layout, prices: &mut [f64], total: &[f64], dims: usize) {
    let held = layout.held(model, dims);
    for (kind, set) in &layout.within {
        for dim in (0..dims).filter(|dim| held[set * dims + dim]) {
            prices[kind * dims + dim] = prices[kind * dims + dim].min(prices[set * dims + dim]);
        }
    }
    let mut worst: f64 = 1.0;
    for shape in &model.shapes {
        let Some(block) = layout.shape_block.get(&(shape.accepts, shape.cell)) else {
            continue;
        };
        let worth: f64 =
            (0..dims).map(|dim| prices[block * dims + dim] * capacity(model, shape, dim) / total[dim]).sum();
        worst = worst.max(worth / shape.price.dollars().max(1e-12));
    }
    for price in prices {
        *price /= worst;
    }
}

fn capacity(model: &Model, shape: &super::model::Shape, dim: usize) -> f64 {
    if dim < model.dimensions { shape.capacity[dim].max(0) as f64 } else { 1.0 }
}

fn apply(model: &mut Model, layout: &Layout, prices: &[f64], total: &[f64], slot: Option<u32>, dims: usize) {
    let values: Vec<f64> = model
        .items
        .iter()
        .map(|item| {
            let block = layout.kind_block[&(item.class, item.cell)];
            let value: f64 =
                (0..dims).map(|dim| prices[block * dims + dim] * amount(model, item, slot, dim) / total[dim]).sum();
            // Even what is free at these prices is worth placing.
            let share: f64 = (0..dims).map(|dim| amount(model, item, slot, dim) / total[dim]).sum();
            value + share * 1e-6
        })
        .collect();
    for (item, value) in model.items.iter_mut().zip(values) {
        item.value = value;
    }
    for shape in &mut model.shapes {
        let block = layout.shape_block.get(&(shape.accepts, shape.cell)).copied().unwrap_or(0);
        let mut worth = 0.0;
        let mut weights = [0.0; MAX_DIMENSIONS];
        for dim in 0..dims {
            let capacity = if dim < model.dimensions { shape.capacity[dim].max(0) as f64 } else { 1.0 };
            let part = prices[block * dims + dim] * capacity / total[dim];
            worth += part;
            if dim < model.dimensions {
                weights[dim] = part;
            }
        }
        let price = shape.price.dollars().max(1e-9);
        shape.efficiency = worth / price;
        for weight in &mut weights[..model.dimensions] {
            *weight = *weight / price + 0.02;
        }
        shape.weights = weights;
    }
}
