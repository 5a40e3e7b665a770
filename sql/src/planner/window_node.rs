//! A window table function in a logical plan: its input's columns, then `window_start`, `window_end`, `window_time`.
//!
//! It tells DataFusion's rules what they may do: predicates on the input's own columns pass below it (a row is in its windows
//! whatever its other columns say), columns that nobody reads are pruned through it, but its time column and its three own
//! columns stay.

use std::cmp::Ordering;
use std::collections::HashSet;
use std::fmt;
use std::hash::{Hash, Hasher};
use std::sync::Arc;

use datafusion::arrow::datatypes::{DataType, Field, FieldRef, TimeUnit};
use datafusion::common::{DFSchema, DFSchemaRef, Result, TableReference, plan_err};
use datafusion::logical_expr::{Expr, ExprSchemable, LogicalPlan, UserDefinedLogicalNodeCore};

use crate::statement::{Position, WindowKind};

/// The columns that a window table function appends.
pub(super) const WINDOW_COLUMNS: [&str; 3] = ["window_start", "window_end", "window_time"];

/// The node. Two are equal if they compute the same; where they were written doesn't count.
#[derive(Clone, Debug)]
pub(super) struct WindowNode {
    /// Which windows.
    pub kind: WindowKind,
    /// What is read.
    pub input: LogicalPlan,
    /// The time attribute: a column of the input.
    pub time: Expr,
    /// Where the function was called.
    pub position: Position,
    schema: DFSchemaRef,
}

impl WindowNode {
    /// The function over `input`, whose columns must not be called like those that are appended.
    pub fn try_new(kind: WindowKind, input: LogicalPlan, time: Expr, position: Position) -> Result<Self> {
        let zone = match time.get_type(input.schema())? {
            DataType::Timestamp(_, zone) => zone,
            other => {
                return plan_err!("the time column {time} of {} is a {other}, not a timestamp", kind.name());
            }
        };
        let mut fields: Vec<(Option<TableReference>, FieldRef)> =
            input.schema().iter().map(|(qualifier, field)| (qualifier.cloned(), field.clone())).collect();
        for name in WINDOW_COLUMNS {
            let data_type = DataType::Timestamp(TimeUnit::Millisecond, zone.clone());
            fields.push((None, Arc::new(Field::new(name, data_type, false))));
        }
        let schema = DFSchema::new_with_metadata(fields, input.schema().metadata().clone())?;
        Ok(Self { kind, input, time, position, schema: Arc::new(schema) })
    }
}

impl PartialEq for WindowNode {
    fn eq(&self, other: &Self) -> bool {
        self.kind == other.kind && self.time == other.time && self.input == other.input
    }
}

impl Eq for WindowNode {}

impl Hash for WindowNode {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.time.hash(state);
        self.input.hash(state);
    }
}

impl PartialOrd for WindowNode {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        (self == other).then_some(Ordering::Equal)
    }
}

impl UserDefinedLogicalNodeCore for WindowNode {
    fn name(&self) -> &str {
        "WindowTableFunction"
    }

    fn inputs(&self) -> Vec<&LogicalPlan> {
        vec![&self.input]
    }

    fn schema(&self) -> &DFSchemaRef {
        &self.schema
    }

    fn expressions(&self) -> Vec<Expr> {
        vec![self.time.clone()]
    }

    fn prevent_predicate_push_down_columns(&self) -> HashSet<String> {
        WINDOW_COLUMNS.iter().map(|name| (*name).to_owned()).collect()
    }

    fn fmt_for_explain(&self, f: &mut fmt::Formatter) -> fmt::Result {
        write!(f, "WindowTableFunction: {} on {}", WindowText(self.kind), self.time)
    }

    fn with_exprs_and_inputs(&self, expressions: Vec<Expr>, inputs: Vec<LogicalPlan>) -> Result<Self> {
        match (<[Expr; 1]>::try_from(expressions), <[LogicalPlan; 1]>::try_from(inputs)) {
            (Ok([time]), Ok([input])) => Self::try_new(self.kind, input, time, self.position),
            _ => plan_err!("a window table function has one time column and one input"),
        }
    }

    fn necessary_children_exprs(&self, output_columns: &[usize]) -> Option<Vec<Vec<usize>>> {
        // The time column is added by the rule itself, from `expressions`.
        let width = self.input.schema().fields().len();
        Some(vec![output_columns.iter().copied().filter(|column| *column < width).collect()])
    }
}

/// A window's kind and lengths, as plans show them.
pub(super) struct WindowText(pub WindowKind);

impl fmt::Display for WindowText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let offset_millis = match self.0 {
            WindowKind::Tumble { size_millis, offset_millis } => {
                write!(f, "TUMBLE(size=[{size_millis} ms]")?;
                offset_millis
            }
            WindowKind::Hop { slide_millis, size_millis, offset_millis } => {
                write!(f, "HOP(slide=[{slide_millis} ms], size=[{size_millis} ms]")?;
                offset_millis
            }
            WindowKind::Cumulate { step_millis, size_millis, offset_millis } => {
                write!(f, "CUMULATE(max_size=[{size_millis} ms], step=[{step_millis} ms]")?;
                offset_millis
            }
        };
        match offset_millis {
            0 => f.write_str(")"),
            offset => write!(f, ", offset=[{offset} ms])"),
        }
    }
}
