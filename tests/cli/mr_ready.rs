//! `bd update ID --mr-ready` by a session that is known by its secret, without a daemon.

use std::fs;
use std::path::PathBuf;
use std::process::Command;

use gastown::adapters::token;
use gastown::model::agent::AgentState;
use gastown::model::ids::BeadId;
use gastown::model::ids::Db;
use gastown::model::ids::Identity;
use gastown::model::ids::SessionId;
use gastown::model::ops::NewBead;
use gastown::model::ops::Op;
use gastown::model::rows::Agent;
use gastown::model::tx::TxExt;
use gastown::store::ledger::Ledger;
use gastown::store::ledger::Settings;
use gastown::store::writer::Submission;
use tempfile::TempDir;

/// 2026-01-01.
const T0: i64 = 1_767_225_600_000;
const BRANCH: &str = "polecat/alpha-1";
const SESSION: &str = "shop-polecats-alpha-1";

/// A town with a rig `shop` whose worker `alpha` has `sh-work` on its hook, in its first session.
struct Shop {
    dir: TempDir,
    secret: String,
}

impl Shop {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let mut shop = Self { dir, secret: String::new() };
        fs::create_dir(shop.path("home")).unwrap();
        for (key, value) in [("user.name", "Ada"), ("user.email", "ada@example.org")] {
            shop.run("git", ".", &["config", "--global", key, value]).unwrap();
        }
        shop.run("git", ".", &["init", "-q", "-b", "main", "origin"]).unwrap();
        shop.run("git", "origin", &["commit", "-q", "--allow-empty", "-m", "first"]).unwrap();
        let gt = env!("CARGO_BIN_EXE_gt");
        shop.run(gt, ".", &["install", "town"]).unwrap();
        shop.run(gt, "town", &["rig", "add", "shop", "../origin", "--prefix", "sh"]).unwrap();
        shop.assign();
        let key = token::town_key(&shop.path("town/daemon/key")).unwrap();
        shop.secret = token::session_token(&key, &SESSION.into());
        let place = ["worktree", "add", "-q", "-b", BRANCH, "../../polecats/alpha/shop"];
        shop.run("git", "town/shop/mayor/rig", &place).unwrap();
        shop
    }

    fn path(&self, below: &str) -> PathBuf {
        fs::canonicalize(self.dir.path()).unwrap().join(below)
    }

    /// What the dispatcher and the worker's machine would write.
    fn assign(&self) {
        let ledger = Ledger::open(&self.path("town"), Settings::default());
        let mut writer = ledger.writer(&Db::from("shop"), "test", 1_000).unwrap();
        let who = Identity::parse("shop/polecats/alpha").unwrap();
        let agent = who.bead_id("sh").unwrap();
        let bead = BeadId::from("sh-work");
        let (beads, branch) = (vec![bead.clone()], BRANCH.to_owned());
        let new = NewBead { id: Some(bead.clone()), title: "Work".into(), ..NewBead::default() };
        let ops = vec![
            Op::RegisterAgent { who },
            Op::Create(new),
            Op::PlaceOrders { beads, worker: None, preset: None, convoy: None },
            Op::Assign { bead, agent: agent.clone(), branch },
            Op::StartSession { agent, incarnation: 0, session: SessionId::from(SESSION) },
        ];
        let group = [Submission { actor: "overseer".to_owned(), ops }];
        writer.commit_group(&group, T0).unwrap()[0].as_ref().unwrap();
    }

    fn run(&self, program: &str, below: &str, args: &[&str]) -> Result<String, (i32, String)> {
        let output = Command::new(program)
            .args(args)
            .current_dir(self.path(below))
            .env_clear()
            .env("PATH", std::env::var_os("PATH").unwrap_or_default())
            .env("HOME", self.path("home"))
            .env("GT_TOKEN", &self.secret)
            .output()
            .unwrap();
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        match output.status.success() {
            true => Ok(text(&output.stdout)),
            false => Err((output.status.code().unwrap_or(-1), text(&output.stderr))),
        }
    }

    fn bd(&self, args: &[&str]) -> Result<String, (i32, String)> {
        self.run(env!("CARGO_BIN_EXE_bd"), "town/shop/polecats/alpha/shop", args)
    }

    fn state(&self) -> AgentState {
        let ledger = Ledger::open(&self.path("town"), Settings::default());
        let id = BeadId::from("sh-shop-polecat-alpha");
        let agent = ledger.read(&Db::from("shop"), |tx| tx.row::<Agent>(&id).unwrap()).unwrap();
        agent.unwrap().state
    }
}

#[test]
fn only_finished_work_of_the_own_hook_is_handed_in() {
    let shop = Shop::new();
    let refused = |id: &str| shop.bd(&["update", id, "--mr-ready"]).unwrap_err();
    assert!(refused("sh-other").1.contains("sh-other is not on your hook, sh-work is"));
    assert!(refused("sh-work").1.contains("there is no commit on top of 'main'"));
    fs::write(shop.path("town/shop/polecats/alpha/shop/new.txt"), "work\n").unwrap();
    let dirty = refused("sh-work");
    assert!(dirty.0 == 1 && dirty.1.contains("uncommitted changes:\n?? new.txt"), "{dirty:?}");
    let git = |args: &[&str]| shop.run("git", "town/shop/polecats/alpha/shop", args).unwrap();
    git(&["add", "-A"]);
    git(&["commit", "-q", "-m", "Work (sh-work)"]);
    let both = shop.bd(&["update", "sh-work", "--mr-ready", "-p", "1"]).unwrap_err();
    assert_eq!(both.0, 2, "{both:?}");
    let said = shop.bd(&["update", "sh-work", "--mr-ready"]).unwrap();
    let head = git(&["rev-parse", "HEAD"]);
    assert!(said.contains(&format!("sh-work is handed in at {}", head.trim())), "{said}");
    let AgentState::Submitted { submission, .. } = shop.state() else {
        panic!("{:?}", shop.state())
    };
    assert_eq!((submission.head.as_str(), submission.no_change), (head.trim(), None));
}

#[test]
fn a_reason_hands_in_work_without_a_change() {
    let shop = Shop::new();
    let args = ["update", "sh-work", "--mr-ready", "--no-change", "it was mended", "--json"];
    let said = shop.bd(&args).unwrap();
    assert!(said.contains("\"id\": \"sh-work\""), "{said}");
    let AgentState::Submitted { submission, .. } = shop.state() else {
        panic!("{:?}", shop.state())
    };
    assert_eq!(submission.no_change.as_deref(), Some("it was mended"));
}

#[test]
fn a_forged_secret_opens_nothing() {
    let mut shop = Shop::new();
    shop.secret = format!("{SESSION}.{}", "0".repeat(64));
    let denied = shop.bd(&["list"]).unwrap_err();
    assert!(denied.0 == 1 && denied.1.contains("GT_TOKEN is not a secret"), "{denied:?}");
}
