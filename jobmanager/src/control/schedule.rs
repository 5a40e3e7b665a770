//! Decides which slots a job gets: a pure function from what is free to a placement.
//!
//! Wanted of every solution, in this order; the property tests check each:
//! 1. *All or nothing*: every subtask index gets a slot, or none does and the answer says what is missing.
//! 2. *Exclusive*: only free slots are taken, each once. Entry i of a placement is the slot that runs subtask i of **every**
//!    vertex, so a job needs as many slots as its largest parallelism.
//! 3. *Sticky*: an index whose previous slot is free gets it back: its files and state may still lie there. Failing that, a free
//!    slot of the same TaskManager, and then of a TaskManager on the same host, which may have copies of its state.
//! 4. *Spread*: each of the rest goes to the TaskManager that will then have the smallest share of its slots in use, so that
//!    exchanging a slot for a free one elsewhere never evens the load out; or, with [`Spread::Fill`], one TaskManager is filled before the next
//!    is opened, those already in use first.
//! 5. *Deterministic*: ties go to the smaller id and index; the order of registration doesn't matter.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use weir_api::id::{SlotIndex, TaskManagerId};

/// One slot of the cluster.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct Slot {
    /// Its TaskManager.
    pub manager: TaskManagerId,
    /// Its position there.
    pub index: SlotIndex,
}

impl fmt::Display for Slot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.manager, self.index)
    }
}

/// What wins among TaskManagers.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Spread {
    /// All share the load evenly.
    #[default]
    Even,
    /// As few as possible are used.
    Fill,
}

/// The slots of one TaskManager.
#[derive(Clone, Debug)]
pub struct Offer {
    /// How many it has.
    pub total: u32,
    /// Which are free.
    pub free: BTreeSet<SlotIndex>,
}

/// Where a job ran before.
#[derive(Clone, Copy, Debug, Default)]
pub struct Previous<'a> {
    /// The slot of each subtask.
    pub slots: &'a [Slot],
    /// The hosts of their TaskManagers, as far as they are known; they may be gone.
    pub hosts: &'a [String],
}

/// What there is to decide.
#[derive(Clone, Debug)]
pub struct Problem<'a> {
    /// How many slots the job needs.
    pub needed: u32,
    /// All TaskManagers.
    pub offers: BTreeMap<TaskManagerId, Offer>,
    /// The job's previous placement, if it had one.
    pub previous: Previous<'a>,
    /// The hosts of the TaskManagers that there are.
    pub hosts: BTreeMap<TaskManagerId, String>,
    /// What wins among TaskManagers.
    pub spread: Spread,
}

/// Why there is no placement.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Shortage {
    /// Slots that the job needs.
    pub needed: u32,
    /// Slots that are free.
    pub free: u32,
    /// Slots that there are.
    pub total: u32,
    /// TaskManagers that there are.
    pub managers: u32,
}

impl fmt::Display for Shortage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} slots are needed; {} of {} on {} TaskManagers are free",
            self.needed, self.free, self.total, self.managers
        )
    }
}

/// Places subtasks `0..needed`; see the module's list of what is wanted.
pub fn solve(problem: Problem<'_>) -> Result<Vec<Slot>, Shortage> {
    let free: u32 = problem.offers.values().map(|offer| offer.free.len() as u32).sum();
    if free < problem.needed {
        return Err(Shortage {
            needed: problem.needed,
            free,
            total: problem.offers.values().map(|offer| offer.total).sum(),
            managers: problem.offers.len() as u32,
        });
    }
    let mut offers = problem.offers;
    let mut placement: Vec<Option<Slot>> = vec![None; problem.needed as usize];
    for (entry, slot) in placement.iter_mut().zip(problem.previous.slots) {
        if offers.get_mut(&slot.manager).is_some_and(|offer| offer.free.remove(&slot.index)) {
            *entry = Some(slot.clone());
        }
    }
    for (index, entry) in placement.iter_mut().enumerate().filter(|(_, entry)| entry.is_none()) {
        let manager = problem.previous.slots.get(index).map(|slot| &slot.manager);
        let same = manager.and_then(|manager| first_free(&mut offers, |id| id == manager));
        *entry = same.or_else(|| {
            let host = problem.previous.hosts.get(index).filter(|host| !host.is_empty())?;
            first_free(&mut offers, |id| problem.hosts.get(id) == Some(host))
        });
    }
    placement
        .into_iter()
        .map(|entry| match entry {
            Some(slot) => Some(slot),
            None => take(&mut offers, problem.spread),
        })
        // There were enough, so no entry stays empty.
        .collect::<Option<Vec<_>>>()
        .ok_or(Shortage { needed: problem.needed, free, total: 0, managers: 0 })
}

/// The first free slot of the first TaskManager that is wanted.
fn first_free(
    offers: &mut BTreeMap<TaskManagerId, Offer>,
    is_wanted: impl Fn(&TaskManagerId) -> bool,
) -> Option<Slot> {
    let (manager, offer) =
        offers.iter_mut().find(|(manager, offer)| !offer.free.is_empty() && is_wanted(manager))?;
    let index = offer.free.pop_first()?;
    Some(Slot { manager: manager.clone(), index })
}

fn take(offers: &mut BTreeMap<TaskManagerId, Offer>, spread: Spread) -> Option<Slot> {
    let open = offers.iter_mut().filter(|(_, offer)| !offer.free.is_empty());
    let (manager, offer) = match spread {
        Spread::Even => open.min_by(|(_, a), (_, b)| {
            // The share in use once one more slot is: (used + 1) / total, compared without division.
            (u64::from(a.used() + 1) * u64::from(b.total))
                .cmp(&(u64::from(b.used() + 1) * u64::from(a.total)))
        }),
        Spread::Fill => open.min_by_key(|(_, offer)| (offer.used() == 0, offer.free.len())),
    }?;
    let index = offer.free.pop_first()?;
    Some(Slot { manager: manager.clone(), index })
}

impl Offer {
    fn used(&self) -> u32 {
        self.total.saturating_sub(self.free.len() as u32)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn manager(n: usize) -> TaskManagerId {
        TaskManagerId::new(format!("tm-{n}")).expect("valid")
    }

    fn offers(free: &[(u32, &[u32])]) -> BTreeMap<TaskManagerId, Offer> {
        free.iter()
            .enumerate()
            .map(|(n, (total, free))| {
                (manager(n), Offer { total: *total, free: free.iter().copied().map(SlotIndex).collect() })
            })
            .collect()
    }

    fn places(placement: &[Slot]) -> Vec<String> {
        placement.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn even_takes_turns_and_fill_does_not() {
        let all = offers(&[(2, &[0, 1]), (2, &[0, 1]), (2, &[0, 1])]);
        let problem = |needed, spread| Problem {
            needed,
            offers: all.clone(),
            previous: Previous::default(),
            hosts: BTreeMap::new(),
            spread,
        };
        assert_eq!(places(&solve(problem(3, Spread::Even)).expect("free")), ["tm-0/0", "tm-1/0", "tm-2/0"]);
        assert_eq!(places(&solve(problem(3, Spread::Fill)).expect("free")), ["tm-0/0", "tm-0/1", "tm-1/0"]);
    }

    #[test]
    fn a_shortage_says_what_is_missing() {
        let problem = Problem {
            needed: 3,
            offers: offers(&[(2, &[1]), (1, &[0])]),
            previous: Previous::default(),
            hosts: BTreeMap::new(),
            spread: Spread::Even,
        };
        let shortage = solve(problem).expect_err("too few");
        assert_eq!(shortage.to_string(), "3 slots are needed; 2 of 3 on 2 TaskManagers are free");
    }

    fn any_offers() -> impl Strategy<Value = BTreeMap<TaskManagerId, Offer>> {
        let offer = proptest::collection::vec(any::<bool>(), 1..6).prop_map(|free| Offer {
            total: free.len() as u32,
            free: (0..)
                .map(SlotIndex)
                .zip(&free)
                .filter(|(_, free)| **free)
                .map(|(index, _)| index)
                .collect(),
        });
        proptest::collection::vec(offer, 0..6)
            .prop_map(|offers| offers.into_iter().enumerate().map(|(n, offer)| (manager(n), offer)).collect())
    }

    fn any_previous() -> impl Strategy<Value = Vec<Slot>> {
        proptest::collection::btree_set((0..7usize, 0..6u32), 0..8)
            .prop_map(|slots| {
                slots
                    .into_iter()
                    .map(|(n, index)| Slot { manager: manager(n), index: SlotIndex(index) })
                    .collect()
            })
            .prop_shuffle()
    }

    fn host_of(manager: &TaskManagerId) -> String {
        let n: usize = manager.as_str().trim_start_matches("tm-").parse().expect("a number");
        format!("host {}", n % 3)
    }

    fn is_full(offers: &BTreeMap<TaskManagerId, Offer>, placement: &[Slot], id: &TaskManagerId) -> bool {
        let taken = placement.iter().filter(|slot| slot.manager == *id).count();
        offers.get(id).is_none_or(|offer| offer.free.len() == taken)
    }

    fn is_free(offers: &BTreeMap<TaskManagerId, Offer>, slot: &Slot) -> bool {
        offers.get(&slot.manager).is_some_and(|offer| offer.free.contains(&slot.index))
    }

    proptest! {
        #[test]
        fn wanted_properties_hold(
            offers in any_offers(),
            previous in any_previous(),
            needed in 1..12u32,
            even in any::<bool>(),
        ) {
            let spread = if even { Spread::Even } else { Spread::Fill };
            let free: usize = offers.values().map(|offer| offer.free.len()).sum();
            let hosts: BTreeMap<_, _> = (offers.keys().enumerate())
                .map(|(n, id)| (id.clone(), format!("host {}", n % 3)))
                .collect();
            let before: Vec<_> = previous.iter().map(|slot| host_of(&slot.manager)).collect();
            let problem =
                Problem { needed, offers: offers.clone(), previous: Previous { slots: &previous, hosts: &before }, hosts, spread };
            let solution = solve(problem.clone());
            prop_assert_eq!(solution.is_ok(), free >= needed as usize, "all or nothing");
            let Ok(placement) = solution else { return Ok(()) };
            prop_assert_eq!(placement.len(), needed as usize);

            let distinct: BTreeSet<_> = placement.iter().collect();
            prop_assert_eq!(distinct.len(), placement.len(), "exclusive");
            prop_assert!(placement.iter().all(|slot| is_free(&offers, slot)));

            let mut fresh = Vec::new();
            for (index, slot) in placement.iter().enumerate() {
                match previous.get(index) {
                    Some(before) if is_free(&offers, before) => prop_assert_eq!(slot, before, "sticky"),
                    // To its own TaskManager, or its host's, where that has a slot left.
                    Some(before) if slot.manager == before.manager => {}
                    Some(before) if host_of(&slot.manager) == host_of(&before.manager) => {
                        prop_assert!(is_full(&offers, &placement, &before.manager), "its TaskManager has room");
                    }
                    Some(before) => {
                        let mut near = offers.keys().filter(|id| host_of(id) == host_of(&before.manager));
                        prop_assert!(near.all(|id| is_full(&offers, &placement, id)), "its host has room");
                        fresh.push(slot);
                    }
                    None => fresh.push(slot),
                }
            }
            check_spread(&offers, &placement, &fresh, spread)?;
            prop_assert_eq!(solve(problem), Ok(placement), "deterministic");
        }
    }

    fn check_spread(
        offers: &BTreeMap<TaskManagerId, Offer>,
        placement: &[Slot],
        fresh: &[&Slot],
        spread: Spread,
    ) -> Result<(), TestCaseError> {
        let taken = |id: &TaskManagerId| placement.iter().filter(|slot| slot.manager == *id).count() as u32;
        let used_after = |id: &TaskManagerId, offer: &Offer| offer.used() + taken(id);
        let picked: BTreeSet<_> = fresh.iter().map(|slot| &slot.manager).collect();
        match spread {
            Spread::Even => {
                for from in &picked {
                    for (to, target) in
                        offers.iter().filter(|(to, target)| used_after(to, target) < target.total)
                    {
                        let source = &offers[*from];
                        let before = u64::from(used_after(from, source)) * u64::from(target.total);
                        let after = u64::from(used_after(to, target) + 1) * u64::from(source.total);
                        prop_assert!(
                            *from == to || after >= before,
                            "moving a slot from {} to {} helps",
                            from,
                            to
                        );
                    }
                }
            }
            Spread::Fill => {
                let partly = picked.iter().filter(|id| used_after(id, &offers[**id]) < offers[**id].total);
                prop_assert!(partly.count() <= 1, "more than one TaskManager was opened and not filled");
            }
        }
        Ok(())
    }
}
