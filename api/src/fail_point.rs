//! Named places at which a test may end, stop, hold up or fail the process that reaches them. All of them are listed here.
//!
//! Only builds with debug assertions have them; a release build refuses to start with [`VARIABLE`] set. It is read once, by
//! [`read_environment`]: `name=kill@5;name2=pause:30s@1;name3=error@2`, where the number says at which visit of this process the
//! point acts, once; without one it is the first. Until then, and for points that aren't named, a visit costs one load.
//!
//! What acts says so on standard error, so that whoever planned it knows that it came to pass. This module doesn't know what the
//! places mean to those who pass them.

use std::fmt;
use std::str::FromStr;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use crate::config::Value;
use crate::error::{Code, Error, Result};

/// The environment variable that says what happens where.
pub const VARIABLE: &str = "WEIR_FAIL_POINTS";

macro_rules! fail_points {
    ($($(#[doc = $doc:literal])* $name:ident = $text:literal;)*) => {
        /// A place in the code of a process.
        #[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
        pub enum FailPoint {
            $($(#[doc = $doc])* $name,)*
        }

        impl FailPoint {
            /// All of them.
            pub const ALL: &'static [FailPoint] = &[$(FailPoint::$name,)*];

            /// Its name in [`VARIABLE`].
            #[must_use]
            pub const fn name(self) -> &'static str {
                match self { $(FailPoint::$name => $text,)* }
            }

            /// What has happened and what hasn't when it is passed.
            #[must_use]
            pub fn description(self) -> &'static str {
                match self { $(FailPoint::$name => concat!($($doc, " ",)*).trim(),)* }
            }
        }
    };
}

fail_points! {
    /// TaskManager: a barrier has arrived from the first of a task's inputs, or a source has been told to emit one.
    BarrierReceived = "barrier.received";
    /// TaskManager: the barriers are aligned and the operator is flushed, its state isn't frozen yet.
    BeforeFreeze = "freeze.before";
    /// TaskManager: the operator's state is frozen, the barrier hasn't gone on yet.
    AfterFreeze = "freeze.after";
    /// TaskManager: all parts of a task are frozen, no file is written yet.
    BeforeUpload = "upload.before";
    /// TaskManager: a file of the task is durable, others may not be.
    BetweenFiles = "upload.between-files";
    /// TaskManager: everything of the task is durable, the JobManager doesn't know it.
    BeforeAcknowledge = "upload.before-acknowledge";
    /// TaskManager: the acknowledgement has been handed to the session.
    Acknowledged = "acknowledge.after";
    /// TaskManager: it has heard that a checkpoint is complete, no sink has.
    CompleteReceived = "complete.received";
    /// TaskManager: a sink is about to publish what a completed checkpoint holds.
    BeforeCommit = "commit.before";
    /// TaskManager: what is published has been sent, the transaction is still open.
    MidTransaction = "commit.mid-transaction";
    /// TaskManager: the transaction is committed, nobody but the broker knows it.
    AfterCommit = "commit.after";
    /// TaskManager: a task has begun to read what it is restored from.
    RestoreBegun = "restore.begun";
    /// TaskManager: a task is restored and hasn't processed input yet.
    RestoreDone = "restore.done";

    /// JobManager: all tasks have acknowledged, `_metadata` isn't written yet.
    AllAcknowledged = "metadata.before";
    /// JobManager: `_metadata` is written, the job's pointer doesn't lead to it yet.
    MetadataWritten = "pointer.before";
    /// JobManager: the job's pointer leads to the checkpoint, nothing of it is committed yet.
    PointerPublished = "pointer.after";
    /// JobManager: what the JobManager commits is committed, the tasks haven't been told.
    BeforeNotify = "notify.before";
    /// JobManager: an attempt is allocated, what the pointer's checkpoint holds isn't committed yet.
    AttemptAllocated = "attempt.allocated";
    /// JobManager: a TaskManager is about to be told what to run; at the second visit another one has been.
    BetweenDeploys = "deploy.between";
    /// JobManager: a savepoint is complete, the job that it may stop isn't cancelled yet.
    SavepointComplete = "savepoint.complete";
    /// JobManager: a checkpoint is subsumed, its files aren't deleted yet.
    BeforeDiscard = "discard.before";

    /// A local file is written whole under a temporary name and not yet durable.
    BeforeSync = "file.before-sync";
    /// A local file is durable under its temporary name and doesn't have its own yet.
    BeforeRename = "file.before-rename";
}

impl FailPoint {
    /// Passes the place on a thread that may block.
    ///
    /// # Errors
    ///
    /// What the plan says.
    #[inline]
    pub fn pass(self) -> Result<()> {
        match self.due() {
            None => Ok(()),
            Some(action) => action.take(self),
        }
    }

    /// Passes the place in a future: a pause holds up nothing else.
    ///
    /// # Errors
    ///
    /// What the plan says.
    #[inline]
    pub async fn passed(self) -> Result<()> {
        match self.due() {
            None => Ok(()),
            Some(Action::Pause(time)) => {
                announce(self, Action::Pause(time));
                tokio::time::sleep(time).await;
                Ok(())
            }
            Some(action) => action.take(self),
        }
    }

    #[inline]
    fn due(self) -> Option<Action> {
        if cfg!(debug_assertions) { PLAN.get()?.visit(self) } else { None }
    }
}

impl fmt::Display for FailPoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// What happens at a place.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Action {
    /// The process ends at once, as by `kill -9`.
    Kill,
    /// The whole process stands still until somebody sends it SIGCONT.
    Stop,
    /// Whoever passes stands still for this long.
    Pause(Duration),
    /// Whoever passes gets an error.
    Error,
}

impl Action {
    fn take(self, point: FailPoint) -> Result<()> {
        announce(point, self);
        match self {
            // It is no panic that something could catch, and it writes nothing more.
            Action::Kill => std::process::abort(),
            Action::Stop => stop_process(),
            Action::Pause(time) => {
                std::thread::sleep(time);
                Ok(())
            }
            Action::Error => Err(Error::new(
                Code::Io,
                format!(
                    "the fail point {point} was told to fail: {VARIABLE} says so in this process' environment"
                ),
            )),
        }
    }
}

impl FromStr for Action {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        match (text, text.split_once(':')) {
            ("kill", _) => Ok(Action::Kill),
            ("stop", _) => Ok(Action::Stop),
            ("error", _) => Ok(Action::Error),
            (_, Some(("pause", time))) => Ok(Action::Pause(
                Duration::parse(time).map_err(|reason| refused(&format!("`{time}` is no time: {reason}")))?,
            )),
            _ => Err(refused(&format!("`{text}` is none of kill, stop, pause:TIME, error"))),
        }
    }
}

fn announce(point: FailPoint, action: Action) {
    eprintln!("fail point {point}: {action:?}");
}

/// Sends this process SIGSTOP, which ends with this function when somebody lets it go on.
fn stop_process() -> Result<()> {
    let id = std::process::id().to_string();
    std::process::Command::new("kill").args(["-STOP", &id]).status()?;
    Ok(())
}

/// What is to happen where, at which visit.
struct Plan {
    steps: Vec<Step>,
}

struct Step {
    point: FailPoint,
    action: Action,
    /// The visit at which it acts, from 1.
    at: u64,
    visits: AtomicU64,
}

static PLAN: OnceLock<Plan> = OnceLock::new();

impl Plan {
    /// Counts a visit; answers what is to happen at it.
    fn visit(&self, point: FailPoint) -> Option<Action> {
        let steps = self.steps.iter().filter(|step| step.point == point);
        // Every step counts every visit, so that one point may act at several.
        steps.fold(None, |due, step| {
            let visit = step.visits.fetch_add(1, Ordering::Relaxed) + 1;
            due.or((visit == step.at).then_some(step.action))
        })
    }
}

impl FromStr for Plan {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let steps = text.split(';').map(str::trim).filter(|step| !step.is_empty()).map(Step::from_str);
        Ok(Self { steps: steps.collect::<Result<_>>()? })
    }
}

impl FromStr for Step {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let (name, rest) =
            text.split_once('=').ok_or_else(|| refused(&format!("`{text}` isn't NAME=ACTION[@VISIT]")))?;
        let point =
            FailPoint::ALL.iter().copied().find(|point| point.name() == name.trim()).ok_or_else(|| {
                let known: Vec<_> = FailPoint::ALL.iter().map(|point| point.name()).collect();
                refused(&format!("there is no `{name}` among {}", known.join(", ")))
            })?;
        let (action, at) = rest.split_once('@').unwrap_or((rest, "1"));
        let at = at.trim().parse().ok().filter(|at| *at > 0);
        let at = at.ok_or_else(|| refused(&format!("the visit in `{text}` is a number from 1 on")))?;
        Ok(Self { point, action: action.trim().parse()?, at, visits: AtomicU64::new(0) })
    }
}

fn refused(reason: &str) -> Error {
    Error::new(Code::InvalidConfiguration, format!("reading {VARIABLE}: {reason}"))
}

/// Takes over what [`VARIABLE`] says; called once, before anything is started.
///
/// # Errors
///
/// If it names an unknown point or action, or if this build has no fail points.
pub fn read_environment() -> Result<()> {
    let Ok(text) = std::env::var(VARIABLE) else { return Ok(()) };
    if !cfg!(debug_assertions) {
        return Err(refused("only debug builds have fail points: unset it, or run a debug build"));
    }
    // Whoever calls it again in one process finds the first plan in force.
    let _ = PLAN.set(text.parse()?);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plan(text: &str) -> Plan {
        text.parse().unwrap()
    }

    #[test]
    fn a_step_acts_once_at_its_visit() {
        let plan = plan("upload.before=kill@3; freeze.before=pause:30s;upload.before=error@5");
        let visits: Vec<_> = (0..6).map(|_| plan.visit(FailPoint::BeforeUpload)).collect();
        assert_eq!(visits, [None, None, Some(Action::Kill), None, Some(Action::Error), None]);
        assert_eq!(plan.visit(FailPoint::BeforeFreeze), Some(Action::Pause(Duration::from_secs(30))));
        assert_eq!(plan.visit(FailPoint::BeforeFreeze), None);
        assert_eq!(plan.visit(FailPoint::AfterFreeze), None);
    }

    #[test]
    fn what_is_misspelt_is_refused_with_a_hint() {
        let refusal = |text: &str| text.parse::<Plan>().err().unwrap().message().to_owned();
        assert!(refusal("upload.befor=kill").contains("upload.before, "), "{}", refusal("upload.befor=kill"));
        assert!(refusal("upload.before=die").contains("`die`"));
        assert!(refusal("upload.before=pause:soon").contains("`soon`"));
        assert!(refusal("upload.before=kill@0").contains("from 1 on"));
        assert!(refusal("upload.before").contains("NAME=ACTION"));
    }

    #[test]
    fn names_are_unique_and_described() {
        let names: std::collections::BTreeSet<_> = FailPoint::ALL.iter().map(|point| point.name()).collect();
        assert_eq!(names.len(), FailPoint::ALL.len());
        assert!(FailPoint::ALL.iter().all(|point| point.description().ends_with('.')));
    }

    #[test]
    fn without_a_plan_a_point_is_passed() {
        assert!(FailPoint::BeforeCommit.pass().is_ok());
    }
}
