//! The auditor: reads git, the gates' logs and the agents' own logs, and nothing of the ledger
//! but whether a bead is closed.

use std::collections::BTreeMap;
use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::path::PathBuf;

use serde_json::Value;

use crate::cli::demo::DemoError;
use crate::cli::demo::stage::RIG;
use crate::cli::demo::stage::Stage;

/// What was found.
#[derive(Clone, Debug, Default)]
pub(super) struct Audit {
    pub(super) beads_closed: u64,
    pub(super) merged: u64,
    pub(super) lost: u64,
    pub(super) doubled: u64,
    pub(super) red_landings: u64,
    pub(super) landings: u64,
    pub(super) gate_runs: u64,
    pub(super) gate_runs_red: u64,
    pub(super) merge_requests: u64,
    pub(super) culprits: u64,
    pub(super) sessions: u64,
    pub(super) sessions_cut_short: u64,
    pub(super) reworked: u64,
}

impl Audit {
    pub(super) fn read(stage: &Stage, beads: &[String]) -> Result<Self, DemoError> {
        let mut audit = Self::default();
        audit.read_beads(stage, beads)?;
        audit.read_queue(stage)?;
        let landed = audit.read_history(stage, beads)?;
        audit.read_agents(stage, beads, &landed)?;
        audit.read_gates(stage)?;
        audit.test_landings(stage)?;
        Ok(audit)
    }

    fn read_beads(&mut self, stage: &Stage, beads: &[String]) -> Result<(), DemoError> {
        let text = stage.bd(&["list", "--all", "--rig", RIG, "--json", "--limit", "0"])?;
        let list: Vec<Value> = serde_json::from_str(&text)
            .map_err(|error| DemoError::Odd(format!("bd list --json: {error}")))?;
        let closed = list.iter().filter(|bead| {
            let known = beads.iter().any(|id| bead["id"] == id.as_str());
            known && bead["status"] == "closed"
        });
        self.beads_closed = closed.count() as u64;
        Ok(())
    }

    /// Merge requests that gates had a say in: what did not apply was never tested.
    fn read_queue(&mut self, stage: &Stage) -> Result<(), DemoError> {
        let text = stage.gt(&["mq", "list", "--all", "--json"])?;
        let list: Vec<Value> = serde_json::from_str(&text)
            .map_err(|error| DemoError::Odd(format!("gt mq list --json: {error}")))?;
        let culprits = list.iter().filter(|mr| mr["verdict"]["kind"] == "red").count() as u64;
        let landed = list.iter().filter(|mr| mr["state"] == "merged").count() as u64;
        (self.merge_requests, self.culprits) = (landed + culprits, culprits);
        Ok(())
    }

    /// Beads by the ids that commit messages end with; a patch may be there once.
    fn read_history(
        &mut self,
        stage: &Stage,
        beads: &[String],
    ) -> Result<BTreeSet<String>, DemoError> {
        let subjects = stage.git(&["log", "--format=%s", "main"])?;
        let landed: BTreeSet<String> = beads
            .iter()
            .filter(|id| subjects.lines().any(|line| line.contains(&format!("({id}"))))
            .cloned()
            .collect();
        self.merged = landed.len() as u64;
        let patches = stage
            .tool(&stage.origin)
            .run("sh", &["-c", "git log -p --format='commit %H' main | git patch-id --stable"])?;
        let mut seen: BTreeMap<&str, u64> = BTreeMap::new();
        for line in patches.lines() {
            let id = line.split(' ').next().unwrap_or_default();
            *seen.entry(id).or_default() += 1;
        }
        self.doubled = seen.values().filter(|count| **count > 1).count() as u64;
        Ok(landed)
    }

    /// Each session has a log of its own; one without an end was cut short.
    fn read_agents(
        &mut self,
        stage: &Stage,
        beads: &[String],
        landed: &BTreeSet<String>,
    ) -> Result<(), DemoError> {
        let mut done: BTreeMap<String, u64> = BTreeMap::new();
        let mut made: BTreeMap<String, Vec<String>> = BTreeMap::new();
        for path in files(&stage.layout.logs().join("agents"))? {
            let text = fs::read_to_string(&path).map_err(DemoError::io(&path))?;
            self.sessions += 1;
            let finished = text.lines().any(|line| line.contains("end") && line.contains("ok"));
            self.sessions_cut_short += u64::from(!finished);
            for bead in beads {
                let said = |line: &str| line.contains("done") && line.contains(bead.as_str());
                if text.lines().any(said) {
                    *done.entry(bead.clone()).or_default() += 1;
                    let commits = text.lines().filter(|line| line.contains("commit"));
                    made.entry(bead.clone()).or_default().extend(commits.filter_map(object_id));
                }
            }
        }
        for bead in done.keys().filter(|bead| !landed.contains(*bead)) {
            let commits = made.get(bead).cloned().unwrap_or_default();
            let kept = commits.iter().any(|commit| is_kept(stage, commit));
            self.lost += u64::from(!kept);
        }
        self.reworked = done.values().filter(|times| **times > 1).count() as u64;
        Ok(())
    }

    fn read_gates(&mut self, stage: &Stage) -> Result<(), DemoError> {
        for dir in files(&stage.layout.logs().join("gates"))? {
            let path = dir.join("result.json");
            let Ok(text) = fs::read_to_string(&path) else { continue };
            self.gate_runs += 1;
            self.gate_runs_red += u64::from(text.contains("\"failed\""));
        }
        Ok(())
    }

    /// Checks out every commit that main ever pointed to, and runs the project's gates on it.
    fn test_landings(&mut self, stage: &Stage) -> Result<(), DemoError> {
        let log = stage.git(&["reflog", "show", "--format=%H", "main"]).unwrap_or_default();
        let first = stage.git(&["rev-list", "--max-parents=0", "main"])?;
        for tip in log.lines().filter(|tip| *tip != first.trim()) {
            self.landings += 1;
            let dir = stage.dir.join(format!("audit-{tip}"));
            fs::create_dir_all(&dir).map_err(DemoError::io(&dir))?;
            let unpack = format!(
                "git archive {tip} | tar -x -C '{}'",
                dir.display().to_string().replace('\'', "")
            );
            stage.tool(&stage.origin).run("sh", &["-c", &unpack])?;
            let tool = stage.tool(&dir);
            let green = ["test", "lint"]
                .iter()
                .all(|gate| tool.end("sh", &["check.sh", gate]).is_ok_and(|ended| ended.ok));
            self.red_landings += u64::from(!green);
            fs::remove_dir_all(&dir).map_err(DemoError::io(&dir))?;
        }
        Ok(())
    }
}

/// The object id in a line of an agent's log.
fn object_id(line: &str) -> Option<String> {
    let hex = |word: &&str| word.len() == 40 && word.chars().all(|c| c.is_ascii_hexdigit());
    line.split(|c: char| !c.is_ascii_alphanumeric()).find(hex).map(str::to_owned)
}

/// Whether a commit is in some branch or rescue ref of the remote or of the town's clone.
fn is_kept(stage: &Stage, commit: &str) -> bool {
    let clone = stage.town.join(RIG).join("mayor").join("rig");
    [&stage.origin, &clone].into_iter().any(|repository| {
        let refs = stage.tool(repository).run("git", &["for-each-ref", "--contains", commit]);
        refs.is_ok_and(|text| !text.trim().is_empty())
    })
}

/// The entries of a directory, in order; none when it is not there.
fn files(dir: &Path) -> Result<Vec<PathBuf>, DemoError> {
    let entries = match fs::read_dir(dir) {
        Ok(entries) => entries,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(DemoError::io(dir)(error)),
    };
    let mut all = Vec::new();
    for entry in entries {
        all.push(entry.map_err(DemoError::io(dir))?.path());
    }
    all.sort();
    Ok(all)
}
