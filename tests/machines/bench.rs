//! A bench for one machine: rows made by real ops, inputs in, decisions out as short text.

use std::fmt::Write;

use gastown::machines::After;
use gastown::machines::Decision;
use gastown::machines::Input;
use gastown::machines::Machine;
use gastown::messages::Message;
use gastown::model::effect::Effect;
use gastown::model::effect::Outcome;
use gastown::model::ids::BeadId;
use gastown::model::ids::Db;
use gastown::model::ids::Identity;
use gastown::model::ids::RigName;
use gastown::model::ids::Sha;
use gastown::model::ops::Ctx;
use gastown::model::ops::Facts;
use gastown::model::ops::Keys;
use gastown::model::ops::NewBead;
use gastown::model::ops::NewBranch;
use gastown::model::ops::Op;
use gastown::model::ops::Refused;
use gastown::model::ops::apply;
use gastown::model::rows::Agent;
use gastown::model::rows::MergeRequest;
use gastown::model::rows::Queue;
use gastown::model::tx::Scan;
use gastown::model::tx::TxExt;
use gastown::model::value::Name;
use gastown::sim::memory::MemoryDb;
use serde_json::Value;

/// The first moment of every script.
pub const T0: i64 = 1_767_225_600_000;
/// The rig of every script and its prefix.
pub const RIG: &str = "shop";
pub const PREFIX: &str = "sh";

/// One line of a script.
pub enum Step {
    /// Somebody else commits this.
    Commit(Op),
    /// Time passes.
    Pass(i64),
    /// The machine loses its memory.
    Forget,
    /// The machine is given this.
    Take(Input),
}

pub fn wake() -> Step {
    Step::Take(Input::Wake)
}

pub fn told(message: Message) -> Step {
    Step::Take(Input::Told(message))
}

pub fn report(key: &str, outcome: Outcome) -> Step {
    Step::Take(Input::Report { key: key.to_owned(), outcome })
}

pub fn failed() -> Outcome {
    Outcome::Failed { error: "no room".to_owned() }
}

pub fn rig() -> RigName {
    RigName::from(RIG)
}

pub fn sha(text: &str) -> Sha {
    Sha::from(text)
}

pub fn bead(id: &str) -> Op {
    let id = Some(BeadId::from(id));
    Op::Create(NewBead { id, title: "Work".to_owned(), ..NewBead::default() })
}

pub fn polecat(name: &str) -> Identity {
    Identity::Polecat(rig(), name.to_owned())
}

pub fn order(ids: &[&str]) -> Op {
    let beads = ids.iter().map(|id| BeadId::from(*id)).collect();
    Op::PlaceOrders { beads, worker: None, preset: None, convoy: Some(BeadId::from("hq-cv-1")) }
}

pub fn branch(bead: &str, head: &str) -> Op {
    Op::SubmitBranch(NewBranch {
        bead: BeadId::from(bead),
        branch: format!("b-{bead}"),
        head: sha(head),
        target: "main".to_owned(),
        touches: None,
    })
}

/// A machine with its database.
pub struct Bench<M> {
    fresh: M,
    pub machine: M,
    pub memory: MemoryDb,
    keys: Keys,
    db: Db,
    pub now: i64,
}

impl<M: Machine> Bench<M> {
    /// A bench whose database has its prefix.
    pub fn new(machine: M) -> Self {
        let db = machine.db();
        let mut bench = Self {
            fresh: machine.clone(),
            machine,
            memory: MemoryDb::new(),
            keys: Keys::new(0, 0),
            db: db.clone(),
            now: T0,
        };
        let value = if db.is_hq() { "hq" } else { PREFIX }.to_owned();
        bench.commit("overseer", &Op::SetMeta { name: Name::from("prefix"), value }).unwrap();
        bench
    }

    /// Commits one op.
    pub fn commit(&mut self, actor: &str, op: &Op) -> Result<Facts, Refused> {
        self.memory.begin();
        let mut ctx = Ctx { now: self.now, actor, db: &self.db, keys: &mut self.keys };
        let result = apply(&mut self.memory, &mut ctx, op);
        if result.is_ok() {
            self.memory.commit();
        } else {
            self.memory.rollback();
        }
        result
    }

    /// Gives the machine an input and commits what it decides, as a host does.
    pub fn take(&mut self, input: &Input) -> (Decision, Option<Refused>) {
        let mut trial = self.machine.clone();
        let view = self.machine.view(&mut self.memory).unwrap();
        let decision = trial.decide(&view, input, self.now);
        let actor = self.machine.actor();
        for op in &decision.ops {
            if let Err(refused) = self.commit(&actor, op) {
                return (decision, Some(refused));
            }
        }
        self.machine = trial;
        (decision, None)
    }

    /// Runs a script; the text has a line for each input, op, effect and message.
    pub fn run(&mut self, script: &[Step]) -> String {
        let mut out = String::new();
        for step in script {
            match step {
                Step::Commit(op) => {
                    let answer = self.commit("overseer", op);
                    let verdict = answer.err().map_or(String::new(), |why| format!(": {why}"));
                    writeln!(out, "~ {}{verdict}", op.name()).unwrap();
                }
                Step::Pass(ms) => {
                    self.now += ms;
                    writeln!(out, "~ {ms} ms").unwrap();
                }
                Step::Forget => {
                    self.machine = self.fresh.clone();
                    writeln!(out, "~ forget").unwrap();
                }
                Step::Take(input) => {
                    writeln!(out, "> {}", show_input(input)).unwrap();
                    let (decision, refused) = self.take(input);
                    out.push_str(&show(&decision, refused.as_ref(), self.now));
                    out.push_str(&self.states());
                }
            }
        }
        self.renamed(out)
    }

    /// Where workers and the queue stand.
    fn states(&mut self) -> String {
        let mut out = String::new();
        for agent in self.memory.rows::<Agent>(&Scan::default()).unwrap() {
            if agent.state.word() != "idle" || agent.incarnation > 0 {
                writeln!(out, "  = {} {}#{}", agent.name, agent.state.word(), agent.incarnation)
                    .unwrap();
            }
        }
        for queue in self.memory.rows::<Queue>(&Scan::default()).unwrap() {
            let cycle = serde_json::to_value(&queue.cycle).unwrap();
            let step = cycle["step"].as_str().unwrap_or_default().to_owned();
            let bounds = match (cycle["green"].as_u64(), cycle["red"].as_u64()) {
                (Some(green), Some(red)) => format!(" green {green} red {red}"),
                _ => String::new(),
            };
            let parked = queue.parked.map_or(String::new(), |why| format!(" PARKED {why}"));
            writeln!(out, "  = queue {step}{bounds}{parked}").unwrap();
        }
        out
    }

    /// Merge requests have ids made from time: a script calls them by their heads.
    fn renamed(&mut self, mut out: String) -> String {
        for mr in self.memory.rows::<MergeRequest>(&Scan::default()).unwrap() {
            out = out.replace(mr.id.as_str(), &format!("mr({})", mr.head));
        }
        out.replace(&T0.to_string(), "T0")
    }
}

/// A decision as text; times are told from now.
pub fn show(decision: &Decision, refused: Option<&Refused>, now: i64) -> String {
    let mut out = String::new();
    for op in &decision.ops {
        let value = serde_json::to_value(op).unwrap();
        writeln!(out, "  commit {}{}", op.name(), fields(&value, "op")).unwrap();
    }
    if let Some(why) = refused {
        writeln!(out, "  refused: {why}").unwrap();
        return out;
    }
    for after in &decision.after {
        writeln!(out, "  {}", show_after(after)).unwrap();
    }
    if let Some(at) = decision.wake_at {
        writeln!(out, "  wake in {}", at - now).unwrap();
    }
    out
}

fn show_after(after: &After) -> String {
    match after {
        After::Do(effect) => show_effect(effect),
        After::Deliver { key, dst, parcels } => {
            let seqs: Vec<i64> = parcels.iter().map(|(seq, _)| *seq).collect();
            format!("deliver {key} to {dst}: {seqs:?}")
        }
        After::Tell(to, message) => {
            let value = serde_json::to_value(message).unwrap();
            let word = value["message"].as_str().unwrap_or_default().to_owned();
            format!("tell {to} {word}{}", fields(&value, "message"))
        }
        After::Wake(to) => format!("wake {to}"),
        After::Restart(who) => format!("restart {who}"),
    }
}

fn show_effect(effect: &Effect) -> String {
    let value = serde_json::to_value(effect).unwrap();
    format!("do {}{}", effect.name(), fields(&value, "verb"))
}

fn show_input(input: &Input) -> String {
    match input {
        Input::Wake => "wake".to_owned(),
        Input::Report { key, outcome } => {
            let value = serde_json::to_value(outcome).unwrap();
            let word = value["outcome"].as_str().unwrap_or_default().to_owned();
            format!("{key}: {word}{}", fields(&value, "outcome"))
        }
        Input::Told(message) => {
            let value = serde_json::to_value(message).unwrap();
            let word = value["message"].as_str().unwrap_or_default().to_owned();
            format!("told {word}{}", fields(&value, "message"))
        }
    }
}

/// What a reader of a snapshot can do without.
const DULL: &[&str] = &[
    "to",
    "rig",
    "agent",
    "actor",
    "target",
    "cmd",
    "timeout_ms",
    "log",
    "tail",
    "reason",
    "pid",
    "start_time",
    "boot_id",
    "host",
    "place",
    "gates",
    "base_tree",
    "tree",
    "branch",
    "empty",
    "rework_max",
    "commit",
    "grace_ms",
    "bead",
];

fn fields(value: &Value, tag: &str) -> String {
    let Some(map) = value.as_object() else { return String::new() };
    let mut out = String::new();
    for (name, value) in map {
        let told = map.get("op").is_some_and(|op| op == "assign");
        let said = name != tag && (told || !DULL.contains(&name.as_str()));
        if said && !value.is_null() && value != &Value::Array(Vec::new()) {
            write!(out, " {name}={}", short(value)).unwrap();
        }
    }
    out
}

fn short(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Array(items) => {
            let items: Vec<String> = items.iter().map(short).collect();
            format!("[{}]", items.join(", "))
        }
        Value::Object(_) => format!("{{{}}}", fields(value, "").trim_start()),
        Value::Number(number) if number.as_i64().is_some_and(|n| n >= T0) => {
            format!("T0+{}", number.as_i64().unwrap() - T0)
        }
        other => other.to_string(),
    }
}
