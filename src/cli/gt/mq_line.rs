//! `gt mq hotfix`, `freeze`, `thaw`, `log` and `eta`: the line before the queue.

use serde_json::Value;

use crate::cli::gt::here::Here;
use crate::cli::gt::mq;
use crate::cli::render;
use crate::config::duration::show_ms;
use crate::gateway::client;
use crate::messages::door::DoorError;
use crate::messages::door::Query;
use crate::messages::views::EtaView;
use crate::messages::views::QueueEventView;
use crate::model::ids::BeadId;
use crate::model::ids::Db;
use crate::model::ids::RigName;
use crate::model::line;
use crate::model::ops::Op;

/// Events asked for at once while following.
const FOLLOW_MAX: usize = 1000;
/// Letters of a commit, tree or run that tell it from others.
const SHORT: usize = 10;

/// Classes as they are written: `hotfix`, or 0 to 4.
pub(super) fn class(text: &str) -> Result<i64, String> {
    if text == "hotfix" {
        return Ok(line::HOTFIX);
    }
    let class = text.trim_start_matches(['p', 'P']).parse::<i64>();
    class
        .ok()
        .filter(|class| (0..=line::LOWEST).contains(class))
        .ok_or_else(|| format!("'{text}' is not 0 (highest) to {}, nor 'hotfix'", line::LOWEST))
}

pub(super) fn hotfix(here: &Here, mr: &str, reason: String) -> Result<u8, DoorError> {
    let id = BeadId::from(mr);
    let db = here.db_of(&id)?;
    here.write(&db, vec![Op::Hotfix { id, reason }])?;
    render::line(&format!("{mr} goes first, as soon as the running gates have answered"))?;
    mq::waits_for_up(here)
}

pub(super) fn freeze(
    here: &Here,
    rig: &str,
    reason: String,
    allow: Option<i64>,
) -> Result<u8, DoorError> {
    let rig = RigName::from(rig);
    here.registry.rig(&rig)?;
    let op = Op::FreezeQueue { rig: rig.clone(), reason: Some(reason), allow };
    here.write(&Db::from(&rig), vec![op])?;
    let passes = match allow {
        None => "nothing lands".to_owned(),
        Some(line::HOTFIX) => "only hotfixes land".to_owned(),
        Some(class) => format!("only P{class} and above and hotfixes land"),
    };
    render::line(&format!("{rig} is frozen: {passes} until 'gt mq thaw {rig}'"))?;
    mq::waits_for_up(here)
}

pub(super) fn thaw(here: &Here, rig: &str) -> Result<u8, DoorError> {
    let rig = RigName::from(rig);
    here.registry.rig(&rig)?;
    let op = Op::FreezeQueue { rig: rig.clone(), reason: None, allow: None };
    here.write(&Db::from(&rig), vec![op])?;
    render::line(&format!("{rig} lands again"))?;
    mq::waits_for_up(here)
}

pub(super) fn log(
    here: &Here,
    rig: &str,
    limit: usize,
    json: bool,
    follow: bool,
) -> Result<u8, DoorError> {
    let rig = RigName::from(rig);
    here.registry.rig(&rig)?;
    if follow {
        return tail(here, rig, limit, json);
    }
    let ask = Query::QueueLog { rig, limit, after: 0 };
    let all: Vec<QueueEventView> = here.ask(ask)?;
    if json {
        return render::json(&all);
    }
    if all.is_empty() {
        return render::line("nothing has happened to this queue yet");
    }
    let rows = all.iter().map(|e| vec![e.at.clone(), e.actor.clone(), words(e)]);
    render::table(&["WHEN", "WHO", "WHAT"], rows.collect())
}

/// Prints what is there, and then what comes, until the daemon ends.
fn tail(here: &Here, rig: RigName, limit: usize, json: bool) -> Result<u8, DoorError> {
    if !here.is_up() {
        return Err(DoorError::new("unavailable", "the town is not running: nothing will happen")
            .hint("start it with 'gt up'; without --follow the log is there"));
    }
    let lost = |error: &dyn std::fmt::Display| {
        DoorError::new("unavailable", format!("the daemon stopped telling: {error}"))
            .hint("'gt daemon status' tells whether it runs")
    };
    let events = client::events(&here.town.socket_path()).map_err(|error| lost(&error))?;
    let (mut after, mut most) = (0, limit);
    let mut more = || -> Result<(), DoorError> {
        let ask = Query::QueueLog { rig: rig.clone(), limit: most, after };
        let new: Vec<QueueEventView> = here.ask(ask)?;
        for event in &new {
            match json {
                true => drop(render::line(&serde_json::to_string(event).unwrap_or_default())?),
                false => drop(render::line(&format!("{}  {}", event.at, words(event)))?),
            }
        }
        after = new.last().map_or(after, |event| event.seq);
        most = FOLLOW_MAX;
        Ok(())
    };
    more()?;
    for event in events {
        event.map_err(|error| lost(&error))?;
        more()?;
    }
    render::line("the daemon has ended")
}

/// An event in words.
fn words(event: &QueueEventView) -> String {
    let d = &event.detail;
    let text = |key: &str| d[key].as_str().unwrap_or_default();
    let short = |key: &str| text(key).chars().take(SHORT).collect::<String>();
    let culprit = if d["innocence_ppm"].is_null() { "" } else { ", the next one goes back" };
    let reason = match text("reason") {
        "" => String::new(),
        reason => format!(": {reason}"),
    };
    match event.op.as_str() {
        "begin_cycle" => {
            format!("cycle {}: {} stacked on {}", d["number"], d["items"], short("base"))
        }
        "start_run" => format!("run {} tests the first {} of {}", text("run"), d["len"], d["of"]),
        "finish_run" => format!("run {} has {}", text("run"), text("verdict")),
        "begin_landing" => {
            format!("lands {} up to {} by run {}{culprit}", d["len"], short("tip"), text("proof"))
        }
        "finish_cycle" => format!("cycle {} is over: {} landed{culprit}", d["number"], d["landed"]),
        "abandon_cycle" => format!("the cycle is given up{reason}"),
        "leave_cycle" => format!("{} leaves the cycle; {} stay", text("mr"), d["stays"]),
        "park_queue" if d["reason"].is_null() => "goes on".to_owned(),
        "park_queue" => format!("waits for a person{reason}"),
        "freeze_queue" if d["thaw"] == true => "thawed".to_owned(),
        "freeze_queue" => match d["allow"].as_i64() {
            None => format!("frozen{reason}"),
            Some(line::HOTFIX) => format!("frozen but for hotfixes{reason}"),
            Some(class) => format!("frozen below P{class}{reason}"),
        },
        "enqueue" => format!("{} is queued for {} at {}", text("mr"), event.subject, short("head")),
        "give_back" => format!("{} came back: {}", text("mr"), kind(&d["verdict"])),
        "cancel" => format!("{} is cancelled{reason}", text("mr")),
        "hotfix" => format!("{} goes first{reason}", event.subject),
        "set_mr" => format!("{} is {}{reason}", event.subject, text("state")),
        other => format!("{other} {} {d}", event.subject),
    }
}

fn kind(verdict: &Value) -> &str {
    verdict["kind"].as_str().unwrap_or("no verdict")
}

pub(super) fn eta(here: &Here, what: &str, json: bool) -> Result<u8, DoorError> {
    let rig = RigName::from(what);
    let (rig, mr) = if here.registry.rigs.contains_key(&rig) {
        (rig, None)
    } else {
        let found = mq::find(here, what)?;
        let Some(rig) = found.rig.clone() else {
            return Err(DoorError::new("not_found", format!("{what} is in no rig's queue")));
        };
        if found.decided_at.is_some() {
            return Err(DoorError::new("not_now", format!("{what} is {}", found.state))
                .hint(format!("'gt mq status {what}' shows it")));
        }
        (rig, Some(found.id))
    };
    let most = here.settings.queue_settings(&rig, "").batch_max;
    let all: Vec<EtaView> = here.ask(Query::Eta { rig, mr, most })?;
    if json {
        return render::json(&all);
    }
    if all.is_empty() {
        return render::line("nothing waits to land");
    }
    let both = |half: String, most: String| format!("{half} / {most}");
    let rows = all.iter().map(|view| {
        let place = view.place.map_or("-".to_owned(), |place| place.to_string());
        let (cycles, time) = match (&view.expected, &view.unknown) {
            (Some(e), _) => (
                both(e.cycles_p50.to_string(), e.cycles_p90.to_string()),
                both(show_ms(e.ms_p50), show_ms(e.ms_p90)),
            ),
            (None, why) => {
                let why = why.as_deref().unwrap_or("nothing was observed");
                ("unknown".to_owned(), format!("unknown: {why}"))
            }
        };
        vec![view.mr.to_string(), view.bead.to_string(), place, cycles, time]
    });
    let heading = ["MR", "BEAD", "PLACE", "CYCLES P50 / P90", "TIME P50 / P90"];
    render::table(&heading, rows.collect())
}
