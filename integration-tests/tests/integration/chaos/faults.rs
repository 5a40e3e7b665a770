//! Faults one by one, in the order of docs/reliability.md: each kind strikes a running job, whose output is exactly once.

use std::time::Duration;

use weir_chaos::evidence::Evidence;
use weir_chaos::nemesis::{Act, Fault, JOBMANAGER_POINTS, Step, TASKMANAGER_POINTS, Trouble, Who};
use weir_chaos::round::{self, Settings, Shape};
use weir_chaos::stage::Stage;

const TM: Who = Who::TaskManager(0);
/// Longer than the heartbeat timeout of a round.
const LONG: u64 = 5_000;

/// A round with these faults, half a second between them, on two TaskManagers with all slots used; nothing may be wrong.
fn strike(seed: u64, faults: impl IntoIterator<Item = Fault>) -> (Evidence, Vec<String>) {
    strike_on(seed, Shape { managers: 2, slots: 2, parallelism: 4 }, faults)
}

fn strike_on(seed: u64, shape: Shape, faults: impl IntoIterator<Item = Fault>) -> (Evidence, Vec<String>) {
    let steps: Vec<Step> = faults.into_iter().map(|fault| Step { after: 500, fault }).collect();
    let settings = Settings {
        steps: Some(steps),
        shape: Some(shape),
        feeding: Duration::from_secs(60),
        liveness: Duration::from_secs(60),
        ..Settings::default()
    };
    let folder = tempfile::tempdir().expect("a temporary folder").keep();
    let outcome = round::run(&Stage::start(), &folder, seed, &settings);
    println!("{outcome}");
    assert!(outcome.findings.is_empty(), "{outcome}\nlogs: {}", folder.display());
    let _ = std::fs::remove_dir_all(&folder);
    (outcome.evidence, outcome.strikes)
}

/// All of these points, each with a kill at its first visit; those that can be reached are.
fn points(seed: u64, who: Who, points: &[&'static str]) {
    let faults = points.iter().map(|point| Fault::Point(who, point, Act::Kill, 1, 200));
    let (evidence, strikes) = strike(seed, faults);
    let missed: Vec<&String> = strikes.iter().filter(|strike| strike.ends_with("not reached")).collect();
    assert!(missed.is_empty(), "{missed:?}");
    assert!(evidence.restores >= points.len() as u64, "{evidence}");
}

#[test]
fn a_taskmanager_may_die_at_each_step_of_a_checkpoint() {
    points(101, TM, &TASKMANAGER_POINTS[..7]);
}

#[test]
fn a_taskmanager_may_die_at_each_step_of_a_commit_and_of_a_restore() {
    points(102, TM, &TASKMANAGER_POINTS[7..13]);
}

#[test]
fn a_jobmanager_may_die_at_each_step_of_a_checkpoint_and_of_a_deployment() {
    let reachable: Vec<&str> =
        JOBMANAGER_POINTS.into_iter().filter(|point| *point != "savepoint.complete").collect();
    points(103, Who::JobManager, &reachable);
}

#[test]
fn a_jobmanager_may_die_when_a_savepoint_is_complete_that_nobody_knows_of() {
    points(112, Who::JobManager, &["savepoint.complete"]);
}

#[test]
fn everything_may_lose_its_power_and_be_killed_in_a_burst() {
    let kills = (0..4).map(|n| Fault::Kill(Who::TaskManager(n), 300));
    let (evidence, _) =
        strike(104, [Fault::PowerCut(500), Fault::Kill(Who::JobManager, 500)].into_iter().chain(kills));
    assert!(evidence.restores >= 3, "{evidence}");
}

#[test]
fn a_zombie_writes_nothing_and_a_short_pause_costs_no_restart() {
    let short = [100, 400, 1_000].map(|time| Fault::Pause(TM, time));
    let (evidence, _) = strike(105, short.into_iter().chain([Fault::Pause(Who::JobManager, 1_000)]));
    assert_eq!(evidence.restores, 0, "{evidence}");
    let stopped = Fault::Point(TM, "commit.before", Act::Stop, 1, LONG);
    let (evidence, _) = strike(106, [Fault::Pause(TM, LONG), stopped, Fault::Pause(Who::JobManager, LONG)]);
    assert!(evidence.restores >= 2, "{evidence}");
}

#[test]
fn the_control_plane_may_be_cut_in_both_directions_or_in_one() {
    let troubles = [Trouble::Away, Trouble::Silent, Trouble::OneWay];
    strike(107, troubles.map(|trouble| Fault::Control(0, trouble, LONG)));
}

#[test]
fn the_data_plane_may_be_cut_split_reset_and_flipped() {
    let troubles =
        [Trouble::Away, Trouble::Silent, Trouble::OneWay, Trouble::Split, Trouble::Resets, Trouble::Flips];
    strike(108, troubles.map(|trouble| Fault::Data(1, trouble, 3_000)));
}

#[test]
fn an_object_store_in_trouble_costs_checkpoints_and_no_restart() {
    let troubles =
        [Trouble::Unavailable, Trouble::LostAnswers, Trouble::Slow, Trouble::Resets, Trouble::Away];
    let (evidence, _) = strike(109, troubles.map(|trouble| Fault::Storage(trouble, 2_000)));
    assert_eq!(evidence.restores, 0, "{evidence}");
}

#[test]
fn a_broker_may_be_killed_and_come_back() {
    strike(110, [Fault::KillBroker(1_000), Fault::KillBroker(5_000)]);
}

#[test]
fn a_job_goes_on_at_other_parallelisms_and_its_processes_may_die_meanwhile() {
    let shape = Shape { managers: 2, slots: 2, parallelism: 1 };
    let rescales = [4, 2, 3].map(Fault::Rescale);
    let (_, strikes) = strike_on(111, shape, rescales.into_iter().chain([Fault::Kill(TM, 200)]));
    assert!(strikes.iter().filter(|strike| strike.contains("went on at")).count() == 3, "{strikes:?}");
}
