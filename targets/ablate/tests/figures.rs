//! The figures of made-up records: what each is made of, and what it must not be made of.

use crate::support;

use std::collections::BTreeMap;

use curt_ablate::record::{Folder, Measure, Record, Records, Run, Start, Times, read_records};
use curt_ablate::report::{Table, page};
use curt_ablate::run::run;
use curt_ablate::stats::{holm, mcnemar_exact, sign_flip_exact};
use curt_ablate::summary::{ArmSummary, Summary};
use curt_ablate::verdict::Decision;
use support::{MadeUp, Nature, asked, items, run_of};

fn records_of(settings: &Run, nature: Nature) -> Records {
    let dir = tempfile::tempdir().unwrap();
    let items = items(settings.items);
    let mut made_up = MadeUp::new(settings, nature);
    run(
        settings,
        &asked(&items),
        &Folder::new(dir.path()),
        false,
        &mut [&mut made_up],
        &mut |_| {},
    )
    .unwrap();
    read_records(dir.path()).unwrap()
}

fn arm<'a>(summary: &'a Summary, name: &str) -> &'a ArmSummary {
    summary.arm(name).unwrap()
}

/// As [`Start`] of the first, and a second process.
fn two_starts(records: &mut Records, change: impl Fn(&mut Start, usize)) {
    let first = records.starts[0].clone();
    records.starts = vec![first.clone(), first];
    for (number, start) in records.starts.iter_mut().enumerate() {
        change(start, number);
    }
}

#[test]
fn resident_memory_is_the_runs_and_no_arms() {
    let mut records = records_of(&run_of(4, Measure::Replay), Nature::Mixed);
    for sample in &mut records.samples {
        sample.machine.peak_resident_bytes = Some(700 << 20);
    }
    for result in &mut records.results {
        result.machine.peak_resident_bytes = Some(650 << 20);
    }
    let summary = Summary::of(&records);
    let cold = summary.cold_start.as_ref().unwrap();
    assert_eq!(cold.peak_resident_bytes, Some(700 << 20));
    assert!(page(&summary, &records).contains("700 MiB, over all arms"));
    let titles = Table::of(&summary).titles;
    assert!(!titles.iter().any(|t| t.contains("peak")), "{titles:?}");
}

#[test]
fn a_failed_result_counts_with_the_time_until_it_failed() {
    let mut settings = run_of(20, Measure::Run);
    settings.latency_budget_ms = Some(100.0);
    settings.max_accuracy_drop = 100.0;
    let mut records = records_of(&settings, Nature::AllRight);
    let timed_out = |records: &mut Records, times: Option<Times>| {
        for result in records.results.iter_mut().filter(|r| r.index < 4) {
            result.error = Some("no answer in 0.5 s".into());
            result.correct = false;
            result.times = times;
        }
    };
    assert_eq!(Summary::of(&records).verdict.decision, Decision::Ready);
    let half_a_second = Times {
        total_ms: 500.0,
        ..Times::default()
    };
    timed_out(&mut records, Some(half_a_second));
    let summary = Summary::of(&records);
    let latency = arm(&summary, "stop").latency.as_ref().unwrap();
    assert_eq!((latency.untimed, latency.p50_ms), (0, 12.0));
    assert_eq!(latency.p95_ms, 500.0);
    assert_eq!(summary.verdict.decision, Decision::NotReady);

    timed_out(&mut records, None);
    let summary = Summary::of(&records);
    let latency = arm(&summary, "stop").latency.as_ref().unwrap();
    assert_eq!((latency.untimed, latency.p95_ms), (8, 12.0));
    assert_eq!(summary.verdict.decision, Decision::NotEnoughItems);
    let sentence = &summary.verdict.sentence;
    assert!(
        sentence.contains("of 8 results no time is known"),
        "{sentence}"
    );
}

#[test]
fn times_are_modelled_only_beside_an_arm_of_one_path() {
    let mut settings = run_of(6, Measure::Replay);
    settings.latency_budget_ms = Some(1000.0);
    let with = Summary::of(&records_of(&settings, Nature::Mixed));
    let model = with.latency_model.unwrap();
    assert!(model.step_ms > 0.0 && model.row_ms > 0.0, "{model:?}");
    assert!(arm(&with, "stop").latency.as_ref().unwrap().modelled);
    let said = |summary: &Summary| {
        let about = |note: &&String| note.contains("`greedy` must be among the arms");
        summary.notes.iter().filter(about).count()
    };
    assert_eq!(said(&with), 0);

    settings.arms.retain(|arm| arm.name != "greedy");
    let without = Summary::of(&records_of(&settings, Nature::Mixed));
    assert_eq!(without.latency_model, None);
    assert_eq!(arm(&without, "stop").latency, None);
    // The arm that the sample was ran itself.
    assert!(!arm(&without, "full").latency.as_ref().unwrap().modelled);
    assert_eq!(said(&without), 1, "{:?}", without.notes);
    assert_ne!(without.verdict.decision, Decision::Ready);
}

#[test]
fn all_right_in_groups_is_not_known_to_the_last_digit() {
    for (nature, mean) in [(Nature::AllRight, 1.0), (Nature::AllWrong, 0.0)] {
        let summary = Summary::of(&records_of(&run_of(20, Measure::Replay), nature));
        assert!(summary.grouped);
        let accuracy = arm(&summary, "stop").accuracy.clone().unwrap();
        let interval = accuracy.interval.unwrap();
        assert_eq!(accuracy.mean, mean);
        // Wilson of 10 of 10 groups, as of 0 of 10: 27.8 points.
        let width = interval.high - interval.low;
        assert!((width - 0.2775).abs() < 1e-3, "{interval:?}");
    }
}

/// Energy of the results that ran and of the samples, by the number of its process.
fn with_joules(records: &mut Records) {
    let rail = |joules: f64| BTreeMap::from([("package-0".to_string(), joules)]);
    for sample in &mut records.samples {
        sample.machine.joules = rail(100.0);
        sample.machine.idle_joules = rail(10.0);
    }
    for result in records.results.iter_mut().filter(|r| r.arm == "greedy") {
        let first = result.repeat == 0;
        result.machine.joules = rail(if first { 8.0 } else { 12.0 });
        result.machine.idle_joules = if first { rail(2.0) } else { BTreeMap::new() };
        result.correct = result.index == 0;
    }
}

#[test]
fn energy_is_that_of_the_arms_that_ran_less_each_process_own_idle_power() {
    let mut records = records_of(&run_of(4, Measure::Replay), Nature::Mixed);
    // An earlier version gave the arm that was sampled the joules of its sample.
    with_joules(&mut records);
    let sampled = records.samples[0].machine.clone();
    for result in records.results.iter_mut().filter(|r| r.arm == "full") {
        result.machine = sampled.clone();
    }
    // The second process was not watched idle: it adds nothing to net figures.
    two_starts(&mut records, |start, number| {
        if number == 0 {
            start.idle_watts = BTreeMap::from([("package-0".into(), 20.0)]);
        }
    });
    let summary = Summary::of(&records);
    let energy = arm(&summary, "greedy").energy.clone().unwrap();
    assert_eq!(energy.per_question, 10.0);
    assert_eq!(energy.per_question_net, Some(6.0));
    // Item 0 in both repeats: 80 J of 8 questions for 2, and 4 × 6 J for the one of the first process.
    assert_eq!(energy.per_correct, Some(40.0));
    assert_eq!(energy.per_correct_net, Some(24.0));
    for derived in ["full", "stop"] {
        assert_eq!(arm(&summary, derived).energy, None, "{derived}");
    }
}

#[test]
fn nobody_idle_is_no_zero() {
    let mut records = records_of(&run_of(2, Measure::Run), Nature::Mixed);
    for result in &mut records.results {
        result.machine.joules = BTreeMap::from([("package-0".into(), 5.0)]);
    }
    let energy = |records: &Records| arm(&Summary::of(records), "stop").energy.clone().unwrap();
    let got = energy(&records);
    assert_eq!((got.per_question, got.per_question_net), (5.0, None));
    // Readings of an earlier version belong to the only process: 12 ms of 100 W are 1.2 J.
    records.starts[0].idle_watts = BTreeMap::from([("package-0".into(), 100.0)]);
    let net = energy(&records).per_question_net.unwrap();
    assert!((net - 3.8).abs() < 1e-9, "{net}");
}

#[test]
fn a_fallen_clock_is_one_below_that_of_its_own_process() {
    let mut records = records_of(&run_of(10, Measure::Run), Nature::Mixed);
    let warm = [3000.0, 2000.0];
    two_starts(&mut records, |start, number| start.mhz = Some(warm[number]));
    let mut clock = |share: f64| {
        for result in &mut records.results {
            let warm = warm[result.repeat as usize];
            result.machine.warm_mhz = Some(warm);
            result.machine.mhz = Some(if result.repeat == 1 {
                share * warm
            } else {
                warm
            });
        }
        Summary::of(&records)
    };
    // 2,000 MHz are 80 % of the mean of both starts, and all that the second had.
    assert_eq!(clock(1.0).times_void, None);
    assert_eq!(clock(0.9).times_void, None);
    let fallen = clock(0.8);
    let said = fallen.times_void.unwrap();
    assert!(
        said.contains("to 1600 of 2000 MHz") && said.contains("100 of 200 questions"),
        "{said}"
    );
    assert!(fallen.arms.iter().all(|arm| arm.latency.is_none()));
}

#[test]
fn readings_of_an_earlier_version_are_held_against_the_only_start() {
    let mut records = records_of(&run_of(4, Measure::Run), Nature::Mixed);
    for result in &mut records.results {
        result.machine.mhz = Some(1600.0);
    }
    assert_eq!(Summary::of(&records).times_void, None);
    records.starts[0].mhz = Some(2000.0);
    assert!(Summary::of(&records).times_void.is_some());
}

#[test]
fn an_answer_that_no_pattern_found_and_that_is_right_is_not_said_to_be_wrong() {
    let mut records = records_of(&run_of(4, Measure::Run), Nature::Silent);
    for result in records.results.iter_mut().filter(|r| r.index < 3) {
        result.correct = true;
    }
    let summary = Summary::of(&records);
    assert_eq!(arm(&summary, "stop").without_answer, 2);
    let said = "stop: 2 of 8 gave no answer";
    assert!(
        summary.notes.iter().any(|note| note.starts_with(said)),
        "{:?}",
        summary.notes
    );
}

#[test]
fn one_arm_is_compared_with_nothing() {
    let mut settings = run_of(6, Measure::Replay);
    settings.arms.retain(|arm| arm.name == "full");
    settings.candidate = "full".into();
    let records = records_of(&settings, Nature::Mixed);
    let summary = Summary::of(&records);
    assert_eq!(summary.verdict.decision, Decision::NothingToCompare);
    assert_eq!(summary.verdict.more_items, None);
    assert!(page(&summary, &records).contains("<b>Nothing to compare</b>"));
}

#[test]
fn no_verdict_stands_over_failures() {
    let settings = Run {
        max_accuracy_drop: 100.0,
        ..run_of(20, Measure::Run)
    };
    let whole = records_of(&settings, Nature::AllRight);
    assert_eq!(Summary::of(&whole).verdict.decision, Decision::Ready);
    let failing = |arm: &str, items: usize| {
        let mut records = whole.clone();
        let of_arm = |r: &&mut Record| r.arm == arm && r.index < items;
        for result in records.results.iter_mut().filter(of_arm) {
            result.error = Some("this model takes no system message".into());
            result.correct = false;
        }
        let summary = Summary::of(&records);
        assert!(page(&summary, &records).contains(summary.verdict.decision.head()));
        summary.verdict
    };
    for arm in ["stop", "full"] {
        let verdict = failing(arm, 20);
        assert_eq!(verdict.decision, Decision::NoVerdict);
        let said = format!(
            "No verdict: all 40 results of {arm} failed: this model takes no system message."
        );
        assert_eq!((verdict.sentence, verdict.more_items), (said, None));
    }
    // What the baseline could not answer speaks for the candidate; what the candidate could not, against it.
    let verdict = failing("full", 1);
    assert_eq!(verdict.decision, Decision::NotEnoughItems);
    let said = "2 results of full failed and count as wrong, which speaks for stop";
    assert!(verdict.sentence.contains(said), "{}", verdict.sentence);
    assert_eq!(failing("stop", 1).decision, Decision::Ready);
}

#[test]
fn times_of_items_side_by_side_hold_for_no_budget() {
    let mut records = records_of(&run_of(6, Measure::Run), Nature::Mixed);
    records.run.jobs = Some(2);
    let notes = Summary::of(&records).notes;
    let said = "2 items were asked side by side (--jobs)";
    assert!(notes.iter().any(|note| note.starts_with(said)), "{notes:?}");
    records.run.validate().unwrap();
    records.run.latency_budget_ms = Some(100.0);
    let error = records.run.validate().unwrap_err().to_string();
    assert!(
        error.contains("expected --jobs 1") && error.contains("got --jobs 2"),
        "{error}"
    );
}

#[test]
fn what_was_named_after_the_run_is_said_to_be() {
    let mut records = records_of(&run_of(6, Measure::Replay), Nature::Mixed);
    let named = |records: &Records| page(&Summary::of(records), records);
    assert!(named(&records).contains("named before the run"));
    records.run.candidate = "short-m".into();
    records.run.max_accuracy_drop = 5.0;
    assert_eq!(
        Summary::of(&records).chosen_afterwards,
        ["candidate", "drop allowed"]
    );
    let page = named(&records);
    assert!(page.contains("with candidate, drop allowed chosen afterwards"));
    assert!(!page.contains("named before the run"));
}

/// Right answers of `one` less those of `other`, by group, over all repeats.
fn by_group(records: &Records, one: &str, other: &str) -> Vec<i64> {
    let mut groups: BTreeMap<&str, i64> = BTreeMap::new();
    for (name, sign) in [(one, 1), (other, -1)] {
        for result in records.results.iter().filter(|r| r.arm == name) {
            *groups.entry(result.group.as_deref().unwrap()).or_default() +=
                sign * i64::from(result.correct);
        }
    }
    groups.into_values().collect()
}

#[test]
fn p_takes_groups_for_what_they_are() {
    let mut records = records_of(&run_of(30, Measure::Replay), Nature::Mixed);
    let summary = Summary::of(&records);
    for arm in summary.arms.iter().filter(|arm| arm.name != "full") {
        let difference = arm.difference.as_ref().unwrap();
        let expected = sign_flip_exact(&by_group(&records, &arm.name, "full"));
        assert_eq!(difference.p, expected, "{}", arm.name);
        let mcnemar = mcnemar_exact(difference.gained, difference.lost);
        assert_eq!(difference.p_mcnemar, mcnemar);
    }
    assert!(page(&summary, &records).contains("sign-flip test over the groups"));

    for result in &mut records.results {
        result.group = None;
    }
    let summary = Summary::of(&records);
    for difference in summary
        .arms
        .iter()
        .filter_map(|arm| arm.difference.as_ref())
    {
        assert_eq!(difference.p, difference.p_mcnemar);
    }
    assert!(page(&summary, &records).contains("takes questions for independent"));
}

#[test]
fn the_candidate_is_held_against_each_other_arm_as_a_family_of_its_own() {
    let records = records_of(&run_of(30, Measure::Replay), Nature::Mixed);
    let summary = Summary::of(&records);
    let mut family = Vec::new();
    for arm in &summary.arms {
        let apart = ["stop", "full", "oracle"].contains(&arm.name.as_str());
        assert_eq!(arm.candidate_less_this.is_none(), apart, "{}", arm.name);
        family.extend(arm.candidate_less_this.clone());
    }
    let adjusted = holm(&family.iter().map(|d| d.p).collect::<Vec<_>>());
    for (difference, p) in family.iter().zip(adjusted) {
        assert_eq!(difference.p_holm, p);
    }
    let mean = |name: &str| arm(&summary, name).accuracy.as_ref().unwrap().mean;
    let random = arm(&summary, "random").candidate_less_this.clone().unwrap();
    assert!((random.mean - (mean("stop") - mean("random"))).abs() < 1e-12);
    assert!(random.interval.unwrap().low < random.mean);
    let group_p = sign_flip_exact(&by_group(&records, "stop", "random"));
    assert_eq!(random.p, group_p);
    let titles = Table::of(&summary).titles;
    assert!(titles.contains(&"candidate less it, points".to_string()));
    let readme = Table::readme(&summary).titles;
    assert!(!readme.iter().any(|title| title.contains("less it")));
    assert!(page(&summary, &records).contains("<h2>stop against each other arm</h2>"));
}
