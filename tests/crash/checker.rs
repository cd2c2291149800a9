//! Looks at a town that is down: its databases, and with git alone at what landed.

use std::collections::BTreeMap;
use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::process::Command;

use gastown::model::agent::AgentState;
use gastown::model::bead::Hold;
use gastown::model::bead::Status;
use gastown::model::ids::Db;
use gastown::model::merge::Cycle;
use gastown::model::merge::MrState;
use gastown::model::rows::Agent;
use gastown::model::rows::Bead;
use gastown::model::rows::MergeRequest;
use gastown::model::rows::Outbox;
use gastown::model::rows::Queue;
use gastown::model::tx::Scan;
use gastown::model::tx::TxExt;

use super::town::Town;

/// Times that a town is started again to finish what was on its way.
const SETTLES: usize = 10;

/// What a database holds that matters here.
struct Rows {
    beads: Vec<Bead>,
    agents: Vec<Agent>,
    mrs: Vec<MergeRequest>,
    queues: Vec<Queue>,
    outbox: usize,
}

fn rows(town: &Town, db: &str) -> Rows {
    let all = town.ledger().read(&Db::from(db), |tx| {
        let whole = Scan::default();
        Ok::<_, gastown::model::tx::TxError>(Rows {
            beads: tx.rows(&whole)?,
            agents: tx.rows(&whole)?,
            mrs: tx.rows(&whole)?,
            queues: tx.rows(&whole)?,
            outbox: tx.rows::<Outbox>(&whole)?.len(),
        })
    });
    all.unwrap().unwrap()
}

const DATABASES: [&str; 3] = ["hq", "alpha", "beta"];

/// Takes the town down when nothing is on its way any more.
pub fn settle(town: &mut Town) {
    for _ in 0..SETTLES {
        town.until("every worker is idle and every queue empty", |town| {
            let status = town.ask("gt", &["status", "--json"]);
            let rigs = status["rigs"].as_array().unwrap();
            rigs.iter().all(|rig| {
                let agents = rig["agents"].as_array().unwrap();
                let idle = agents.iter().all(|agent| agent["agent_state"] == "idle");
                idle && rig["queue"]["queued"] == 0 && rig["queue"]["step"] == "idle"
            })
        });
        town.until("what landed has no branch on the remote any more", |town| {
            let heads = ["for-each-ref", "--format=%(refname)", "refs/heads"];
            ["alpha.git", "beta.git"].iter().all(|rig| town.git(rig, &heads) == "refs/heads/main")
        });
        town.stop();
        town.serve();
        if DATABASES.iter().all(|db| rows(town, db).outbox == 0) {
            return;
        }
        town.start();
    }
    panic!("parcels stay in an outbox");
}

/// Every bead is where it should be, and nobody and nothing waits for ever.
pub fn ledger(town: &Town) {
    for db in DATABASES {
        let rows = rows(town, db);
        assert_eq!(rows.outbox, 0, "{db}");
        for agent in &rows.agents {
            assert_eq!(agent.state, AgentState::Idle, "{}", agent.id);
        }
        for bead in &rows.beads {
            let id = bead.id.as_str();
            assert!(!matches!(bead.hold, Hold::Held { .. }), "{id} is held by an idle worker");
            assert!(!matches!(bead.hold, Hold::InQueue { .. }), "{id} waits for ever");
            if town.closed.iter().any(|known| known == id) {
                assert_eq!(bead.status, Status::Closed, "{id}");
            }
            if town.open.iter().any(|known| known == id) {
                assert_eq!((bead.status, &bead.hold), (Status::Open, &Hold::Free), "{id}");
            }
        }
        for mr in &rows.mrs {
            let decided = !matches!(mr.state, MrState::Queued | MrState::Held);
            assert!(decided, "{} is {}", mr.id, mr.state);
        }
        for queue in &rows.queues {
            assert_eq!((&queue.cycle, &queue.parked), (&Cycle::Idle, &None), "{db}");
        }
    }
    once(&rows(town, "hq").beads);
    let there = |id: &String| {
        DATABASES.iter().any(|db| rows(town, db).beads.iter().any(|bead| bead.id.as_str() == *id))
    };
    assert!(town.closed.iter().chain(&town.open).all(there), "a bead is lost");
}

/// Everybody was told of each landing once.
fn once(beads: &[Bead]) {
    let mut told = BTreeSet::new();
    let titles = beads.iter().map(|bead| bead.title.as_str());
    for title in titles.filter(|t| t.starts_with("CONVOY_LANDED") || t.starts_with("MERGED")) {
        assert!(told.insert(title), "told twice: {title}");
    }
    assert!(told.len() > 8, "{told:?}");
}

/// Checks out every commit that the target ever pointed to and runs the gates there; no patch is
/// on the target twice. Git alone.
pub fn history(town: &Town, rig: &str) {
    let origin = format!("{rig}.git");
    let log = town.git(&origin, &["reflog", "show", "--format=%H", "main"]);
    let mut count = 0;
    for tip in log.lines().filter(|tip| !town.outside.iter().any(|known| known == tip)) {
        let dir = town.path(&format!("check-{rig}-{tip}"));
        let at = dir.display().to_string();
        town.git(&origin, &["worktree", "add", "--quiet", "--detach", &at, tip]);
        for gate in ["test", "lint"] {
            assert!(green(&dir, gate), "{rig}: {tip} is red: {gate}");
        }
        town.git(&origin, &["worktree", "remove", "--force", &at]);
        count += 1;
    }
    assert!(count > 0, "{rig}: nothing landed");
    let mut seen: BTreeMap<String, usize> = BTreeMap::new();
    for commit in town.git(&origin, &["rev-list", "--no-merges", "main"]).lines() {
        let show = format!("git show {commit} | git patch-id --stable");
        let said = town.run("sh", &origin, &["-c", &show]);
        let patch = said.out.split_whitespace().next().unwrap_or_default().to_owned();
        *seen.entry(patch).or_default() += 1;
    }
    seen.remove("");
    assert!(seen.values().all(|times| *times == 1), "{rig}: a patch is there twice");
    println!("{rig}: {count} commits of main, each green");
}

fn green(dir: &Path, gate: &str) -> bool {
    let script = fs::canonicalize(dir).unwrap().join("check.sh");
    let ended = Command::new("sh").arg(script).arg(gate).current_dir(dir).output().unwrap();
    ended.status.success()
}
