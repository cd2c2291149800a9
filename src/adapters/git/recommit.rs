//! Commits made from others: their author, times, words and encoding, byte for byte.

use git2::Commit;
use git2::ObjectType;
use git2::Oid;
use git2::Repository;
use git2::Signature;
use git2::Time;

use crate::adapters::git::GitError;
use crate::adapters::git::lib;

/// Who the town is, in commits.
#[derive(Clone, Debug)]
pub struct Committer {
    /// The name.
    pub name: String,
    /// The e-mail.
    pub email: String,
}

/// A commit to be written.
#[derive(Debug)]
pub struct Draft {
    /// The author line's content; `None` is the town itself.
    author: Option<Vec<u8>>,
    encoding: Option<Vec<u8>>,
    message: Vec<u8>,
    when: Time,
}

/// The content of a commit's header line.
fn header(commit: &Commit<'_>, name: &str) -> Option<Vec<u8>> {
    let mut lines = commit.raw_header_bytes().split(|byte| *byte == b'\n');
    lines.find_map(|line| line.strip_prefix(format!("{name} ").as_bytes())).map(<[u8]>::to_vec)
}

/// `Name <e-mail>` of a commit's author.
fn author(commit: &Commit<'_>) -> Vec<u8> {
    let author = commit.author();
    [author.name_bytes(), b" <", author.email_bytes(), b">"].concat()
}

impl Draft {
    /// Like another commit.
    #[must_use]
    pub fn like(commit: &Commit<'_>) -> Self {
        Self {
            author: header(commit, "author"),
            encoding: header(commit, "encoding"),
            message: commit.message_raw_bytes().to_vec(),
            when: commit.committer().when(),
        }
    }

    /// One for several, oldest first, with `head` as the last; merges among them have no words of
    /// their own. The first author is the author, the others are named.
    #[must_use]
    pub fn of_many(commits: &[Commit<'_>], head: &Commit<'_>) -> Self {
        let plain: Vec<&Commit<'_>> = commits.iter().filter(|c| c.parent_count() == 1).collect();
        let first = plain.first().copied().unwrap_or(head);
        let mut draft = Self { when: head.committer().when(), ..Self::like(first) };
        if plain.len() < 2 {
            return draft;
        }
        draft.message = [first.summary_bytes().unwrap_or_default(), b"\n\n"].concat();
        for commit in &plain {
            draft.message.extend([b"* ", commit.summary_bytes().unwrap_or_default()].concat());
            draft.message.push(b'\n');
        }
        let mut named = vec![author(first)];
        for one in plain.iter().map(|commit| author(commit)) {
            if !named.contains(&one) {
                let before: &[u8] = if named.len() == 1 { b"\n" } else { b"" };
                draft.message.extend([before, b"Co-authored-by: ", &one, b"\n"].concat());
                named.push(one);
            }
        }
        draft
    }

    /// A merge of `head`, which is `branch`, into `tip`.
    #[must_use]
    pub fn merge(tip: &Commit<'_>, head: &Commit<'_>, branch: &str) -> Self {
        let when = [tip.committer().when(), head.committer().when()];
        let latest = when.into_iter().max_by_key(Time::seconds).unwrap_or(when[0]);
        let title = head.summary_bytes().unwrap_or_default();
        let message = [b"Merge branch '", branch.as_bytes(), b"'\n\n", title, b"\n"].concat();
        Self { author: None, encoding: header(head, "encoding"), message, when: latest }
    }

    /// Writes it.
    ///
    /// # Errors
    /// A committer that git does not take, or a failing store.
    pub fn write(
        &self,
        repo: &Repository,
        tree: Oid,
        parents: &[Oid],
        by: &Committer,
    ) -> Result<Oid, GitError> {
        let written = (|| {
            let by = Signature::new(&by.name, &by.email, &self.when)?;
            let minutes = self.when.offset_minutes();
            let (sign, zone) = (self.when.sign(), minutes.abs() / 60 * 100 + minutes.abs() % 60);
            let when = format!("> {} {sign}{zone:04}", self.when.seconds());
            let town = [by.name_bytes(), b" <", by.email_bytes(), when.as_bytes()].concat();
            let mut text = format!("tree {tree}\n").into_bytes();
            for parent in parents {
                text.extend(format!("parent {parent}\n").into_bytes());
            }
            let author = self.author.as_ref().unwrap_or(&town);
            text.extend([b"author ", &author[..], b"\ncommitter ", &town[..], b"\n"].concat());
            if let Some(encoding) = &self.encoding {
                text.extend([b"encoding ", &encoding[..], b"\n"].concat());
            }
            text.push(b'\n');
            text.extend(&self.message);
            repo.odb()?.write(ObjectType::Commit, &text)
        })();
        written.map_err(lib("write a commit"))
    }
}
