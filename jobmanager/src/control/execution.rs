//! The execution graph: the tasks of one job that are out, each under the attempt that it was deployed with.
//!
//! Invariants: every subtask of every vertex has exactly one state, moved only as [`TaskState::may_become`] allows; all tasks of a
//! vertex have one attempt. It counts and
//! remembers; it decides nothing.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use weir_api::graph::JobGraph;
use weir_api::id::{Attempt, SubtaskIndex, TaskManagerId, VertexIndex};

use super::checkpoint::part::{Part, Parts};
use super::measure::Measure;
use super::regions::Vertices;
use super::schedule::Slot;
use super::slots::Stuck;
use super::task::TaskState;

/// One subtask's run.
#[derive(Debug)]
pub struct Task {
    state: TaskState,
    entered: [Option<i64>; TaskState::ALL.len()],
    /// What it left when it finished.
    part: Option<Arc<Part>>,
    /// What it reported of itself.
    pub measure: Measure,
}

impl Task {
    fn new(unix_millis: i64) -> Self {
        let mut entered = [None; TaskState::ALL.len()];
        entered[TaskState::Created.index()] = Some(unix_millis);
        Self { state: TaskState::Created, entered, part: None, measure: Measure::default() }
    }

    /// Where it is.
    #[must_use]
    pub const fn state(&self) -> TaskState {
        self.state
    }

    /// When it entered a state, in Unix milliseconds.
    #[must_use]
    pub const fn entered(&self, state: TaskState) -> Option<i64> {
        self.entered[state.index()]
    }

    /// When it was sent to its TaskManager.
    #[must_use]
    pub const fn started(&self) -> Option<i64> {
        self.entered(TaskState::Deploying)
    }

    /// When it ended.
    #[must_use]
    pub fn ended(&self) -> Option<i64> {
        if self.state.is_terminal() { self.entered(self.state) } else { None }
    }

    fn advance(&mut self, state: TaskState, unix_millis: i64) -> bool {
        if !self.state.may_become(state) {
            return false;
        }
        self.state = state;
        self.entered[state.index()] = Some(unix_millis);
        true
    }
}

/// How many tasks are in each state.
pub type Counts = [u32; TaskState::ALL.len()];

/// Counts under Flink's words, every state named.
#[must_use]
pub fn counts_by_name(counts: &Counts) -> BTreeMap<&'static str, u32> {
    TaskState::ALL.map(|state| (state.as_str(), counts[state.index()])).into()
}

/// All tasks of one job.
#[derive(Debug)]
pub struct ExecutionGraph {
    /// By vertex.
    attempts: Vec<Attempt>,
    placement: Vec<Slot>,
    tasks: Vec<Vec<Task>>,
}

impl ExecutionGraph {
    /// An attempt that has no slots yet.
    #[must_use]
    pub fn new(graph: &JobGraph, attempt: Attempt, unix_millis: i64) -> Self {
        let tasks = graph
            .vertices()
            .iter()
            .map(|vertex| (0..vertex.parallelism).map(|_| Task::new(unix_millis)).collect())
            .collect();
        Self { attempts: vec![attempt; graph.vertices().len()], placement: Vec::new(), tasks }
    }

    /// The attempt that the tasks of a vertex were deployed with.
    #[must_use]
    pub fn attempt_of(&self, vertex: VertexIndex) -> Option<Attempt> {
        self.attempts.get(vertex.0 as usize).copied()
    }

    /// The oldest attempt that a task was deployed with.
    #[must_use]
    pub fn oldest_attempt(&self) -> Attempt {
        self.attempts.iter().copied().min().unwrap_or_default()
    }

    /// The attempts of the tasks that each TaskManager has slots for.
    #[must_use]
    pub fn attempts(&self) -> BTreeMap<TaskManagerId, BTreeSet<Attempt>> {
        let mut attempts: BTreeMap<_, BTreeSet<_>> = BTreeMap::new();
        for (attempt, tasks) in self.attempts.iter().zip(&self.tasks) {
            for slot in self.placement.iter().take(tasks.len()) {
                attempts.entry(slot.manager.clone()).or_default().insert(*attempt);
            }
        }
        attempts
    }

    /// These vertices begin anew, in a further attempt that has its slots.
    pub fn restart(&mut self, part: &Vertices, attempt: Attempt, placement: Vec<Slot>, unix_millis: i64) {
        self.placement = placement;
        for vertex in part.iter().map(|vertex| vertex.0 as usize) {
            if let (Some(of), Some(tasks)) = (self.attempts.get_mut(vertex), self.tasks.get_mut(vertex)) {
                *of = attempt;
                tasks.iter_mut().for_each(|task| *task = Task::new(unix_millis));
            }
        }
        self.advance_part(part, TaskState::Scheduled, unix_millis);
    }

    /// The slot of each subtask index; empty before there is one.
    #[must_use]
    pub fn placement(&self) -> &[Slot] {
        &self.placement
    }

    /// The tasks of a vertex.
    #[must_use]
    pub fn vertex(&self, vertex: usize) -> &[Task] {
        self.tasks.get(vertex).map(Vec::as_slice).unwrap_or_default()
    }

    /// A task, if there is such a one.
    #[must_use]
    pub fn task(&self, vertex: VertexIndex, subtask: SubtaskIndex) -> Option<&Task> {
        self.tasks.get(vertex.0 as usize)?.get(subtask.0 as usize)
    }

    /// The same, to be written.
    pub fn task_mut(&mut self, vertex: VertexIndex, subtask: SubtaskIndex) -> Option<&mut Task> {
        self.tasks.get_mut(vertex.0 as usize)?.get_mut(subtask.0 as usize)
    }

    /// The TaskManager that a subtask was placed on.
    #[must_use]
    pub fn manager_of(&self, subtask: SubtaskIndex) -> Option<&TaskManagerId> {
        self.placement.get(subtask.0 as usize).map(|slot| &slot.manager)
    }

    /// The attempt has its slots.
    pub fn scheduled(&mut self, placement: Vec<Slot>, unix_millis: i64) {
        self.placement = placement;
        self.advance_all(TaskState::Scheduled, unix_millis);
    }

    /// Moves every task that may go there to `state`.
    pub fn advance_all(&mut self, state: TaskState, unix_millis: i64) {
        for task in self.tasks.iter_mut().flatten() {
            task.advance(state, unix_millis);
        }
    }

    /// Moves every task of these vertices that may go there to `state`.
    pub fn advance_part(&mut self, part: &Vertices, state: TaskState, unix_millis: i64) {
        for task in self.tasks_of(part) {
            task.advance(state, unix_millis);
        }
    }

    fn tasks_of(&mut self, part: &Vertices) -> impl Iterator<Item = &mut Task> {
        let vertices = (0..).map(VertexIndex).zip(&mut self.tasks);
        vertices.filter(|(vertex, _)| part.contains(vertex)).flat_map(|(_, tasks)| tasks)
    }

    /// Asks these vertices' tasks to stop; those that were never sent out have.
    pub fn cancel(&mut self, part: &Vertices, unix_millis: i64) {
        for task in self.tasks_of(part) {
            let is_out = task.state > TaskState::Scheduled;
            task.advance(if is_out { TaskState::Canceling } else { TaskState::Canceled }, unix_millis);
        }
    }

    /// The vertices of which a task has failed or was cancelled.
    #[must_use]
    pub fn broken(&self) -> Vertices {
        let is_broken = |task: &Task| matches!(task.state, TaskState::Failed | TaskState::Canceled);
        let tasks = (0..).map(VertexIndex).zip(&self.tasks);
        tasks.filter(|(_, tasks)| tasks.iter().any(is_broken)).map(|(vertex, _)| vertex).collect()
    }

    /// Moves one task. False if it may not go there: the report is a duplicate or late.
    pub fn advance(
        &mut self,
        vertex: VertexIndex,
        subtask: SubtaskIndex,
        state: TaskState,
        unix_millis: i64,
    ) -> bool {
        self.task_mut(vertex, subtask).is_some_and(|task| task.advance(state, unix_millis))
    }

    /// A task has finished, with what it leaves. False if it had ended before.
    pub fn finished(
        &mut self,
        vertex: VertexIndex,
        subtask: SubtaskIndex,
        part: Arc<Part>,
        unix_millis: i64,
    ) -> bool {
        let Some(task) = self.task_mut(vertex, subtask) else { return false };
        let advanced = task.advance(TaskState::Finished, unix_millis);
        if advanced {
            task.part = Some(part);
        }
        advanced
    }

    /// Fails the tasks of a lost TaskManager that are out and haven't ended, and names them.
    pub fn lost(
        &mut self,
        manager: &TaskManagerId,
        is_out: impl Fn(VertexIndex) -> bool,
        unix_millis: i64,
    ) -> Vec<(VertexIndex, SubtaskIndex)> {
        let mut lost = Vec::new();
        let tasks = self.tasks.iter_mut().enumerate();
        for (vertex, tasks) in tasks.filter(|(vertex, _)| is_out(VertexIndex(*vertex as u32))) {
            for (subtask, task) in tasks.iter_mut().enumerate() {
                let here = self.placement.get(subtask).is_some_and(|slot| slot.manager == *manager);
                if here && task.advance(TaskState::Failed, unix_millis) {
                    lost.push((VertexIndex(vertex as u32), SubtaskIndex(subtask as u32)));
                }
            }
        }
        lost
    }

    /// Whether every task has ended.
    #[must_use]
    pub fn is_over(&self) -> bool {
        self.tasks.iter().flatten().all(|task| task.state.is_terminal())
    }

    /// Whether every task of these vertices has ended.
    #[must_use]
    pub fn part_is_over(&self, part: &Vertices) -> bool {
        let mut tasks = part.iter().flat_map(|vertex| self.vertex(vertex.0 as usize));
        tasks.all(|task| task.state.is_terminal())
    }

    /// Whether every task has finished.
    #[must_use]
    pub fn is_finished(&self) -> bool {
        self.tasks.iter().flatten().all(|task| task.state == TaskState::Finished)
    }

    /// Whether some task was sent out and hasn't answered yet.
    #[must_use]
    pub fn is_deploying(&self) -> bool {
        self.tasks.iter().flatten().any(|task| task.state <= TaskState::Deploying)
    }

    /// The tasks that haven't ended, by slot.
    #[must_use]
    pub fn unfinished(&self) -> Stuck {
        let mut unfinished: BTreeMap<Slot, BTreeSet<_>> = BTreeMap::new();
        for ((vertex, tasks), attempt) in self.tasks.iter().enumerate().zip(&self.attempts) {
            for ((subtask, task), slot) in tasks.iter().enumerate().zip(&self.placement) {
                if !task.state.is_terminal() {
                    let id = (*attempt, VertexIndex(vertex as u32), SubtaskIndex(subtask as u32));
                    unfinished.entry(slot.clone()).or_default().insert(id);
                }
            }
        }
        unfinished
    }

    /// The TaskManagers with slots for tasks of these vertices, or of any.
    #[must_use]
    pub fn managers_of(&self, part: Option<&Vertices>) -> BTreeSet<TaskManagerId> {
        let widest = part.map(|part| part.iter().map(|vertex| self.vertex(vertex.0 as usize).len()).max());
        let count = widest.map_or(self.placement.len(), Option::unwrap_or_default);
        self.placement.iter().take(count).map(|slot| slot.manager.clone()).collect()
    }

    /// What the tasks left that have finished.
    #[must_use]
    pub fn finished_parts(&self) -> Parts {
        let mut parts = Parts::new();
        for (vertex, tasks) in self.tasks.iter().enumerate() {
            for (subtask, task) in tasks.iter().enumerate() {
                if let Some(part) = &task.part {
                    let id = (VertexIndex(vertex as u32), SubtaskIndex(subtask as u32));
                    parts.insert(id, Arc::clone(part));
                }
            }
        }
        parts
    }

    /// Whether every task runs, or has finished already.
    #[must_use]
    pub fn all_run(&self) -> bool {
        let runs = |task: &Task| matches!(task.state, TaskState::Running | TaskState::Finished);
        self.tasks.iter().flatten().all(runs)
    }

    /// Every task there is.
    #[must_use]
    pub fn all_tasks(&self) -> Vec<(VertexIndex, SubtaskIndex)> {
        let tasks = self.tasks.iter().enumerate();
        let of_vertex = |(vertex, tasks): (usize, &Vec<Task>)| {
            (0..tasks.len() as u32).map(move |subtask| (VertexIndex(vertex as u32), SubtaskIndex(subtask)))
        };
        tasks.flat_map(of_vertex).collect()
    }

    /// How many tasks of a vertex are in each state.
    #[must_use]
    pub fn counts_of(&self, vertex: usize) -> Counts {
        count(self.vertex(vertex))
    }

    /// How many tasks are in each state.
    #[must_use]
    pub fn counts(&self) -> Counts {
        count(self.tasks.iter().flatten())
    }
}

/// How many of these tasks are in each state.
pub fn count<'a>(tasks: impl IntoIterator<Item = &'a Task>) -> Counts {
    let mut counts = Counts::default();
    for task in tasks {
        counts[task.state.index()] += 1;
    }
    counts
}

/// The state that stands for a set of tasks, by Flink's rule: what went wrong first, then what goes on.
#[must_use]
pub fn aggregate_state(counts: &Counts) -> TaskState {
    let total: u32 = counts.iter().sum();
    let has = |state: TaskState| counts[state.index()] > 0;
    if total > 0 && counts[TaskState::Finished.index()] == total {
        return TaskState::Finished;
    }
    let order = [
        TaskState::Failed,
        TaskState::Canceling,
        TaskState::Canceled,
        TaskState::Initializing,
        TaskState::Running,
        TaskState::Finished,
        TaskState::Deploying,
        TaskState::Scheduled,
    ];
    match order.into_iter().find(|state| has(*state)) {
        // Some have finished and the others wait or run: the whole runs.
        Some(TaskState::Finished) => TaskState::Running,
        Some(state) => state,
        None => TaskState::Created,
    }
}
