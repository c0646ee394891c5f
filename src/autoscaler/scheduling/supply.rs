//! Items that wait for a place, by bucket, with constant-time take and put.

use super::model::Model;
use super::vector::{Vector, ZERO};

/// How many of each item are still to be placed.
#[derive(Clone, Debug, Default)]
pub struct Supply {
    remaining: Vec<u32>,
    /// Items with something remaining, by bucket.
    waiting: Vec<Vec<u32>>,
    place_in_bucket: Vec<u32>,
    bucket_total: Vec<u32>,
    /// Buckets with something remaining.
    active: Vec<u32>,
    place_in_active: Vec<u32>,
    /// What everything that remains is worth, in all and by cell (the last one: bound to no cell).
    value: f64,
    value_by_cell: Vec<f64>,
    /// Pods that carry and match each host term.
    by_term: Vec<u32>,
    pieces: u64,
    /// What everything that remains takes together.
    total: Vector,
}

impl Supply {
    /// An empty supply for a model.
    pub fn new(model: &Model) -> Self {
        Self {
            remaining: vec![0; model.items.len()],
            waiting: vec![Vec::new(); model.buckets.len()],
            place_in_bucket: vec![0; model.items.len()],
            bucket_total: vec![0; model.buckets.len()],
            active: Vec::new(),
            place_in_active: vec![0; model.buckets.len()],
            value: 0.0,
            value_by_cell: vec![0.0; model.cells + 1],
            by_term: vec![0; model.host_terms.len()],
            pieces: 0,
            total: ZERO,
        }
    }

    /// Everything in the model.
    pub fn full(model: &Model) -> Self {
        let mut supply = Self::new(model);
        for (at, item) in model.items.iter().enumerate() {
            supply.put(model, u32::try_from(at).unwrap_or(u32::MAX), item.count);
        }
        supply
    }

    /// Adds `count` of an item.
    pub fn put(&mut self, model: &Model, item: u32, count: u32) {
        if count == 0 {
            return;
        }
        let (at, bucket) = (item as usize, model.items[item as usize].bucket as usize);
        if self.remaining[at] == 0 {
            self.place_in_bucket[at] = u32::try_from(self.waiting[bucket].len()).unwrap_or(u32::MAX);
            self.waiting[bucket].push(item);
        }
        if self.bucket_total[bucket] == 0 {
            self.place_in_active[bucket] = u32::try_from(self.active.len()).unwrap_or(u32::MAX);
            self.active.push(model.items[at].bucket);
        }
        self.remaining[at] += count;
        self.bucket_total[bucket] += count;
        self.account(model, item, i64::from(count));
    }

    /// Takes `count` of an item away; at most what remains.
    pub fn take(&mut self, model: &Model, item: u32, count: u32) {
        let (at, bucket) = (item as usize, model.items[item as usize].bucket as usize);
        let count = count.min(self.remaining[at]);
        if count == 0 {
            return;
        }
        self.remaining[at] -= count;
        self.bucket_total[bucket] -= count;
        if self.remaining[at] == 0 {
            let place = self.place_in_bucket[at] as usize;
            self.waiting[bucket].swap_remove(place);
            if let Some(moved) = self.waiting[bucket].get(place) {
                self.place_in_bucket[*moved as usize] = u32::try_from(place).unwrap_or(u32::MAX);
            }
        }
        if self.bucket_total[bucket] == 0 {
            let place = self.place_in_active[bucket] as usize;
            self.active.swap_remove(place);
            if let Some(moved) = self.active.get(place) {
                self.place_in_active[*moved as usize] = u32::try_from(place).unwrap_or(u32::MAX);
            }
        }
        self.account(model, item, -i64::from(count));
    }

    fn account(&mut self, model: &Model, item: u32, change: i64) {
        let item = &model.items[item as usize];
        let value = item.value * change as f64;
        self.value += value;
        for (sum, size) in self.total.iter_mut().zip(&item.size) {
            *sum = sum.saturating_add(size.saturating_mul(change));
        }
        self.value_by_cell[item.cell.map_or(model.cells, usize::from)] += value;
        self.pieces = self.pieces.saturating_add_signed(change);
        for rule in item.rules.iter().filter(|rule| rule.matches > 0 && rule.carries) {
            let count = &mut self.by_term[rule.term as usize];
            *count = count.saturating_add_signed(i32::try_from(change * i64::from(rule.matches)).unwrap_or(0));
        }
    }

    /// Takes everything away.
    pub fn clear(&mut self, model: &Model) {
        while let Some(bucket) = self.active.first().copied() {
            let items = self.waiting[bucket as usize].clone();
            for item in items {
                self.take(model, item, u32::MAX);
            }
        }
        self.value = 0.0;
        self.value_by_cell.fill(0.0);
    }

    /// Whether nothing is left.
    pub fn is_empty(&self) -> bool {
        self.pieces == 0
    }

    /// How many items remain.
    pub fn pieces(&self) -> u64 {
        self.pieces
    }

    /// How many of an item remain.
    pub fn remaining(&self, item: u32) -> u32 {
        self.remaining[item as usize]
    }

    /// How many items of a bucket remain.
    pub fn in_bucket(&self, bucket: u32) -> u32 {
        self.bucket_total[bucket as usize]
    }

    /// Items of a bucket that remain.
    pub fn waiting(&self, bucket: u32) -> &[u32] {
        &self.waiting[bucket as usize]
    }

    /// Buckets with something remaining.
    pub fn active(&self) -> &[u32] {
        &self.active
    }

    /// What everything that remains takes together.
    pub fn total(&self) -> &Vector {
        &self.total
    }

    /// What everything that remains is worth.
    pub fn value(&self) -> f64 {
        self.value.max(0.0)
    }

    /// What remains for one cell only (`model.cells`: for any).
    pub fn value_of_cell(&self, cell: usize) -> f64 {
        self.value_by_cell[cell].max(0.0)
    }

    /// How many nodes the host terms ask for at least, and the term that asks for most.
    pub fn nodes_needed(&self, model: &Model) -> (u32, Option<u32>) {
        let mut most = (0, None);
        for (term, count) in self.by_term.iter().enumerate() {
            let limit = model.host_terms[term].limit;
            if limit > 0 && *count > 0 {
                let nodes = count.div_ceil(limit);
                if nodes > most.0 {
                    most = (nodes, u32::try_from(term).ok());
                }
            }
        }
        (most.0.max(1), most.1)
    }

    /// All items that remain with their counts, in item order.
    pub fn leftovers(&self) -> Vec<(u32, u32)> {
        self.remaining
            .iter()
            .enumerate()
            .filter(|(_, count)| **count > 0)
            .map(|(item, count)| (u32::try_from(item).unwrap_or(u32::MAX), *count))
            .collect()
    }
}
