//! A worker's place: its worktree, made and taken down for one incarnation (I7, I8).
//!
//! `daemon/places/<rig>/<name>.json` says for which incarnation and branch the worktree is. A
//! teardown for an earlier incarnation, or for another branch, does nothing.

use std::path::Path;

use git2::Oid;
use git2::Repository;
use serde::Deserialize;
use serde::Serialize;

use crate::adapters::files;
use crate::adapters::git::GitError;
use crate::adapters::git::RigGit;
use crate::adapters::git::cli::Git;
use crate::adapters::git::file;
use crate::adapters::git::oid;
use crate::adapters::git::ref_commit;
use crate::adapters::git::sha;
use crate::adapters::layout::component;
use crate::model::effect::Outcome;
use crate::model::effect::Place;
use crate::model::ids::Sha;

/// Whose worktree is at a place.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Marker {
    /// The latest incarnation that it was made or used for.
    pub incarnation: i64,
    /// The branch.
    pub branch: String,
    /// The checkout is complete; before that nobody worked there.
    pub ready: bool,
    /// What a teardown in progress has rescued.
    pub rescued: Option<String>,
}

impl RigGit {
    fn marker(&self, place: &Place) -> Result<Option<Marker>, GitError> {
        component(&place.name)?;
        let path = self.town.place_marker(&self.rig, &place.name);
        files::read_json(&path).map_err(file("place marker"))
    }

    fn mark(&self, place: &Place, marker: &Marker) -> Result<(), GitError> {
        let path = self.town.place_marker(&self.rig, &place.name);
        if let Some(dir) = path.parent() {
            files::private_dir(dir).map_err(file("place markers"))?;
        }
        files::write_json(&path, marker).map_err(file("place marker"))
    }

    /// Notes that an incarnation works at a place, so that a teardown for an earlier one does
    /// nothing.
    ///
    /// # Errors
    /// [`GitError::Refused`] for a place that a later incarnation has; an unwritable marker.
    pub fn occupy(&self, place: &Place) -> Result<(), GitError> {
        let Some(marker) = self.marker(place)? else { return Ok(()) };
        later(&marker, place)?;
        if marker.incarnation == place.incarnation {
            return Ok(());
        }
        // The session before this one has ended, in the middle of whatever it did.
        self.unlock_worktree(&self.town.polecat_worktree(&self.rig, &place.name))?;
        self.mark(place, &Marker { incarnation: place.incarnation, ..marker })
    }

    /// Makes the worktree, or keeps the one that is there on that branch.
    ///
    /// A worktree on another branch is rescued and removed first.
    ///
    /// # Errors
    /// A later incarnation has the place; git fails; the start is nowhere.
    pub fn make_worktree(
        &self,
        place: &Place,
        branch: &str,
        start: Option<&Sha>,
    ) -> Result<Outcome, GitError> {
        let path = self.town.polecat_worktree(&self.rig, &place.name);
        let marker = self.marker(place)?;
        if let Some(marker) = &marker {
            later(marker, place)?;
        }
        if path.exists() {
            let ready = marker.as_ref().is_none_or(|marker| marker.ready);
            let git = Git::new(&path, self.timeout);
            let on = git.ask(&["symbolic-ref", "--quiet", "--short", "HEAD"])?;
            // In the middle of a rebase HEAD is on no branch; the marker knows.
            let same = on.stdout == branch
                || on.stdout.is_empty() && marker.as_ref().is_some_and(|m| m.branch == branch);
            if ready && same && self.is_worktree(&path)? {
                return self.finish(place, branch, &path);
            }
            if ready {
                let left = marker.as_ref().map_or(on.stdout.as_str(), |m| m.branch.as_str());
                self.clear(place, left, &path, None)?;
            } else {
                self.remove_worktree(&path)?;
            }
        }
        self.cli().run(&["worktree", "prune"])?;
        let rescued = None;
        let incarnation = place.incarnation;
        let started = Marker { incarnation, branch: branch.to_owned(), ready: false, rescued };
        self.mark(place, &started)?;
        self.add_worktree(&path, branch, start)?;
        self.finish(place, branch, &path)
    }

    fn add_worktree(&self, path: &Path, branch: &str, start: Option<&Sha>) -> Result<(), GitError> {
        if let Some(parent) = path.parent() {
            std::fs::create_dir_all(parent).map_err(file("place"))?;
        }
        let repo = self.open()?;
        let at = path.to_string_lossy();
        if ref_commit(&repo, &format!("refs/heads/{branch}"))?.is_some() {
            return self.cli().run(&["worktree", "add", "--quiet", &at, branch]).map(|_| ());
        }
        let start = self.find_start(&repo, branch, start)?.to_string();
        let add = ["worktree", "add", "--quiet", "--no-track", "-b", branch, &at, &start];
        self.cli().run(&add).map(|_| ())
    }

    fn find_start(
        &self,
        repo: &Repository,
        branch: &str,
        start: Option<&Sha>,
    ) -> Result<Oid, GitError> {
        let Some(start) = start else {
            // A slightly old start is harmless: the stack is made on the target of its day.
            return self.refresh_target(&self.target).or_else(|error| {
                tracing::warn!(rig = %self.rig, %error, "starting from the target as last seen");
                self.known_target(repo, &self.target)
            });
        };
        let start = oid(start)?;
        if repo.find_commit(start).is_err() {
            self.fetch(&[&format!("+refs/heads/{branch}:refs/remotes/origin/{branch}")])?;
        }
        Ok(start)
    }

    fn finish(&self, place: &Place, branch: &str, path: &Path) -> Result<Outcome, GitError> {
        let outer = self.town.polecat(&self.rig, &place.name);
        redirect(&outer, "../../mayor/rig/.beads")?;
        redirect(path, "../../../mayor/rig/.beads")?;
        let marker = Marker {
            incarnation: place.incarnation,
            branch: branch.to_owned(),
            ready: true,
            rescued: None,
        };
        self.mark(place, &marker)?;
        let head = Git::new(path, self.timeout).run(&["rev-parse", "--verify", "HEAD"])?;
        Ok(Outcome::Worktree { head: Sha(head) })
    }

    /// Whether a directory is the top of a worktree of the canonical clone.
    fn is_worktree(&self, path: &Path) -> Result<bool, GitError> {
        let git = Git::new(path, self.timeout);
        let ask = ["rev-parse", "--path-format=absolute", "--git-common-dir", "--show-toplevel"];
        let answer = git.ask(&ask)?;
        if !answer.status.success() {
            return Ok(false);
        }
        let same = |said: Option<&str>, wanted: &Path| {
            said.and_then(|said| std::fs::canonicalize(said).ok())
                == std::fs::canonicalize(wanted).ok()
        };
        let mut lines = answer.stdout.lines();
        Ok(same(lines.next(), &self.dir().join(".git")) && same(lines.next(), path))
    }

    /// Takes a place down for an incarnation: what would be lost is rescued, then the worktree
    /// and the local branch go. For a place that a later incarnation or another branch has,
    /// nothing happens.
    ///
    /// # Errors
    /// Something could not be rescued or removed; what is left is still there.
    pub fn teardown(&self, place: &Place, branch: &str) -> Result<Outcome, GitError> {
        let marker = self.marker(place)?;
        // One incarnation may have had two assignments before its session started; the branch
        // tells them apart.
        if let Some(marker) = &marker
            && (later(marker, place).is_err() || marker.branch != branch)
        {
            return Ok(Outcome::TornDown { rescued: None });
        }
        let path = self.town.polecat_worktree(&self.rig, &place.name);
        let rescued = self.clear(place, branch, &path, marker)?;
        let marker = self.town.place_marker(&self.rig, &place.name);
        files::remove_all(&marker).map_err(file("place marker"))?;
        Ok(Outcome::TornDown { rescued })
    }

    /// Rescues, then removes the worktree and the branch. Gives where unsaved work went.
    fn clear(
        &self,
        place: &Place,
        branch: &str,
        path: &Path,
        marker: Option<Marker>,
    ) -> Result<Option<String>, GitError> {
        let mut rescued = marker.as_ref().and_then(|marker| marker.rescued.clone());
        let repo = self.open()?;
        if path.exists() {
            let unsaved = self.rescue_worktree(&repo, place, branch, path)?;
            rescued = rescued.or(unsaved);
        }
        let local = format!("refs/heads/{branch}");
        let tip = ref_commit(&repo, &local)?;
        if let Some(tip) = tip {
            let unsaved = self.save(&repo, place, branch, tip)?;
            rescued = rescued.or(unsaved);
        }
        // Written before anything goes, so that a repetition after a crash answers the same.
        if let Some(marker) = marker {
            self.mark(place, &Marker { rescued: rescued.clone(), ..marker })?;
        }
        if path.exists() {
            self.remove_worktree(path)?;
        }
        self.cli().run(&["worktree", "prune"])?;
        if let Some(tip) = tip
            && branch != self.target
        {
            self.cli().run(&["update-ref", "-d", &local, sha(tip).as_str()])?;
        }
        Ok(rescued)
    }

    /// Saves what a worktree holds; one that git cannot read, or with a repository inside it, is
    /// moved aside whole.
    fn rescue_worktree(
        &self,
        repo: &Repository,
        place: &Place,
        branch: &str,
        path: &Path,
    ) -> Result<Option<String>, GitError> {
        let taken = if self.is_worktree(path)? {
            self.snapshot(place, path)
        } else {
            Err(GitError::Refused(format!("{} is no worktree", path.display())))
        };
        match taken {
            Ok(taken) => {
                let saved = self.save(repo, place, branch, taken.commit)?;
                if taken.nested {
                    let aside = self.set_aside(place, path)?;
                    return Ok(saved.or(Some(aside.display().to_string())));
                }
                Ok(saved)
            }
            Err(error) => {
                tracing::warn!(path = %path.display(), %error, "no commit can be made of it");
                Ok(Some(self.set_aside(place, path)?.display().to_string()))
            }
        }
    }

    /// Removes a worktree whose content is saved, with git's record of it.
    ///
    /// # Errors
    /// Its files cannot be removed.
    pub fn remove_worktree(&self, path: &Path) -> Result<(), GitError> {
        let at = path.to_string_lossy();
        let removed = self.cli().ask(&["worktree", "remove", "--force", "--force", &at])?;
        if !removed.status.success() {
            tracing::debug!(path = %at, said = %removed.stderr, "removed by hand");
        }
        files::remove_all(path).map_err(file(format!("remove {at}")))?;
        self.cli().run(&["worktree", "prune"]).map(|_| ())
    }
}

/// Refuses when the place belongs to a later incarnation than the effect is for.
fn later(marker: &Marker, place: &Place) -> Result<(), GitError> {
    if marker.incarnation > place.incarnation {
        return Err(GitError::Refused(format!(
            "{}/{} belongs to incarnation {}, not {}",
            place.rig, place.name, marker.incarnation, place.incarnation
        )));
    }
    Ok(())
}

/// Writes `.beads/redirect` in a directory, unless it says so already.
///
/// # Errors
/// The directory cannot be written.
pub fn redirect(dir: &Path, to: &str) -> Result<(), GitError> {
    let path = dir.join(".beads").join("redirect");
    let text = format!("{to}\n");
    if std::fs::read_to_string(&path).is_ok_and(|old| old == text) {
        return Ok(());
    }
    std::fs::create_dir_all(dir.join(".beads"))
        .and_then(|()| files::write_atomic(&path, text.as_bytes(), 0o644))
        .map_err(file(path.display().to_string()))
}
