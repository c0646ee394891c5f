//! Pods that must share a host: what packing moves about as one.

use super::compile::{Compiled, Demand};
use super::model::BitSet;

/// Part of a demand.
#[derive(Clone, Debug)]
pub(super) struct Part {
    pub(super) group: usize,
    pub(super) pods_each: u32,
    pub(super) companions: Vec<(u32, u32)>,
    pub(super) beside: Vec<u32>,
    pub(super) cell: Option<u16>,
    pub(super) count: u32,
}

impl Compiled<'_> {
    /// Splits a demand into items: one pod each, or the pods that must share a host.
    pub(super) fn with_companions(&self, demand: &Demand) -> Vec<Part> {
        let mut parts: Vec<Part> = demand
            .iter()
            .map(|(group, cell, count)| Part {
                group: *group,
                pods_each: 1,
                companions: Vec::new(),
                beside: Vec::new(),
                cell: *cell,
                count: *count,
            })
            .collect();
        if self.rules.beside.iter().all(Vec::is_empty) {
            return parts;
        }
        let mut led = BitSet::default();
        for at in 0..parts.len() {
            let group = parts[at].group;
            if self.rules.beside[group].is_empty() || parts[at].count == 0 {
                continue;
            }
            self.keep_together(&mut parts, at, &mut led);
        }
        parts.retain(|part| part.count > 0);
        parts
    }

    /// `led` are the selectors of which a first pod goes where there is none yet.
    pub(super) fn keep_together(&self, parts: &mut Vec<Part>, at: usize, led: &mut BitSet) {
        let group = parts[at].group;
        let identity = self.groups.groups[group].identity;
        let wanted = &self.rules.beside[group];
        let own = wanted.iter().all(|selector| self.groups.matches(*selector, identity));
        let taken = |selector: &u32| self.present.contains(*selector as usize) || led.contains(*selector as usize);
        if wanted.iter().any(taken) {
            parts[at].beside = wanted.iter().filter_map(|selector| self.rules.counting_term(*selector)).collect();
            return;
        }
        // Where other pods that are meant are about, one of those may be the first of all.
        let others = parts.iter().any(|part| {
            let other = self.groups.groups[part.group].identity;
            part.group != group && wanted.iter().any(|selector| self.groups.matches(*selector, other))
        });
        if own && !others {
            // The first goes anywhere, the others to it: one item of as many as fit on one node.
            let together =
                self.reach.get(&(self.shapes.class_of_group[group], self.sizes[group])).map_or(0, |r| r.most_together);
            parts[at].pods_each = parts[at].count.min(together).max(1);
            parts[at].count = 1;
            wanted.iter().for_each(|selector| led.insert(*selector as usize));
            return;
        }
        // Beside pods that are pending too: each of those takes its share along.
        let host = (0..parts.len()).find(|other| {
            *other != at
                && parts[*other].count > 0
                && parts[*other].companions.is_empty()
                && self.rules.beside[parts[*other].group].is_empty()
                && self.shapes.class_of_group[parts[*other].group] == self.shapes.class_of_group[group]
                && self.tier[parts[*other].group] == self.tier[group]
                && (parts[*other].cell == parts[at].cell || parts[at].cell.is_none() || parts[*other].cell.is_none())
                && wanted.iter().all(|s| self.groups.matches(*s, self.groups.groups[parts[*other].group].identity))
        });
        let Some(host) = host else {
            parts[at].beside = wanted.iter().filter_map(|selector| self.rules.counting_term(*selector)).collect();
            return;
        };
        let (hosts, guests) = (parts[host].count, parts[at].count);
        let guest = u32::try_from(group).unwrap_or(u32::MAX);
        let (each, more) = (guests / hosts, guests % hosts);
        let cell = parts[host].cell.or(parts[at].cell);
        parts[host].cell = cell;
        parts[at].count = 0;
        if more > 0 {
            let mut with_more = parts[host].clone();
            with_more.count = more;
            with_more.companions.push((guest, each + 1));
            parts.push(with_more);
            parts[host].count -= more;
        }
        if each > 0 {
            parts[host].companions.push((guest, each));
        }
    }
}
