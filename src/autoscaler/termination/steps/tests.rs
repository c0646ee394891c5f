//! Tests of the way of a claim from its deletion to its end.

use super::*;
use crate::autoscaler::termination::drain::Protected;
use crate::autoscaler::termination::drain::tests::{at, pod};

fn claim() -> ClaimView {
    ClaimView { name: "default-x1".into(), deleted: Some(at(0)), held: true, ..ClaimView::default() }
}

fn node() -> NodeView {
    NodeView { name: "node-1".into(), deleted: true, held: true, marked: true, ready: true }
}

fn leaving() -> Leaving {
    Leaving { claim: Some(claim()), nodes: vec![node()], ..Leaving::default() }
}

fn next_at(leaving: &Leaving, second: i64) -> Next {
    next(leaving, &mut Memory::default(), at(second))
}

#[test]
fn deleting_either_deletes_the_other() {
    let mut only_node = leaving();
    only_node.claim = Some(ClaimView { deleted: None, ..claim() });
    assert_eq!(next_at(&only_node, 0).todo, [Do::DeleteClaim]);
    let mut only_claim = leaving();
    only_claim.nodes[0] = NodeView { deleted: false, marked: false, ..node() };
    let found = next_at(&only_claim, 0);
    assert_eq!(found.todo, [Do::PrepareNode("node-1".into())]);
    assert_eq!(found.stage, Stage::Settling, "the instance does not end before the taint stands");
}

#[test]
fn a_node_without_pods_goes_at_once_when_its_taint_is_old() {
    let found = next_at(&leaving(), 0);
    assert_eq!((found.todo, found.stage), (vec![Do::EndInstance], Stage::Ending(Vec::new())));
}

#[test]
fn a_fresh_taint_is_given_a_moment() {
    let mut memory = Memory { marked_at: Some(at(0)), had_pods: false };
    let found = next(&leaving(), &mut memory, at(0));
    assert_eq!((found.todo, found.stage), (vec![], Stage::Settling));
    let again = found.again.expect("a time");
    assert_eq!(next(&leaving(), &mut memory, again).todo, [Do::EndInstance]);
}

#[test]
fn a_node_that_had_pods_stays_a_minimum() {
    let mut memory = Memory::default();
    let mut with_pods = leaving();
    with_pods.pods.push(pod("a"));
    assert!(matches!(next(&with_pods, &mut memory, at(0)).todo[..], [Do::Drain(_)]));
    let found = next(&leaving(), &mut memory, at(1));
    assert_eq!((found.stage, found.again), (Stage::Settling, Some(at(5))));
    assert_eq!(next(&leaving(), &mut memory, at(5)).todo, [Do::EndInstance]);
}

#[test]
fn daemons_alone_ask_for_no_minimum() {
    let mut memory = Memory::default();
    let mut with_daemon = leaving();
    with_daemon.pods.push(DrainPod { daemon: true, ..pod("a") });
    next(&with_daemon, &mut memory, at(0));
    assert_eq!(next(&leaving(), &mut memory, at(1)).todo, [Do::EndInstance]);
}

#[test]
fn the_grace_period_for_termination_is_written_once_and_counts_at_once() {
    let mut slow = leaving();
    slow.claim = Some(ClaimView { grace: Some(60), ..claim() });
    slow.pods.push(DrainPod { protected: Protected::Always, ..pod("a") });
    let found = next_at(&slow, 1);
    assert_eq!(found.todo[0], Do::SetEnd(at(60)));
    assert_eq!(found.again, Some(at(30)), "the pod is deleted when its grace period is left");
    slow.claim = Some(ClaimView { end: Some(at(20)), grace: Some(60), ..claim() });
    let found = next_at(&slow, 1);
    assert!(matches!(&found.todo[..], [Do::Drain(drain)] if drain.delete == [(0, 19)]), "{found:?}");
}

#[test]
fn volumes_are_waited_for_until_time_is_up() {
    let mut attached = leaving();
    attached.volumes.push("pv-1".into());
    let found = next_at(&attached, 1_000_000);
    assert_eq!((found.todo, found.again), (vec![], None), "without a limit, for ever");
    assert!(found.stage.sentence(None).contains("volume `pv-1` is detached"));
    attached.claim = Some(ClaimView { end: Some(at(60)), ..claim() });
    assert_eq!(next_at(&attached, 59).again, Some(at(60)));
    let found = next_at(&attached, 60);
    assert_eq!((found.todo, found.stage), (vec![Do::EndInstance], Stage::Ending(vec!["pv-1".into()])));
}

#[test]
fn the_instance_is_waited_for_and_then_node_and_claim_go_in_turn() {
    let mut ending = Leaving { instance: Instance::Ending, ..leaving() };
    assert_eq!(next_at(&ending, 9).todo, []);
    ending.instance = Instance::Gone;
    assert_eq!(next_at(&ending, 9).todo, [Do::ReleaseNode("node-1".into())]);
    ending.nodes.clear();
    assert_eq!(next_at(&ending, 9).todo, [Do::ReleaseClaim]);
}

#[test]
fn after_a_restart_an_instance_that_was_told_to_end_is_told_again_and_nothing_is_drained() {
    let mut restarted = leaving();
    restarted.claim = Some(ClaimView { ending: true, ..claim() });
    restarted.pods.push(pod("late"));
    assert_eq!(next_at(&restarted, 9).todo, [Do::EndInstance]);
}

#[test]
fn the_instance_of_a_node_that_is_not_ready_is_looked_at_and_its_end_ends_everything() {
    let mut dead = leaving();
    dead.nodes[0].ready = false;
    dead.pods.push(DrainPod { protected: Protected::Always, ..pod("a") });
    assert_eq!(next_at(&dead, 0).todo[0], Do::Look);
    dead.instance = Instance::There;
    assert!(!next_at(&dead, 0).todo.contains(&Do::Look));
    dead.instance = Instance::Gone;
    assert_eq!(next_at(&dead, 0).todo, [Do::ReleaseNode("node-1".into())]);
}

#[test]
fn a_claim_that_was_never_launched_goes_at_once() {
    let none = Leaving { claim: Some(claim()), instance: Instance::None, ..Leaving::default() };
    assert_eq!(next_at(&none, 0).todo, [Do::ReleaseClaim]);
}

#[test]
fn a_claim_without_node_has_its_instance_ended_at_once() {
    let bare = Leaving { claim: Some(claim()), ..Leaving::default() };
    assert_eq!(next_at(&bare, 0).todo, [Do::EndInstance]);
}

#[test]
fn a_node_whose_claim_was_taken_away_takes_its_instance_with_it() {
    let mut lonely = Leaving { claim: None, ..leaving() };
    assert_eq!(next_at(&lonely, 0).todo, [Do::EndInstance]);
    lonely.instance = Instance::Gone;
    assert_eq!(next_at(&lonely, 0).todo, [Do::ReleaseNode("node-1".into())]);
}
