//! Running `MIN`, `MAX`, `FIRST_VALUE` and `LAST_VALUE` of strings and bytes, in byte order, which for UTF-8 is the order of code points.
//!
//! The values lie in a log; replaced ones are garbage there until it is half of the log, which is then written anew.

use arrow::array::{Array, ArrayRef};
use arrow::buffer::BooleanBuffer;
use arrow::datatypes::DataType;
use weir_api::error::{Error, Result};
use weir_api::state::byte_log::{ByteLog, FrozenBytes, Span};
use weir_api::state::chunks::{Chunks, FrozenChunks};
use weir_proto::v1::aggregate_call::Function;

use super::super::{Ids, one_column};
use super::{FrozenStates, Running, active};
use crate::column::{for_each_bytes, from_bytes};

/// Garbage below this is left alone.
const LEAST_GARBAGE: usize = 1 << 20;

/// See the module.
pub(super) struct BytesPick {
    function: Function,
    data_type: DataType,
    states: Chunks<Picked>,
    log: ByteLog,
    /// Bytes of the log that no state names.
    garbage: usize,
    live: usize,
}

/// A string, if there is one.
#[derive(Clone, Copy, Default)]
struct Picked {
    span: Span,
    seen: bool,
}

struct Frozen {
    data_type: DataType,
    states: FrozenChunks<Picked>,
    bytes: FrozenBytes,
}

impl BytesPick {
    pub(super) fn new(function: Function, data_type: DataType) -> Self {
        let (states, log) = (Chunks::default(), ByteLog::default());
        Self { function, data_type, states, log, garbage: 0, live: 0 }
    }

    fn offer(&mut self, id: usize, value: &[u8]) {
        let state = self.states.get(id);
        let better = !state.seen
            || match self.function {
                Function::Min => value < self.log.get(state.span),
                Function::Max => value > self.log.get(state.span),
                Function::FirstValue => false,
                _ => true,
            };
        if better {
            self.put(id, Some(value));
        }
    }

    fn put(&mut self, id: usize, value: Option<&[u8]>) {
        let old = self.states.get(id);
        // What a row before of this batch said may be read still, so nothing is overwritten.
        let new = match value {
            Some(value) => Picked { span: self.log.push(value), seen: true },
            None => Picked::default(),
        };
        self.garbage += old.span.len();
        self.live = self.live + new.span.len() - old.span.len();
        *self.states.slot(id) = new;
    }

    fn compact(&mut self) {
        if self.garbage < LEAST_GARBAGE.max(self.live) {
            return;
        }
        let mut log = ByteLog::default();
        for id in 0..self.states.len() {
            let state = self.states.get(id);
            if !state.span.is_empty() {
                self.states.slot(id).span = log.push(self.log.get(state.span));
            }
        }
        self.log = log;
        self.garbage = 0;
    }
}

impl Running for BytesPick {
    fn resize(&mut self, keys: usize) {
        self.states.resize(keys);
    }

    fn step(
        &mut self,
        argument: Option<&ArrayRef>,
        mask: Option<&BooleanBuffer>,
        ids: Ids,
        data_type: &DataType,
    ) -> Result<ArrayRef> {
        let argument = argument.ok_or_else(|| Error::internal("a picked value without an argument"))?;
        let active = active(Some(argument), mask);
        let mut after: Vec<Picked> = Vec::with_capacity(argument.len());
        let mut row = 0;
        for_each_bytes(argument, |value| {
            let id = ids.of(row);
            if let Some(value) = value.filter(|_| active.as_ref().is_none_or(|active| active.value(row))) {
                self.offer(id, value);
            }
            after.push(self.states.get(id));
            row += 1;
        })?;
        let results =
            from_bytes(data_type, after.iter().map(|state| state.seen.then(|| self.log.get(state.span))))?;
        self.compact();
        Ok(results)
    }

    fn set(&mut self, partial: &[ArrayRef], ids: &[u32]) -> Result<()> {
        let mut ids = ids.iter();
        for_each_bytes(one_column(partial, &self.data_type)?, |value| {
            if let Some(&id) = ids.next() {
                self.put(id as usize, value);
            }
        })?;
        self.compact();
        Ok(())
    }

    fn reset(&mut self, id: u32) {
        self.put(id as usize, None);
    }

    fn freeze(&mut self) -> Box<dyn FrozenStates> {
        let (states, bytes) = (self.states.freeze(), self.log.freeze());
        Box::new(Frozen { data_type: self.data_type.clone(), states, bytes })
    }

    fn size_bytes(&self) -> usize {
        self.states.size_bytes() + self.log.size_bytes()
    }
}

impl FrozenStates for Frozen {
    fn partial(&self, ids: &[u32]) -> Result<Vec<ArrayRef>> {
        let states = self.states.gather(ids);
        let values = states.iter().map(|state| state.seen.then(|| self.bytes.get(state.span)));
        Ok(vec![from_bytes(&self.data_type, values)?])
    }
}
