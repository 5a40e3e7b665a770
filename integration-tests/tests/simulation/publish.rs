//! Publishes prepared output into the transactional log, as a sink's tasks and its committer both do.
//!
//! ```text
//! Initialise (fences whoever was there) ─▶ Look (how far has it come?) ─▶ Produce ─▶ Commit ─┬─▶ Produce …
//!      ▲                                    ▲                                                └─▶ Idle
//!      │                                    └──── more to do, of which it has published nothing since ────┘
//!      └──────────────── whatever fails, unless it was fenced ────────────────┘
//! ```
//!
//! Invariant: what a producer publishes first after initialising, it publishes only if progress that was read since doesn't cover
//! it. From then on whoever else publishes has fenced it.

use std::collections::VecDeque;
use std::rc::Rc;

use super::job::Record;
use super::log::{Log, Refusal, TransactionalId};
use super::planted::{Bug, is_planted};
use super::storage::Object;
use super::world::{Happening, TaskId, World};

/// For whom something is published.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Owner {
    Task(TaskId),
    /// An operation of the JobManager of a generation.
    Master {
        generation: u64,
        commit: usize,
    },
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Stage {
    Initialise,
    Look,
    Produce,
    Commit,
    Idle,
}

/// See the module.
#[derive(Debug)]
pub(crate) struct Publisher {
    owner: Owner,
    id: TransactionalId,
    epoch: u32,
    /// Where the log ended when it had been initialised: progress is known when that has been read.
    end: usize,
    stage: Stage,
    /// It has initialised and published nothing since, so others may have published what is to be done.
    unsure: bool,
    todo: VecDeque<(u64, Rc<str>)>,
    failures: u32,
}

/// What came of a step.
#[derive(PartialEq, Eq, Debug)]
enum Came {
    /// Nothing that others need to know.
    Nothing,
    /// Checkpoints that others had published.
    Covered(Vec<u64>),
    /// What it publishes isn't there.
    Missing(Rc<str>),
    /// It has published this of a checkpoint.
    Published(u64, Rc<str>),
}

impl Publisher {
    fn new(owner: Owner, id: TransactionalId) -> Self {
        let todo = VecDeque::new();
        Self { owner, id, epoch: 0, end: 0, stage: Stage::Initialise, unsure: true, todo, failures: 0 }
    }

    fn more(&mut self, more: impl Iterator<Item = (u64, Rc<str>)>, log: &Log) {
        self.todo.extend(more);
        if self.stage == Stage::Idle {
            self.go_on(log);
        }
    }

    /// With the next that is to be done, if anything is.
    fn go_on(&mut self, log: &Log) {
        if self.todo.is_empty() {
            self.stage = Stage::Idle;
        } else if self.unsure {
            self.look(log);
        } else {
            self.stage = Stage::Produce;
        }
    }

    /// Whether others have published what is next.
    fn is_covered(&self, log: &Log) -> bool {
        let progress = log.progress(self.id).unwrap_or(0);
        self.todo.front().is_some_and(|(checkpoint, _)| *checkpoint <= progress)
    }

    /// Progress is asked for next: as of now.
    fn look(&mut self, log: &Log) {
        self.stage = Stage::Look;
        self.end = if is_planted(Bug::ProgressReadTooEarly) { 0 } else { log.end_offset() };
    }

    fn step(
        &mut self,
        log: &mut Log,
        rows: impl Fn(&str) -> Option<Rc<Vec<Record>>>,
        now: u64,
    ) -> Result<Came, Refusal> {
        match self.stage {
            Stage::Idle => {}
            Stage::Initialise => {
                self.epoch = log.initialise(self.id, is_planted(Bug::NoFencing));
                if matches!(self.owner, Owner::Master { .. }) {
                    log.taken_by_master(self.id);
                }
                self.unsure = true;
                self.look(log);
            }
            // Readers don't see what lies behind an open transaction, which ends some time.
            Stage::Look if !log.is_settled(self.end) => {}
            Stage::Look => {
                let mut covered = Vec::new();
                while self.is_covered(log) {
                    covered.extend(self.todo.pop_front().map(|(checkpoint, _)| checkpoint));
                }
                self.stage = if self.todo.is_empty() { Stage::Idle } else { Stage::Produce };
                return Ok(Came::Covered(covered));
            }
            Stage::Produce => {
                let Some((checkpoint, path)) = self.todo.front() else {
                    self.stage = Stage::Idle;
                    return Ok(Came::Nothing);
                };
                let Some(rows) = rows(path) else { return Ok(Came::Missing(Rc::clone(path))) };
                log.produce(self.id, self.epoch, &rows, *checkpoint, now)?;
                self.stage = Stage::Commit;
            }
            Stage::Commit => {
                log.end(self.id, self.epoch, true)?;
                self.unsure = false;
                let done = self.todo.pop_front();
                self.go_on(log);
                if let Some((checkpoint, path)) = done {
                    return Ok(Came::Published(checkpoint, path));
                }
            }
        }
        Ok(Came::Nothing)
    }
}

/// All publishers of the run.
#[derive(Debug, Default)]
pub(crate) struct Publishers {
    all: Vec<Option<Publisher>>,
}

impl Publishers {
    pub(crate) fn owner(&self, publisher: usize) -> Option<Owner> {
        self.all.get(publisher)?.as_ref().map(|publisher| publisher.owner)
    }

    /// Whoever owned it is gone.
    pub(crate) fn drop_one(&mut self, publisher: usize) {
        self.all[publisher] = None;
    }
}

impl World {
    /// A new one that begins by initialising.
    pub(crate) fn new_publisher(&mut self, owner: Owner, id: TransactionalId) -> usize {
        let publisher = Publisher::new(owner, id);
        self.publishers.all.push(Some(publisher));
        let place = self.publishers.all.len() - 1;
        let wait = self.log_latency();
        self.after(wait, Happening::Publish(place));
        place
    }

    /// Gives it more to do: of growing checkpoints.
    pub(crate) fn publish_more(&mut self, place: usize, more: impl Iterator<Item = (u64, Rc<str>)>) {
        let Some(publisher) = self.publishers.all[place].as_mut() else { return };
        let was_idle = publisher.stage == Stage::Idle;
        publisher.more(more, &self.log);
        if was_idle && publisher.stage != Stage::Idle {
            let wait = self.log_latency();
            self.after(wait, Happening::Publish(place));
        }
    }

    fn log_latency(&mut self) -> u64 {
        1 + self.random.below(if self.is_faulty() { self.swarm.log_latency } else { 20 })
    }

    /// It goes on by one step.
    pub(crate) fn publish(&mut self, place: usize) {
        let Some(mut publisher) = self.publishers.all[place].take() else { return };
        if !self.is_alive(publisher.owner) {
            return;
        }
        let away = self.now < self.network.log_away_until;
        let errors = if self.is_faulty() { self.swarm.log_errors } else { 0 };
        let failing = away || self.random.chance(errors);
        // Half of what fails has happened.
        let happens = !failing || (!away && self.random.chance(50));
        let done = if happens { self.publish_step(&mut publisher) } else { Ok(()) };
        let wait = match done {
            Err(Refusal::Fenced) if matches!(publisher.owner, Owner::Task(_)) => {
                let Owner::Task(task) = publisher.owner else { return };
                let is_counted_on = self.tasks[task].as_ref().is_some_and(|task| self.is_counted_on(task));
                // Zombies may do it.
                if is_counted_on && self.log.is_of_master(publisher.id) {
                    self.oracle.violated(format!("the living writer {:?} is fenced", publisher.id));
                }
                self.fail_task(task, "another producer has taken over the transactional id");
                return;
            }
            Err(_) => self.begin_again(&mut publisher),
            Ok(()) if failing => self.begin_again(&mut publisher),
            Ok(()) => self.log_latency(),
        };
        let (stage, owner) = (publisher.stage, publisher.owner);
        self.publishers.all[place] = Some(publisher);
        if stage == Stage::Idle {
            if let Owner::Master { generation, commit } = owner {
                self.publishers.drop_one(place);
                self.part_committed(generation, commit);
            }
        } else {
            self.after(wait, Happening::Publish(place));
        }
    }

    /// In doubt a client gets a new epoch, which settles what was open, and looks how far it had come.
    fn begin_again(&mut self, publisher: &mut Publisher) -> u64 {
        publisher.stage = Stage::Initialise;
        publisher.failures += 1;
        100 << publisher.failures.min(4)
    }

    fn is_alive(&self, owner: Owner) -> bool {
        match owner {
            Owner::Task(task) => self.tasks[task].as_ref().is_some_and(|task| self.task_is_alive(task)),
            Owner::Master { generation, .. } => self.master.is_alive(generation),
        }
    }

    fn publish_step(&mut self, publisher: &mut Publisher) -> Result<(), Refusal> {
        let storage = &self.storage;
        let rows = |path: &str| match storage.look(path) {
            Some(Object::Rows(rows)) => Some(Rc::clone(rows)),
            _ => None,
        };
        match publisher.step(&mut self.log, rows, self.now)? {
            Came::Nothing => {}
            Came::Covered(checkpoints) => {
                checkpoints.into_iter().for_each(|checkpoint| self.published(publisher.owner, checkpoint));
            }
            // A task that is over and doesn't know it may look for what others have published and let go. If a task that isn't
            // does, the JobManager comes next.
            Came::Missing(path) => match publisher.owner {
                Owner::Task(task) => self.fail_task(task, "what it prepared isn't there any more"),
                // Of two commits, a checkpoint's and the job's last, one comes late.
                Owner::Master { .. } if publisher.is_covered(&self.log) => {
                    publisher.stage = Stage::Initialise
                }
                Owner::Master { .. } => {
                    self.oracle.violated(format!("data loss: {path} is to be published and isn't there"));
                }
            },
            Came::Published(checkpoint, path) => {
                self.say(|| format!("{path} is visible by {:?}", publisher.owner));
                self.oracle.made_visible(&path);
                self.published(publisher.owner, checkpoint);
            }
        }
        Ok(())
    }

    fn published(&mut self, owner: Owner, checkpoint: u64) {
        if let Owner::Task(task) = owner {
            self.task_published(task, checkpoint);
        }
    }
}

/// Word of a completed checkpoint comes late, one by one, to a task whose output others have published: also what it hears of
/// when it has nothing to do any more.
#[test]
fn a_zombie_that_takes_the_id_back_publishes_nothing_again() {
    let mut log = Log::default();
    let id = (super::job::SinkId::new(1, 0), 0);
    let rows = |_: &str| Some(Rc::new(vec![Record { key: 0, split: 0, position: 0, count: 1 }]));
    let todo = |checkpoint: u64| std::iter::once((checkpoint, Rc::from(checkpoint.to_string())));
    let run = |publisher: &mut Publisher, log: &mut Log| {
        let mut came = Vec::new();
        while publisher.stage != Stage::Idle {
            came.push(publisher.step(log, rows, 0).unwrap());
        }
        came.retain(|came| *came != Came::Nothing);
        came
    };
    let mut master = Publisher::new(Owner::Master { generation: 1, commit: 0 }, id);
    master.more(todo(4).chain(todo(5)), &log);
    let (four, five) = (Came::Published(4, Rc::from("4")), Came::Published(5, Rc::from("5")));
    assert_eq!(run(&mut master, &mut log), [Came::Covered(Vec::new()), four, five]);
    let mut zombie = Publisher::new(Owner::Task(0), id);
    for checkpoint in [4, 5] {
        zombie.more(todo(checkpoint), &log);
        assert_eq!(run(&mut zombie, &mut log), [Came::Covered(vec![checkpoint])]);
    }
    zombie.more(todo(6), &log);
    assert_eq!(run(&mut zombie, &mut log), [Came::Covered(Vec::new()), Came::Published(6, Rc::from("6"))]);
    assert_eq!(log.visible().len(), 3);
}
