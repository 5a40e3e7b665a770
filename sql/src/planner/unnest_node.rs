//! An UNNEST in a logical plan: its input's columns, then those of the elements, then their number.
//!
//! Elements that are ROWs become their fields, those of a MAP key and value. It tells DataFusion's rules what they may do:
//! predicates on the input's own columns pass below it, columns that nobody reads are pruned through it, its own columns stay.

use std::cmp::Ordering;
use std::collections::HashSet;
use std::fmt;
use std::hash::{Hash, Hasher};
use std::sync::Arc;

use datafusion::arrow::datatypes::{DataType, Field, FieldRef};
use datafusion::common::{DFSchema, DFSchemaRef, Result, TableReference, plan_err};
use datafusion::logical_expr::{Expr, ExprSchemable, LogicalPlan, UserDefinedLogicalNodeCore};

use super::names::expression_text;
use crate::types::flink_type_name;

/// The node.
#[derive(Clone, Debug)]
pub(super) struct UnnestNode {
    /// What is read.
    pub input: LogicalPlan,
    /// The array or map, over the input's columns.
    pub collection: Expr,
    /// Whether rows without elements are kept.
    pub outer: bool,
    /// Whether elements are numbered.
    pub with_ordinality: bool,
    /// What is written behind UNNEST.
    pub alias: Option<TableReference>,
    /// New names for its own columns; empty keeps theirs.
    pub names: Vec<String>,
    /// All columns.
    pub schema: DFSchemaRef,
}

impl UnnestNode {
    /// The elements of `collection` beside the rows of `input`.
    pub fn try_new(
        input: LogicalPlan,
        collection: Expr,
        (outer, with_ordinality): (bool, bool),
        alias: Option<TableReference>,
        names: Vec<String>,
    ) -> Result<Self> {
        let data_type = collection.get_type(input.schema())?;
        let Some(mut own) = element_fields(&data_type) else {
            return plan_err!(
                "UNNEST takes an ARRAY or a MAP, and '{}' is {}",
                expression_text(&collection),
                flink_type_name(&data_type, true)
            );
        };
        if with_ordinality {
            own.push(Field::new("ORDINALITY", DataType::Int32, false));
        }
        if !names.is_empty() && names.len() != own.len() {
            return plan_err!(
                "UNNEST yields {} columns ({}), but {} are named",
                own.len(),
                own.iter()
                    .map(|field| format!("{} {}", field.name(), flink_type_name(field.data_type(), true)))
                    .collect::<Vec<_>>()
                    .join(", "),
                names.len()
            );
        }
        let mut fields: Vec<(Option<TableReference>, FieldRef)> =
            input.schema().iter().map(|(qualifier, field)| (qualifier.cloned(), field.clone())).collect();
        for (index, field) in own.into_iter().enumerate() {
            let name = names.get(index).unwrap_or_else(|| field.name());
            let nullable = field.is_nullable() || outer;
            let field = Field::new(name, field.data_type().clone(), nullable);
            fields.push((alias.clone(), Arc::new(field)));
        }
        let schema = DFSchema::new_with_metadata(fields, input.schema().metadata().clone())?;
        Ok(Self { input, collection, outer, with_ordinality, alias, names, schema: Arc::new(schema) })
    }

    /// How many of the columns are its own.
    pub fn own_width(&self) -> usize {
        self.schema.fields().len() - self.input.schema().fields().len()
    }
}

/// The columns of an element; `None` for what isn't a collection.
pub(super) fn element_fields(collection: &DataType) -> Option<Vec<Field>> {
    match collection {
        DataType::List(element) => Some(match element.data_type() {
            DataType::Struct(fields) => fields
                .iter()
                .map(|field| {
                    let nullable = field.is_nullable() || element.is_nullable();
                    Field::new(field.name(), field.data_type().clone(), nullable)
                })
                .collect(),
            other => vec![Field::new("EXPR$0", other.clone(), element.is_nullable())],
        }),
        DataType::Map(entries, _) => match entries.data_type() {
            DataType::Struct(fields) => match fields.as_ref() {
                [key, value] => Some(vec![
                    Field::new("KEY", key.data_type().clone(), key.is_nullable()),
                    Field::new("VALUE", value.data_type().clone(), value.is_nullable()),
                ]),
                _ => None,
            },
            _ => None,
        },
        _ => None,
    }
}

impl PartialEq for UnnestNode {
    fn eq(&self, other: &Self) -> bool {
        self.input == other.input
            && self.collection == other.collection
            && (self.outer, self.with_ordinality) == (other.outer, other.with_ordinality)
            && self.alias == other.alias
            && self.names == other.names
    }
}

impl Eq for UnnestNode {}

impl Hash for UnnestNode {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.collection.hash(state);
        self.input.hash(state);
    }
}

impl PartialOrd for UnnestNode {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        (self == other).then_some(Ordering::Equal)
    }
}

impl UserDefinedLogicalNodeCore for UnnestNode {
    fn name(&self) -> &str {
        "Unnest"
    }

    fn inputs(&self) -> Vec<&LogicalPlan> {
        vec![&self.input]
    }

    fn schema(&self) -> &DFSchemaRef {
        &self.schema
    }

    fn expressions(&self) -> Vec<Expr> {
        vec![self.collection.clone()]
    }

    fn prevent_predicate_push_down_columns(&self) -> HashSet<String> {
        let fields = self.schema.fields();
        fields.iter().skip(fields.len() - self.own_width()).map(|field| field.name().clone()).collect()
    }

    fn fmt_for_explain(&self, f: &mut fmt::Formatter) -> fmt::Result {
        let outer = if self.outer { ", outer" } else { "" };
        let ordinality = if self.with_ordinality { ", with ordinality" } else { "" };
        write!(f, "Unnest: {}{outer}{ordinality}", self.collection)
    }

    fn with_exprs_and_inputs(&self, expressions: Vec<Expr>, inputs: Vec<LogicalPlan>) -> Result<Self> {
        match (<[Expr; 1]>::try_from(expressions), <[LogicalPlan; 1]>::try_from(inputs)) {
            (Ok([collection]), Ok([input])) => Self::try_new(
                input,
                collection,
                (self.outer, self.with_ordinality),
                self.alias.clone(),
                self.names.clone(),
            ),
            _ => plan_err!("an UNNEST has one collection and one input"),
        }
    }

    fn necessary_children_exprs(&self, output_columns: &[usize]) -> Option<Vec<Vec<usize>>> {
        // The collection's columns are added by the rule itself, from `expressions`.
        let width = self.input.schema().fields().len();
        Some(vec![output_columns.iter().copied().filter(|column| *column < width).collect()])
    }
}
