//! Nodes that exist come first: what fits there costs nothing.

use super::compile::Compiled;
use super::fill::{FillStyle, Filler};
use super::model::Model;
use super::random::Random;
use super::supply::Supply;
use super::vector::{MAX_DIMENSIONS, subtract};

/// Items that went onto a running node: (index of the room, item, count).
pub type Placed = Vec<(usize, u32, u32)>;

/// Fills the running nodes one after the other and takes what fits from the supply.
pub fn fill_existing(compiled: &mut Compiled<'_>, model: &Model, supply: &mut Supply, filler: &mut Filler) -> Placed {
    let mut placed = Placed::new();
    // Pods that must be beside others may only find them after a first pass.
    let passes = if model.items.iter().any(|item| !item.beside.is_empty()) { 3 } else { 1 };
    let mut random = Random::new(0);
    for _ in 0..passes {
        for at in 0..compiled.nodes.rooms.len() {
            if supply.is_empty() {
                return placed;
            }
            let room = &compiled.nodes.rooms[at];
            let accepted = &compiled.nodes.accept_sets[room.accepts as usize];
            let accepts = |class: u32, cell: Option<u16>| {
                cell.is_none_or(|cell| cell == room.cell) && accepted[model.base_class[class as usize] as usize]
            };
            let used = super::vector::ZERO;
            let before: Vec<(u32, u32)> = placed
                .iter()
                .filter(|(room, _, _)| passes > 1 && *room == at)
                .map(|(_, item, count)| (*item, *count))
                .collect();
            filler.start_with(used, &room.host);
            filler.fill(
                model,
                supply,
                &room.free,
                &[1.0; MAX_DIMENSIONS],
                &accepts,
                &before,
                FillStyle::default(),
                &mut random,
            );
            if filler.contents.is_empty() {
                continue;
            }
            let free = &mut compiled.nodes.rooms[at].free;
            subtract(free, &filler.used, 1, model.dimensions);
            for (item, count) in &filler.contents {
                supply.take(model, *item, *count);
                placed.push((at, *item, *count));
                compiled.note_placed(&model.items[*item as usize]);
                let room = &mut compiled.nodes.rooms[at];
                for rule in &model.items[*item as usize].rules {
                    let (matching, carrying) = (rule.matches * count, u32::from(rule.carries) * count);
                    match room.host.iter_mut().find(|(term, _, _)| *term == rule.term) {
                        Some((_, m, c)) => {
                            *m += matching;
                            *c += carrying;
                        }
                        None => room.host.push((rule.term, matching, carrying)),
                    }
                }
            }
        }
    }
    placed
}
