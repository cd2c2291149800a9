//! What the families share: finding the beads that are meant, and printing them.

use crate::cli::bd::Run;
use crate::cli::call;
use crate::cli::error;
use crate::cli::render;
use crate::messages::door::DoorError;
use crate::messages::door::Query;
use crate::messages::views::IssueView;
use crate::model::ids::BeadId;
use crate::model::ids::Db;
use crate::model::ops::Facts;
use crate::model::ops::Op;

/// The beads that were named, whole; per name, so that one wrong name does not stop the others.
pub(super) fn find(run: &Run, names: &[String]) -> Result<Vec<Found>, DoorError> {
    let ids = names.iter().map(|name| run.context.id(name)).collect::<Result<Vec<_>, _>>()?;
    let all = call::ask::<Vec<IssueView>>(&run.context, Query::Show { ids: ids.clone() });
    match all {
        Ok(views) if views.len() == ids.len() => Ok(views.into_iter().map(Ok).collect()),
        Err(error) if ids.len() == 1 => Ok(vec![Err(error)]),
        Ok(_) | Err(_) => Ok(ids.into_iter().map(|id| one(run, id)).collect()),
    }
}

/// A bead, or why there is none.
pub(super) type Found = Result<IssueView, DoorError>;

fn one(run: &Run, id: BeadId) -> Found {
    let mut views: Vec<IssueView> = call::ask(&run.context, Query::Show { ids: vec![id.clone()] })?;
    views.pop().ok_or_else(|| DoorError::new("not_found", format!("bead '{id}' not found")))
}

/// The one bead that was named.
pub(super) fn find_one(run: &Run, name: &str) -> Found {
    one(run, run.context.id(name)?)
}

/// Sends ops about a bead. If its id is not there, a part of an id may have been meant.
pub(super) fn write(
    run: &Run,
    name: &str,
    ops: impl Fn(&BeadId) -> Vec<Op>,
) -> Result<(BeadId, Facts), DoorError> {
    let id = run.context.id(name)?;
    let db = run.context.db_of(&id)?;
    match call::write(&run.context, &db, ops(&id)) {
        Err(missing) if missing.code == "not_found" => {
            let whole = one(run, id.clone())?.id;
            if whole == id {
                return Err(missing);
            }
            let facts = call::write(&run.context, &db, ops(&whole))?;
            Ok((whole, facts))
        }
        other => other.map(|facts| (id, facts)),
    }
}

/// Does something for each name, tells each failure, and gives the first failure's exit code.
pub(super) fn each<T>(
    run: &Run,
    names: &[String],
    mut act: impl FnMut(&str) -> Result<T, DoorError>,
) -> (Vec<T>, u8) {
    let mut done = Vec::new();
    let mut code = error::OK;
    for name in names {
        match act(name) {
            Ok(one) => done.push(one),
            Err(failure) => code = tell(run, &failure, code),
        }
    }
    (done, code)
}

/// Tells a failure of one of several beads; gives the exit code of the first.
pub(super) fn tell(run: &Run, failure: &DoorError, before: u8) -> u8 {
    // Only the code of the command as a whole counts, and that is the first failure's.
    let _ = error::report("bd", failure, run.json);
    if before == error::OK { error::exit(&failure.code) } else { before }
}

/// Several databases, or the default one.
pub(super) fn databases(run: &Run, everywhere: bool) -> Result<Vec<Db>, DoorError> {
    if everywhere { Ok(Vec::new()) } else { Ok(vec![run.context.default_db()?]) }
}

/// A bead as upstream prints an issue in a list: without edges.
pub(super) fn listed(view: &IssueView) -> IssueView {
    IssueView {
        dependencies: Vec::new(),
        dependents: Vec::new(),
        comments: Vec::new(),
        blocked_by: Vec::new(),
        ..view.clone()
    }
}

/// A bead as upstream prints an issue after a change: the issue alone.
pub(super) fn plain(view: &IssueView) -> IssueView {
    IssueView {
        dependency_count: None,
        dependent_count: None,
        comment_count: None,
        parent: None,
        ..listed(view)
    }
}

/// The beads again after a change, as issues.
pub(super) fn after(run: &Run, ids: &[BeadId]) -> Result<Vec<IssueView>, DoorError> {
    if ids.is_empty() {
        return Ok(Vec::new());
    }
    let views: Vec<IssueView> = call::ask(&run.context, Query::Show { ids: ids.to_vec() })?;
    Ok(views.iter().map(plain).collect())
}

/// A bead in one line.
pub(super) fn line(view: &IssueView) -> String {
    let mut text = format!(
        "{}  P{}  {:<7}  {:<11}  {}",
        view.id, view.priority, view.issue_type, view.status, view.title
    );
    if let Some(who) = &view.assignee {
        text.push_str(&format!("  @{who}"));
    }
    for label in &view.labels {
        text.push_str(&format!("  #{label}"));
    }
    text
}

/// Beads, one a line; a word when there are none.
pub(super) fn print(views: &[IssueView], none: &str) -> Result<u8, DoorError> {
    if views.is_empty() {
        return render::line(none);
    }
    let width = views.iter().map(|view| view.id.as_str().len()).max().unwrap_or(0);
    let lines = views.iter().map(|view| {
        let pad = width.saturating_sub(view.id.as_str().len());
        let text = line(view);
        let (id, rest) = text.split_at(view.id.as_str().len());
        format!("{id}{:pad$}{rest}", "")
    });
    render::lines(&lines.collect::<Vec<_>>())
}
