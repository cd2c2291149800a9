//! `gt mq proof`: what the ledger says of each landing, checked against git and the gates' records.
//!
//! The check reads the town's books only for what they claim; whether it is so is asked of git and
//! of `logs/gates/<run>/result.json`.

use std::collections::BTreeSet;

use serde::Serialize;

use crate::adapters::files;
use crate::adapters::gates::GateRecord;
use crate::adapters::git::GitError;
use crate::adapters::git::RigGit;
use crate::cli::boot;
use crate::cli::gt::here::Here;
use crate::cli::render;
use crate::cli::town::wiring;
use crate::messages::door::DoorError;
use crate::messages::door::Query;
use crate::messages::views;
use crate::messages::views::IntegrationView;
use crate::messages::views::LandingView;
use crate::messages::views::MrView;
use crate::model::ids::BeadId;
use crate::model::ids::RigName;
use crate::model::ids::RunId;
use crate::model::ids::Sha;
use crate::model::merge::Verdict;

/// Exit code of a proof that found something wrong.
const NOT_PROVEN: u8 = 1;

/// One rig's proof.
#[derive(Debug, Serialize)]
pub struct Proof {
    rig: RigName,
    target: String,
    /// Where the target is now.
    tip: Option<Sha>,
    /// Nothing is wrong.
    clean: bool,
    /// Every commit that the town landed, oldest first.
    commits: Vec<Landed>,
    /// Commits on the target that others brought.
    outside: Vec<Outside>,
    /// What is wrong with the whole.
    problems: Vec<String>,
}

/// One commit that the town landed.
#[derive(Debug, Serialize)]
struct Landed {
    commit: Sha,
    tree: Option<Sha>,
    /// The merge request that it belongs to.
    mr: Option<BeadId>,
    bead: Option<BeadId>,
    /// The run on the tip of its landing.
    run: RunId,
    /// Who had that run made ahead of the queue; absent for the queue's own.
    #[serde(skip_serializing_if = "Option::is_none")]
    verified_by: Option<String>,
    /// The gates that passed there.
    gates: Vec<String>,
    landed_at: String,
    problems: Vec<String>,
}

/// A commit of somebody else.
#[derive(Debug, Serialize)]
struct Outside {
    commit: Sha,
    /// `name <email>` of its committer.
    committer: String,
    subject: String,
}

/// Proves one rig or all; the exit code is 1 when something is wrong.
pub(super) fn run(here: &Here, rig: Option<RigName>, json: bool) -> Result<u8, DoorError> {
    let rigs: Vec<RigName> = match rig {
        Some(rig) => {
            here.registry.rig(&rig)?;
            vec![rig]
        }
        None => here.registry.rigs.keys().cloned().collect(),
    };
    let mut proofs = Vec::new();
    for rig in rigs {
        let landings: Vec<LandingView> = here.ask(Query::Landings { rig: rig.clone() })?;
        let mrs: Vec<MrView> = here.ask(Query::Queue { rig: Some(rig.clone()), all: true })?;
        let git = wiring::rig_git(&here.town, &here.settings, &here.registry, &rig)?;
        let decayed = views::rfc3339(boot::now_ms() - here.settings.life.beads_keep_ms);
        let known = Known { landings: &landings, mrs: &mrs, decayed: &decayed };
        proofs.push(prove(&git, (&git.target, &git.target), &known));
        let query = Query::Integrations { rig: Some(rig.clone()), epic: None };
        for row in here.ask::<Vec<IntegrationView>>(query)? {
            if landings.iter().any(|landing| landing.target == row.branch) {
                let on = if row.state.lives() { &row.branch } else { &row.target };
                proofs.push(prove(&git, (&row.branch, on), &known));
            }
        }
    }
    let clean = proofs.iter().all(|proof| proof.clean);
    match json {
        true => render::json(&proofs)?,
        false => say(&proofs)?,
    };
    Ok(if clean { 0 } else { NOT_PROVEN })
}

fn say(proofs: &[Proof]) -> Result<u8, DoorError> {
    for proof in proofs {
        let state = if proof.clean { "clean" } else { "NOT PROVEN" };
        let (rig, target, count) = (&proof.rig, &proof.target, proof.commits.len());
        render::line(&format!("{rig} {target}: {state}, {count} commits landed by the town"))?;
        for landed in &proof.commits {
            let ahead = landed.verified_by.as_ref();
            let ahead = ahead.map_or_else(String::new, |who| format!(", verified by {who}"));
            let bead = landed.bead.as_ref().map_or("-", BeadId::as_str);
            let tree = landed.tree.as_ref().map_or("?", Sha::as_str);
            render::line(&format!(
                "  {} tree {} {bead} run {} gates {}{ahead}",
                short(landed.commit.as_str()),
                short(tree),
                landed.run,
                landed.gates.join(",")
            ))?;
            for problem in &landed.problems {
                render::line(&format!("    ! {problem}"))?;
            }
        }
        for other in &proof.outside {
            let commit = short(other.commit.as_str());
            render::line(&format!("  {commit} by {}: {}", other.committer, other.subject))?;
        }
        for problem in &proof.problems {
            render::line(&format!("  ! {problem}"))?;
        }
    }
    Ok(0)
}

fn short(id: &str) -> &str {
    id.get(..10).unwrap_or(id)
}

/// What the ledger claims of a rig.
struct Known<'a> {
    landings: &'a [LandingView],
    mrs: &'a [MrView],
    /// Merge requests of landings before this (RFC 3339) may be gone from the ledger.
    decayed: &'a str,
}

/// Proves the landings on one target, oldest first. They are looked for on the branch `on`: the
/// target itself, or what an integration branch has landed on since.
fn prove(git: &RigGit, (target, on): (&str, &str), known: &Known<'_>) -> Proof {
    let mut proof = Proof {
        rig: git.rig.clone(),
        target: target.to_owned(),
        tip: None,
        clean: false,
        commits: Vec::new(),
        outside: Vec::new(),
        problems: Vec::new(),
    };
    match git.refresh_target(on).or_else(|_| git.known_target(&*git.open()?, on)) {
        Ok(tip) => proof.tip = Some(Sha(tip.to_string())),
        Err(error) => proof.problems.push(format!("branch '{on}' cannot be read: {error}")),
    }
    let ours: Vec<&LandingView> =
        known.landings.iter().filter(|landing| landing.target == target).collect();
    let there = proof.tip.as_ref().and_then(|tip| match git.history(tip) {
        Ok(commits) => Some(commits),
        Err(error) => {
            proof.problems.push(format!("the history of '{on}' cannot be read: {error}"));
            None
        }
    });
    for landing in &ours {
        prove_landing(git, landing, (known, on, there.as_ref()), &mut proof);
    }
    if let Some(tip) = proof.tip.clone().filter(|_| on == target)
        && let Err(error) = account_for(git, &ours, &tip, &mut proof)
    {
        proof.problems.push(format!("the commits of '{target}' cannot be read: {error}"));
    }
    proof.clean =
        proof.problems.is_empty() && proof.commits.iter().all(|landed| landed.problems.is_empty());
    proof
}

fn prove_landing(
    git: &RigGit,
    landing: &LandingView,
    (known, on, on_branch): (&Known<'_>, &str, Option<&BTreeSet<Sha>>),
    proof: &mut Proof,
) {
    let mrs = known.mrs;
    let mut problems = [claims(landing), record(git, landing)].concat();
    match git.commit_tree(&landing.tip) {
        Ok(tree) if tree == landing.tree => {}
        Ok(tree) => problems.push(format!("its tree is {tree}, the ledger says {}", landing.tree)),
        Err(error) => problems.push(format!("it is not in the repository: {error}")),
    }
    let commits = match git.commits_between(&landing.base, &landing.tip) {
        Ok(commits) => commits,
        Err(error) => {
            problems.push(format!("its commits cannot be read: {error}"));
            vec![landing.tip.clone()]
        }
    };
    for mr in &landing.mrs {
        let row = mrs.iter().find(|row| row.id == *mr);
        if row.is_none() && landing.landed_at.as_str() < known.decayed {
            // Its bead was closed long ago, and both are gone; the commits are still accounted for.
            continue;
        }
        let said = row.and_then(|mr| mr.merge_commit.clone());
        let there = said.as_ref().is_some_and(|c| commits.contains(c) || *c == landing.base);
        if !there {
            problems.push(format!("{mr} landed here but its commit is not among these"));
        }
    }
    let gates: Vec<String> = landing
        .gates
        .iter()
        .filter(|gate| gate.verdict == Verdict::Passed)
        .map(|gate| gate.name.clone())
        .collect();
    let owners = owners(&commits, mrs);
    for (commit, mr) in commits.into_iter().zip(owners) {
        let mut own = Vec::new();
        if on_branch.is_some_and(|commits| !commits.contains(&commit)) {
            own.push(format!("it is not on '{on}' any more"));
        }
        if commit == landing.tip {
            own.append(&mut problems);
        }
        proof.commits.push(Landed {
            tree: git.commit_tree(&commit).ok(),
            commit,
            mr: mr.map(|mr| mr.id.clone()),
            bead: mr.map(|mr| mr.bead.clone()),
            run: landing.run.clone(),
            verified_by: landing.verified_by.clone(),
            gates: gates.clone(),
            landed_at: landing.landed_at.clone(),
            problems: own,
        });
    }
    proof.problems.append(&mut problems);
}

/// Whose each commit is. A merge request's commits end with its merge commit: going back, each
/// belongs to the last one seen.
fn owners<'a>(commits: &[Sha], mrs: &'a [MrView]) -> Vec<Option<&'a MrView>> {
    let mut mr = None;
    let mut owners: Vec<Option<&MrView>> = commits
        .iter()
        .rev()
        .map(|commit| {
            let ends = mrs.iter().find(|mr| mr.merge_commit.as_ref() == Some(commit));
            mr = ends.or(mr);
            mr
        })
        .collect();
    owners.reverse();
    owners
}

/// What is wrong with the ledger's own words.
fn claims(landing: &LandingView) -> Vec<String> {
    let mut problems = Vec::new();
    let run = &landing.run;
    match &landing.tested_tree {
        None => problems.push(format!("run {run} is not recorded")),
        Some(tree) if *tree != landing.tree => {
            problems.push(format!("run {run} tested tree {tree}, what landed is {}", landing.tree));
        }
        Some(_) => {}
    }
    if landing.verdict != Some(Verdict::Passed) {
        let said = landing.verdict.map_or("nothing", Verdict::as_str);
        problems.push(format!("run {run} is recorded as {said}, not passed"));
    }
    if landing.gates.is_empty() {
        problems.push(format!("run {run} has no gates"));
    }
    let bad = landing.gates.iter().filter(|gate| gate.verdict != Verdict::Passed);
    problems.extend(bad.map(|gate| format!("gate {} is {}", gate.name, gate.verdict)));
    problems
}

/// What is wrong with the gates' own record of the run.
fn record(git: &RigGit, landing: &LandingView) -> Vec<String> {
    if landing.gates.iter().all(|gate| gate.name == "none") {
        // The rig says that it has no gates: nothing ran, so nothing is recorded.
        return Vec::new();
    }
    let path = git.town.gate_logs(&landing.run).join("result.json");
    let record: GateRecord = match files::read_json(&path) {
        Ok(Some(record)) => record,
        Ok(None) => return vec![format!("there is no {}", path.display())],
        Err(error) => return vec![error.to_string()],
    };
    let mut problems = Vec::new();
    if record.tree != landing.tree {
        problems.push(format!("{} is of tree {}", path.display(), record.tree));
    }
    let passed: BTreeSet<&str> = record
        .results
        .iter()
        .filter(|result| result.verdict == Verdict::Passed)
        .map(|result| result.name.as_str())
        .collect();
    for gate in &record.gates {
        if !passed.contains(gate.name.as_str()) {
            problems.push(format!("{} does not say that {} passed", path.display(), gate.name));
        }
    }
    for gate in &landing.gates {
        if !record.gates.iter().any(|known| known.name == gate.name) {
            problems.push(format!("{} does not know gate {}", path.display(), gate.name));
        }
    }
    problems
}

/// Goes down the target from its tip to the first landing: what no landing brought is somebody
/// else's, and must not carry the town's name.
fn account_for(
    git: &RigGit,
    landings: &[&LandingView],
    tip: &Sha,
    proof: &mut Proof,
) -> Result<(), GitError> {
    let Some(first) = landings.first() else { return Ok(()) };
    let ours: BTreeSet<Sha> = proof.commits.iter().map(|landed| landed.commit.clone()).collect();
    let format = "--format=%H%x09%cn%x09%ce%x09%s";
    let range = format!("{}..{tip}", first.base);
    let log = git.cli().run(&["log", "--first-parent", "--reverse", format, &range])?;
    let town = git.committer();
    for line in log.lines() {
        let mut parts = line.splitn(4, '\t').map(str::to_owned);
        let mut part = || parts.next().unwrap_or_default();
        let (commit, name, email, subject) = (Sha(part()), part(), part(), part());
        if ours.contains(&commit) {
            continue;
        }
        if name == town.name {
            let text = format!("{commit} is by {name}, and no landing accounts for it: {subject}");
            proof.problems.push(text);
        }
        let committer = format!("{name} <{email}>");
        proof.outside.push(Outside { commit, committer, subject });
    }
    Ok(())
}
