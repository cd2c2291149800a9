//! Integration branches: what is below an epic lands on them, and they land as one.

use gastown::model::agent::AgentState;
use gastown::model::bead::BeadType;
use gastown::model::bead::Hold;
use gastown::model::bead::Status;
use gastown::model::ids::BeadId;
use gastown::model::ids::Identity;
use gastown::model::ids::Sha;
use gastown::model::mail::MailKind;
use gastown::model::merge::IntegrationState;
use gastown::model::merge::MrState;
use gastown::model::ops::Edit;
use gastown::model::ops::Fact;
use gastown::model::ops::NewBead;
use gastown::model::ops::NewBranch;
use gastown::model::ops::NewIntegration;
use gastown::model::ops::Op;
use gastown::model::ops::WholeLanding;
use gastown::model::parcel::Letter;
use gastown::model::parcel::Parcel;
use gastown::model::rows::Agent;
use gastown::model::rows::Bead;
use gastown::model::rows::Integration;
use gastown::model::rows::MergeRequest;
use gastown::model::rows::Order;
use gastown::model::rows::Outbox;
use gastown::model::tx::Scan;
use gastown::model::tx::TxExt;

use super::bench::bead;
use super::bench::branch;
use super::bench::order;
use super::bench::polecat;
use super::bench::sha;
use super::refinery::Script;
use super::refinery::settings;

const EPIC: &str = "sh-e";
const BRANCH: &str = "integration/sh-e";

fn id(text: &str) -> BeadId {
    BeadId::from(text)
}

fn below(child: &str, parent: &str) -> Op {
    let (title, parent) = ("Part".to_owned(), Some(id(parent)));
    Op::Create(NewBead { id: Some(id(child)), title, parent, ..NewBead::default() })
}

fn epic(name: &str) -> Op {
    let (title, issue_type) = ("Whole".to_owned(), Some(BeadType::Epic));
    Op::Create(NewBead { id: Some(id(name)), title, issue_type, ..NewBead::default() })
}

fn create(epic: &str, target: &str, base: &str) -> Op {
    let branch = format!("integration/{epic}");
    let (epic, target, base) = (id(epic), target.to_owned(), sha(base));
    Op::CreateIntegration(NewIntegration { epic, branch, target, base })
}

impl Script {
    fn does(&mut self, op: &Op) {
        self.bench.commit("overseer", op).unwrap_or_else(|error| panic!("{op:?}: {error}"));
        self.bench.now += 1;
    }

    fn refuses(&mut self, op: &Op) -> String {
        self.bench.commit("overseer", op).unwrap_err().to_string()
    }

    fn row(&mut self) -> Integration {
        self.bench.memory.row::<Integration>(&id(EPIC)).unwrap().unwrap()
    }

    fn found(&mut self, name: &str) -> Bead {
        self.bench.memory.find::<Bead>("by_id", &id(name)).unwrap().unwrap()
    }

    /// The newest merge request of a bead.
    fn request(&mut self, bead: &str) -> MergeRequest {
        self.requests().into_iter().rfind(|mr| mr.bead == id(bead)).unwrap()
    }

    /// Asks for the landing of the branch as the world has it.
    fn land(&mut self, force: Option<&str>) -> Op {
        let at = self.world.branches.get(BRANCH).cloned();
        let (tip, force) = (self.row().tip, force.map(str::to_owned));
        let head = at.map_or_else(|| tip.clone(), Sha);
        Op::LandIntegration(WholeLanding { epic: id(EPIC), head, tip, force })
    }

    fn letters(&mut self, kind: MailKind) -> Vec<Letter> {
        let rows = self.bench.memory.rows::<Outbox>(&Scan::default()).unwrap();
        let letters = rows.into_iter().filter_map(|row| match row.parcel {
            Parcel::Mail(letter) if letter.kind == kind => Some(letter),
            _ => None,
        });
        letters.collect()
    }
}

/// An epic with an integration branch, and these beads below it.
fn script(children: &[&str]) -> Script {
    let mut script = Script::new(settings());
    script.does(&epic(EPIC));
    script.does(&create(EPIC, "main", "m"));
    for child in children {
        script.does(&below(child, EPIC));
    }
    script
}

#[test]
fn what_is_below_an_epic_lands_on_its_branch_and_the_rest_on_the_target() {
    let mut script = script(&["sh-a", "sh-b"]);
    script.does(&bead("sh-l"));
    script.does(&branch("sh-a", "a"));
    script.does(&branch("sh-l", "l"));
    script.does(&branch("sh-b", "b"));
    insta::assert_snapshot!(script.run(), @r"
    stack a b onto integration/sh-e
    test m+a+b: passed
    land m+a+b onto integration/sh-e
    remove b-sh-a
    remove b-sh-b
    stack l
    test m+l: passed
    land m+l
    remove b-sh-l
    a is merged
    l is merged
    b is merged
    ");
    assert_eq!(script.row().tip, sha("m+a+b"));
    assert_eq!(script.found("sh-a").status, Status::Closed);
    assert_eq!(script.found(EPIC).status, Status::Open);
}

#[test]
fn a_culprit_on_a_branch_goes_back_and_is_searched_for_with_its_tree_alone() {
    let mut script = script(&["sh-a", "sh-b"]);
    script.does(&branch("sh-a", "a"));
    script.does(&branch("sh-b", "x"));
    let text = script.run();
    assert!(text.contains("a is merged\nx is returned red\n"), "{text}");
    assert_eq!(script.row().tip, sha("m+a"));
    // What was returned below the epic is reworked from its own head, and lands there again.
    script.does(&Op::Release { bead: id("sh-b"), reason: "by hand".to_owned() });
    script.does(&branch("sh-b", "y"));
    assert!(script.run().contains("land m+a+y onto integration/sh-e"));
}

#[test]
fn the_branch_lands_as_one_and_a_known_tree_is_not_tested_again() {
    let mut script = script(&["sh-a"]);
    let early = script.land(None);
    assert!(script.refuses(&early).contains("not closed below it: sh-a"));
    script.does(&branch("sh-a", "a"));
    script.run();
    let land = script.land(None);
    script.does(&land);
    assert!(script.refuses(&land).contains("it waits to land already, as sh-mr-"));
    insta::assert_snapshot!(script.run(), @r"
    stack m+a
    land m*(m+a)
    remove integration/sh-e
    a is merged
    m+a is merged
    ");
    let row = script.row();
    assert_eq!((row.state, row.ended_at.is_some()), (IntegrationState::Landed, true));
    let whole = script.found(EPIC);
    assert_eq!(whole.hold, Hold::Merged { commit: sha("m*(m+a)") });
    assert_eq!(whole.status, Status::Closed);
    let told = script.letters(MailKind::Merged);
    let last = told.last().unwrap();
    assert_eq!((last.subject.as_str(), last.recipient.as_str()), ("MERGED sh-e", "overseer"));
    let again = script.land(None);
    assert!(script.refuses(&again).contains("it is landed"));
}

#[test]
fn a_target_that_moved_is_merged_and_tested_before_the_branch_lands() {
    let mut script = script(&["sh-a"]);
    script.does(&branch("sh-a", "a"));
    script.run();
    script.world.target = "m+out".to_owned();
    let land = script.land(None);
    script.does(&land);
    script.world.overtaken = true;
    insta::assert_snapshot!(script.run(), @r"
    stack m+a
    test m+out*(m+a): passed
    land m+out*(m+a): moved
    stack m+a
    test m+out+other*(m+a): passed
    land m+out+other*(m+a)
    remove integration/sh-e
    a is merged
    m+a is merged
    ");
}

#[test]
fn while_it_lands_nothing_lands_on_it_and_what_is_left_lands_where_it_did() {
    let mut script = script(&["sh-a", "sh-b"]);
    script.does(&branch("sh-a", "a"));
    script.run();
    let land = script.land(Some("the rest can wait"));
    script.does(&land);
    script.does(&branch("sh-b", "b"));
    assert_eq!(script.request("sh-b").target, BRANCH);
    insta::assert_snapshot!(script.run(), @r"
    stack m+a
    land m*(m+a)
    remove integration/sh-e
    stack b
    test m*(m+a)+b: passed
    land m*(m+a)+b
    remove b-sh-b
    a is merged
    m+a is merged
    b is merged
    ");
    assert_eq!(script.request("sh-b").target, "main");
    assert_eq!(script.row().forced.as_deref(), Some("the rest can wait"));
}

#[test]
fn a_branch_that_comes_back_is_told_to_who_asked_and_can_be_asked_for_again() {
    let mut script = script(&["sh-a", "sh-b"]);
    script.world.branches.insert(BRANCH.to_owned(), "clash".to_owned());
    let land = script.land(Some("half is enough"));
    script.does(&land);
    script.does(&branch("sh-b", "b"));
    let text = script.run();
    assert!(text.contains("clash is returned conflict\n"), "{text}");
    let told = script.letters(MailKind::ReworkRequest);
    assert_eq!(told.len(), 1);
    let (body, to) = (&told[0].body, told[0].recipient.as_str());
    assert_eq!(to, "overseer");
    for line in ["Branch: integration/sh-e", "Target: main", "Conflict-Files: src/lib.rs"] {
        assert!(body.contains(line), "{body}");
    }
    let orders = script.bench.memory.rows::<Order>(&Scan::default()).unwrap();
    assert_eq!(orders, Vec::new(), "no worker mends a branch of many");
    // What waited for it went on.
    assert_eq!(script.request("sh-b").state, MrState::Merged);
    assert_eq!(script.row().state, IntegrationState::Open);
    let first = script.request(EPIC);
    let retry = Op::SetMr { mr: first.id.clone(), state: MrState::Queued, reason: String::new() };
    let why = script.refuses(&retry);
    assert!(why.contains("'gt mq integration land sh-e' queues it as it is"), "{why}");

    // The same head once more is the same merge request.
    script.world.branches.insert(BRANCH.to_owned(), "clash".to_owned());
    let land = script.land(Some("again"));
    script.does(&land);
    assert_eq!(script.request(EPIC).id, first.id);
    let text = script.run();
    assert!(text.contains("clash is returned conflict\n"), "{text}");
    assert_eq!(script.letters(MailKind::ReworkRequest).len(), 2);

    // A head that somebody mended is another.
    script.world.branches.insert(BRANCH.to_owned(), "mended".to_owned());
    let land = script.land(Some("mended"));
    script.does(&land);
    let mended = script.request(EPIC);
    assert_ne!(mended.id, first.id);
    let reject = Op::SetMr { mr: mended.id, state: MrState::Rejected, reason: "no".to_owned() };
    script.does(&reject);
    assert_eq!(script.row().state, IntegrationState::Open);
    assert_eq!(script.found(EPIC).hold, Hold::Free);
}

#[test]
fn whoever_stands_first_in_the_queue_says_which_branch_is_next() {
    let mut script = script(&["sh-a", "sh-b"]);
    script.does(&bead("sh-l"));
    script.does(&bead("sh-hot"));
    let edit = Edit { priority: Some(0), ..Edit::default() };
    script.does(&Op::Edit { id: id("sh-hot"), edit });
    script.does(&branch("sh-a", "a"));
    script.does(&branch("sh-l", "l"));
    script.does(&branch("sh-b", "b"));
    script.does(&branch("sh-hot", "hot"));
    let text = script.run();
    let stacks: Vec<&str> = text.lines().filter(|line| line.starts_with("stack")).collect();
    // The urgent one first, and with it who lands where it does.
    assert_eq!(stacks, ["stack hot l", "stack a b onto integration/sh-e"]);
}

#[test]
fn an_answer_for_another_branch_begins_no_cycle() {
    let mut script = Script::new(settings());
    script.does(&epic(EPIC));
    script.does(&below("sh-a", EPIC));
    script.does(&branch("sh-a", "a"));
    assert!(script.turn().ops.is_empty());
    // Stacked on the target, and meanwhile it lands elsewhere.
    script.does(&create(EPIC, "main", "m"));
    assert_eq!(script.request("sh-a").target, BRANCH);
    insta::assert_snapshot!(script.run(), @r"
    stack a
    stack a onto integration/sh-e
    test m+a: passed
    land m+a onto integration/sh-e
    remove b-sh-a
    a is merged
    ");
}

#[test]
fn only_a_branch_with_nothing_in_it_is_dropped() {
    let mut script = script(&["sh-a", "sh-b"]);
    let drop = Op::DropIntegration { epic: id(EPIC) };
    script.does(&branch("sh-a", "a"));
    let mr = script.request("sh-a").id.to_string();
    assert!(script.refuses(&drop).contains(&format!("is not empty: waiting: {mr}")));
    script.run();
    assert!(script.refuses(&drop).contains(&format!("is not empty: in it: {mr}")));

    let mut script = self::script(&["sh-a"]);
    script.does(&branch("sh-a", "x"));
    script.run();
    let returned = script.request("sh-a");
    assert_eq!((returned.state, returned.target.as_str()), (MrState::Returned, BRANCH));
    script.does(&drop);
    assert_eq!(script.row().state, IntegrationState::Dropped);
    let facts = script.bench.commit("overseer", &drop).unwrap();
    assert_eq!(facts, [Fact::Unchanged]);
    // What came back from it lands on the target now.
    let retry = Op::SetMr { mr: returned.id, state: MrState::Queued, reason: String::new() };
    script.does(&retry);
    assert_eq!(script.request("sh-a").target, "main");
    // And it can be made again.
    script.does(&create(EPIC, "main", "m"));
    assert_eq!(script.request("sh-a").target, BRANCH);
}

#[test]
fn an_epic_within_an_epic_lands_on_the_outer_branch() {
    let mut script = script(&[]);
    script.does(&below("sh-in", EPIC));
    let wrong = create("sh-in", "main", "m");
    assert!(script.refuses(&wrong).contains("the branch that sh-in lands on"));
    script.does(&create("sh-in", BRANCH, "m"));
    script.does(&below("sh-in.1", "sh-in"));
    script.does(&branch("sh-in.1", "a"));
    assert!(script.run().contains("land m+a onto integration/sh-in\n"));
    let inner = script.bench.memory.row::<Integration>(&id("sh-in")).unwrap().unwrap();
    let (head, tip) = (sha("m+a"), inner.tip);
    let wanted = WholeLanding { epic: id("sh-in"), head, tip, force: None };
    script.does(&Op::LandIntegration(wanted));
    let text = script.run();
    assert!(text.contains("land m*(m+a) onto integration/sh-e\n"), "{text}");
    assert!(text.contains("remove integration/sh-in\n"), "{text}");
    let land = script.land(None);
    script.does(&land);
    assert!(script.run().contains("remove integration/sh-e\n"));
}

#[test]
fn an_epic_with_a_branch_is_not_ended_by_hand() {
    let mut script = script(&[]);
    let close = Op::Close { id: id(EPIC), reason: "done".to_owned() };
    let delete = Op::Delete { id: id(EPIC) };
    for op in [&close, &delete] {
        let why = script.refuses(op);
        assert!(why.contains("'gt mq integration land sh-e' closes it"), "{why}");
    }
    let submit = Op::SubmitBranch(NewBranch {
        bead: id(EPIC),
        branch: BRANCH.to_owned(),
        head: sha("h"),
        target: "main".to_owned(),
        touches: None,
    });
    assert!(script.refuses(&submit).contains("lands by 'gt mq integration land sh-e'"));
    script.does(&Op::DropIntegration { epic: id(EPIC) });
    script.does(&close);
    assert!(script.refuses(&create(EPIC, "main", "m")).contains("'bd reopen sh-e' first"));
    script.does(&delete);
}

#[test]
fn a_name_is_one_epics_and_no_target() {
    let mut script = script(&[]);
    script.does(&epic("sh-f"));
    let new = NewIntegration {
        epic: id("sh-f"),
        branch: BRANCH.to_owned(),
        target: "main".to_owned(),
        base: sha("m"),
    };
    let why = script.refuses(&Op::CreateIntegration(new.clone()));
    assert!(why.contains("integration/sh-e is the integration branch of sh-e"), "{why}");
    let own = NewIntegration { branch: "main".to_owned(), ..new.clone() };
    assert!(script.refuses(&Op::CreateIntegration(own)).contains("needs a name of its own"));
    assert!(script.refuses(&create("sh-none", "main", "m")).contains("not found"));
    let facts = script.bench.commit("overseer", &create(EPIC, "main", "m")).unwrap();
    assert_eq!(facts, [Fact::Unchanged]);
    let second = NewIntegration { epic: id(EPIC), branch: "other".to_owned(), ..new };
    let why = script.refuses(&Op::CreateIntegration(second));
    assert!(why.contains("it has one already: integration/sh-e"), "{why}");
    let (head, tip) = (sha("m"), sha("elsewhere"));
    let late = WholeLanding { epic: id(EPIC), head, tip, force: None };
    assert!(script.refuses(&Op::LandIntegration(late.clone())).contains("integration/sh-e"));
    let empty = WholeLanding { tip: sha("m"), force: Some(" ".to_owned()), ..late };
    let why = script.refuses(&Op::LandIntegration(empty.clone()));
    assert!(why.contains("a reason is needed"), "{why}");
    let other = WholeLanding { epic: id("sh-f"), ..empty };
    assert!(script.refuses(&Op::LandIntegration(other)).contains("not found"));
}

#[test]
fn work_below_an_epic_starts_from_its_branch() {
    let mut script = script(&["sh-a", "sh-b"]);
    script.does(&branch("sh-a", "a"));
    script.run();
    script.does(&Op::RegisterAgent { who: polecat("ace") });
    script.does(&order(&["sh-b"]));
    let agent = Identity::bead_id(&polecat("ace"), "sh").unwrap();
    let branch = "polecat/ace-1".to_owned();
    script.does(&Op::Assign { bead: id("sh-b"), agent: agent.clone(), branch });
    let row = script.bench.memory.row::<Agent>(&agent).unwrap().unwrap();
    let AgentState::Preparing { work } = row.state else { panic!("{:?}", row.state) };
    assert_eq!(work.start, Some(sha("m+a")));
}
