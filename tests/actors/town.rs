//! A whole small town over a made-up world: every wait in it is virtual.

use std::sync::Arc;

use gastown::actors::parts::Event;
use gastown::actors::parts::Parts;
use gastown::actors::store::Submit;
use gastown::actors::town::Rig;
use gastown::actors::town::Town;
use gastown::machines::Input;
use gastown::machines::limits::Limits;
use gastown::machines::supervision::Intensity;
use gastown::messages::Address;
use gastown::messages::QueueSettings;
use gastown::model::agent::Exit;
use gastown::model::agent::Submission;
use gastown::model::effect::Outcome;
use gastown::model::effect::SessionSpec;
use gastown::model::ids::BeadId;
use gastown::model::ids::Db;
use gastown::model::ids::Identity;
use gastown::model::ids::RigName;
use gastown::model::ids::Role;
use gastown::model::ids::Sha;
use gastown::model::merge::GateSpec;
use gastown::model::merge::LandingStyle;
use gastown::model::merge::MrState;
use gastown::model::ops::Fact;
use gastown::model::ops::NewBead;
use gastown::model::ops::Op;
use gastown::model::rows::Agent;
use gastown::model::rows::Bead;
use gastown::model::rows::MergeRequest;
use gastown::model::tx::Scan;
use gastown::model::tx::TxExt;
use gastown::model::value::Name;
use tokio::sync::broadcast;
use tokio::sync::mpsc;

use crate::support::clock::T0;
use crate::support::clock::VirtualClock;
use crate::support::clock::scenario;
use crate::support::clock::soon;
use crate::support::fake_world::FakeWorld;
use crate::support::memory_port::MemoryPort;

fn shop() -> Db {
    Db::from("shop")
}

struct Bench {
    parts: Parts,
    port: Arc<MemoryPort>,
    world: FakeWorld,
    sessions: mpsc::UnboundedReceiver<SessionSpec>,
    events: broadcast::Receiver<Event>,
    town: Town,
}

/// The rows of a new town with one rig.
fn found(port: &MemoryPort) {
    let prefix = |value: &str| Op::SetMeta { name: Name::from("prefix"), value: value.to_owned() };
    let mut hq = vec![prefix("hq")];
    hq.extend(Role::ALL.iter().map(|role| Op::RegisterRole { role: *role }));
    let town = [Identity::Mayor, Identity::Deacon, Identity::Boot];
    hq.extend(town.into_iter().map(|who| Op::RegisterAgent { who }));
    port.write(&Db::hq(), hq, T0);
    let rig = RigName::from("shop");
    let rig = [Identity::Witness(rig.clone()), Identity::Refinery(rig)];
    let mut ops = vec![prefix("sh")];
    ops.extend(rig.into_iter().map(|who| Op::RegisterAgent { who }));
    port.write(&shop(), ops, T0);
}

impl Bench {
    async fn start() -> Self {
        let port = MemoryPort::new();
        found(&port);
        let (world, sessions) = FakeWorld::new();
        let limits = Limits { polecats_max: 2, ..Limits::default() };
        let parts =
            Parts::new(VirtualClock::start(), port.clone(), Arc::new(world.clone()), limits);
        let events = parts.events.subscribe();
        let gate = GateSpec::new("test", "true", 1_000);
        let queue = QueueSettings {
            target: "main".to_owned(),
            gates: vec![gate],
            gates_none: false,
            environment: Name::default(),
            style: LandingStyle::default(),
            batch_max: 8,
            batch_wait_ms: 0,
            slots: 2,
            evict_error_ppm: 100,
            base_age_ms: 3_600_000,
            stuck_max: 3,
            rework_max: 3,
        };
        let rig = Rig { name: RigName::from("shop"), prefix: "sh".to_owned(), queue };
        let town = Town::start(parts.clone(), vec![rig], Intensity::default()).await.unwrap();
        Self { parts, port, world, sessions, events, town }
    }

    async fn write(&self, actor: &str, ops: Vec<Op>) {
        let store = self.town.stores().get(&shop()).unwrap();
        store.send(Submit { actor: actor.to_owned(), ops }).await.unwrap().unwrap();
    }

    async fn sling(&self, ids: &[&str]) {
        let create = ids.iter().map(|id| {
            let (id, title) = (Some(BeadId::from(*id)), format!("Title of {id}"));
            Op::Create(NewBead { id, title, ..NewBead::default() })
        });
        let mut ops: Vec<Op> = create.collect();
        let beads = ids.iter().map(|id| BeadId::from(*id)).collect();
        ops.push(Op::PlaceOrders { beads, worker: None, preset: None, convoy: None });
        self.write("overseer", ops).await;
    }

    /// The next session that starts.
    async fn session(&mut self) -> SessionSpec {
        soon("a session", self.sessions.recv()).await.unwrap()
    }

    async fn done(&self, spec: &SessionSpec, head: &str) {
        let submission = Submission { head: Sha::from(head), no_change: None };
        let (agent, incarnation) = (spec.agent.clone(), spec.place.incarnation);
        self.write(&spec.actor, vec![Op::Submit { agent, incarnation, submission }]).await;
    }

    async fn fact(&mut self, wanted: impl Fn(&Fact) -> bool) {
        loop {
            let event = soon("a fact", self.events.recv()).await.unwrap();
            if wanted(&event.fact) {
                return;
            }
        }
    }

    fn merged(&self) -> usize {
        let all = self.port.look(&shop(), |tx| tx.rows::<MergeRequest>(&Scan::default()).unwrap());
        all.iter().filter(|mr| mr.state == MrState::Merged).count()
    }

    fn agents(&self) -> Vec<Agent> {
        let all = self.port.look(&shop(), |tx| tx.rows::<Agent>(&Scan::default()).unwrap());
        all.into_iter().filter(|agent| agent.role == Role::Polecat).collect()
    }
}

#[test]
fn three_beads_two_workers_all_merged_and_the_convoy_lands_once() {
    scenario(async {
        let mut bench = Bench::start().await;
        bench.sling(&["sh-1", "sh-2", "sh-3"]).await;
        for _ in 0..3 {
            let spec = bench.session().await;
            let head = spec.bead.to_string();
            bench.done(&spec, &head).await;
        }
        bench.fact(|fact| matches!(fact, Fact::ConvoyLanded { .. })).await;
        assert_eq!(bench.merged(), 3);
        assert_eq!(bench.agents().len(), 2);
        let target = bench.world.target();
        assert!(["sh-1", "sh-2", "sh-3"].iter().all(|bead| target.contains(bead)), "{target}");
        assert_eq!(bench.world.count("spawn"), 3);
    });
}

#[test]
fn a_culprit_comes_back_is_reworked_and_lands() {
    scenario(async {
        let mut bench = Bench::start().await;
        bench.sling(&["sh-1", "sh-2"]).await;
        for head in ["a", "x"] {
            let spec = bench.session().await;
            bench.done(&spec, head).await;
        }
        let spec = bench.session().await;
        bench.done(&spec, "b").await;
        bench.fact(|fact| matches!(fact, Fact::ConvoyLanded { .. })).await;
        assert_eq!(bench.merged(), 2);
        assert!(!bench.world.target().contains('x'));
    });
}

#[test]
fn a_session_that_ends_is_followed_by_another_and_a_stale_report_is_ignored() {
    scenario(async {
        let mut bench = Bench::start().await;
        bench.sling(&["sh-1"]).await;
        let first = bench.session().await;
        bench.world.end(&first.id, Exit::Code(1));
        let second = bench.session().await;
        assert_eq!(second.place.incarnation, first.place.incarnation + 1);
        let who = Address::Polecat(second.place.rig.clone(), second.place.name.clone());
        let stale = Input::Report {
            key: format!("watch {}", first.id),
            outcome: Outcome::Exited { exit: Exit::Code(2) },
        };
        bench.parts.directory.tell(&who, stale);
        bench.done(&second, "a").await;
        bench.fact(|fact| matches!(fact, Fact::ConvoyLanded { .. })).await;
        assert_eq!(bench.agents()[0].incarnation, second.place.incarnation);
        assert_eq!(bench.world.count("spawn"), 2);
    });
}

#[test]
fn a_silent_session_is_restarted_by_the_witness() {
    scenario(async {
        let mut bench = Bench::start().await;
        bench.sling(&["sh-1"]).await;
        let first = bench.session().await;
        let second = bench.session().await;
        assert_eq!(second.place.incarnation, first.place.incarnation + 1);
        assert!(bench.world.count("stop") >= 1);
        bench.done(&second, "a").await;
        bench.fact(|fact| matches!(fact, Fact::ConvoyLanded { .. })).await;
    });
}

#[test]
fn a_town_that_is_started_over_its_rows_goes_on() {
    scenario(async {
        let mut bench = Bench::start().await;
        bench.sling(&["sh-1"]).await;
        let spec = bench.session().await;
        bench.parts.close();
        let Bench { port, world, .. } = bench;
        let limits = Limits { polecats_max: 2, ..Limits::default() };
        let parts =
            Parts::new(VirtualClock::start(), port.clone(), Arc::new(world.clone()), limits);
        let events = parts.events.subscribe();
        let queue = QueueSettings {
            target: "main".to_owned(),
            gates: Vec::new(),
            gates_none: true,
            environment: Name::default(),
            style: LandingStyle::default(),
            batch_max: 8,
            batch_wait_ms: 0,
            slots: 2,
            evict_error_ppm: 100,
            base_age_ms: 3_600_000,
            stuck_max: 3,
            rework_max: 3,
        };
        let rig = Rig { name: RigName::from("shop"), prefix: "sh".to_owned(), queue };
        let town = Town::start(parts.clone(), vec![rig], Intensity::default()).await.unwrap();
        let (_, sessions) = mpsc::unbounded_channel();
        let mut again = Bench { parts, port, world, sessions, events, town };
        again.done(&spec, "a").await;
        again.fact(|fact| matches!(fact, Fact::ConvoyLanded { .. })).await;
        assert_eq!(again.world.count("spawn"), 1, "the session outlived the daemon");
        let closed = again
            .port
            .look(&shop(), |tx| tx.find::<Bead>("by_id", &BeadId::from("sh-1")).unwrap().unwrap());
        assert!(closed.closed_at.is_some());
    });
}
