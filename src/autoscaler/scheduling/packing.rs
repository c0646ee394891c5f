//! Buying nodes one after the other: fill each promising shape, take the one that holds most value
//! for its price, and again, until nothing is left or nothing more fits.

use super::fill::{Bin, FillStyle, Filler};
use super::model::{Model, Shape};
use super::random::Random;
use super::supply::Supply;

/// Nodes that have been bought, and what pools still allow.
#[derive(Clone, Debug, Default)]
pub struct Packing {
    /// The nodes.
    pub bins: Vec<Bin>,
    /// Their price in billionths of a dollar per hour.
    pub cost: u64,
    /// What is left of each pool's limits; empty for pools without.
    left: Vec<Vec<i64>>,
}

impl Packing {
    /// No nodes.
    pub fn new(model: &Model) -> Self {
        let left =
            model.pool_limits.iter().map(|limit| limit.as_ref().map(|l| l.left.clone()).unwrap_or_default()).collect();
        Self { bins: Vec::new(), cost: 0, left }
    }

    /// Whether the limits of its pool leave room for one more node of a shape.
    pub fn can_buy(&self, model: &Model, shape: u32) -> bool {
        self.can_buy_times(model, shape) > 0
    }

    fn can_buy_times(&self, model: &Model, shape: u32) -> u32 {
        let Some(needs) = model.limit_use.get(shape as usize) else {
            return u32::MAX;
        };
        let pool = model.pool_of_variant[model.shapes[shape as usize].variant as usize] as usize;
        let mut most = u32::MAX;
        for (need, left) in needs.iter().zip(&self.left[pool]) {
            if *need > 0 {
                most = most.min(u32::try_from((*left).max(0) / need).unwrap_or(u32::MAX));
            }
        }
        most
    }

    fn charge(&mut self, model: &Model, shape: u32, sign: i64) {
        if let Some(needs) = model.limit_use.get(shape as usize) {
            let pool = model.pool_of_variant[model.shapes[shape as usize].variant as usize] as usize;
            for (need, left) in needs.iter().zip(self.left[pool].iter_mut()) {
                *left -= sign * need;
            }
        }
    }

    /// Adds a node.
    pub fn push(&mut self, model: &Model, bin: Bin) {
        self.cost += model.shapes[bin.shape as usize].price.0;
        self.charge(model, bin.shape, 1);
        self.bins.push(bin);
    }

    /// Takes a node away; the last one moves to its place.
    pub fn remove(&mut self, model: &Model, at: usize) -> Bin {
        let bin = self.bins.swap_remove(at);
        self.cost -= model.shapes[bin.shape as usize].price.0;
        self.charge(model, bin.shape, -1);
        bin
    }

    /// Puts another node in the place of one.
    pub fn replace(&mut self, model: &Model, at: usize, bin: Bin) {
        let old = self.bins[at].shape;
        if old != bin.shape {
            self.cost = self.cost + model.shapes[bin.shape as usize].price.0 - model.shapes[old as usize].price.0;
            self.charge(model, old, -1);
            self.charge(model, bin.shape, 1);
        }
        self.bins[at] = bin;
    }

    /// Undoes a [`remove`](Self::remove), in reverse order of the removals.
    pub fn restore(&mut self, model: &Model, at: usize, bin: Bin) {
        self.push(model, bin);
        let last = self.bins.len() - 1;
        self.bins.swap(at, last);
    }
}

/// The shapes that are worth a try, by cell, cheapest first.
#[derive(Clone, Debug, Default)]
pub struct Menu {
    of_cell: Vec<Vec<u32>>,
}

impl Menu {
    /// The `per_size` most efficient shapes of each size class, kind of machine and cell.
    pub fn new(model: &Model, per_size: usize) -> Self {
        use std::collections::BTreeMap;
        let mut of_cell = Vec::with_capacity(model.cells);
        for shapes in &model.shapes_of_cell {
            let mut groups: BTreeMap<(u32, u32, i32), Vec<u32>> = BTreeMap::new();
            for &at in shapes {
                let shape = &model.shapes[at as usize];
                let special = (3..model.dimensions).fold(0, |mask, d| mask | u32::from(shape.capacity[d] > 0) << d);
                let size = (shape.price.dollars().max(1e-6).log2() * 2.0).floor() as i32;
                groups.entry((shape.accepts, special, size)).or_default().push(at);
            }
            let mut menu = Vec::new();
            for (_, mut group) in groups {
                group.sort_by(|a, b| {
                    model.shapes[*b as usize].efficiency.total_cmp(&model.shapes[*a as usize].efficiency).then(a.cmp(b))
                });
                menu.extend(group.into_iter().take(per_size));
            }
            menu.sort_unstable();
            of_cell.push(menu);
        }
        Self { of_cell }
    }

    /// The shapes of a cell.
    pub fn shapes(&self, cell: usize) -> &[u32] {
        self.of_cell.get(cell).map_or(&[], Vec::as_slice)
    }
}

/// Where a rule forces many nodes open, each takes a little more than its share, so that the last ones
/// are left with what forced them open and nothing has to be bought beyond.
const NODE_HEADROOM: f64 = 1.06;

/// How nodes are bought.
#[derive(Clone, Copy, Debug)]
pub struct BuyStyle {
    /// Noise on item choices and on the value of nodes.
    pub noise: f64,
    /// The chance that a shape of the menu is looked at.
    pub look: f64,
    /// Whether a good node is bought as often as the supply allows.
    pub repeat: bool,
    /// How much more value per dollar a node twice as dear counts for: small nodes are tight by
    /// themselves, but leave more of each behind.
    pub bias: f64,
    /// Stop when the packing has become dearer than this.
    pub most_cost: u64,
}

impl BuyStyle {
    /// Without noise, every shape looked at.
    pub const PLAIN: Self = Self { noise: 0.0, look: 1.0, repeat: true, bias: 0.0, most_cost: u64::MAX };
}

impl BuyStyle {
    /// See [`BuyStyle::bias`].
    fn bonus(&self, shape: &Shape) -> f64 {
        if self.bias == 0.0 { 1.0 } else { 1.0 + self.bias * (shape.price.dollars().max(1e-3) * 1e3).log2() }
    }
}

/// Buys nodes until the supply is empty, nothing fits any more, or the cost passes the style's limit.
pub fn buy(
    model: &Model,
    menu: &Menu,
    packing: &mut Packing,
    supply: &mut Supply,
    filler: &mut Filler,
    style: BuyStyle,
    random: &mut Random,
) {
    let mut dry = vec![false; model.cells];
    while !supply.is_empty() && packing.cost <= style.most_cost {
        let Some(cell) = next_cell(model, supply, &dry) else {
            break;
        };
        let Some(bin) = best_node(model, menu, packing, supply, filler, cell, style, random) else {
            dry[cell] = true;
            continue;
        };
        let copies = if style.repeat { copies(model, packing, supply, &bin) } else { 1 };
        for _ in 0..copies {
            for (item, count) in &bin.contents {
                supply.take(model, *item, *count);
            }
            packing.push(model, bin.clone());
        }
    }
}

/// The cell whose own items are worth most; when all that is left may go anywhere, the first that still sells.
fn next_cell(model: &Model, supply: &Supply, dry: &[bool]) -> Option<usize> {
    let open = (0..model.cells).filter(|cell| !dry[*cell]);
    let richest = open.max_by(|a, b| supply.value_of_cell(*a).total_cmp(&supply.value_of_cell(*b)).then(b.cmp(a)))?;
    Some(richest)
}

/// How often the same node can be bought from what remains.
fn copies(model: &Model, packing: &Packing, supply: &Supply, bin: &Bin) -> u32 {
    let supplied = bin.contents.iter().map(|(item, count)| supply.remaining(*item) / count).min().unwrap_or(1);
    // The last copies are left to a fresh look at what else could go along.
    let wanted = if supplied > 4 { supplied - supplied / 4 } else { 1 };
    wanted.min(packing.can_buy_times(model, bin.shape)).max(1)
}

#[expect(clippy::too_many_arguments, reason = "the working set of the search, passed down as it is")]
fn best_node(
    model: &Model,
    menu: &Menu,
    packing: &Packing,
    supply: &Supply,
    filler: &mut Filler,
    cell: usize,
    style: BuyStyle,
    random: &mut Random,
) -> Option<Bin> {
    let (nodes, first) = supply.nodes_needed(model);
    let most_value = if nodes > 1 {
        // The fewer nodes are left, the less evenly what remains divides among cells.
        supply.value() / f64::from(nodes) * NODE_HEADROOM * (1.0 + 1.5 / f64::from(nodes))
    } else {
        f64::INFINITY
    };
    let fill_style = FillStyle { noise: style.noise, most_value, first };
    // With nothing bound to this cell, every cell's shapes compete.
    let bound_here = supply.value_of_cell(cell) > 0.0;
    let cells = if bound_here { cell..cell + 1 } else { 0..model.cells };
    let mut best: Option<(f64, Bin)> = None;
    for (at, most) in promising(model, menu, packing, supply, cells, most_value, style, random) {
        let shape = &model.shapes[at as usize];
        let ratio = best.as_ref().map_or(0.0, |(ratio, _)| *ratio);
        if most <= ratio {
            break;
        }
        filler.start();
        fill_shape(model, supply, filler, shape, &[], fill_style, random);
        if filler.contents.is_empty() {
            continue;
        }
        let wobble = 1.0 + style.noise * (random.unit() - 0.5) * 0.2;
        let ratio_here = filler.value / shape.price.dollars().max(1e-9) * wobble * style.bonus(shape);
        if ratio_here > ratio {
            best = Some((ratio_here, Bin { shape: at, used: filler.used, contents: filler.contents.clone() }));
        }
    }
    // A menu that was only glanced at may have missed the one shape that is needed.
    let (_, mut bin) = match best {
        Some(found) => found,
        None if style.look < 1.0 => {
            let full = BuyStyle { look: 1.0, ..style };
            return best_node(model, menu, packing, supply, filler, cell, full, random);
        }
        None => return any_node(model, packing, supply, filler, cell, bound_here, random),
    };
    shrink_and_top_up(model, packing, supply, filler, &mut bin, most_value.is_finite(), random);
    Some(one_for_all(model, packing, supply, filler, &bin, random).unwrap_or(bin))
}

/// One node for everything that remains, if that is no dearer than this one with what would have to follow.
fn one_for_all(
    model: &Model,
    packing: &Packing,
    supply: &Supply,
    filler: &mut Filler,
    bin: &Bin,
    random: &mut Random,
) -> Option<Bin> {
    let shape = &model.shapes[bin.shape as usize];
    let held: f64 =
        bin.contents.iter().map(|(item, count)| model.items[*item as usize].value * f64::from(*count)).sum();
    let rest = supply.value() - held;
    if rest <= 1e-9 {
        return None;
    }
    // What remains costs at least its value, and little lots cost more.
    let most = shape.price.dollars() + rest * 1.15;
    let at = model.shapes_of_cell[usize::from(shape.cell)].iter().copied().find(|at| {
        let other = &model.shapes[*at as usize];
        super::vector::fits(supply.total(), &other.capacity, model.dimensions) && packing.can_buy(model, *at)
    })?;
    if model.shapes[at as usize].price.dollars() > most {
        return None;
    }
    filler.start();
    fill_shape(model, supply, filler, &model.shapes[at as usize], &[], FillStyle::default(), random);
    let pieces: u64 = filler.contents.iter().map(|(_, count)| u64::from(*count)).sum();
    (pieces == supply.pieces()).then(|| Bin { shape: at, used: filler.used, contents: filler.contents.clone() })
}

/// Shapes with the most value per dollar that they could reach, best first. No shape holds more than
/// what it is worth at the prices, or than what there is to hold.
#[expect(clippy::too_many_arguments, reason = "see `best_node`")]
fn promising(
    model: &Model,
    menu: &Menu,
    packing: &Packing,
    supply: &Supply,
    cells: std::ops::Range<usize>,
    most_value: f64,
    style: BuyStyle,
    random: &mut Random,
) -> Vec<(u32, f64)> {
    let ceiling = supply.value().min(most_value * 1.5);
    let mut list = Vec::new();
    for &at in cells.flat_map(|cell| menu.shapes(cell)) {
        let shape = &model.shapes[at as usize];
        if (style.look < 1.0 && random.unit() > style.look) || !packing.can_buy(model, at) {
            continue;
        }
        let most =
            (shape.efficiency * 1.001).min(ceiling / shape.price.dollars().max(1e-9)) * (1.0 + 0.1 * style.noise);
        list.push((at, most));
    }
    list.sort_by(|a, b| b.1.total_cmp(&a.1).then(a.0.cmp(&b.0)));
    list
}

/// The cheapest shape that holds anything at all, beyond the menu.
fn any_node(
    model: &Model,
    packing: &Packing,
    supply: &Supply,
    filler: &mut Filler,
    cell: usize,
    bound_here: bool,
    random: &mut Random,
) -> Option<Bin> {
    let cells = if bound_here { cell..cell + 1 } else { 0..model.cells };
    for &at in cells.flat_map(|cell| model.shapes_of_cell[cell].iter()) {
        if !packing.can_buy(model, at) {
            continue;
        }
        filler.start();
        fill_shape(model, supply, filler, &model.shapes[at as usize], &[], FillStyle::default(), random);
        if !filler.contents.is_empty() {
            return Some(Bin { shape: at, used: filler.used, contents: filler.contents.clone() });
        }
    }
    None
}

/// Fills a shape from the supply.
pub fn fill_shape(
    model: &Model,
    supply: &Supply,
    filler: &mut Filler,
    shape: &Shape,
    base: &[(u32, u32)],
    style: FillStyle,
    random: &mut Random,
) {
    let set = &model.accept_sets[shape.accepts as usize];
    let accepts =
        |class: u32, cell: Option<u16>| cell.is_none_or(|cell| cell == shape.cell) && set.contains(class as usize);
    filler.fill(model, supply, &shape.capacity, &shape.weights, &accepts, base, style, random);
}

/// Swaps a node for the cheapest shape that holds its pods, then fills what is still free.
fn shrink_and_top_up(
    model: &Model,
    packing: &Packing,
    supply: &Supply,
    filler: &mut Filler,
    bin: &mut Bin,
    top_up: bool,
    random: &mut Random,
) {
    if let Some(cheaper) = cheapest_for(model, packing, bin) {
        bin.shape = cheaper;
    } else if !top_up {
        return;
    }
    if !top_up {
        return;
    }
    let shape = &model.shapes[bin.shape as usize];
    let held = std::mem::take(&mut bin.contents);
    let mut rest = Rest { supply, held: &held };
    filler.start_from(model, &Bin { shape: bin.shape, used: bin.used, contents: held.clone() });
    rest.fill(model, filler, shape, random);
    bin.used = filler.used;
    bin.contents = held;
    for (item, count) in &filler.contents {
        match bin.contents.iter_mut().find(|(known, _)| known == item) {
            Some((_, sum)) => *sum += count,
            None => bin.contents.push((*item, *count)),
        }
    }
}

/// The supply without what a node in the making already holds.
struct Rest<'a> {
    supply: &'a Supply,
    held: &'a [(u32, u32)],
}

impl Rest<'_> {
    fn fill(&mut self, model: &Model, filler: &mut Filler, shape: &Shape, random: &mut Random) {
        filler.reserve(model, self.held);
        fill_shape(model, self.supply, filler, shape, &[], FillStyle::default(), random);
        filler.release(model, self.held);
    }
}

/// The cheapest shape of the same cell that holds what a node holds, if cheaper than its own.
pub fn cheapest_for(model: &Model, packing: &Packing, bin: &Bin) -> Option<u32> {
    let own = &model.shapes[bin.shape as usize];
    cheapest_below(model, packing, bin, own.price.0)
}

/// The cheapest shape of the same cell that holds what a node holds, if cheaper than `price`.
pub fn cheapest_below(model: &Model, packing: &Packing, bin: &Bin, price: u64) -> Option<u32> {
    let cell = model.shapes[bin.shape as usize].cell;
    let value: f64 =
        bin.contents.iter().map(|(item, count)| model.items[*item as usize].value * f64::from(*count)).sum();
    let shapes = &model.shapes_of_cell[usize::from(cell)];
    // At the prices of the program no shape holds more than it costs: cheaper ones need not be looked at.
    let first = shapes.partition_point(|at| model.shapes[*at as usize].price.dollars() < value * 0.998);
    shapes[first..].iter().copied().take_while(|at| model.shapes[*at as usize].price.0 < price).find(|at| {
        let shape = &model.shapes[*at as usize];
        super::vector::fits(&bin.used, &shape.capacity, model.dimensions)
            && bin.contents.iter().all(|(item, _)| model.accepts(shape, model.items[*item as usize].class))
            && packing.can_buy(model, *at)
    })
}
