//! Who may ask what of the desk, where it is answered, and in which words it is refused.

use gastown::gateway::desk::OPS_MAX;
use gastown::messages::door::Control;
use gastown::messages::door::DoorError;
use gastown::messages::door::Query;
use gastown::messages::door::Request;
use gastown::messages::door::Verify;
use gastown::messages::views::AgentView;
use gastown::messages::views::ConvoyView;
use gastown::messages::views::HookView;
use gastown::messages::views::IssueView;
use gastown::messages::views::MailView;
use gastown::messages::views::StatusView;
use gastown::model::agent::Exit;
use gastown::model::bead::DepType;
use gastown::model::ids::BeadId;
use gastown::model::ids::Db;
use gastown::model::ids::Identity;
use gastown::model::ids::RigName;
use gastown::model::ids::SessionId;
use gastown::model::ids::Sha;
use gastown::model::mail::MailKind;
use gastown::model::mail::MailState;
use gastown::model::mail::Priority;
use gastown::model::merge::Judge;
use gastown::model::merge::Verification;
use gastown::model::ops::AfterExit;
use gastown::model::ops::Fact;
use gastown::model::ops::NewBead;
use gastown::model::ops::Op;
use gastown::model::parcel::Letter;
use gastown::model::query::BeadFilter;
use gastown::model::value::Name;

use crate::gateway::town::ALPHA;
use crate::gateway::town::T0;
use crate::gateway::town::TOKEN;
use crate::gateway::town::Town;
use crate::gateway::town::call;
use crate::gateway::town::create;

fn letter(to: &str) -> Op {
    Op::SendMail(Letter {
        sender: "somebody else".to_owned(),
        recipient: to.to_owned(),
        kind: MailKind::Text,
        subject: "hello".to_owned(),
        body: "there".to_owned(),
        priority: Priority::Normal,
        thread: None,
    })
}

fn nudge(to: &str) -> Op {
    Op::SendNudge { to: Name::from(to), text: "look".to_owned() }
}

fn told<T: std::fmt::Debug>(answer: Result<T, DoorError>) -> String {
    let error = answer.unwrap_err();
    format!("{}: {} [{}]", error.code, error.error, error.hint.unwrap_or_default())
}

fn done() -> Request {
    Request::Done { head: Sha::from("abc"), no_change: None }
}

#[test]
fn another_protocol_or_town_is_refused() {
    let town = Town::new();
    let mut other = call(None, Request::Hello);
    other.protocol += 1;
    assert_eq!(town.desk.answer(&other, T0).unwrap_err().code, "mismatch");
    let mut other = call(None, Request::Hello);
    other.town = Some("t2".to_owned());
    let error = town.desk.answer(&other, T0).unwrap_err();
    assert_eq!(
        (error.code.as_str(), error.error.as_str()),
        ("mismatch", "this is t1, the call is for t2")
    );
    other.town = None;
    assert!(town.desk.answer(&other, T0).is_ok());
}

#[test]
fn a_session_is_known_by_its_secret() {
    let town = Town::new();
    let hook: HookView = town.ask(Some(TOKEN), Query::Hook { actor: None });
    assert_eq!(
        (hook.actor.as_str(), hook.phase.as_str(), hook.incarnation),
        (ALPHA, "spawning", 1)
    );
    assert_eq!(hook.bead.unwrap().id, "sh-work".into());
    assert_eq!(hook.branch.as_deref(), Some("polecat/alpha-1"));
    let agent = BeadId::from("sh-shop-polecat-alpha");
    assert_eq!(*town.live.progress.lock().unwrap(), [(agent, 1)]);
    let none: HookView = town.ask(None, Query::Hook { actor: None });
    assert_eq!((none.actor.as_str(), none.phase.as_str(), none.bead), ("overseer", "none", None));
    assert_eq!(town.live.progress.lock().unwrap().len(), 1, "the overseer is nobody's progress");

    let forged = town.send(Some("guessed"), Request::Read(Query::Status));
    assert!(told(forged).starts_with("denied: GT_TOKEN is not a secret of this town"));
    let unknown = town.send(Some("secret of shop-polecats-beta-1"), Request::Read(Query::Status));
    assert!(told(unknown).starts_with("denied: the ledger has no session"));
}

#[test]
fn an_ended_or_overtaken_session_is_stale() {
    let town = Town::new();
    let agent = BeadId::from("sh-shop-polecat-alpha");
    let shop = Db::from("shop");
    town.books.put(
        &shop,
        Op::SessionEnded {
            agent: agent.clone(),
            incarnation: 1,
            session: SessionId::from("shop-polecats-alpha-1"),
            exit: Exit::Vanished,
            then: AfterExit::Retry { at: T0, counted: true },
        },
    );
    let ended = town.send(Some(TOKEN), done());
    assert!(told(ended).starts_with("stale: session shop-polecats-alpha-1 has ended"));
    let session = SessionId::from("shop-polecats-alpha-2");
    town.books.put(&shop, Op::StartSession { agent, incarnation: 1, session });
    let overtaken = town.write(Some(TOKEN), "shop", create("sh-new"));
    insta::assert_snapshot!(told(overtaken), @"stale: shop/polecats/alpha is at incarnation 2, not 1: this session is no longer its own [end this session: its work is kept and goes on in another]");
    let token = Some("secret of shop-polecats-alpha-2");
    assert!(town.write(token, "shop", create("sh-new")).is_ok());
}

#[test]
fn each_caller_has_its_ops() {
    let town = Town::new();
    let release = || Op::Release { bead: "sh-work".into(), reason: "no".to_owned() };
    let agent = || BeadId::from("sh-shop-polecat-alpha");
    let session = || SessionId::from("shop-polecats-alpha-2");
    let assign = || Op::Assign { bead: "sh-work".into(), agent: agent(), branch: String::new() };
    let start = || Op::StartSession { agent: agent(), incarnation: 1, session: session() };
    let park = || Op::ParkQueue { rig: "shop".into(), reason: Some("no".to_owned()) };
    let refusals = [
        town.write(Some(TOKEN), "shop", release()),
        town.write(Some(TOKEN), "shop", assign()),
        town.write(None, "shop", assign()),
        town.write(None, "shop", start()),
        town.write(None, "shop", park()),
        town.write(None, "shop", Op::SetMeta { name: "prefix".into(), value: "x".to_owned() }),
        town.write(Some(TOKEN), "hq", Op::TakeNudges { by: "mayor".into() }),
        town.write(
            None,
            "hq",
            Op::PlaceOrders {
                beads: vec!["hq-1".into()],
                worker: None,
                preset: None,
                convoy: None,
            },
        ),
    ];
    insta::assert_snapshot!("refusals", refusals.map(told).join("\n"));
    let control = Control::Reload;
    assert!(told(town.send(Some(TOKEN), Request::Control(control.clone()))).starts_with("denied"));
    assert!(town.send(None, Request::Control(control)).is_ok());
    assert!(town.write(None, "shop", release()).is_ok());
}

#[test]
fn an_agent_has_its_own_rigs_work_verified() {
    let town = Town::new();
    let wanted = |rig: &str| {
        let (rig, branch) = (RigName::from(rig), "b".to_owned());
        Request::Verify(Verify { rig, branch, head: Sha::from("abc"), onto: None })
    };
    let own = town.send(Some(TOKEN), wanted("shop"));
    assert!(told(own).starts_with("not_now: abc for shop/polecats/alpha"));
    let other = town.send(Some(TOKEN), wanted("ui"));
    assert!(told(other).starts_with("denied: shop/polecats/alpha has nothing to verify in ui"));
    assert!(told(town.send(None, wanted("ui"))).starts_with("not_now: abc for overseer"));
    assert!(told(town.send(None, wanted("none"))).starts_with("not_found"));
    // What gates said is not taken from anybody's words.
    let judge = Judge::default();
    let op = Op::RecordVerification {
        rig: "shop".into(),
        told: Verification {
            run: "r".into(),
            commit: "c".into(),
            tree: "t".into(),
            judge,
            results: Vec::new(),
            asked_by: "me".into(),
            started_at: T0,
        },
    };
    assert!(told(town.write(Some(TOKEN), "shop", op.clone())).starts_with("denied"));
    assert!(told(town.write(None, "shop", op)).starts_with("denied"));
}

#[test]
fn work_is_handed_in_by_the_session_alone() {
    let town = Town::new();
    assert!(told(town.send(None, done())).starts_with("denied: only an agent's session"));
    let answer = town.send(Some(TOKEN), done()).unwrap();
    assert!(
        matches!(&answer.facts[..], [Fact::Agent { phase, .. }] if phase == "submitted"),
        "{:?}",
        answer.facts
    );
    assert!(town.send(Some(TOKEN), done()).is_ok(), "twice is once");
    let other = Request::Done { head: Sha::from("def"), no_change: None };
    assert!(told(town.send(Some(TOKEN), other)).starts_with("not_now"));
}

#[test]
fn a_label_is_written_down_and_proves_nothing() {
    let town = Town::new();
    let mut named = call(None, Request::Write { db: Db::from("shop"), ops: vec![create("sh-1")] });
    named.actor = Some("ada".to_owned());
    town.desk.answer(&named, T0).unwrap();
    named.actor = Some(ALPHA.to_owned());
    named.request = done();
    assert_eq!(town.desk.answer(&named, T0).unwrap_err().code, "denied");
    named.request = Request::Write { db: Db::from("shop"), ops: vec![create("sh-2")] };
    named.token = Some(TOKEN.to_owned());
    named.actor = Some("mayor".to_owned());
    town.desk.answer(&named, T0).unwrap();
    let ids = vec!["sh-1".into(), "sh-2".into()];
    let views: Vec<IssueView> = town.ask(None, Query::Show { ids });
    let by: Vec<Option<&str>> = views.iter().map(|view| view.created_by.as_deref()).collect();
    assert_eq!(by, [Some("ada"), Some(ALPHA)], "a token wins over a label");
}

#[test]
fn mail_goes_to_hq_and_hints_to_the_recipients_rig() {
    let town = Town::new();
    town.write(Some(TOKEN), "shop", letter("mayor/")).unwrap();
    let inbox = |recipient: &str| -> Vec<MailView> {
        let recipient = Some(recipient.to_owned());
        town.ask(None, Query::Inbox { recipient, all: false, unread: false })
    };
    let got = inbox("mayor");
    assert_eq!((got[0].from.as_str(), got[0].to.as_str()), (ALPHA, "mayor"), "no false sender");
    town.write(None, "hq", letter("shop/alpha")).unwrap();
    let id = inbox(ALPHA)[0].id.clone();
    let read = || Op::MarkMail { id: id.clone(), state: MailState::Read };
    town.write(Some(TOKEN), "shop", read()).unwrap();
    let message: MailView = town.ask(None, Query::Message { id: id.clone() });
    assert!(message.read);
    let others = Op::MarkMail { id: got[0].id.clone(), state: MailState::Archived };
    assert!(told(town.write(Some(TOKEN), "hq", others)).starts_with("held"));

    town.write(None, "hq", nudge("shop/alpha")).unwrap();
    let hook: HookView = town.ask(None, Query::Hook { actor: Some(ALPHA.to_owned()) });
    assert_eq!(hook.nudges, ["overseer: look"]);
    let taken = town.write(Some(TOKEN), "hq", Op::TakeNudges { by: Name::from(ALPHA) }).unwrap();
    assert_eq!(taken.len(), 1);
    let unknown = ["myor", "shop/alhpa", "alpha", "nobody-like-this"];
    let said = unknown.map(|to| told(town.write(None, "hq", letter(to))));
    insta::assert_snapshot!("unknown_recipients", said.join("\n"));
    assert!(told(town.write(None, "hq", nudge("ui/witness"))).starts_with("not_found"));
    let ops = vec![create("sh-3"), letter("mayor")];
    let mixed = town.send(None, Request::Write { db: Db::from("shop"), ops });
    assert!(told(mixed).starts_with("usage: these changes belong to different databases"));
}

#[test]
fn ids_lead_to_their_database() {
    let town = Town::new();
    town.write(None, "ui", create("sh-ui-x")).unwrap();
    let show = |id: &str| town.send(None, Request::Read(Query::Show { ids: vec![id.into()] }));
    assert!(show("sh-ui-x").is_ok(), "the longest prefix wins");
    insta::assert_snapshot!(told(show("zz-1")), @"not_found: no database has ids like 'zz-1' [known prefixes: hq- (hq), sh- (shop), sh-ui- (ui)]");
    assert!(told(show("sh-ui-nope")).starts_with("not_found: bead 'sh-ui-nope' not found in ui"));
    let part: Vec<IssueView> = town.ask(None, Query::Show { ids: vec!["sh-wo".into()] });
    assert_eq!(part[0].id, "sh-work".into());
    let unknown = town.write(None, "nowhere", create("sh-1"));
    assert!(told(unknown).ends_with("[there are: hq, shop, ui]"));
    let agent: Vec<IssueView> = town.ask(None, Query::Show { ids: vec!["hq-mayor".into()] });
    let fields = agent[0].agent.as_ref().unwrap();
    assert_eq!(fields.role_bead, "hq-mayor-role".into());
}

#[test]
fn edges_may_cross_databases() {
    let town = Town::new();
    town.write(None, "ui", create("sh-ui-x")).unwrap();
    town.write(None, "shop", create("sh-1")).unwrap();
    let dep = |target: &str| Op::AddDep {
        bead: "sh-1".into(),
        target: target.into(),
        dep_type: DepType::Blocks,
    };
    let facts = town.write(None, "shop", dep("sh-ui-x")).unwrap();
    assert!(facts.contains(&Fact::Outbox { dst: Db::from("ui") }), "{facts:?}");
    let views: Vec<IssueView> = town.ask(None, Query::Show { ids: vec!["sh-1".into()] });
    assert_eq!(views[0].blocked_by, ["sh-ui-x".into()]);
    assert_eq!(views[0].dependencies[0].issue.title, "Title of sh-ui-x");
    assert!(told(town.write(None, "shop", dep("sh-ui-none"))).starts_with("not_found"));
    assert!(told(town.write(None, "shop", dep("zz-1"))).starts_with("not_found"));

    town.write(None, "ui", create("sh-ui-y")).unwrap();
    town.write(None, "ui", Op::Close { id: "sh-ui-y".into(), reason: "done".to_owned() }).unwrap();
    let deps = vec![(DepType::Blocks, "sh-ui-y".into()), (DepType::Related, "sh-1".into())];
    let new = NewBead { title: "Second".to_owned(), deps, ..NewBead::default() };
    let facts = town.write(None, "shop", Op::Create(new.clone())).unwrap();
    let Some(Fact::Created { id }) = facts.first() else { panic!("{facts:?}") };
    let views: Vec<IssueView> = town.ask(None, Query::Show { ids: vec![id.clone()] });
    assert_eq!((views[0].dependencies.len(), views[0].blocked_by.len()), (2, 0), "closed already");
    let beads = |filter| -> Vec<IssueView> { town.ask(None, Query::Beads { dbs: vec![], filter }) };
    let before = beads(BeadFilter::list()).len();
    let deps = vec![(DepType::Blocks, "sh-ui-none".into())];
    assert!(town.write(None, "shop", Op::Create(NewBead { deps, ..new })).is_err());
    assert_eq!(beads(BeadFilter::list()).len(), before, "a wrong id makes nothing");
}

#[test]
fn lists_go_over_databases_in_one_order() {
    let town = Town::new();
    let urgent = |id: &str, priority: i64| {
        let Op::Create(new) = create(id) else { unreachable!() };
        Op::Create(NewBead { priority: Some(priority), ..new })
    };
    for (db, id, priority) in
        [("shop", "sh-a", 3), ("ui", "sh-ui-b", 0), ("shop", "sh-c", 1), ("ui", "sh-ui-d", 4)]
    {
        town.write(None, db, urgent(id, priority)).unwrap();
    }
    let filter = BeadFilter { limit: Some(3), ..BeadFilter::ready(0) };
    let views: Vec<IssueView> = town.ask(None, Query::Beads { dbs: vec![], filter });
    let ids: Vec<&str> = views.iter().map(|view| view.id.as_str()).collect();
    assert_eq!(ids, ["sh-ui-b", "sh-c", "sh-a"], "what is held is not ready");
}

#[test]
fn the_town_is_seen_at_a_glance() {
    let town = Town::new();
    town.write(None, "hq", letter("overseer")).unwrap();
    let status: StatusView = town.ask(None, Query::Status);
    assert_eq!(status.town.as_deref(), Some("t1"));
    let rigs: Vec<&str> = status.rigs.iter().map(|rig| rig.name.as_str()).collect();
    assert_eq!(rigs, ["shop", "ui"]);
    assert_eq!(status.rigs[0].agents[0].fields.agent_state, "spawning");
    assert_eq!(status.rigs[0].beads.in_progress_issues, 1);
    assert_eq!((status.unread_mail, status.daemon.is_some()), (1, true));
    let agents: Vec<AgentView> = town.ask(None, Query::Agents { rig: Some(RigName::from("shop")) });
    assert_eq!(agents[0].actor, ALPHA);

    let beads = vec![("sh-work".into(), RigName::from("wrong"), true)];
    let (title, owner) = ("Batch".to_owned(), Name::from("overseer"));
    town.write(None, "shop", Op::CreateConvoy { title, owner, beads }).unwrap();
    let convoys: Vec<ConvoyView> = town.ask(None, Query::Convoys { all: false });
    let batch = &convoys[0];
    assert_eq!((batch.closed, batch.total, batch.members[0].rig.as_str()), (0, 1, "shop"));
}

#[test]
fn everything_is_bounded() {
    let town = Town::new();
    let ops = vec![nudge("mayor"); OPS_MAX + 1];
    let many = town.send(None, Request::Write { db: Db::hq(), ops });
    assert!(told(many).starts_with("usage"));
    let none = town.send(None, Request::Write { db: Db::hq(), ops: vec![] });
    assert!(told(none).starts_with("usage"));
    let ask = || town.send(Some(TOKEN), Request::Read(Query::Hook { actor: None }));
    let error = (0..1_000).find_map(|_| ask().err()).unwrap();
    assert_eq!(error.code, "busy", "a looping agent is slowed down");
    let who = Identity::parse(ALPHA).unwrap();
    assert_eq!(who.rig().map(RigName::as_str), Some("shop"));
    let status = town.send(None, Request::Read(Query::Status));
    assert!(status.is_ok(), "and nobody else is");
}
