//! Supervision with real actors: restarts, back-off, groups, parking, and bounds.

use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering;

use gastown::machines::boot::Boot;
use gastown::machines::limits::Limits;
use gastown::machines::supervision::End;
use gastown::machines::supervision::Intensity;
use gastown::machines::supervision::Restart;
use gastown::machines::supervision::Strategy;
use gastown::messages::Address;
use gastown::model::ids::Db;
use gastown::model::ops::Fact;
use gastown::model::rows::Escalation;
use gastown::model::tx::Scan;
use gastown::model::tx::TxExt;

use super::probe::Bench;
use super::probe::dog;
use crate::support::clock::T0;
use crate::support::clock::scenario;
use crate::support::clock::soon;

const ALONE: (Strategy, Restart) = (Strategy::OneForOne, Restart::Permanent);
const GROUP: (Strategy, Restart) = (Strategy::RestForOne, Restart::Permanent);
const MINUTE: i64 = 60_000;

fn bench() -> Bench {
    Bench::new(Limits::default(), Intensity::default())
}

fn crash() -> End {
    End::Crash("planted".to_owned())
}

fn panic_at(word: &'static str) -> impl Fn(&str) + Send + Sync + 'static {
    move |given| assert!(!given.starts_with(word), "planted")
}

/// Whether the waits between moments are these, to the granularity of tokio's timers.
fn waits(moments: &[i64], wanted: &[i64]) -> bool {
    moments.len() == wanted.len() + 1
        && moments
            .windows(2)
            .zip(wanted)
            .all(|(pair, wait)| (0..=2).contains(&(pair[1] - pair[0] - wait)))
}

#[test]
fn a_panic_costs_the_machine_and_not_its_mail() {
    scenario(async {
        let (bench, ann) = (bench(), dog("ann"));
        bench.probe(ann.clone(), ALONE, panic_at("panic"));
        bench.given(&ann, "wake", 1).await;
        for word in ["panic", "a", "b", "panic", "c"] {
            bench.tell(&ann, word);
        }
        bench.given(&ann, "c", 1).await;
        let wanted = ["wake", "panic", "wake", "a", "b", "panic", "wake", "c"];
        assert_eq!(bench.words(), wanted.map(|word| format!("dog/ann {word}")));
        let starts = bench.given(&ann, "wake", 3).await;
        assert!(waits(&starts, &[50, 100]), "{starts:?}");
        assert_eq!(bench.child(&ann).await, (3, false));
    });
}

#[test]
fn each_policy_answers_clean_ends_limits_and_crashes() {
    scenario(async {
        let bench = bench();
        let who = [dog("permanent"), dog("transient"), dog("temporary")];
        let policies = [Restart::Permanent, Restart::Transient, Restart::Temporary];
        for (who, restart) in who.iter().zip(policies) {
            bench.probe(who.clone(), (Strategy::OneForOne, restart), |_| ());
            bench.given(who, "wake", 1).await;
        }
        let mut told = Vec::new();
        for end in [End::Clean, crash(), End::Limited { until: T0 + 10 * MINUTE }] {
            for one in &who {
                bench.end(one, end.clone()).await;
            }
            let times = told.len() + 2;
            bench.given(&who[0], "wake", times).await;
            bench.given(&who[1], "wake", times - 1).await;
            let mut starts = Vec::new();
            for one in &who {
                starts.push(bench.child(one).await.0);
            }
            told.push(starts);
        }
        assert_eq!(told, [[2, 1, 1], [3, 2, 1], [4, 3, 1]]);
        let last = bench.given(&who[1], "wake", 3).await;
        assert!(last[2] >= 10 * MINUTE, "a limit is waited for: {last:?}");
    });
}

#[test]
fn the_sixth_crash_parks_tells_a_person_once_and_clears_itself() {
    scenario(async {
        let (bench, bob) = (bench(), dog("bob"));
        let broken = Arc::new(AtomicBool::new(true));
        let mut events = bench.parts.events.subscribe();
        let still = broken.clone();
        bench.probe(bob.clone(), ALONE, move |_| {
            assert!(!still.load(Ordering::Relaxed), "planted");
        });
        let mut alarms = Vec::new();
        while alarms.len() < 2 {
            let event = soon("an alarm", events.recv()).await.unwrap();
            let Fact::Alarm { raised, .. } = event.fact else { continue };
            alarms.push(raised);
            if raised {
                assert_eq!(bench.child(&bob).await, (6, true));
                // The first probe finds it broken still; the second finds it well.
                bench.given(&bob, "wake", 7).await;
                broken.store(false, Ordering::Relaxed);
            }
        }
        assert_eq!(alarms, [true, false]);
        assert_eq!(bench.child(&bob).await, (8, false));
        let starts = bench.given(&bob, "wake", 8).await;
        let probe = 10 * MINUTE;
        assert!(waits(&starts, &[50, 100, 200, 400, 800, probe, probe]), "{starts:?}");
        let rows =
            bench.port.look(&Db::hq(), |tx| tx.rows::<Escalation>(&Scan::default()).unwrap());
        assert_eq!(rows.len(), 1);
        assert_eq!(rows[0].subject.as_str(), "dog/bob");
        let quiet = rows[0].cleared_at.unwrap() - T0 - starts[6];
        assert!((15 * MINUTE..16 * MINUTE).contains(&quiet), "{quiet}");
    });
}

#[test]
fn those_that_were_started_later_fall_with_it_in_order() {
    scenario(async {
        let bench = bench();
        let who = [dog("1"), dog("2"), dog("3"), dog("4")];
        for one in &who {
            bench.probe(one.clone(), GROUP, panic_at("panic"));
            bench.given(one, "wake", 1).await;
        }
        bench.tell(&who[1], "panic");
        for one in &who[1..] {
            bench.given(one, "wake", 2).await;
        }
        assert_eq!(bench.made(3), who[1..]);
        assert_eq!(bench.child(&who[0]).await.0, 1);
    });
}

#[test]
fn neighbours_stand() {
    scenario(async {
        let bench = bench();
        let who = [dog("1"), dog("2"), dog("3")];
        for one in &who {
            bench.probe(one.clone(), ALONE, panic_at("panic"));
            bench.given(one, "wake", 1).await;
        }
        bench.tell(&who[1], "panic");
        bench.given(&who[1], "wake", 2).await;
        bench.tell(&who[2], "a");
        bench.given(&who[2], "a", 1).await;
        let wanted = ["2 panic", "2 wake", "3 a"].map(|word| format!("dog/{word}"));
        assert_eq!(bench.words()[3..], wanted);
    });
}

#[test]
fn boot_asks_a_silent_deacon_and_then_starts_it_anew() {
    scenario(async {
        let bench = bench();
        bench.probe(Address::Deacon, ALONE, |_| ());
        let standing = gastown::actors::supervisor::Standing {
            group: "boot",
            strategy: Strategy::OneForOne,
            restart: Restart::Permanent,
        };
        bench.plant(standing, || Boot::new(Limits::default()));
        let starts = bench.given(&Address::Deacon, "wake", 2).await;
        let asked = bench.given(&Address::Deacon, "told", 1).await;
        assert!((5 * MINUTE..6 * MINUTE).contains(&asked[0]), "{asked:?}");
        assert!((20 * MINUTE..21 * MINUTE).contains(&starts[1]), "{starts:?}");
        assert_eq!(bench.child(&Address::Deacon).await, (2, false));
    });
}

#[test]
fn a_full_mailbox_drops_and_counts() {
    scenario(async {
        let (bench, ann) = (bench(), dog("ann"));
        bench.probe(ann.clone(), ALONE, |_| ());
        bench.given(&ann, "wake", 1).await;
        let told = 1_500;
        for _ in 0..told {
            bench.tell(&ann, "a");
        }
        let full = bench.parts.directory.dropped();
        assert_eq!(full, told - 1_024);
        // What was taken is dealt with before the next one, which there is room for.
        let mut log = bench.log.subscribe();
        let dealt = log.wait_for(|log| {
            let given = log.iter().filter(|(.., word)| word == "a").count();
            u64::try_from(given).unwrap() + bench.parts.directory.dropped() == told
        });
        soon("all dealt with or counted", dealt).await.unwrap();
        bench.tell(&ann, "b");
        bench.given(&ann, "b", 1).await;
    });
}
