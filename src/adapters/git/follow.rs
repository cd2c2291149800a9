//! What comes after landings: the checkouts that people look at follow, and what was written is
//! packed.

use std::fs;
use std::io::ErrorKind;
use std::path::Path;

use git2::Oid;
use git2::Repository;

use crate::adapters::git::GitError;
use crate::adapters::git::RigGit;
use crate::adapters::git::contains;
use crate::adapters::git::file;
use crate::adapters::git::lib;
use crate::adapters::git::sha;

/// Loose objects above which they are packed, as git itself has it.
const LOOSE_MAX: usize = 6700;
/// Ids are even: one of so many directories tells how much is in all.
const DIRECTORIES: usize = 256;

impl RigGit {
    /// Brings the detached checkouts that people look at to the target; they are only a view.
    ///
    /// # Errors
    /// The target was never seen.
    pub fn follow_checkouts(&self) -> Result<(), GitError> {
        let at = self.known_target(&*self.open()?, &self.target)?;
        for dir in [self.town.refinery_rig(&self.rig), self.dir()] {
            self.follow(&dir, at);
        }
        Ok(())
    }

    fn follow(&self, dir: &Path, at: Oid) {
        if !dir.is_dir() {
            return;
        }
        let git = self.cli().at(dir);
        if let Err(error) = git.run(&["checkout", "--quiet", "--detach", sha(at).as_str()]) {
            tracing::warn!(dir = %dir.display(), %error, "checkout does not follow the target");
        }
    }

    /// Brings those of them to the target that it has passed: a death between a landing and their
    /// following leaves them behind. One on a branch, or at a commit of its own, stays.
    ///
    /// # Errors
    /// The target was never seen, or a checkout cannot be read.
    pub fn catch_up(&self) -> Result<(), GitError> {
        let repo = self.open()?;
        let at = self.known_target(&repo, &self.target)?;
        for dir in [self.town.refinery_rig(&self.rig), self.dir()] {
            let there = match Repository::open(&dir) {
                Ok(there) => there,
                Err(error) if error.code() == git2::ErrorCode::NotFound => continue,
                Err(error) => return Err(lib(format!("open {}", dir.display()))(error)),
            };
            let head = there
                .head_detached()
                .and_then(|detached| Ok(if detached { there.head()?.target() } else { None }));
            let head = head.map_err(lib(format!("where {} is", dir.display())))?;
            if let Some(head) = head
                && head != at
                && contains(&repo, at, head)?
            {
                self.follow(&dir, at);
            }
        }
        Ok(())
    }

    /// Packs loose objects when there are many more than the last packing left, and gives how many
    /// it leaves: what nothing reaches stays as it is for two weeks. One that fails or takes too
    /// long is told to the log and leaves what it leaves.
    ///
    /// # Errors
    /// The directory of the objects cannot be read.
    pub fn pack(&self, left: usize) -> Result<Option<usize>, GitError> {
        if self.loose()? < left + LOOSE_MAX {
            return Ok(None);
        }
        // Not in the background: then nobody would know when it is done.
        let settings =
            ["gc.auto=1", "gc.autoDetach=false", "gc.pruneExpire=2.weeks.ago", "pack.threads=1"];
        let packed = self.cli().with_settings(&settings).run(&["gc", "--auto", "--quiet"]);
        // An open repository may hold packs that are gone now.
        self.handles.forget(&self.dir());
        if let Err(error) = packed {
            // What there is now is the new measure: trying again at each landing would not help.
            tracing::warn!(rig = %self.rig, %error, "loose objects were not packed");
        }
        self.loose().map(Some)
    }

    /// About how many loose objects there are.
    fn loose(&self) -> Result<usize, GitError> {
        let dir = self.dir().join(".git").join("objects").join("17");
        match fs::read_dir(&dir) {
            Ok(entries) => Ok(entries.count() * DIRECTORIES),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(0),
            Err(error) => Err(file(dir.display().to_string())(error)),
        }
    }
}
