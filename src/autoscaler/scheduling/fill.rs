//! Filling one node: which of the waiting items go onto it.
//!
//! At each step the item goes in that points most along what is still free, weighted by what each
//! resource is worth on this shape; large ones first, small ones into the gaps. Many alike go in at
//! once while there is plenty of room.

use super::model::{HostTerm, Item, Model};
use super::random::Random;
use super::supply::Supply;
use super::vector::{MAX_DIMENSIONS, Vector, ZERO, add, fits, subtract, times};

/// A node with what has been put onto it.
#[derive(Clone, Debug, PartialEq)]
pub struct Bin {
    /// Index of the shape.
    pub shape: u32,
    /// What its items take.
    pub used: Vector,
    /// Items and how many of them.
    pub contents: Vec<(u32, u32)>,
}

/// Pods of a host that take part in a term: (term, matching, carrying).
pub type HostCounts = Vec<(u32, u32, u32)>;

/// How much a fill may vary, and where it stops.
#[derive(Clone, Copy, Debug)]
pub struct FillStyle {
    /// Half-width of the noise on each choice; 0 for none.
    pub noise: f64,
    /// Stop near this value, so that enough is left for the nodes that must follow.
    pub most_value: f64,
    /// The host term that forces nodes open, whose carriers go in first.
    pub first: Option<u32>,
}

impl Default for FillStyle {
    fn default() -> Self {
        Self { noise: 0.0, most_value: f64::INFINITY, first: None }
    }
}

/// Buckets that may still go onto the node, in columns so that scoring them runs straight through memory.
#[derive(Default)]
struct Candidates {
    buckets: Vec<u32>,
    /// Sizes, scaled to what each dimension is worth here; `dims` numbers per bucket.
    scaled: Vec<f64>,
    noise: Vec<f64>,
}

impl Candidates {
    fn clear(&mut self) {
        self.buckets.clear();
        self.scaled.clear();
        self.noise.clear();
    }

    fn remove(&mut self, at: usize, dims: usize) {
        let last = self.buckets.len() - 1;
        self.buckets.swap_remove(at);
        self.noise.swap_remove(at);
        self.scaled.copy_within(last * dims..(last + 1) * dims, at * dims);
        self.scaled.truncate(last * dims);
    }

    /// The candidate that leaves the least of what is open: large ones and well-aligned ones first.
    fn best<const DIMS: usize>(&self, open: &[f64; MAX_DIMENSIONS]) -> Option<usize> {
        let mut best = None;
        let mut most = f64::NEG_INFINITY;
        for (at, (scaled, noise)) in self.scaled.chunks_exact(DIMS).zip(&self.noise).enumerate() {
            let mut score = 0.0;
            for d in 0..DIMS {
                score += scaled[d] * (open[d] - scaled[d]);
            }
            score *= noise;
            if score > most {
                most = score;
                best = Some(at);
            }
        }
        best
    }

    fn best_of(&self, dims: usize, open: &[f64; MAX_DIMENSIONS]) -> Option<usize> {
        let mut twice = *open;
        twice.iter_mut().for_each(|value| *value *= 2.0);
        match dims {
            3 => self.best::<3>(&twice),
            4 => self.best::<4>(&twice),
            5 => self.best::<5>(&twice),
            6 => self.best::<6>(&twice),
            7 => self.best::<7>(&twice),
            8 => self.best::<8>(&twice),
            9 => self.best::<9>(&twice),
            10 => self.best::<10>(&twice),
            11 => self.best::<11>(&twice),
            _ => self.best::<12>(&twice),
        }
    }
}

/// Working memory of a fill, kept between fills.
#[derive(Default)]
pub struct Filler {
    candidates: Candidates,
    taken: Vec<u32>,
    bucket_taken: Vec<u32>,
    matching: Vec<u32>,
    carrying: Vec<u32>,
    touched_terms: Vec<u32>,
    /// What the last fill put in.
    pub contents: Vec<(u32, u32)>,
    /// What the node holds after the last fill.
    pub used: Vector,
    /// What the last fill put in is worth.
    pub value: f64,
}

impl Filler {
    /// Working memory for a model.
    pub fn new(model: &Model) -> Self {
        Self {
            taken: vec![0; model.items.len()],
            bucket_taken: vec![0; model.buckets.len()],
            matching: vec![0; model.host_terms.len()],
            carrying: vec![0; model.host_terms.len()],
            ..Self::default()
        }
    }

    /// Starts with an empty node.
    pub fn start(&mut self) {
        self.forget();
        self.used = ZERO;
    }

    /// Starts with a node that already holds something.
    pub fn start_from(&mut self, model: &Model, bin: &Bin) {
        self.forget();
        self.used = bin.used;
        for (item, count) in &bin.contents {
            self.count_terms(&model.items[*item as usize], *count);
        }
    }

    /// Starts with the pods that run on a node.
    pub fn start_with(&mut self, used: Vector, host: &[(u32, u32, u32)]) {
        self.forget();
        self.used = used;
        for (term, matching, carrying) in host {
            self.touch(*term);
            self.matching[*term as usize] += matching;
            self.carrying[*term as usize] += carrying;
        }
    }

    fn forget(&mut self) {
        for term in self.touched_terms.drain(..) {
            self.matching[term as usize] = 0;
            self.carrying[term as usize] = 0;
        }
        self.contents.clear();
        self.value = 0.0;
    }

    fn touch(&mut self, term: u32) {
        if self.matching[term as usize] == 0 && self.carrying[term as usize] == 0 {
            self.touched_terms.push(term);
        }
    }

    fn count_terms(&mut self, item: &Item, count: u32) {
        for rule in &item.rules {
            self.touch(rule.term);
            self.matching[rule.term as usize] += count * rule.matches;
            self.carrying[rule.term as usize] += count * u32::from(rule.carries);
        }
    }

    /// How many more of an item the host rules allow, given `there` of it are on the node.
    fn rules_allow(&self, terms: &[HostTerm], item: &Item, there: u32) -> u32 {
        let mut most = item.per_node.saturating_sub(there);
        if item.beside.iter().any(|term| self.matching[*term as usize] == 0) {
            return 0;
        }
        for rule in &item.rules {
            let term = rule.term as usize;
            let limit = terms[term].limit;
            if !rule.carries && self.carrying[term] == 0 {
                continue;
            }
            let left = limit.saturating_sub(self.matching[term]);
            let unmatched = if self.matching[term] <= limit { u32::MAX } else { 0 };
            let room = left.checked_div(rule.matches).unwrap_or(unmatched);
            most = most.min(room);
        }
        most
    }

    /// How many more of an item a node may hold by its host rules; the node was set by a `start`.
    pub fn allowed(&self, model: &Model, item: u32, there: u32) -> u32 {
        self.rules_allow(&model.host_terms, &model.items[item as usize], there)
    }

    /// Adds what fits from `supply` onto a node of this shape that holds `base`; the supply is left
    /// as it is. The result is in [`contents`](Self::contents), [`used`](Self::used) and
    /// [`value`](Self::value).
    #[expect(clippy::too_many_arguments, reason = "each is one aspect of the node, and all are needed at every step")]
    pub fn fill(
        &mut self,
        model: &Model,
        supply: &Supply,
        capacity: &Vector,
        weights: &[f64; MAX_DIMENSIONS],
        accepts: &dyn Fn(u32, Option<u16>) -> bool,
        base: &[(u32, u32)],
        style: FillStyle,
        random: &mut Random,
    ) {
        let dims = model.dimensions;
        let mut free = *capacity;
        subtract(&mut free, &self.used, 1, dims);
        let mut scale = [0.0; MAX_DIMENSIONS];
        for d in 0..dims {
            if capacity[d] > 0 {
                scale[d] = weights[d].sqrt() / capacity[d] as f64;
            }
        }
        self.gather(model, supply, &free, &scale, accepts, style.noise, random);
        let mut open = [0.0; MAX_DIMENSIONS];
        for d in 0..dims {
            open[d] = free[d] as f64 * scale[d];
        }
        if let Some(term) = style.first {
            self.put_carrier(model, supply, term, &mut free, &mut open, &scale, base);
        }
        while let Some(at) = self.candidates.best_of(dims, &open) {
            let bucket = self.candidates.buckets[at];
            let shared = &model.buckets[bucket as usize];
            let room = times(&shared.size, &free, dims);
            let left = supply.in_bucket(bucket) - self.bucket_taken[bucket as usize];
            let enough = self.value > 0.0 && self.value + 0.5 * shared.value > style.most_value;
            let found = if room == 0 || left == 0 || enough { None } else { self.choose(model, supply, bucket, base) };
            let Some((item, allowed)) = found else {
                self.candidates.remove(at, dims);
                continue;
            };
            let by_value = ((style.most_value - self.value) / shared.value.max(1e-12)).clamp(1.0, 1e9) as u32;
            let count = allowed.min(room.div_ceil(4).max(1)).min(by_value.max(1));
            self.put(model, item, count);
            subtract(&mut free, &shared.size, count, dims);
            for d in 0..dims {
                open[d] = free[d] as f64 * scale[d];
            }
        }
        self.settle(model);
    }

    #[expect(clippy::too_many_arguments, reason = "see `fill`")]
    fn gather(
        &mut self,
        model: &Model,
        supply: &Supply,
        free: &Vector,
        scale: &[f64; MAX_DIMENSIONS],
        accepts: &dyn Fn(u32, Option<u16>) -> bool,
        noise: f64,
        random: &mut Random,
    ) {
        let dims = model.dimensions;
        self.candidates.clear();
        for &bucket in supply.active() {
            let shared = &model.buckets[bucket as usize];
            if !fits(&shared.size, free, dims) || !accepts(shared.class, shared.cell) {
                continue;
            }
            self.candidates.scaled.extend((0..dims).map(|d| shared.size[d] as f64 * scale[d]));
            let noise = if noise > 0.0 { 1.0 + noise * (random.unit() * 2.0 - 1.0) } else { 1.0 };
            self.candidates.buckets.push(bucket);
            self.candidates.noise.push(noise);
        }
    }

    /// An item of the bucket that the host rules allow, and how many of it.
    fn choose(&self, model: &Model, supply: &Supply, bucket: u32, base: &[(u32, u32)]) -> Option<(u32, u32)> {
        for &item in supply.waiting(bucket) {
            let left = supply.remaining(item) - self.taken[item as usize];
            if left == 0 {
                continue;
            }
            let kind = &model.items[item as usize];
            if kind.rules.is_empty() && kind.per_node == u32::MAX && kind.beside.is_empty() {
                return Some((item, left));
            }
            let before = if kind.per_node == u32::MAX {
                0
            } else {
                base.iter().filter(|(other, _)| *other == item).map(|(_, count)| *count).sum()
            };
            let allowed = self.rules_allow(&model.host_terms, kind, self.taken[item as usize] + before);
            if allowed > 0 {
                return Some((item, left.min(allowed)));
            }
        }
        None
    }

    /// Puts in one carrier of the term that forces nodes open, the best that fits.
    #[expect(clippy::too_many_arguments, reason = "see `fill`")]
    fn put_carrier(
        &mut self,
        model: &Model,
        supply: &Supply,
        term: u32,
        free: &mut Vector,
        open: &mut [f64; MAX_DIMENSIONS],
        scale: &[f64; MAX_DIMENSIONS],
        base: &[(u32, u32)],
    ) {
        let carries =
            |item: &u32| model.items[*item as usize].rules.iter().any(|r| r.term == term && r.carries && r.matches > 0);
        let mut best: Option<(u32, f64)> = None;
        let dims = model.dimensions;
        for (at, bucket) in self.candidates.buckets.iter().enumerate() {
            let Some(item) = supply.waiting(*bucket).iter().copied().find(|item| carries(item)) else {
                continue;
            };
            let before = base.iter().filter(|(other, _)| *other == item).map(|(_, count)| *count).sum();
            if self.rules_allow(&model.host_terms, &model.items[item as usize], before) == 0 {
                continue;
            }
            let scaled = &self.candidates.scaled[at * dims..(at + 1) * dims];
            let score = scaled.iter().zip(open.iter()).map(|(s, open)| s * (2.0 * open - s)).sum::<f64>()
                * self.candidates.noise[at];
            if best.is_none_or(|(_, most)| score > most) {
                best = Some((item, score));
            }
        }
        if let Some((item, _)) = best {
            self.put(model, item, 1);
            subtract(free, &model.items[item as usize].size, 1, model.dimensions);
            for d in 0..model.dimensions {
                open[d] = free[d] as f64 * scale[d];
            }
        }
    }

    fn put(&mut self, model: &Model, item: u32, count: u32) {
        let kind = &model.items[item as usize];
        self.taken[item as usize] += count;
        self.bucket_taken[kind.bucket as usize] += count;
        self.value += kind.value * f64::from(count);
        add(&mut self.used, &kind.size, count, model.dimensions);
        if !kind.rules.is_empty() {
            self.count_terms(kind, count);
        }
        match self.contents.iter_mut().find(|(known, _)| *known == item) {
            Some((_, held)) => *held += count,
            None => self.contents.push((item, count)),
        }
    }

    /// Resets what was counted per item and bucket; host counts stay until the next start.
    fn settle(&mut self, model: &Model) {
        for (item, _) in &self.contents {
            self.taken[*item as usize] = 0;
            self.bucket_taken[model.items[*item as usize].bucket as usize] = 0;
        }
    }

    /// Counts items as taken that a node in the making already holds.
    pub fn reserve(&mut self, model: &Model, held: &[(u32, u32)]) {
        for (item, count) in held {
            self.taken[*item as usize] += count;
            self.bucket_taken[model.items[*item as usize].bucket as usize] += count;
        }
    }

    /// Undoes a [`reserve`](Self::reserve) after the fill.
    pub fn release(&mut self, model: &Model, held: &[(u32, u32)]) {
        for (item, _) in held {
            self.taken[*item as usize] = 0;
            self.bucket_taken[model.items[*item as usize].bucket as usize] = 0;
        }
    }
}
