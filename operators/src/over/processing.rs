//! Running aggregates in processing time: each row is answered as it comes, nothing waits.

use std::sync::Arc;

use arrow::array::ArrayRef;
use arrow::datatypes::SchemaRef;
use weir_api::batch::Batch;
use weir_api::error::{Error, Result};
use weir_api::operator::{Operator, OperatorContext, Progress};
use weir_api::output::Output;
use weir_api::state::{Frozen, KeyedState, Scope, StateTable};

use super::plan::{Plan, column, refuse_changes};
use super::restored::migrated;
use super::table::{Rows, Table, check_limit};
use crate::calc::batch_of;

/// Name of the accumulators' state.
pub(super) const ACCUMULATORS: &str = "accumulators";

/// See the module.
pub(super) struct ProcessingTime {
    plan: Plan,
    table: Table,
    context: Option<OperatorContext>,
}

impl ProcessingTime {
    pub(super) fn new(plan: Plan) -> Result<Self> {
        Ok(Self { table: Table::new(&plan)?, plan, context: None })
    }
}

pub(super) fn opened(context: Option<&OperatorContext>) -> Result<&OperatorContext> {
    context.ok_or_else(|| Error::internal("an operator that isn't open"))
}

impl Operator for ProcessingTime {
    fn output_schema(&self) -> Option<SchemaRef> {
        Some(Arc::clone(&self.plan.output))
    }

    fn open(&mut self, context: &OperatorContext) -> Result<()> {
        self.context = Some(context.clone());
        Ok(())
    }

    fn process(&mut self, _input: u32, batch: Batch, out: &mut Output) -> Result<Progress> {
        let plan = &self.plan;
        let named = |error: Error| error.context(format_args!("operator '{}'", plan.name));
        refuse_changes(&plan.name, &batch)?;
        let context = opened(self.context.as_ref())?;
        // The clock is read only where it matters.
        let now = if plan.ttl_millis.is_some() { context.clock.unix_millis() } else { 0 };
        let records = batch.records();
        let rows = Rows::of(plan, records, |column| column)?;
        let results = self.table.run(plan, &rows, now).map_err(named)?;
        let kept = plan.kept.iter().map(|&index| column(records, index).cloned());
        let columns: Vec<ArrayRef> = kept.chain(results.into_iter().map(Ok)).collect::<Result<_>>()?;
        let answered = batch_of(Arc::clone(&plan.output), columns, rows.count).map_err(named)?;
        out.push(batch.derive(answered));
        check_limit(&plan.name, self.table.size_bytes(), context.state_limit_bytes)?;
        Ok(Progress::Done)
    }

    fn keyed_state(&mut self) -> Option<&mut dyn KeyedState> {
        Some(self)
    }
}

impl KeyedState for ProcessingTime {
    fn freeze(&mut self, scope: Scope) -> Result<Box<dyn Frozen>> {
        let context = opened(self.context.as_ref())?;
        let (now, groups) = (context.clock.unix_millis(), context.key_groups);
        Ok(Box::new(self.table.freeze(ACCUMULATORS, scope, now, groups, context.max_parallelism)?))
    }

    fn import(&mut self, table: &StateTable) -> Result<()> {
        if table.name != ACCUMULATORS {
            return Err(unknown(&self.plan.name, &table.name));
        }
        let now = opened(self.context.as_ref())?.clock.unix_millis();
        let keys = 1 + self.plan.keys.len();
        for batch in &table.batches {
            let batch = migrated(&self.plan.name, &table.name, batch, self.table.schema(), keys)?;
            self.table.import(&self.plan, &batch, now)?;
        }
        Ok(())
    }

    fn size_bytes(&self) -> u64 {
        self.table.size_bytes() as u64
    }
}

/// A state that the operator doesn't have.
pub(super) fn unknown(operator: &str, state: &str) -> Error {
    super::restored::misfit(operator, &format!("a state '{state}', which it doesn't have"))
}
