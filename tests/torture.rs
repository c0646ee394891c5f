//! Kill eksup at a call that changes something, run it again: it converges, with no duplicate and no
//! orphan. A sample of the calls here; with `EKSUP_TORTURE=all` every one.

mod support;

use std::path::Path;

use sandbox::Weather;
use support::{Rig, example, text};

const SAMPLE: usize = 10;
/// How many calls a later run may need less than the first.
const FEWER: usize = 4;

/// The numbers of the calls at which to kill: all, or some spread over the whole run, other ones for
/// each `offset`.
fn points(calls: usize, offset: usize) -> Vec<usize> {
    if std::env::var("EKSUP_TORTURE").is_ok_and(|value| value == "all") {
        return (1..=calls).collect();
    }
    let step = (calls / SAMPLE).max(1);
    (1..=calls).skip(offset % step).step_by(step).collect()
}

/// Kills a run at call `point`. A run that needs fewer calls than the first one did, because the account has
/// its service-linked roles by now, ends before the last points.
fn killed_at(rig: &Rig, point: usize, calls: usize, arguments: &[&str]) {
    rig.weather(&Weather { kill_at: Some(point as u64), ..Weather::default() });
    let ran = rig.eksup(arguments);
    let expected = if point + FEWER > calls && ran.code == Some(0) { Some(0) } else { None };
    assert_eq!(ran.code, expected, "killed at call {point}, not ended:\n{}{}", ran.stdout, ran.stderr);
    rig.weather(&Weather::default());
}

fn calls_of_apply(rig: &Rig, stack: &Path) -> usize {
    rig.clear_calls();
    rig.apply(stack);
    rig.mutations().len()
}

#[test]
fn an_apply_that_is_killed_anywhere_converges_when_it_is_run_again() {
    let rig = Rig::start();
    let stack = rig.stack(&example("shop.yaml"));
    let calls = calls_of_apply(&rig, &stack);
    let whole = rig.counts();
    rig.destroy(&stack);
    for point in points(calls, 3) {
        killed_at(&rig, point, calls, &["apply", "--yes", text(&stack)]);
        rig.apply(&stack);
        assert_eq!(rig.counts(), whole, "killed at call {point}: duplicates or orphans");
        rig.expect_empty_plan(&stack);
        rig.destroy(&stack);
        eprintln!("apply killed at call {point} of {calls}: converged");
    }
}

#[test]
fn a_destroy_that_is_killed_anywhere_ends_with_nothing_left_when_it_is_run_again() {
    let rig = Rig::start();
    let stack = rig.stack(&example("shop.yaml"));
    rig.apply(&stack);
    rig.clear_calls();
    rig.destroy(&stack);
    let calls = rig.mutations().len();
    for point in points(calls, 5) {
        rig.apply(&stack);
        killed_at(&rig, point, calls, &["destroy", "--yes", text(&stack)]);
        rig.destroy(&stack);
        eprintln!("destroy killed at call {point} of {calls}: nothing left");
    }
}
