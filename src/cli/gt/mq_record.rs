//! `gt mq stats` and `gt mq why`: what the queue did, and why.

use crate::cli::gt::here::Here;
use crate::cli::render;
use crate::config::duration::show_ms;
use crate::messages::door::DoorError;
use crate::messages::door::Query;
use crate::messages::views::QueueStatsView;
use crate::messages::views::WhyView;
use crate::model::ids::BeadId;
use crate::model::ids::RigName;

pub(super) fn stats(here: &Here, rig: Option<RigName>, json: bool) -> Result<u8, DoorError> {
    if let Some(rig) = &rig {
        here.registry.rig(rig)?;
    }
    let all: Vec<QueueStatsView> = here.ask(Query::QueueStats { rig })?;
    if json {
        return render::json(&all);
    }
    for s in &all {
        let cost = s.runs_per_merged.map_or("none yet".to_owned(), |cost| format!("{cost:.2}"));
        let rows = [
            ("landed", format!("{} in {} landings", s.merged, s.landings)),
            ("culprits; other returns", format!("{}; {}", s.culprits, s.bounced)),
            ("gate runs (without an answer)", format!("{} ({})", s.runs, s.runs_without_answer)),
            ("gate runs ahead of the queue", s.verifications.to_string()),
            ("gate runs per landed", cost),
            ("  the least for a line that never ends", format!("{:.2}", s.bound_per_merged)),
            ("  one by one", format!("{:.2}", s.serial_per_merged)),
            ("culprits, learnt", format!("{:.1}%", s.failure_rate * 100.0)),
            ("flaky runs, learnt", format!("{:.1}%", s.flake_rate * 100.0)),
            (
                "queued to decided, P50 and P95",
                format!("{} {}", show_ms(s.wait_ms_p50), show_ms(s.wait_ms_p95)),
            ),
            ("newer ones landed before one", s.overtaken_max.to_string()),
        ];
        render::line(s.rig.as_str())?;
        for (what, value) in rows {
            render::line(&format!("  {what:<40} {value}"))?;
        }
    }
    Ok(0)
}

pub(super) fn why(here: &Here, mr: &str, json: bool) -> Result<u8, DoorError> {
    let why: WhyView = here.ask(Query::Why { mr: BeadId::from(mr) })?;
    if json {
        return render::json(&why);
    }
    render::line(&format!("{} is {}", why.mr, why.state))?;
    render::line(&format!("  chance to be a culprit, as learnt: {:.1}%", why.risk * 100.0))?;
    let class = if why.class < 0 { "hotfix".to_owned() } else { format!("P{}", why.class) };
    render::line(&format!("  class {class}, submitted as P{}", why.priority))?;
    render::line(&format!("  newer ones that landed before it: {}", why.overtaken))?;
    let batches = why.outranked;
    render::line(&format!("  batches of newer, more urgent ones before it: {batches}"))?;
    if let Some(waits) = &why.waits {
        render::line(&format!("  it waits: {waits}"))?;
    }
    let rows = why.runs.iter().map(|part| {
        let verdict = part.verdict.map_or("no answer".to_owned(), |verdict| verdict.to_string());
        vec![
            part.at.clone(),
            match &part.verified_by {
                Some(who) => format!("{} (verified by {who})", part.run),
                None => part.run.to_string(),
            },
            part.before.to_string(),
            part.behind.to_string(),
            verdict,
        ]
    });
    let rows: Vec<Vec<String>> = rows.collect();
    if rows.is_empty() {
        return render::line("  it was part of no run yet");
    }
    render::table(&["STARTED", "RUN", "BEFORE IT", "BEHIND IT", "VERDICT"], rows)
}
