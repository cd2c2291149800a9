//! Restart policy: who is started again and when, and when a person is told.

use gastown::machines::supervision::Child;
use gastown::machines::supervision::End;
use gastown::machines::supervision::Intensity;
use gastown::machines::supervision::Restart;

fn crash() -> End {
    End::Crash("x".to_owned())
}

/// One line for each end at a time; a quiet period at the end of a time without an end.
fn check(restart: Restart, script: &[(i64, Option<End>)]) -> String {
    let intensity =
        Intensity { crashes_max: 3, period_ms: 1_000, backoff_ms: 50, backoff_max_ms: 400 };
    let mut child = Child::new(restart, intensity);
    let lines = script.iter().map(|(now, end)| match end {
        Some(end) => format!("{now} {end:?} -> {:?}", child.ended(end, *now)),
        None => {
            let cleared = child.settled(*now);
            format!("{now} quiet -> cleared {cleared}, parked {}", child.is_parked())
        }
    });
    lines.collect::<Vec<_>>().join("\n")
}

#[test]
fn policies() {
    let script = [
        (0, Some(End::Clean)),
        (0, Some(End::Limited { until: 700 })),
        (800, Some(End::Limited { until: 700 })),
        (900, Some(crash())),
    ];
    let all = [Restart::Permanent, Restart::Transient, Restart::Temporary];
    let text: Vec<String> =
        all.iter().map(|one| format!("{one}\n{}", check(*one, &script))).collect();
    insta::assert_snapshot!(text.join("\n"), @r#"
    permanent
    0 Clean -> StartAt(50)
    0 Limited { until: 700 } -> StartAt(700)
    800 Limited { until: 700 } -> StartAt(800)
    900 Crash("x") -> StartAt(950)
    transient
    0 Clean -> Leave
    0 Limited { until: 700 } -> StartAt(700)
    800 Limited { until: 700 } -> StartAt(800)
    900 Crash("x") -> StartAt(950)
    temporary
    0 Clean -> Leave
    0 Limited { until: 700 } -> Leave
    800 Limited { until: 700 } -> Leave
    900 Crash("x") -> Leave
    "#);
}

#[test]
fn crashes_back_off_park_once_and_settle() {
    let script = [
        (0, Some(crash())),
        (100, Some(crash())),
        (300, Some(crash())),
        (600, Some(crash())),
        (700, None),
        (999, Some(crash())),
        (1_500, None),
        (1_999, None),
        (2_000, None),
        (2_100, Some(crash())),
    ];
    insta::assert_snapshot!(check(Restart::Permanent, &script), @r#"
    0 Crash("x") -> StartAt(50)
    100 Crash("x") -> StartAt(200)
    300 Crash("x") -> StartAt(500)
    600 Crash("x") -> Park { probe_at: 1000, tell: true }
    700 quiet -> cleared false, parked true
    999 Crash("x") -> Park { probe_at: 1399, tell: false }
    1500 quiet -> cleared false, parked true
    1999 quiet -> cleared true, parked false
    2000 quiet -> cleared false, parked false
    2100 Crash("x") -> StartAt(2150)
    "#);
}

#[test]
fn slow_crashes_never_park() {
    let script: Vec<(i64, Option<End>)> = (0..8).map(|n| (n * 400, Some(crash()))).collect();
    assert!(!check(Restart::Permanent, &script).contains("Park"));
}
