//! Publishes prepared output into the transactional log, as a sink's tasks and its committer both do.
//!
//! ```text
//! Initialise (fences whoever was there) ─▶ Look (how far has it come?) ─▶ Produce ─▶ Commit ─┬─▶ Produce …
//!      ▲                                                                                      └─▶ done
//!      └──────────────── whatever fails, unless it was fenced ────────────────┘
//! ```
//!
//! Invariant: progress is read after initialising, and what it covers is not published again.

use std::collections::VecDeque;
use std::rc::Rc;

use super::log::{Refusal, TransactionalId};
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
    todo: VecDeque<(u64, Rc<str>)>,
    failures: u32,
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
        let todo = VecDeque::new();
        let publisher =
            Publisher { owner, id, epoch: 0, end: 0, stage: Stage::Initialise, todo, failures: 0 };
        self.publishers.all.push(Some(publisher));
        let place = self.publishers.all.len() - 1;
        let wait = self.log_latency();
        self.after(wait, Happening::Publish(place));
        place
    }

    /// Gives it more to do: of growing checkpoints.
    pub(crate) fn publish_more(&mut self, place: usize, more: impl Iterator<Item = (u64, Rc<str>)>) {
        let Some(publisher) = self.publishers.all[place].as_mut() else { return };
        publisher.todo.extend(more);
        if publisher.stage == Stage::Idle {
            publisher.stage = Stage::Produce;
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
        let id = publisher.id;
        match publisher.stage {
            Stage::Idle => {}
            Stage::Initialise => {
                publisher.epoch = self.log.initialise(id, is_planted(Bug::NoFencing));
                if matches!(publisher.owner, Owner::Master { .. }) {
                    self.log.taken_by_master(id);
                }
                publisher.end = if is_planted(Bug::ProgressReadTooEarly) { 0 } else { self.log.end_offset() };
                publisher.stage = Stage::Look;
            }
            Stage::Look => {
                if !self.log.is_settled(publisher.end) {
                    // Readers don't see what lies behind an open transaction, which ends some time.
                    return Ok(());
                }
                let progress = self.log.progress(id).unwrap_or(0);
                while let Some((checkpoint, _)) = publisher.todo.front().filter(|next| next.0 <= progress) {
                    let checkpoint = *checkpoint;
                    publisher.todo.pop_front();
                    self.published(publisher.owner, checkpoint);
                }
                publisher.stage = if publisher.todo.is_empty() { Stage::Idle } else { Stage::Produce };
            }
            Stage::Produce => {
                let Some((checkpoint, path)) = publisher.todo.front() else {
                    publisher.stage = Stage::Idle;
                    return Ok(());
                };
                let Some(Object::Rows(rows)) = self.storage.look(path).cloned() else {
                    // A task that is over and doesn't know it may look for what others have published and let go. If a task
                    // that isn't does, the JobManager comes next.
                    match publisher.owner {
                        Owner::Task(task) => self.fail_task(task, "what it prepared isn't there any more"),
                        Owner::Master { .. } => {
                            self.oracle
                                .violated(format!("data loss: {path} is to be published and isn't there"));
                        }
                    }
                    return Ok(());
                };
                self.log.produce(id, publisher.epoch, &rows, *checkpoint, self.now)?;
                publisher.stage = Stage::Commit;
            }
            Stage::Commit => {
                self.log.end(id, publisher.epoch, true)?;
                if let Some((checkpoint, path)) = publisher.todo.pop_front() {
                    self.say(|| format!("{path} is visible by {:?}", publisher.owner));
                    self.oracle.made_visible(&path);
                    self.published(publisher.owner, checkpoint);
                }
                publisher.stage = if publisher.todo.is_empty() { Stage::Idle } else { Stage::Produce };
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
