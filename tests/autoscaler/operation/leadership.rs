//! Of two processes one acts.

use super::post::{LEASE, Post};
use crate::stage::until;

#[test]
fn when_the_leader_is_killed_or_ends_another_one_takes_over() {
    let post = Post::new();
    let pair = [post.autoscaler("a"), post.autoscaler("b")];
    pair.iter().for_each(|each| each.is_ready());
    until("one leads", || pair.iter().any(|each| each.leads()).then_some(()));
    assert_eq!(pair.iter().filter(|each| each.leads()).count(), 1);
    post.pool("first");
    post.told("first", "Ready");

    let (mut leaders, mut others): (Vec<_>, Vec<_>) = pair.into_iter().partition(|each| each.leads());
    let (killed, second) = (leaders.remove(0), others.remove(0));
    drop(killed);
    until("the other one leads", || second.leads().then_some(()));
    post.pool("second");
    post.told("second", "Ready");

    let third = post.autoscaler("c");
    third.is_ready();
    assert!(!third.leads());
    assert!(second.ends().success());
    until("the third one leads", || third.leads().then_some(()));
    let lease = post.hands.gets(LEASE);
    let holder = lease["spec"]["holderIdentity"].as_str().unwrap_or_default();
    assert!(holder.starts_with("c_"), "{holder}");
    post.pool("third");
    post.told("third", "Ready");
    assert!(third.ends().success());
    assert_eq!(post.hands.gets(LEASE)["spec"]["holderIdentity"], "", "it is given back");
}
