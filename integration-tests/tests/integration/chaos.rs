//! Rounds of chaos: the cluster is broken on purpose, and what it wrote must be exactly once. `weir-chaos` does it and judges.

mod faults;

use std::collections::BTreeSet;

use weir_api::fail_point::FailPoint;
use weir_chaos::nemesis::{JOBMANAGER_POINTS, TASKMANAGER_POINTS};
use weir_chaos::round::{self, Outcome, Settings};
use weir_chaos::stage::Stage;

/// Of three rounds one runs with so many per cent of a core.
const CONTENDED_PERCENT: u32 = 70;

/// Runs rounds until so many have shown something. The first finding ends it.
fn rounds(first: u64, wanted: usize) {
    let stage = Stage::start();
    let mut vacuous: Vec<Outcome> = Vec::new();
    let mut shown = 0;
    for seed in first.. {
        if shown == wanted {
            break;
        }
        let settings = Settings {
            cpu_quota: seed.is_multiple_of(3).then_some(CONTENDED_PERCENT),
            ..Settings::default()
        };
        let folder = tempfile::tempdir().expect("a temporary folder").keep();
        let outcome = round::run(&stage, &folder, seed, &settings);
        println!("{outcome}");
        assert!(outcome.findings.is_empty(), "{outcome}\nlogs: {}", folder.display());
        // What a right round leaves behind nobody needs.
        let _ = std::fs::remove_dir_all(&folder);
        if outcome.vacuous.is_empty() {
            shown += 1;
        } else {
            vacuous.push(outcome);
        }
        let list = || vacuous.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n");
        assert!(vacuous.len() <= wanted, "most rounds show nothing:\n{}", list());
    }
}

#[test]
fn ten_rounds_of_chaos_are_exactly_once() {
    rounds(1_000, 10);
}

#[test]
fn ten_more_rounds_of_chaos_are_exactly_once() {
    rounds(2_000, 10);
}

/// The judge links nothing of the engine, so it has a list of its own.
#[test]
fn the_fail_points_are_the_engines() {
    let engine: BTreeSet<&str> = FailPoint::ALL.iter().map(|point| point.name()).collect();
    let nemesis: BTreeSet<&str> = TASKMANAGER_POINTS.into_iter().chain(JOBMANAGER_POINTS).collect();
    assert_eq!(engine, nemesis);
}
