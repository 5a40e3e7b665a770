//! Passes its input on: the head of a vertex that only merges inputs.

use arrow::datatypes::SchemaRef;
use weir_api::batch::Batch;
use weir_api::error::Result;
use weir_api::operator::{Operator, Progress};
use weir_api::output::Output;

use crate::calc::{batch_of, derive};

/// See the module.
pub(crate) struct Union {
    schema: SchemaRef,
}

impl Union {
    pub(crate) const fn new(schema: SchemaRef) -> Self {
        Self { schema }
    }
}

impl Operator for Union {
    fn output_schema(&self) -> Option<SchemaRef> {
        Some(SchemaRef::clone(&self.schema))
    }

    fn process(&mut self, _input: u32, batch: Batch, out: &mut Output) -> Result<Progress> {
        let fits = batch.records().schema_ref() == &self.schema;
        // Tables that are united may name their columns differently.
        out.push(if fits { batch } else { rename(&batch, &self.schema)? });
        Ok(Progress::Done)
    }
}

fn rename(batch: &Batch, schema: &SchemaRef) -> Result<Batch> {
    let records = batch.records();
    let renamed = batch_of(SchemaRef::clone(schema), records.columns().to_vec(), records.num_rows())?;
    derive(batch, renamed, None)
}
