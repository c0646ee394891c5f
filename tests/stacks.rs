//! Every example stack, from nothing to running and away again, as a user would do it.

mod support;

use support::{Rig, example, text};

fn lives(name: &str) {
    let rig = Rig::start();
    let stack = rig.stack(&example(name));
    rig.eksup(&["plan", "--detailed-exitcode", text(&stack)]).expect(2);
    rig.apply(&stack);
    for _ in 0..3 {
        rig.expect_empty_plan(&stack);
    }
    rig.clear_calls();
    rig.apply(&stack);
    assert_eq!(rig.mutations(), Vec::<String>::new(), "an apply with nothing to do changes nothing");
    rig.destroy(&stack);
}

#[test]
fn the_minimal_stack_lives() {
    lives("minimal.yaml");
}

#[test]
fn the_shop_stack_lives() {
    lives("shop.yaml");
}

#[test]
fn the_pools_stack_lives() {
    lives("pools.yaml");
}

#[test]
fn the_private_stack_lives() {
    lives("private.yaml");
}

/// Whoever adds an example adds a test here.
#[test]
fn every_example_is_a_test() {
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("stacks");
    let mut names: Vec<String> = std::fs::read_dir(folder)
        .expect("the examples")
        .filter_map(|entry| entry.ok()?.file_name().into_string().ok())
        .filter(|name| name.ends_with(".yaml"))
        .collect();
    names.sort();
    assert_eq!(names, ["minimal.yaml", "pools.yaml", "private.yaml", "shop.yaml"]);
}

#[test]
fn a_stack_is_destroyed_without_its_file() {
    let rig = Rig::start();
    let stack = rig.stack(&example("minimal.yaml"));
    rig.apply(&stack);
    let ran = rig.eksup(&["destroy", "--yes", "--name", "minimal", "--region", "eu-central-1"]).expect(0);
    assert!(ran.stdout.contains("nothing is left"), "{}", ran.stdout);
    rig.expect_nothing_left();
}

#[test]
fn what_others_own_is_not_touched() {
    let rig = Rig::start();
    let mine = rig.stack(&example("minimal.yaml"));
    let theirs = rig.file("theirs.yaml");
    std::fs::write(&theirs, example("minimal.yaml").replace("name: minimal", "name: minimal-2")).expect("a file");
    rig.apply(&theirs);
    let before = rig.inventory();
    rig.apply(&mine);
    rig.eksup(&["destroy", "--yes", text(&mine)]).expect(0);
    assert_eq!(rig.inventory(), before, "a stack whose name begins like another's leaves that one alone");
    rig.destroy(&theirs);
}

#[test]
fn a_saved_plan_is_carried_out_and_refused_once_the_cloud_has_moved() {
    let rig = Rig::start();
    let stack = rig.stack(&example("minimal.yaml"));
    let plan = rig.file("plan.json");
    rig.eksup(&["plan", "--out", text(&plan), text(&stack)]).expect(0);
    rig.eksup(&["apply", "--yes", text(&plan)]).expect(0);
    rig.expect_empty_plan(&stack);
    let refused = rig.eksup(&["apply", "--yes", text(&plan)]).expect(1);
    assert!(refused.stderr.contains("the cloud has changed since this plan was made"), "{}", refused.stderr);
    rig.destroy(&stack);
}

#[test]
fn without_a_terminal_and_without_yes_nothing_is_changed() {
    let rig = Rig::start();
    let stack = rig.stack(&example("minimal.yaml"));
    rig.eksup(&["apply", text(&stack)]).expect(3);
    rig.expect_nothing_left();
}
