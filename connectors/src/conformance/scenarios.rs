//! The scenarios: each is a job's life with one thing that goes wrong; the last ones are random.

use std::time::Duration;

use super::job::{Job, Outcome, Snapshot};
use crate::random::mix;

/// Plays a scenario.
pub type Play = fn(Job<'_>) -> Outcome;

/// All scenarios, by what happens.
pub const SCENARIOS: &[(&str, Play)] = &[
    ("nothing is seen before its checkpoint is committed", committed_at_checkpoints),
    ("killed before a barrier", killed_before_a_barrier),
    ("killed between preparation and completion", killed_before_completion),
    ("killed between completion and commit", killed_before_commit),
    ("a commit is broken off", broken_off),
    ("committed twice", committed_twice),
    ("committed late, behind a newer one", committed_late),
    ("restarted at another parallelism", another_parallelism),
    ("a checkpoint fails and the next one holds its output", failed_checkpoint),
    ("prepared again and again, never completed", never_completed),
    ("writers go on when their attempt is over", zombies),
    ("a savepoint is restored when its job has gone back behind it", savepoint_of_the_past),
    ("a savepoint is restored while its job goes on", savepoint_forks),
    ("another system takes the output away", taken_away),
    ("checkpoints without rows", no_rows),
    ("a random life, 1", |job| random_life(job, 1)),
    ("a random life, 2", |job| random_life(job, 2)),
    ("a random life, 3", |job| random_life(job, 3)),
];

fn committed_at_checkpoints(mut job: Job<'_>) -> Outcome {
    job.start(2)?;
    for rows in [250, 0, 1, 120] {
        job.write(rows)?;
        job.expect("before a barrier")?;
        let snapshot = job.barrier()?;
        job.expect("when it is prepared")?;
        // Writing goes on while the checkpoint is completed.
        job.write(30)?;
        job.publish(&snapshot);
        job.commit(&snapshot)?;
        job.expect("when it is committed")?;
    }
    job.finish()
}

fn killed_before_a_barrier(mut job: Job<'_>) -> Outcome {
    job.start(2)?;
    job.write(150)?;
    job.checkpoint()?;
    job.write(150)?;
    job.crash();
    job.start(2)?;
    job.expect("after the restart")?;
    job.write(10)?;
    job.checkpoint()?;
    job.expect("after a further checkpoint")?;
    job.finish()
}

fn killed_before_completion(mut job: Job<'_>) -> Outcome {
    job.start(2)?;
    job.write(150)?;
    job.checkpoint()?;
    job.write(150)?;
    job.barrier()?;
    job.crash();
    job.start(2)?;
    job.expect("after the restart")?;
    job.write(10)?;
    job.checkpoint()?;
    job.expect("after a further checkpoint")?;
    job.finish()
}

fn killed_before_commit(mut job: Job<'_>) -> Outcome {
    job.start(2)?;
    job.write(150)?;
    let snapshot = job.barrier()?;
    job.publish(&snapshot);
    job.write(20)?;
    job.crash();
    job.expect("before the restart")?;
    job.start(2)?;
    job.expect("after the restart")?;
    // A restart of the restart commits it once more.
    job.crash();
    job.start(2)?;
    job.expect("after another restart")?;
    job.write(5)?;
    job.checkpoint()?;
    job.expect("after a further checkpoint")?;
    job.finish()
}

fn broken_off(mut job: Job<'_>) -> Outcome {
    job.start(3)?;
    for micros in [0, 50, 200, 1_000, 5_000, 20_000] {
        job.write(40)?;
        let snapshot = job.barrier()?;
        job.publish(&snapshot);
        if !job.commits_in_task()? {
            job.commit_broken_off(None, &snapshot, Duration::from_micros(micros))?;
        }
        job.crash();
        job.commit_broken_off(Some(job.attempt()), &snapshot, Duration::from_micros(micros))?;
        job.start(3)?;
        job.expect("after the restart")?;
    }
    job.finish()
}

fn committed_twice(mut job: Job<'_>) -> Outcome {
    job.start(2)?;
    job.write(150)?;
    let snapshot = job.barrier()?;
    job.publish(&snapshot);
    job.commit(&snapshot)?;
    if !job.commits_in_task()? {
        job.commit(&snapshot)?;
        job.expect("while the job runs")?;
    }
    job.crash();
    for _ in 0..3 {
        job.commit_fenced(job.attempt(), &snapshot)?;
        job.expect("after the crash")?;
    }
    job.start(2)?;
    job.finish()
}

fn committed_late(mut job: Job<'_>) -> Outcome {
    job.start(2)?;
    let mut snapshots: Vec<Snapshot> = Vec::new();
    for _ in 0..3 {
        job.write(70)?;
        let snapshot = job.barrier()?;
        job.publish(&snapshot);
        snapshots.push(snapshot);
    }
    for snapshot in snapshots.iter().rev() {
        if !job.commits_in_task()? {
            job.commit(snapshot)?;
            job.expect("while the job runs")?;
        }
    }
    job.crash();
    for snapshot in snapshots.iter().rev() {
        job.commit_fenced(job.attempt(), snapshot)?;
        job.expect("after the crash")?;
    }
    job.start(1)?;
    job.finish()
}

fn another_parallelism(mut job: Job<'_>) -> Outcome {
    for (parallelism, commits) in [(3, true), (1, false), (4, false), (2, true), (5, false), (1, true)] {
        job.start(parallelism)?;
        job.expect("after the restart")?;
        for _ in 0..2 {
            job.write(60)?;
            let snapshot = job.barrier()?;
            job.publish(&snapshot);
            if commits {
                job.commit(&snapshot)?;
                job.expect("after a checkpoint")?;
            }
        }
        job.write(60)?;
        job.barrier()?;
        job.crash();
    }
    job.start(2)?;
    job.finish()
}

fn failed_checkpoint(mut job: Job<'_>) -> Outcome {
    job.start(2)?;
    for _ in 0..3 {
        job.write(50)?;
        job.barrier()?;
        job.expect("when a checkpoint has failed")?;
    }
    job.write(50)?;
    job.checkpoint()?;
    job.expect("after one that didn't")?;
    job.finish()
}

fn never_completed(mut job: Job<'_>) -> Outcome {
    for _ in 0..4 {
        job.start(2)?;
        job.write(50)?;
        job.barrier()?;
        job.write(50)?;
        job.barrier()?;
        job.crash();
        job.expect("after a crash")?;
    }
    job.start(1)?;
    job.expect("at last")?;
    job.finish()
}

fn zombies(mut job: Job<'_>) -> Outcome {
    job.start(2)?;
    job.write(60)?;
    job.checkpoint()?;
    job.write(60)?;
    let snapshot = job.barrier()?;
    job.publish(&snapshot);
    job.write(60)?;
    let mut zombies = job.crash();
    job.start(2)?;
    job.expect("after the restart")?;
    job.haunt(&mut zombies);
    job.expect("when zombies have gone on")?;
    job.write(10)?;
    job.checkpoint()?;
    job.expect("after a checkpoint beside zombies")?;
    job.haunt(&mut zombies);
    drop(zombies);
    job.expect("when the zombies are gone")?;
    job.finish()
}

fn savepoint_of_the_past(mut job: Job<'_>) -> Outcome {
    job.start(2)?;
    job.write(60)?;
    job.checkpoint()?;
    job.write(60)?;
    let savepoint = job.barrier()?;
    job.keep(&savepoint)?;
    job.crash();
    // Back to the checkpoint before: the savepoint's output isn't this job's any more.
    job.start(3)?;
    job.expect("after the restart")?;
    job.write(10)?;
    job.checkpoint()?;
    job.expect("after a further checkpoint")?;
    job.crash();
    job.abort(job.attempt())?;
    let mut other = job.restored_from(&savepoint)?;
    other.start(1)?;
    other.expect("when the savepoint is restored")?;
    other.write(20)?;
    other.checkpoint()?;
    other.expect("after a checkpoint of the other job")?;
    other.finish()
}

fn savepoint_forks(mut job: Job<'_>) -> Outcome {
    job.start(2)?;
    job.write(60)?;
    let savepoint = job.barrier()?;
    job.keep(&savepoint)?;
    job.write(30)?;
    job.checkpoint()?;
    job.expect("when a checkpoint has committed the savepoint's output")?;
    let mut other = job.restored_from(&savepoint)?;
    other.start(3)?;
    other.expect("when the savepoint is restored")?;
    other.write(20)?;
    other.checkpoint()?;
    job.crash();
    job.abort(job.attempt())?;
    other.finish()
}

fn taken_away(mut job: Job<'_>) -> Outcome {
    job.start(2)?;
    for _ in 0..2 {
        job.write(60)?;
        job.checkpoint()?;
        if !job.take_away()? {
            return job.finish();
        }
        // What is gone was committed: it neither comes again nor is it missed.
        job.crash();
        job.start(3)?;
        job.expect("after a restart")?;
        job.write(20)?;
        job.checkpoint()?;
        job.expect("after a checkpoint")?;
        job.write(20)?;
        let snapshot = job.barrier()?;
        job.publish(&snapshot);
        job.crash();
        job.start(2)?;
        job.expect("after another restart")?;
    }
    // Stopped with a savepoint, and started from it when the output is elsewhere.
    job.write(20)?;
    let mut savepoint = job.barrier()?;
    job.publish(&savepoint);
    job.crash();
    job.commit_fenced(job.attempt(), &savepoint)?;
    job.take_away()?;
    savepoint.forget_rows();
    let mut other = job.restored_from(&savepoint)?;
    other.start(1)?;
    other.expect("when the savepoint is restored")?;
    other.write(20)?;
    other.checkpoint()?;
    job.abort(job.attempt())?;
    other.finish()
}

fn no_rows(mut job: Job<'_>) -> Outcome {
    for _ in 0..2 {
        job.start(2)?;
        for _ in 0..3 {
            job.checkpoint()?;
            job.expect("without rows")?;
        }
        job.crash();
    }
    job.start(1)?;
    job.finish()
}

/// Steps drawn by a seed: the same seed is the same life.
fn random_life(mut job: Job<'_>, seed: u64) -> Outcome {
    let mut state = seed;
    let mut draw = |below: u64| {
        state = mix(state.wrapping_add(0x9E37_79B9_7F4A_7C15));
        state % below
    };
    job.start(2)?;
    for step in 0..40 {
        let rows = i64::try_from(draw(120)).unwrap_or(0);
        match draw(6) {
            0 => {
                job.barrier()?;
            }
            1 | 2 => job.checkpoint()?,
            3 => {
                let snapshot = job.barrier()?;
                job.write(rows)?;
                job.publish(&snapshot);
            }
            4 if draw(2) == 0 => {
                job.crash();
                job.start(1 + u32::try_from(draw(4)).unwrap_or(0))?;
            }
            _ => job.write(rows)?,
        }
        job.expect(&format!("at step {step} of {} writers", job.parallelism()))?;
    }
    job.finish()
}
