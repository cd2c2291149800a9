//! `gt hook` and `gt prime`.

use std::fmt::Write;

use clap::Args;

use crate::adapters::templates;
use crate::adapters::templates::Prime as Primer;
use crate::adapters::templates::PrimeBead;
use crate::adapters::templates::PrimeMail;
use crate::cli::context::Wanted;
use crate::cli::gt::here::Here;
use crate::cli::render;
use crate::messages::door::DoorError;
use crate::messages::door::Query;
use crate::messages::views::HookView;
use crate::messages::views::IssueView;
use crate::messages::views::MailView;
use crate::messages::views::MrView;
use crate::model::ids::Db;
use crate::model::ids::Identity;
use crate::model::ids::Role;
use crate::model::merge::GateResult;
use crate::model::merge::Returned;
use crate::model::ops::Op;
use crate::model::value::Name;

/// What is on a hook.
///
/// With JSON the work is the object `bead`, null when the hook is empty.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  gt hook\n  gt hook web/polecats/alpha --json")]
pub struct Hook {
    /// Whose; else yours.
    actor: Option<String>,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

impl Hook {
    pub(super) fn run(self, at: &Wanted) -> Result<u8, DoorError> {
        let here = Here::find(at)?;
        let own = self.actor.is_none();
        let hook: HookView = here.ask(Query::Hook { actor: self.actor })?;
        if own && !hook.nudges.is_empty() {
            // Seen is taken: a hint is shown to its receiver once.
            here.write(&Db::hq(), vec![Op::TakeNudges { by: Name(hook.actor.clone()) }])?;
        }
        if self.json {
            return render::json(&hook);
        }
        match &hook.bead {
            None => render::line(&format!("nothing is on the hook of {}", hook.actor))?,
            Some(bead) => render::line(&format!("{} {}", bead.id, bead.title))?,
        };
        if let Some(branch) = &hook.branch {
            render::line(&format!("  branch {branch}, {}", hook.phase))?;
        }
        if let Some(mr) = &hook.returned {
            render::line(&format!("  came back as {}: gt mq status {}", mr.id, mr.id))?;
        }
        for nudge in &hook.nudges {
            render::line(&format!("  hint: {nudge}"))?;
        }
        if hook.unread_mail > 0 {
            render::line(&format!("  {} unread: gt mail inbox", hook.unread_mail))?;
        }
        Ok(0)
    }
}

/// Who you are and what to do, for an agent at its start.
///
/// Prints the role's template with the work on the hook; short enough for any model.
#[derive(Debug, Args)]
pub struct Prime {
    /// Another role than your own.
    #[arg(long, value_parser = role)]
    role: Option<Role>,
    /// Print JSON: the facts, and the text.
    #[arg(long)]
    json: bool,
}

fn role(word: &str) -> Result<Role, String> {
    word.parse().map_err(|error: crate::model::value::UnknownWord| error.to_string())
}

impl Prime {
    pub(super) fn run(self, at: &Wanted) -> Result<u8, DoorError> {
        let here = Here::find(at)?;
        let hook: HookView = here.ask(Query::Hook { actor: None })?;
        let inbox = Query::Inbox { recipient: None, all: false, unread: true };
        let mail: Vec<MailView> = here.ask(inbox)?;
        let who = Identity::parse(&hook.actor);
        // The person has no role of their own: they coordinate.
        let own = who.as_ref().and_then(Identity::role).unwrap_or(Role::Mayor);
        let role = self.role.unwrap_or(own);
        let rig = who.as_ref().and_then(Identity::rig).map(ToString::to_string);
        let facts = Primer {
            actor: hook.actor.clone(),
            rig: rig.or_else(|| here.default_rig().map(|rig| rig.to_string())).or_else(|| {
                // A template may name the rig where the reader has none.
                Some("RIG".to_owned())
            }),
            bead: hook.bead.as_ref().map(bead),
            branch: hook.branch.clone(),
            attempt: hook.returned.as_ref().map(verdict),
            mail: mail.iter().map(message).collect(),
        };
        let text = templates::prime(role, &facts)
            .map_err(|error| DoorError::new("internal", error.to_string()))?;
        if self.json {
            return render::json(&serde_json::json!({"role": role, "facts": facts, "text": text}));
        }
        render::line(text.trim_end())
    }
}

fn bead(issue: &IssueView) -> PrimeBead {
    let text = |text: &Option<String>| text.clone().unwrap_or_default();
    PrimeBead {
        id: issue.id.to_string(),
        title: issue.title.clone(),
        description: text(&issue.description),
        design: text(&issue.design),
        acceptance_criteria: text(&issue.acceptance_criteria),
        issue_type: issue.issue_type.to_string(),
        priority: issue.priority,
    }
}

fn message(mail: &MailView) -> PrimeMail {
    let sender = mail.from.clone();
    PrimeMail { id: mail.id.to_string(), sender, subject: mail.subject.clone() }
}

fn told(gates: &[GateResult]) -> Vec<String> {
    let told = |gate: &GateResult| format!("Gate {}: {}\n{}", gate.name, gate.reason, gate.tail);
    gates.iter().map(told).collect()
}

/// Why a merge request came back, in words.
pub(super) fn verdict(mr: &MrView) -> String {
    let mut text = format!("{} was returned.", mr.id);
    let mut say = |line: String| {
        write!(text, "\n{line}").expect("writing to a String cannot fail");
    };
    match &mr.verdict {
        None => say("No verdict is recorded.".to_owned()),
        Some(Returned::Conflict { files, onto }) => {
            say(format!("It conflicts with {onto} in: {}.", files.join(", ")));
        }
        Some(Returned::Missing { what }) => say(format!("Commit {what} was not there.")),
        Some(Returned::Rejected { reason }) => say(format!("A person rejected it: {reason}")),
        Some(Returned::Red { tree, before, run, gates }) => {
            say(format!("Tree {tree} is red, {before} before it is green (run {run})."));
            told(gates).into_iter().for_each(say);
        }
        Some(Returned::Unable { tree, before, run, gates }) => {
            say(format!("With it the gates cannot run (run {run} of tree {tree})."));
            say(format!("On {before} before it they can."));
            told(gates).into_iter().for_each(say);
        }
    }
    text
}
