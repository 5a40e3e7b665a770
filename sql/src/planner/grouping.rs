//! The parts of an aggregation while it is lowered: groups, aggregate functions, the columns that they read.
//!
//! Invariant: an aggregate function is named by what it does, and no two columns of an aggregation have one name.

use datafusion::arrow::array::Array;
use datafusion::arrow::datatypes::Schema;
use datafusion::common::{DFSchema, ScalarValue};
use datafusion::logical_expr::expr::{AggregateFunction, NullTreatment};
use datafusion::logical_expr::utils::conjunction;
use datafusion::logical_expr::{Case, Expr, ExprSchemable, lit};
use weir_api::error::{Code, Error};
use weir_functions::registry;
use weir_proto::v1::Literal;
use weir_proto::v1::aggregate_call::Function;

use super::functions::function_of;
use super::lower::resolve;
use super::predicates::literal_of;
use super::stream::{Call, Item, NodeId, Property, Role};
use crate::error::{SqlError, SqlResult};

/// The aggregate functions, and under which names their results go on.
#[derive(Default)]
pub(super) struct Outputs {
    pub calls: Vec<Call>,
    /// The results under the names that the query gives them.
    pub items: Vec<Item>,
}

impl Outputs {
    /// Calls are named by what they do, not as the query calls their results: state survives another alias.
    pub fn add(&mut self, call: Call, name: &str) {
        let column = match self.calls.iter().find(|known| known.does_the_same(&call)) {
            Some(known) => known.name.clone(),
            None => {
                let column = call.name.clone();
                self.calls.push(call);
                column
            }
        };
        self.items.push(Item::renamed(&column, name));
    }

    /// Gives calls that are named like a key another name.
    pub fn avoid(&mut self, keys: &[String]) {
        for call in &mut self.calls {
            let old = call.name.clone();
            while keys.contains(&call.name) {
                call.name.push('$');
            }
            for item in self.items.iter_mut().filter(|item| old != call.name && item.plain() == Some(&old)) {
                *item = Item::renamed(&call.name, &item.name);
            }
        }
    }
}

/// One expression of GROUP BY.
pub(super) struct Group {
    pub name: String,
    pub expression: Expr,
    pub role: Role,
}

impl Group {
    /// Which column of `window` it is.
    pub fn property(&self, window: NodeId) -> Option<Property> {
        property_of(self.role, window)
    }
}

/// Which column of `window` a role says.
pub(super) fn property_of(role: Role, window: NodeId) -> Option<Property> {
    match role {
        Role::WindowStart(of) if of == window => Some(Property::Start),
        Role::WindowEnd(of) if of == window => Some(Property::End),
        Role::WindowTime(of) if of == window => Some(Property::Time),
        _ => None,
    }
}

/// The window that is grouped by its start and its end.
pub(super) fn windowed_by(groups: &[Group]) -> Option<NodeId> {
    let has = |window, property| groups.iter().any(|group| group.property(window) == Some(property));
    groups
        .iter()
        .filter_map(|group| group.role.window())
        .find(|window| has(*window, Property::Start) && has(*window, Property::End))
}

/// The Calc before an aggregation: its columns so far.
#[derive(Default)]
pub(super) struct Before {
    pub items: Vec<Item>,
}

impl Before {
    /// The columns, those that are only passed on in the order of `input`, so that reading them all needs no Calc.
    pub fn into_items(mut self, input: &Schema) -> Vec<Item> {
        self.items.sort_by_key(|item| {
            item.plain().and_then(|name| input.index_of(name).ok()).unwrap_or(usize::MAX)
        });
        self.items
    }

    /// The name of the column that holds `expression`, which is added if there is none.
    pub fn column(&mut self, expression: Expr, name: &str) -> String {
        if let Some(item) = self.items.iter().find(|item| item.expression == expression) {
            return item.name.clone();
        }
        let mut free = match &expression {
            Expr::Column(column) => column.name.clone(),
            _ => name.to_owned(),
        };
        let taken = |name: &str| self.items.iter().any(|item| item.name == name);
        let mut number = 0;
        while taken(&free) {
            free = format!("{name}${number}");
            number += 1;
        }
        self.items.push(Item::new(&free, expression));
        free
    }

    pub fn call(&mut self, expression: &Expr, schema: &DFSchema) -> SqlResult<Call> {
        let AggregateFunction { func, params } = match expression {
            Expr::AggregateFunction(call) => call,
            Expr::Alias(alias) => return self.call(&alias.expr, schema),
            other => {
                return Err(Error::internal(format!("'{other}' where an aggregate function belongs")).into());
            }
        };
        let shown = func.name().to_uppercase();
        let types =
            params.args.iter().map(|argument| argument.get_type(schema)).collect::<Result<Vec<_>, _>>();
        let types = types.map_err(|error| Error::internal(error.strip_backtrace()))?;
        let function = function_of(func, &types).ok_or_else(|| {
            SqlError::new(Code::Unsupported, format!("the aggregate function {shown} isn't supported"))
        })?;
        let respects = params.null_treatment == Some(NullTreatment::RespectNulls);
        if !params.order_by.is_empty() || (respects && function != Function::ArrayAgg) {
            let message = format!("ORDER BY and RESPECT NULLS inside {shown} aren't supported");
            return Err(SqlError::new(Code::Unsupported, message));
        }
        let (argument, parameters) = match params.args.as_slice() {
            [argument] => (resolve(argument, schema)?, Vec::new()),
            [argument, parameter] if function != Function::Count => {
                (resolve(argument, schema)?, parameters_of(function, &shown, parameter)?)
            }
            several @ [_, _, ..] if function == Function::Count => {
                let values = several.iter().map(|value| resolve(value, schema)).collect::<SqlResult<_>>()?;
                (row_without_nulls(values)?, Vec::new())
            }
            arguments => {
                let message =
                    format!("{shown} of {} arguments isn't supported: it takes one", arguments.len());
                return Err(SqlError::new(Code::Unsupported, message));
            }
        };
        let keeps_nulls =
            function == Function::ArrayAgg && params.null_treatment != Some(NullTreatment::IgnoreNulls);
        // A count of what is never null is a count of rows.
        let counts_rows = function == Function::Count
            && !params.distinct
            && !params.args.iter().any(|argument| argument.nullable(schema).unwrap_or(true));
        let argument = (!counts_rows).then(|| self.column(argument, &format!("$arg{}", self.items.len())));
        let filter = match &params.filter {
            Some(filter) => {
                let filter = resolve(filter, schema)?;
                Some(self.column(filter, &format!("$filter{}", self.items.len())))
            }
            None => None,
        };
        // The smallest of some values is the smallest of them without repetitions.
        let distinct = params.distinct && !matches!(function, Function::Min | Function::Max);
        let name = String::new();
        Ok(Call { function, argument, parameters, filter, distinct, keeps_nulls, name }.named())
    }
}

/// The values as a row, NULL where one of them is: `COUNT(DISTINCT a, b)` counts those.
fn row_without_nulls(values: Vec<Expr>) -> SqlResult<Expr> {
    let row = registry().find("named_struct").ok_or_else(|| Error::internal("there is no named_struct"))?;
    let condition = conjunction(values.iter().map(|value| value.clone().is_not_null()));
    let fields = values.into_iter().enumerate().flat_map(|(index, value)| [lit(format!("f{index}")), value]);
    let row = row.call(fields.collect());
    Ok(Expr::Case(Case {
        expr: None,
        when_then_expr: condition.map(|condition| (Box::new(condition), Box::new(row))).into_iter().collect(),
        else_expr: None,
    }))
}

/// What stands behind the argument: a separator, a percentage, or an array of percentages.
fn parameters_of(function: Function, shown: &str, parameter: &Expr) -> SqlResult<Vec<Literal>> {
    let written_out = || {
        let message =
            format!("the second argument of {shown} must be written out, as it is the same for all rows");
        SqlError::new(Code::Unsupported, message)
    };
    let Expr::Literal(value, _) = parameter else { return Err(written_out()) };
    let values = match value {
        ScalarValue::List(list) => {
            let elements = list.value(0);
            let values = (0..elements.len()).map(|index| ScalarValue::try_from_array(&elements, index));
            values.collect::<Result<Vec<_>, _>>().map_err(|error| Error::internal(error.strip_backtrace()))?
        }
        value => vec![value.clone()],
    };
    let is_share = |value: &ScalarValue| matches!(value, ScalarValue::Float64(Some(0.0..=1.0)));
    if function != Function::Listagg && !values.iter().all(is_share) {
        let message = format!("percentages of {shown} lie between 0 and 1");
        return Err(SqlError::new(Code::SqlType, message));
    }
    let literals = values.iter().map(|value| literal_of(value).map(|value| Literal { value: Some(value) }));
    literals.collect::<Option<_>>().ok_or_else(written_out)
}

/// What a window's column is called.
pub(super) fn column_name(property: Property) -> String {
    match property {
        Property::Start => "window_start",
        Property::End => "window_end",
        Property::Time => "window_time",
    }
    .to_owned()
}
