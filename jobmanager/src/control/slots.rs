//! Keeps which slots there are and who holds them.
//!
//! Invariant: a slot is free, or held by one job, or draining: still running tasks of an attempt that its job has given up
//! waiting for. A slot is never given out while a task of anybody may run in it; it comes back when the last of them has
//! reported its end, or goes when its TaskManager does. It doesn't decide who gets a slot; see [`schedule`](super::schedule).

use std::collections::{BTreeMap, BTreeSet};

use weir_api::id::{Attempt, ExecutionId, JobId, SlotIndex, SubtaskIndex, TaskManagerId, VertexIndex};

use super::schedule::{Offer, Previous, Problem, Shortage, Slot, Spread, solve};

#[derive(Clone, PartialEq, Eq, Debug)]
enum Holder {
    Nobody,
    Job(JobId),
    Draining { job: JobId, tasks: BTreeSet<(Attempt, VertexIndex, SubtaskIndex)> },
}

/// All slots of the registered TaskManagers.
#[derive(Debug, Default)]
pub struct Slots {
    managers: BTreeMap<TaskManagerId, Vec<Holder>>,
}

/// Tasks that may still run in a slot that their job gives back.
pub type Stuck = BTreeMap<Slot, BTreeSet<(Attempt, VertexIndex, SubtaskIndex)>>;

impl Slots {
    /// A TaskManager came, all its slots free.
    pub fn add(&mut self, manager: TaskManagerId, slots: u32) {
        self.managers.insert(manager, vec![Holder::Nobody; slots as usize]);
    }

    /// A TaskManager went, whatever its slots ran.
    pub fn remove(&mut self, manager: &TaskManagerId) {
        self.managers.remove(manager);
    }

    /// Gives `job` the slots it needs, or says what is missing. `previous`: which it had, on which hosts.
    pub fn allocate(
        &mut self,
        job: JobId,
        needed: u32,
        previous: Previous<'_>,
        hosts: &BTreeMap<TaskManagerId, String>,
        spread: Spread,
    ) -> Result<Vec<Slot>, Shortage> {
        let offers = self.managers.iter().map(|(id, slots)| (id.clone(), offer(slots))).collect();
        let hosts = hosts.clone();
        let placement = solve(Problem { needed, offers, previous, hosts, spread })?;
        for slot in &placement {
            if let Some(holder) = self.holder_mut(slot) {
                debug_assert_eq!(*holder, Holder::Nobody, "slot {slot} was given out twice");
                *holder = Holder::Job(job);
            }
        }
        Ok(placement)
    }

    /// Gives `job` others in place of those of `placement` that it holds no more, or says what is missing.
    pub fn refill(
        &mut self,
        job: JobId,
        placement: &[Slot],
        hosts: &BTreeMap<TaskManagerId, String>,
        spread: Spread,
    ) -> Result<Vec<Slot>, Shortage> {
        let is_held = |slots: &Self, slot: &Slot| slots.holder(slot) == Some(&Holder::Job(job));
        let held: Vec<bool> = placement.iter().map(|slot| is_held(self, slot)).collect();
        let missing = held.iter().filter(|held| !**held).count() as u32;
        let mut fresh = match missing {
            0 => Vec::new(),
            _ => self.allocate(job, missing, Previous::default(), hosts, spread)?,
        }
        .into_iter();
        let slots = placement.iter().zip(held);
        Ok(slots.filter_map(|(slot, held)| if held { Some(slot.clone()) } else { fresh.next() }).collect())
    }

    /// A job gives its slots back; those with tasks that haven't ended drain first.
    pub fn release(&mut self, job: JobId, slots: &[Slot], mut stuck: Stuck) {
        for slot in slots {
            let tasks = stuck.remove(slot).unwrap_or_default();
            if let Some(holder) = self.holder_mut(slot).filter(|holder| **holder == Holder::Job(job)) {
                *holder = if tasks.is_empty() { Holder::Nobody } else { Holder::Draining { job, tasks } };
            }
        }
    }

    /// A task of an attempt that its job no longer waits for has ended. True if that freed a slot.
    pub fn drained(&mut self, manager: &TaskManagerId, task: &ExecutionId) -> bool {
        let Some(slots) = self.managers.get_mut(manager) else { return false };
        for holder in slots {
            if let Holder::Draining { job, tasks } = holder
                && *job == task.job
                && tasks.remove(&(task.attempt, task.vertex, task.subtask))
            {
                if tasks.is_empty() {
                    *holder = Holder::Nobody;
                    return true;
                }
                return false;
            }
        }
        false
    }

    /// Whether the job still holds all these slots.
    #[must_use]
    pub fn holds(&self, job: JobId, slots: &[Slot]) -> bool {
        slots.iter().all(|slot| self.holder(slot) == Some(&Holder::Job(job)))
    }

    /// How many slots there are.
    #[must_use]
    pub fn total(&self) -> u32 {
        self.managers.values().map(|slots| slots.len() as u32).sum()
    }

    /// How many slots are free.
    #[must_use]
    pub fn free(&self) -> u32 {
        self.managers.values().map(|slots| offer(slots).free.len() as u32).sum()
    }

    /// How many slots of one TaskManager are free.
    #[must_use]
    pub fn free_of(&self, manager: &TaskManagerId) -> u32 {
        self.managers.get(manager).map_or(0, |slots| offer(slots).free.len() as u32)
    }

    /// The slots of one TaskManager that are in use, and by which job.
    pub fn used_of(&self, manager: &TaskManagerId) -> impl Iterator<Item = (SlotIndex, JobId)> {
        let slots = self.managers.get(manager).map(Vec::as_slice).unwrap_or_default();
        (0..).map(SlotIndex).zip(slots).filter_map(|(index, holder)| match holder {
            Holder::Nobody => None,
            Holder::Job(job) | Holder::Draining { job, .. } => Some((index, *job)),
        })
    }

    fn holder(&self, slot: &Slot) -> Option<&Holder> {
        self.managers.get(&slot.manager)?.get(slot.index.0 as usize)
    }

    fn holder_mut(&mut self, slot: &Slot) -> Option<&mut Holder> {
        self.managers.get_mut(&slot.manager)?.get_mut(slot.index.0 as usize)
    }
}

fn offer(slots: &[Holder]) -> Offer {
    let free = (0..).map(SlotIndex).zip(slots).filter(|(_, holder)| **holder == Holder::Nobody);
    Offer { total: slots.len() as u32, free: free.map(|(index, _)| index).collect() }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn job(n: u8) -> JobId {
        JobId::from_bytes([n; 16])
    }

    fn manager(name: &str) -> TaskManagerId {
        TaskManagerId::new(name).expect("valid")
    }

    fn task(n: u8, attempt: u32, subtask: u32) -> ExecutionId {
        ExecutionId {
            job: job(n),
            attempt: Attempt(attempt),
            vertex: VertexIndex(0),
            subtask: SubtaskIndex(subtask),
        }
    }

    #[test]
    fn a_slot_in_use_is_not_given_out_until_it_is_released() {
        let mut slots = Slots::default();
        slots.add(manager("a"), 2);
        let first =
            slots.allocate(job(1), 2, Previous::default(), &BTreeMap::new(), Spread::Even).expect("free");
        assert_eq!(
            slots
                .allocate(job(2), 1, Previous::default(), &BTreeMap::new(), Spread::Even)
                .expect_err("taken")
                .free,
            0
        );
        slots.release(job(1), &first, Stuck::new());
        assert_eq!((slots.free(), slots.total()), (2, 2));
        assert!(slots.allocate(job(2), 1, Previous::default(), &BTreeMap::new(), Spread::Even).is_ok());
    }

    #[test]
    fn a_stuck_task_keeps_its_slot_until_it_reports_its_end() {
        let mut slots = Slots::default();
        slots.add(manager("a"), 2);
        let placement =
            slots.allocate(job(1), 2, Previous::default(), &BTreeMap::new(), Spread::Even).expect("free");
        let tasks = BTreeSet::from([(Attempt(3), VertexIndex(0), SubtaskIndex(1))]);
        slots.release(job(1), &placement, Stuck::from([(placement[1].clone(), tasks)]));
        assert_eq!(slots.free(), 1);
        assert!(!slots.drained(&manager("a"), &task(1, 2, 1)), "another attempt's task");
        assert!(!slots.drained(&manager("b"), &task(1, 3, 1)), "another TaskManager's task");
        assert!(slots.drained(&manager("a"), &task(1, 3, 1)));
        assert_eq!(slots.free(), 2);
        assert!(!slots.drained(&manager("a"), &task(1, 3, 1)), "reported twice");
    }

    #[test]
    fn what_is_held_stays_and_only_the_rest_is_filled_in() {
        let mut slots = Slots::default();
        ["a", "b"].into_iter().for_each(|name| slots.add(manager(name), 1));
        let hosts = BTreeMap::new();
        let first = slots.allocate(job(1), 2, Previous::default(), &hosts, Spread::Even).expect("free");
        assert_eq!(slots.refill(job(1), &first, &hosts, Spread::Even), Ok(first.clone()));
        slots.remove(&first[1].manager);
        assert_eq!(slots.refill(job(1), &first, &hosts, Spread::Even).expect_err("none left").needed, 1);
        slots.add(manager("c"), 1);
        let second = slots.refill(job(1), &first, &hosts, Spread::Even).expect("there is another");
        assert_eq!((&second[0], &second[1].manager), (&first[0], &manager("c")));
        assert!(slots.holds(job(1), &second));
    }

    #[test]
    fn releasing_twice_or_after_loss_frees_nothing_of_others() {
        let mut slots = Slots::default();
        slots.add(manager("a"), 1);
        let placement =
            slots.allocate(job(1), 1, Previous::default(), &BTreeMap::new(), Spread::Even).expect("free");
        slots.remove(&manager("a"));
        assert!(!slots.holds(job(1), &placement));
        slots.add(manager("a"), 1);
        let other =
            slots.allocate(job(2), 1, Previous::default(), &BTreeMap::new(), Spread::Even).expect("free");
        slots.release(job(1), &placement, Stuck::new());
        assert!(slots.holds(job(2), &other));
    }
}
