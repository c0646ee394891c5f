//! What it costs to move pods, so that a saving can be held against it.

/// How dear moving is, and how long a saving is counted on.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct MovingCost {
    /// For how many hours a saving is expected to last.
    pub horizon_hours: f64,
    /// What the restart of one ordinary pod costs, in dollars.
    pub restart: f64,
    /// For how many hours the room of a pod is paid without use when it restarts.
    pub warm_up_hours: f64,
    /// For how many hours old and new node run side by side.
    pub overlap_hours: f64,
    /// The least share of what is spent on the nodes of a move that it has to save.
    pub least_share: f64,
}

impl Default for MovingCost {
    fn default() -> Self {
        Self { horizon_hours: 1.0, restart: 0.0001, warm_up_hours: 0.4, overlap_hours: 3.0 / 60.0, least_share: 0.02 }
    }
}

impl MovingCost {
    /// An amount of dollars as dollars per hour over the horizon.
    pub fn hourly(&self, dollars: f64) -> f64 {
        dollars / self.horizon_hours.max(1e-6)
    }

    /// What it costs to move a pod, in dollars, given what its room costs per hour.
    pub fn of_pod(&self, weight: f64, worth: f64) -> f64 {
        weight.max(0.0) * (self.restart + self.warm_up_hours * worth)
    }

    /// What a new node costs per hour, with the time in which it runs beside what it replaces.
    pub fn of_new_nodes(&self, price: f64) -> f64 {
        price * (1.0 + self.overlap_hours / self.horizon_hours.max(1e-6))
    }
}

/// How much an eviction of a pod weighs beside that of an ordinary one: from 0 (it asks to be the first to
/// go) to 10. The published formula: 1 + deletion cost ÷ 2^27 + priority ÷ 2^25, within ±10.
pub fn eviction_weight(deletion_cost: i32, priority: i32) -> f64 {
    let raw = 1.0 + f64::from(deletion_cost) / f64::from(1 << 27) + f64::from(priority) / f64::from(1 << 25);
    raw.clamp(-10.0, 10.0)
}
