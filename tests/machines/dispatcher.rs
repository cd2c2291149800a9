//! The dispatcher: readiness, capacity, wanted workers.

use gastown::machines::dispatcher::Dispatcher;
use gastown::machines::limits::Limits;
use gastown::model::agent::Exit;
use gastown::model::agent::Submission;
use gastown::model::bead::DepType;
use gastown::model::effect::Bounced;
use gastown::model::effect::HostIdentity;
use gastown::model::ids::BeadId;
use gastown::model::ids::Identity;
use gastown::model::ids::SessionId;
use gastown::model::merge::Stack;
use gastown::model::ops::AfterExit;
use gastown::model::ops::Edit;
use gastown::model::ops::Op;
use gastown::model::rows::MergeRequest;
use gastown::model::tx::TxExt;
use gastown::model::value::Cell;
use gastown::model::value::Name;

use super::bench::Bench;
use super::bench::PREFIX;
use super::bench::Step;
use super::bench::T0;
use super::bench::bead;
use super::bench::order;
use super::bench::polecat;
use super::bench::rig;
use super::bench::sha;
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

#[test]
fn returned_work_waits_until_its_branch_is_free() {
    let nux = BeadId::from("sh-shop-polecat-nux");
    let session = SessionId::from("shop-nux-1");
    let mut script = beads(&["sh-1"]);
    script.push(Step::Commit(Op::RegisterAgent { who: Identity::Refinery(rig()) }));
    script.push(Step::Commit(Op::RegisterAgent { who: polecat("slit") }));
    script.extend([ordered_for("nux", "sh-1"), wake()]);
    let (agent, bead) = (nux.clone(), BeadId::from("sh-1"));
    let host =
        HostIdentity { pid: 1, start_time: 1, boot_id: "b".to_owned(), token_hash: "t".to_owned() };
    let submission = Submission { head: sha("h1"), no_change: None };
    script.extend(
        [
            Op::StartSession { agent: nux.clone(), incarnation: 0, session: session.clone() },
            Op::SessionStarted {
                agent: nux.clone(),
                incarnation: 1,
                session: session.clone(),
                host,
            },
            Op::Submit { agent: nux.clone(), incarnation: 1, submission },
            Op::Enqueue { agent, incarnation: 1, target: "main".to_owned(), touches: None },
        ]
        .map(Step::Commit),
    );
    let limits = Limits { polecats_max: 2, ..Limits::default() };
    let mut bench = Bench::new(Dispatcher::new(rig(), PREFIX.to_owned(), limits));
    bench.run(&script);
    let mr = bench.memory.with::<MergeRequest>(Some("by_bead"), vec![bead.to_value()]).unwrap();
    let bounced = vec![Bounced { mr: mr[0].id.clone(), files: vec!["a".into()], onto: sha("m") }];
    let (base, base_tree) = (sha("m"), sha("t"));
    let stack = Stack { number: 1, base, base_tree, items: Vec::new(), onto: None };
    let back = Op::BeginCycle { rig: rig(), stack, risks: Vec::new(), bounced, rework_max: 3 };
    let ended = Op::SessionEnded {
        agent: nux.clone(),
        incarnation: 1,
        session,
        exit: Exit::Code(0),
        then: AfterExit::Retry { at: 0, counted: false },
    };
    let cleared = Op::Cleared { agent: nux, incarnation: 1, rescued: None };
    let script = [back, ended, cleared].map(Step::Commit);
    let [back, ended, cleared] = script;
    insta::assert_snapshot!(bench.run(&[back, wake(), ended, wake(), cleared, wake()]), @r"
    ~ begin_cycle
    > wake
      = nux ending#1
      = queue idle
    ~ session_ended
    > wake
      = nux clearing#1
      = queue idle
    ~ cleared
    > wake
      commit assign agent=sh-shop-polecat-nux bead=sh-1 branch=polecat/nux-T0
      = nux preparing#1
      = queue idle
    ");
}
