//! Texts that are built into the program: role templates and the town's `CLAUDE.md`.
//!
//! A template is minijinja text over [`Prime`]; nothing here knows where the facts come from.

use minijinja::Environment;
use minijinja::UndefinedBehavior;
use minijinja::syntax::SyntaxConfig;
use minijinja::value::Serde;
use serde::Serialize;

use crate::model::ids::Role;

/// The town root's identity anchor.
pub const CLAUDE_MD: &str = include_str!("../../templates/CLAUDE.md");

/// Longest text of a bead's field in a primer, in characters; the rest is a command away.
const FIELD_MAX: usize = 4_000;
/// Longest verdict of an earlier attempt, in characters.
const ATTEMPT_MAX: usize = 1_200;
/// Most messages listed.
const MAIL_MAX: usize = 10;

/// The text of a role's template.
#[must_use]
pub fn role(role: Role) -> &'static str {
    match role {
        Role::Mayor => include_str!("../../templates/roles/mayor.md"),
        Role::Deacon => include_str!("../../templates/roles/deacon.md"),
        Role::Boot => include_str!("../../templates/roles/boot.md"),
        Role::Witness => include_str!("../../templates/roles/witness.md"),
        Role::Refinery => include_str!("../../templates/roles/refinery.md"),
        Role::Polecat => include_str!("../../templates/roles/polecat.md"),
        Role::Crew => include_str!("../../templates/roles/crew.md"),
        Role::Dog => include_str!("../../templates/roles/dog.md"),
    }
}

/// What a template may name.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Prime {
    /// The reader's address.
    pub actor: String,
    /// The reader's rig.
    pub rig: Option<String>,
    /// The bead on the hook.
    pub bead: Option<PrimeBead>,
    /// The branch of the work.
    pub branch: Option<String>,
    /// The verdict of the last attempt at this bead.
    pub attempt: Option<String>,
    /// Unread messages, oldest first.
    pub mail: Vec<PrimeMail>,
}

/// A bead, as a worker reads it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct PrimeBead {
    /// Id.
    pub id: String,
    /// Title.
    pub title: String,
    /// What is wanted.
    pub description: String,
    /// How.
    pub design: String,
    /// When it is done.
    pub acceptance_criteria: String,
    /// Type word.
    pub issue_type: String,
    /// 0 to 4.
    pub priority: i64,
}

/// A message, in one line.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct PrimeMail {
    /// Id.
    pub id: String,
    /// Who sent it.
    pub sender: String,
    /// Subject.
    pub subject: String,
}

/// A template that does not fit its facts.
#[derive(Debug, thiserror::Error)]
#[error("template of role {role}: {source}")]
pub struct TemplateError {
    role: Role,
    source: minijinja::Error,
}

/// The primer of a role: under 2,000 tokens, whatever the bead holds.
///
/// # Errors
/// The template names what [`Prime`] does not have: a defect of this program.
pub fn prime(of: Role, facts: &Prime) -> Result<String, TemplateError> {
    let mut environment = Environment::new();
    environment.set_undefined_behavior(UndefinedBehavior::Strict);
    let rendered = SyntaxConfig::builder().trim_blocks(true).build().and_then(|syntax| {
        environment.set_syntax(syntax);
        environment.render_str(role(of), Serde(bounded(facts)))
    });
    rendered.map(|text| airy(&text)).map_err(|source| TemplateError { role: of, source })
}

/// Two empty lines or more become one: what an unused block leaves behind.
fn airy(text: &str) -> String {
    let mut lines: Vec<&str> = Vec::new();
    for line in text.trim().lines().map(str::trim_end) {
        if !(line.is_empty() && lines.last().is_some_and(|last| last.is_empty())) {
            lines.push(line);
        }
    }
    lines.join("\n") + "\n"
}

fn bounded(facts: &Prime) -> Prime {
    let mut facts = facts.clone();
    if let Some(bead) = &mut facts.bead {
        let all = format!("bd show {}", bead.id);
        let mut room = FIELD_MAX;
        for field in [&mut bead.description, &mut bead.acceptance_criteria, &mut bead.design] {
            *field = cut(field, room, &all);
            room = room.saturating_sub(field.chars().count()).max(200);
        }
    }
    let attempt = facts.attempt.take();
    facts.attempt = attempt.map(|text| cut(&text, ATTEMPT_MAX, "gt mail inbox"));
    let more = facts.mail.len().saturating_sub(MAIL_MAX);
    facts.mail.drain(..more);
    for message in &mut facts.mail {
        message.subject = message.subject.chars().take(80).collect();
    }
    facts
}

/// The beginning of a text, and where the rest is.
fn cut(text: &str, max: usize, rest: &str) -> String {
    if text.chars().count() <= max {
        return text.to_owned();
    }
    let kept: String = text.chars().take(max).collect();
    format!("{kept}\n(cut here: `{rest}` has the rest)")
}

#[cfg(test)]
mod tests {
    use super::Prime;
    use super::PrimeBead;
    use super::PrimeMail;
    use super::prime;
    use super::role;
    use crate::model::ids::Role;

    fn facts(long: usize) -> Prime {
        let mail = PrimeMail {
            id: "hq-m1".to_owned(),
            sender: "mayor".to_owned(),
            subject: "about the parser".to_owned(),
        };
        Prime {
            actor: "web/polecats/alpha".to_owned(),
            rig: Some("web".to_owned()),
            bead: Some(PrimeBead {
                id: "we-1a2".to_owned(),
                title: "Mend the parser".to_owned(),
                description: "It fails on empty input. ".repeat(long),
                design: "d".repeat(long),
                acceptance_criteria: "a".repeat(long),
                issue_type: "bug".to_owned(),
                priority: 1,
            }),
            branch: Some("polecat/alpha-17".to_owned()),
            attempt: Some("Gate: test (exit 1)\n".repeat(long)),
            mail: vec![mail; long.min(100)],
        }
    }

    #[test]
    fn every_role_has_a_file_and_every_file_a_role() {
        let dir = concat!(env!("CARGO_MANIFEST_DIR"), "/templates/roles");
        let mut files: Vec<String> = std::fs::read_dir(dir)
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        files.sort();
        let mut roles: Vec<String> =
            Role::ALL.iter().map(|role| format!("{}.md", role.as_str())).collect();
        roles.sort();
        assert_eq!(files, roles);
        for file in files {
            let on_disk = std::fs::read_to_string(format!("{dir}/{file}")).unwrap();
            let of: Role = file.trim_end_matches(".md").parse().unwrap();
            assert_eq!(on_disk, role(of));
        }
    }

    #[test]
    fn primers_stay_under_two_thousand_tokens() {
        for of in Role::ALL {
            for facts in [Prime::default(), facts(1), facts(10_000)] {
                let facts = Prime { rig: Some("web".to_owned()), ..facts };
                let text = prime(*of, &facts).unwrap();
                // Four characters a token is the usual measure of English text.
                assert!(text.len() < 8_000, "{of}: {} bytes", text.len());
            }
        }
    }

    #[test]
    fn a_polecats_primer() {
        insta::assert_snapshot!(prime(Role::Polecat, &facts(1)).unwrap(), @r#"
        # You are web/polecats/alpha, a polecat of rig web

        A polecat is a worker: one bead, one branch, one session.
        **There is work on your hook, so run it.** Nobody will tell you to start and nobody answers
        questions: decide, do the work, hand it in.

        ## Your work: we-1a2 - Mend the parser

        Type bug, priority 1 (0 is most urgent).

        It fails on empty input.

        Design: d

        Done when: a

        ## This was tried before and came back

        Your branch already holds the earlier attempt. Mend what the verdict says, do not start over.

        Gate: test (exit 1)

        ## How to work

        1. You are in a git worktree of your own, on branch `polecat/alpha-17`. Work only here.
        2. Read the project before you change it. Run its tests where you can.
        3. Commit on this branch, in small commits with `we-1a2` in the message. Do not push and
           do not switch branches: the town pushes what you hand in.
        4. `gt verify` has the gates run on what is committed here, as it would land. What is green then
           lands without another run while the target stays where it is.
        5. Hand in with `gt done`. It needs a clean worktree and at least one commit. The merge queue then
           runs the gates; only what is green lands.
        6. If nothing has to change, say why: `gt done --no-change "REASON"`.

        After `gt done` your session is over: stop. If it comes back red, you get it again with the verdict.

        If you cannot go on: `gt mail send mayor -s "HELP: we-1a2" -m "what you tried"`, then stop.
        Other work that you find: `bd create "TITLE"` writes it down; do not do it here.

        ## Mail

        - hq-m1 from mayor: about the parser

        Read one with `gt mail read ID`.

        Look things up: `gt hook` (your work), `bd show ID` (any bead), `gt mail inbox` (your mail).
        "#);
        let idle = Prime { actor: "web/polecats/a".to_owned(), ..Prime::default() };
        assert!(prime(Role::Polecat, &idle).unwrap().contains("Your hook is empty"));
    }
}
