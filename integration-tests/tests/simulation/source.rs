//! What a source's task does by itself: records, barriers, the end of its splits.

use std::rc::Rc;

use weir_taskmanager::protocol::checkpoint::Event;

use super::channel::Element;
use super::task::{Task, Work};
use super::world::{Happening, TaskId, World};

impl World {
    /// The next batch of a source, or a barrier.
    pub(crate) fn source_goes_on(&mut self, id: TaskId) {
        let Some(task) = self.task_mut(id) else { return };
        if task.cancelled {
            return;
        }
        if task.checkpoints.has_barrier() {
            self.tell(id, Event::Ready);
        }
        let Some(task) = self.task_mut(id) else { return };
        let takes_input = task.takes_input();
        let (from, to) = (self.swarm.pace, self.swarm.pace * 3);
        let wait = self.random.range(from, to);
        if !takes_input {
            self.after(wait, Happening::SourceGoesOn(id));
            return;
        }
        let size = 1 + self.random.below(4) as u32;
        let input = Rc::clone(&self.swarm.input);
        let Some(Task { work: Work::Source { splits, bounded, turn }, .. }) = self.task_mut(id) else {
            return;
        };
        let count = splits.len();
        let next = (0..count).map(|step| (*turn + step) % count).find(|split| !splits[*split].ended);
        let Some(split) = next.and_then(|place| splits.get_mut(place)) else {
            if *bounded {
                self.emit_everywhere(id, &Element::End);
                self.tell(id, Event::Ended { prepared: None });
            } else {
                self.after(wait + 100, Happening::SourceGoesOn(id));
            }
            return;
        };
        *turn += 1;
        let end = (split.position + size).min(input.length(split.number));
        let records: Vec<_> = (split.position..end).map(|at| input.record(split.number, at)).collect();
        split.position = end;
        split.ended = end == input.length(split.number);
        self.oracle.emitted += records.len() as u64;
        self.emit(id, &records);
        self.after(wait, Happening::SourceGoesOn(id));
    }
}
