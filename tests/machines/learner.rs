//! What verdicts teach: the rate, whose work fails, flakes, and that it fades.

use gastown::model::learner;
use gastown::model::learner::Learner;
use gastown::model::learner::Traits;
use gastown::model::merge::Touches;
use gastown::model::ops::Op;
use gastown::model::rows::MergeRequest;

use super::bench::bead;
use super::bench::branch;
use super::refinery::Script;
use super::refinery::settings;

fn by(author: &str) -> Traits {
    vec![("author", author.to_owned())]
}

fn taught(rounds: usize, lesson: impl Fn(&mut Learner, usize)) -> Learner {
    let mut learner = Learner::default();
    for round in 0..rounds {
        lesson(&mut learner, round);
    }
    learner
}

fn near(found: f64, wanted: f64, within: f64) {
    assert!((found - wanted).abs() <= within, "{found}, not {wanted}");
}

#[test]
fn one_in_ten_is_assumed_before_anything_is_known() {
    let learner = Learner::default();
    near(learner.risk(&Traits::new()), 0.1, 1e-9);
    near(learner.risk(&by("nux")), 0.1, 0.01);
    near(learner.flake(), 0.0, 0.0);
}

#[test]
fn the_rate_is_learnt_and_follows_a_change() {
    let calm = taught(2_000, |learner, at| {
        learner.decided(&Traits::new(), (at % 50 == 0).then_some(0));
    });
    near(calm.risk(&Traits::new()), 0.02, 0.005);
    let mut rough = calm;
    for at in 0..200 {
        rough.decided(&Traits::new(), (at % 4 == 0).then_some(0));
    }
    near(rough.risk(&Traits::new()), 0.25, 0.06);
}

#[test]
fn an_author_who_fails_often_is_known_by_it_and_one_who_does_not_is_not_punished() {
    let learner = taught(1_000, |learner, at| {
        let wild = at % 10 == 0;
        let who = by(if wild { "slit" } else { "nux" });
        learner.decided(&who, (wild && at % 20 == 0).then_some(0));
    });
    near(learner.risk(&by("slit")), 0.5, 0.1);
    near(learner.risk(&by("nux")), 0.0, 0.01);
}

#[test]
fn a_trait_that_says_nothing_changes_nothing() {
    let learner = taught(3_000, |learner, at| {
        let who = by(["nux", "slit", "toast"][at % 3]);
        learner.decided(&who, (at % 20 == 7).then_some(0));
    });
    for who in ["nux", "slit", "toast"] {
        near(learner.risk(&by(who)), 0.05, 0.015);
    }
}

#[test]
fn records_are_bounded() {
    let learner = taught(1_000, |learner, at| learner.decided(&by(&format!("a{at}")), None));
    assert!(learner.records.len() <= 128, "{}", learner.records.len());
}

#[test]
fn beyond_their_bound_records_of_what_is_seldom_or_gone_make_room_for_what_is_new() {
    let mut learner = taught(1_000, |learner, at| learner.decided(&by(&format!("a{at}")), None));
    let has = |learner: &Learner, who: &str| learner.records.contains_key(&format!("author {who}"));
    assert!(has(&learner, "a999") && !has(&learner, "a3"), "the early ones were kept");
    for at in 0..2_000 {
        let who = if at % 2 == 0 { "slit".to_owned() } else { format!("b{at}") };
        learner.decided(&by(&who), (at % 4 == 0).then_some(0));
    }
    assert!(has(&learner, "slit") && !has(&learner, "a999"));
    near(learner.risk(&by("slit")), 0.5, 0.1);
    assert_eq!(learner.records.len(), 128);
}

#[test]
fn flakes_are_counted_and_fade() {
    let mut learner = taught(400, |learner, at| learner.green_run(usize::from(at % 20 == 0)));
    near(learner.flake(), 0.048, 0.01);
    for _ in 0..20_000 {
        learner.green_run(0);
    }
    near(learner.flake(), 0.0, 0.0);
}

#[test]
fn suspects_are_audited_often_at_first_and_never_while_flakes_are_known() {
    let mut learner = Learner::default();
    let mut audited = Vec::new();
    for at in 0..100 {
        if learner.reds_wanted() == 2 {
            audited.push(at);
        }
        learner.decided(&Traits::new(), Some(0));
    }
    assert_eq!(audited, [0, 1, 2, 3, 8, 16, 24, 32, 40, 48, 56, 64, 96]);
    learner.green_run(1);
    learner.suspects = 128;
    assert_eq!(learner.reds_wanted(), 1, "the chances decide now");
}

#[test]
fn doubt_is_spent_from_a_budget() {
    let mut learner = taught(1_000, |learner, at| {
        learner.decided(&Traits::new(), (at % 20 == 0).then_some(0));
    });
    let rich = learner.doubt_max(1e-4);
    near(rich, 2.0 * 1e-4 / 0.05, 1e-3);
    for _ in 0..60 {
        learner.decided(&Traits::new(), Some(5_000));
    }
    assert!(learner.doubt_max(1e-4) < rich / 4.0, "{}", learner.doubt_max(1e-4));
}

#[test]
fn some_doubt_is_always_allowed() {
    let mut learner = taught(200, |learner, at| {
        learner.decided(&Traits::new(), (at % 10 == 0).then_some(0));
    });
    let least = learner.doubt_max(0.0);
    assert!(least >= 1e-6, "{least}");
    for _ in 0..50 {
        learner.decided(&Traits::new(), Some(900_000));
    }
    let overdrawn = learner.doubt_max(1e-4);
    assert!((1e-6..1e-4).contains(&overdrawn), "{overdrawn}");
}

#[test]
fn it_reads_back_as_it_was_written() {
    let learner = taught(500, |learner, at| {
        learner.decided(&by("nux"), (at % 7 == 0).then_some(at as i64));
        learner.green_run(usize::from(at % 31 == 0));
    });
    let text = serde_json::to_string(&learner).unwrap();
    assert_eq!(serde_json::from_str::<Learner>(&text).unwrap(), learner);
    assert_eq!(serde_json::from_str::<Learner>("{}").unwrap(), Learner::default());
}

#[test]
fn size_and_place_of_a_change_are_traits_of_it() {
    let mut script = Script::new(settings());
    script.queue(&["unknown"]);
    let mut requests = |lines: i64| {
        let head = format!("h{lines}");
        let id = format!("sh-l{lines}");
        script.bench.commit("overseer", &bead(&id)).unwrap();
        let mut submit = branch(&id, &head);
        if let Op::SubmitBranch(new) = &mut submit {
            new.touches = Some(Touches { files: 1, lines, place: "src/store".to_owned() });
        }
        script.bench.commit("overseer", &submit).unwrap();
        script.requests().into_iter().find(|mr| mr.head.as_str() == head).unwrap()
    };
    let size_of = |mr: &MergeRequest| {
        let traits = learner::traits(mr, &[]);
        assert!(traits.contains(&("place", "src/store".to_owned())), "{traits:?}");
        traits.into_iter().find(|(kind, _)| *kind == "size").unwrap().1
    };
    let sizes = [0, 10, 11, 100, 500, 501].map(|lines| size_of(&requests(lines)));
    assert_eq!(sizes, ["tiny", "tiny", "small", "small", "medium", "large"]);
    let all = script.requests();
    let kinds = |mr: &MergeRequest| learner::traits(mr, &[]).len();
    assert_eq!(all.iter().map(kinds).collect::<Vec<_>>(), [2, 4, 4, 4, 4, 4, 4]);
}
