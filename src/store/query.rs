//! Lists, counts and statistics in SQL: what would be slow over a transaction's verbs.
//!
//! What each answer means is in [`crate::model::query`]; conformance compares both. No function
//! here asks one question per row.

use std::collections::BTreeMap;

use crate::model::ids::BeadId;
use crate::model::query::BeadFilter;
use crate::model::query::Brief;
use crate::model::query::Counts;
use crate::model::query::Linked;
use crate::model::query::Sort;
use crate::model::query::Stats;
use crate::model::query::Way;
use crate::model::query::free_hold;
use crate::model::query::mean_lead;
use crate::model::rows::Bead;
use crate::model::table::Row;
use crate::model::value::BadCell;
use crate::model::value::Cell;
use crate::model::value::Name;
use crate::model::value::Value;
use crate::store::conn::Conn;
use crate::store::conn::ConnError;
use crate::store::sql_tx::columns;
use crate::store::sql_tx::limit;

/// Most ids in one statement.
const CHUNK: usize = 500;

/// Conditions with their parameters, in the same order.
#[derive(Default)]
struct Where {
    parts: Vec<String>,
    params: Vec<Value>,
}

impl Where {
    fn is(&mut self, part: impl Into<String>, params: impl IntoIterator<Item = Value>) {
        self.parts.push(part.into());
        self.params.extend(params);
    }

    fn any_of(&mut self, column: &str, values: &[impl Cell]) {
        if !values.is_empty() {
            let part = format!("{column} IN ({})", marks(values.len()));
            self.is(part, values.iter().map(Cell::to_value));
        }
    }

    fn text(&self) -> String {
        if self.parts.is_empty() { "1 = 1".to_owned() } else { self.parts.join(" AND ") }
    }
}

fn marks(count: usize) -> String {
    vec!["?"; count].join(", ")
}

/// The beads that a filter admits, in its order, up to its limit.
///
/// # Errors
/// As [`Conn::query`]; [`ConnError::Corrupt`] when a stored cell is not of its type.
pub fn list(conn: &mut dyn Conn, filter: &BeadFilter) -> Result<Vec<Bead>, ConnError> {
    let mut wheres = wheres(filter);
    let way = if filter.reverse { "DESC" } else { "ASC" };
    let order = match filter.sort {
        Sort::Created => String::new(),
        sort => format!("{} {way}, ", sort_column(sort)),
    };
    let mut sql = format!(
        "SELECT {} FROM `beads` b WHERE {} ORDER BY {order}b.`seq` {way}",
        columns(Bead::TABLE, "b."),
        wheres.text()
    );
    // With a part of the title some rows are left out afterwards.
    if let Some(limit) = limit(filter.limit.filter(|_| filter.title_contains.is_none())) {
        sql.push_str(" LIMIT ?");
        wheres.params.push(limit);
    }
    let rows = conn.query(&sql, &wheres.params)?;
    let beads = rows.into_iter().map(|row| Bead::from_values(row).map_err(bad));
    let fits = |bead: &Result<Bead, _>| bead.as_ref().map_or(true, |b| filter.title_fits(&b.title));
    beads.filter(fits).take(filter.limit.unwrap_or(usize::MAX)).collect()
}

fn sort_column(sort: Sort) -> &'static str {
    match sort {
        Sort::Priority => "b.`priority`",
        Sort::Created => "b.`seq`",
        Sort::Updated => "b.`updated_at`",
        Sort::Closed => "b.`closed_at`",
        Sort::Id => "b.`id`",
        Sort::Title => "b.`title`",
        Sort::Status => "b.`status`",
        Sort::Type => "b.`issue_type`",
        Sort::Assignee => "b.`assignee`",
    }
}

fn wheres(filter: &BeadFilter) -> Where {
    let mut wheres = Where::default();
    if filter.ready {
        let (part, params) = could_start(filter.now_ms);
        wheres.is(part, params);
    }
    if filter.only_work() {
        wheres.is("b.`work` = 1", []);
    }
    if filter.blocked {
        wheres.is("b.`blocked` <> 0", []);
    }
    wheres.any_of("b.`status`", &filter.statuses);
    if filter.hides_closed() && !filter.ready {
        wheres.is("b.`status` <> 'closed'", []);
    }
    wheres.any_of("b.`issue_type`", &filter.types);
    let numbers = [
        ("b.`priority` = ?", filter.priority),
        ("b.`priority` >= ?", filter.priority_min),
        ("b.`priority` <= ?", filter.priority_max),
    ];
    for (part, number) in numbers {
        if let Some(number) = number {
            wheres.is(part, [Value::Int(number)]);
        }
    }
    if let Some(who) = &filter.assignee {
        wheres.is("b.`assignee` = ?", [who.to_value()]);
    }
    if filter.unassigned {
        wheres.is("b.`assignee` IS NULL", []);
    }
    for label in &filter.labels {
        wheres.is(with_label("l.`label` = ?"), [label.to_value()]);
    }
    if !filter.label_any.is_empty() {
        let part = with_label(&format!("l.`label` IN ({})", marks(filter.label_any.len())));
        wheres.is(part, filter.label_any.iter().map(Cell::to_value));
    }
    if let Some(parent) = &filter.parent {
        // '/' follows '.', so this range is all that starts with the parent and a dot.
        let range = [".", "/"].map(|end| Value::Text(format!("{parent}{end}")));
        wheres.is("b.`id` > ? AND b.`id` < ?", range);
    }
    if let Some(part) = &filter.title_contains {
        // A server lowers every letter, not only those of ASCII: what it finds too much is left
        // out by `list`.
        let part = Value::Text(part.to_ascii_lowercase());
        wheres.is("(? = '' OR instr(lower(b.`title`), lower(?)) > 0)", [part.clone(), part]);
    }
    wheres.any_of("b.`id`", &filter.ids);
    wheres
}

fn with_label(condition: &str) -> String {
    format!("EXISTS (SELECT 1 FROM `labels` l WHERE l.`bead` = b.`id` AND {condition})")
}

/// Nothing in the row itself keeps the bead from being started.
fn could_start(now_ms: i64) -> (&'static str, [Value; 2]) {
    (
        "b.`status` = 'open' AND b.`blocked` = 0 AND b.`hold` = ? \
         AND (b.`defer_until` IS NULL OR b.`defer_until` <= ?)",
        [free_hold(), Value::Int(now_ms)],
    )
}

/// The labels of each bead that has any.
///
/// # Errors
/// As [`list`].
pub fn labels_of(
    conn: &mut dyn Conn,
    beads: &[BeadId],
) -> Result<BTreeMap<BeadId, Vec<Name>>, ConnError> {
    let mut found: BTreeMap<BeadId, Vec<Name>> = BTreeMap::new();
    for chunk in distinct(beads).chunks(CHUNK) {
        let sql = format!(
            "SELECT `bead`, `label` FROM `labels` WHERE `bead` IN ({}) ORDER BY `bead`, `label`",
            marks(chunk.len())
        );
        for row in conn.query(&sql, &cells(chunk))? {
            let [bead, label] = exactly(row)?;
            found.entry(cell(bead)?).or_default().push(cell(label)?);
        }
    }
    Ok(found)
}

/// The number that a question fills in.
type Field = fn(&mut Counts) -> &mut i64;

/// Edges and remarks of each bead that has any.
///
/// # Errors
/// As [`list`].
pub fn counts_of(
    conn: &mut dyn Conn,
    beads: &[BeadId],
) -> Result<BTreeMap<BeadId, Counts>, ConnError> {
    let mut found: BTreeMap<BeadId, Counts> = BTreeMap::new();
    let sources: [(&str, &str, Field); 3] = [
        ("dependencies", "bead", |counts| &mut counts.dependencies),
        ("dependencies", "target", |counts| &mut counts.dependents),
        ("comments", "bead", |counts| &mut counts.comments),
    ];
    for chunk in distinct(beads).chunks(CHUNK) {
        for (table, column, field) in sources {
            let sql = format!(
                "SELECT `{column}`, COUNT(*) FROM `{table}` WHERE `{column}` IN ({}) \
                 GROUP BY `{column}`",
                marks(chunk.len())
            );
            for row in conn.query(&sql, &cells(chunk))? {
                let [bead, count] = exactly(row)?;
                *field(found.entry(cell(bead)?).or_default()) = cell(count)?;
            }
        }
    }
    Ok(found)
}

/// The far ends of the beads' edges, ordered by (bead, other bead).
///
/// # Errors
/// As [`list`].
pub fn linked(conn: &mut dyn Conn, beads: &[BeadId], way: Way) -> Result<Vec<Linked>, ConnError> {
    let (near, far) = match way {
        Way::Down => ("bead", "target"),
        Way::Up => ("target", "bead"),
    };
    let mut found = Vec::new();
    for chunk in distinct(beads).chunks(CHUNK) {
        let sql = format!(
            "SELECT d.`{near}`, d.`{far}`, d.`dep_type`, \
             b.`title`, b.`status`, b.`priority`, b.`issue_type` \
             FROM `dependencies` d LEFT JOIN `beads` b ON b.`id` = d.`{far}` \
             WHERE d.`{near}` IN ({}) ORDER BY d.`{near}`, d.`{far}`",
            marks(chunk.len())
        );
        for row in conn.query(&sql, &cells(chunk))? {
            let [of, id, dep_type, title, status, priority, issue_type] = exactly(row)?;
            let brief = match title {
                Value::Null => None,
                title => Some(Brief {
                    title: cell(title)?,
                    status: cell(status)?,
                    priority: cell(priority)?,
                    issue_type: cell(issue_type)?,
                }),
            };
            let (of, id, dep_type) = (cell(of)?, cell(id)?, cell(dep_type)?);
            found.push(Linked { of, id, dep_type, brief });
        }
    }
    Ok(found)
}

/// The numbers of the whole database, from the index `by_ready` alone.
///
/// # Errors
/// As [`list`].
pub fn stats(conn: &mut dyn Conn, now_ms: i64) -> Result<Stats, ConnError> {
    let mut stats = Stats::default();
    let sql = "SELECT b.`status`, b.`blocked`, COUNT(*), \
               CAST(SUM(CASE WHEN b.`defer_until` > ? THEN 1 ELSE 0 END) AS SIGNED) \
               FROM `beads` b WHERE b.`work` = 1 GROUP BY b.`status`, b.`blocked`";
    for row in conn.query(sql, &[Value::Int(now_ms)])? {
        let [status, blocked, count, deferred] = exactly(row)?;
        stats.count(cell(status)?, cell(blocked)?, cell(count)?, cell(deferred)?);
    }
    Ok(stats)
}

/// The mean lead time of closed work, in milliseconds. Looks at every closed bead.
///
/// # Errors
/// As [`list`].
pub fn lead_ms(conn: &mut dyn Conn) -> Result<Option<i64>, ConnError> {
    let sql = "SELECT COUNT(*), CAST(SUM(b.`closed_at` - b.`created_at`) AS SIGNED) \
               FROM `beads` b \
               WHERE b.`work` = 1 AND b.`status` = 'closed' AND b.`closed_at` IS NOT NULL";
    let Some(row) = conn.query(sql, &[])?.pop() else { return Ok(None) };
    let [count, sum] = exactly(row)?;
    Ok(mean_lead(cell::<Option<i64>>(sum)?.unwrap_or(0), cell(count)?))
}

fn distinct(beads: &[BeadId]) -> Vec<&BeadId> {
    let mut ids: Vec<&BeadId> = beads.iter().collect();
    ids.sort();
    ids.dedup();
    ids
}

fn cells(ids: &[&BeadId]) -> Vec<Value> {
    ids.iter().map(|id| id.to_value()).collect()
}

fn cell<T: Cell>(value: Value) -> Result<T, ConnError> {
    T::from_value(value).map_err(bad)
}

fn bad(error: BadCell) -> ConnError {
    ConnError::Corrupt(error.to_string())
}

fn exactly<const N: usize>(row: Vec<Value>) -> Result<[Value; N], ConnError> {
    <[Value; N]>::try_from(row)
        .map_err(|row| ConnError::Other(format!("{} cells where {N} were asked", row.len())))
}
