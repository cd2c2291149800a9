//! The dispatcher: readiness, capacity, wanted workers.

use gastown::machines::dispatcher::Dispatcher;
use gastown::machines::limits::Limits;
use gastown::model::bead::DepType;
use gastown::model::ids::BeadId;
use gastown::model::ops::Edit;
use gastown::model::ops::Op;
use gastown::model::value::Name;

use super::bench::Bench;
use super::bench::PREFIX;
use super::bench::Step;
use super::bench::T0;
use super::bench::bead;
use super::bench::order;
use super::bench::polecat;
use super::bench::rig;
use super::bench::wake;

fn check(workers: usize, script: Vec<Step>) -> String {
    let limits = Limits { polecats_max: workers, ..Limits::default() };
    Bench::new(Dispatcher::new(rig(), PREFIX.to_owned(), limits)).run(&script)
}

fn beads(ids: &[&str]) -> Vec<Step> {
    ids.iter().map(|id| Step::Commit(bead(id))).collect()
}

fn ordered_for(worker: &str, id: &str) -> Step {
    let beads = vec![BeadId::from(id)];
    let worker = Some(Name::from(worker));
    Step::Commit(Op::PlaceOrders { beads, worker, preset: None, convoy: None })
}

#[test]
fn more_beads_than_workers() {
    let mut script = beads(&["sh-1", "sh-2", "sh-3"]);
    script.extend([Step::Commit(order(&["sh-1", "sh-2", "sh-3"])), wake(), wake()]);
    insta::assert_snapshot!(check(2, script), @r"
    ~ create
    ~ create
    ~ create
    ~ place_orders
    > wake
      commit register_agent who={Polecat=[shop, furiosa]}
      commit assign agent=sh-shop-polecat-furiosa bead=sh-1 branch=polecat/furiosa-T0
      commit register_agent who={Polecat=[shop, nux]}
      commit assign agent=sh-shop-polecat-nux bead=sh-2 branch=polecat/nux-T0
      = furiosa preparing#0
      = nux preparing#0
    > wake
      = furiosa preparing#0
      = nux preparing#0
    ");
}

#[test]
fn urgent_ones_first_and_blocked_or_deferred_ones_later() {
    let mut script = beads(&["sh-1", "sh-2", "sh-3", "sh-4"]);
    let (bead, target) = (BeadId::from("sh-1"), BeadId::from("sh-2"));
    script.push(Step::Commit(Op::AddDep { bead, target, dep_type: DepType::Blocks }));
    let deferred = Edit { defer_until: Some(T0 + 60_000), ..Edit::default() };
    script.push(Step::Commit(Op::Edit { id: BeadId::from("sh-3"), edit: deferred }));
    let urgent = Edit { priority: Some(0), ..Edit::default() };
    script.push(Step::Commit(Op::Edit { id: BeadId::from("sh-4"), edit: urgent }));
    script.push(Step::Commit(order(&["sh-1", "sh-2", "sh-3", "sh-4"])));
    script.extend([wake(), Step::Pass(60_000), wake()]);
    insta::assert_snapshot!(check(8, script), @r"
    ~ create
    ~ create
    ~ create
    ~ create
    ~ add_dep
    ~ edit
    ~ edit
    ~ place_orders
    > wake
      commit register_agent who={Polecat=[shop, furiosa]}
      commit assign agent=sh-shop-polecat-furiosa bead=sh-4 branch=polecat/furiosa-T0
      commit register_agent who={Polecat=[shop, nux]}
      commit assign agent=sh-shop-polecat-nux bead=sh-2 branch=polecat/nux-T0
      wake in 60000
      = furiosa preparing#0
      = nux preparing#0
    ~ 60000 ms
    > wake
      commit register_agent who={Polecat=[shop, slit]}
      commit assign agent=sh-shop-polecat-slit bead=sh-3 branch=polecat/slit-1767225660000
      = furiosa preparing#0
      = nux preparing#0
      = slit preparing#0
    ");
}

#[test]
fn a_wanted_worker_is_waited_for() {
    let mut script = beads(&["sh-1", "sh-2"]);
    script.push(Step::Commit(Op::RegisterAgent { who: polecat("nux") }));
    script.extend([ordered_for("nux", "sh-1"), wake(), ordered_for("nux", "sh-2"), wake()]);
    insta::assert_snapshot!(check(2, script), @r"
    ~ create
    ~ create
    ~ register_agent
    ~ place_orders
    > wake
      commit assign agent=sh-shop-polecat-nux bead=sh-1 branch=polecat/nux-T0
      = nux preparing#0
    ~ place_orders
    > wake
      = nux preparing#0
    ");
}

#[test]
fn a_wanted_worker_that_is_not_there_is_made_while_there_is_room() {
    let mut script = beads(&["sh-1", "sh-2"]);
    script.extend([ordered_for("ripley", "sh-1"), ordered_for("ash", "sh-2"), wake()]);
    insta::assert_snapshot!(check(1, script), @r"
    ~ create
    ~ create
    ~ place_orders
    ~ place_orders
    > wake
      commit register_agent who={Polecat=[shop, ripley]}
      commit assign agent=sh-shop-polecat-ripley bead=sh-1 branch=polecat/ripley-T0
      = ripley preparing#0
    ");
}

#[test]
fn nothing_ordered_nothing_done() {
    let mut script = beads(&["sh-1"]);
    script.push(wake());
    insta::assert_snapshot!(check(2, script), @r"
    ~ create
    > wake
    ");
}
