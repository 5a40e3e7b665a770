//! The columns that each kind of node emits: names, types, and what they mean for event time.

use datafusion::arrow::datatypes::{DataType, Field, FieldRef, TimeUnit};
use datafusion::common::DFSchema;
use datafusion::logical_expr::{Expr, ExprSchemable};
use weir_api::error::{Error, Result};
use weir_api::graph::{aggregate_result_type, is_never_null};
use weir_api::side_output;

use super::expressions::physical;
use super::stream::{
    Aggregate, Calc, Call, Kind, Node, NodeId, Over, Property, Role, Scan, Side, Span, StreamPlan, Unnest,
    WindowTable, internal,
};
use super::unnest_node::element_fields;
use super::window_node::WINDOW_COLUMNS;

impl StreamPlan {
    /// The columns of the node `id` of this kind over these inputs, and their roles.
    pub(super) fn columns_of(
        &self,
        id: NodeId,
        kind: &Kind,
        inputs: &[NodeId],
    ) -> Result<(Vec<Field>, Vec<Role>)> {
        let input = || -> Result<&Node> {
            match inputs {
                [input] => self.node(*input),
                _ => Err(Error::internal("a node with several inputs where one belongs")),
            }
        };
        match kind {
            Kind::Scan(scan) => Ok(scan_columns(scan)),
            Kind::Calc(calc) => calc_columns(calc, input()?),
            Kind::Window(window) => window_columns(id, window, input()?),
            Kind::Unnest(unnest) => unnest_columns(unnest, input()?),
            Kind::Aggregate(aggregate) => aggregate_columns(id, aggregate, input()?),
            Kind::Over(over) => over_columns(over, input()?),
            Kind::Union => self.union_columns(id, inputs),
            Kind::Sink(_) => Ok((Vec::new(), Vec::new())),
            Kind::Side(side) => Ok(side_columns(*side)),
        }
    }

    fn union_columns(&self, id: NodeId, inputs: &[NodeId]) -> Result<(Vec<Field>, Vec<Role>)> {
        let first = inputs.first().ok_or_else(|| Error::internal("a union of nothing"))?;
        let first = self.node(*first)?;
        let mut fields: Vec<Field> =
            first.schema.fields().iter().map(|field| field.as_ref().clone()).collect();
        let mut roles: Vec<Role> = first.roles.iter().map(|role| own_window(*role, id)).collect();
        for input in inputs {
            let input = self.node(*input)?;
            if input.schema.fields().len() != fields.len() {
                return Err(Error::internal("a union of inputs with different columns"));
            }
            for (index, (field, role)) in fields.iter_mut().zip(&mut roles).enumerate() {
                let other = input.schema.field(index);
                if other.data_type() != field.data_type() || other.name() != field.name() {
                    return Err(Error::internal(format!("a union of '{field}' and '{other}'")));
                }
                *field = field.clone().with_nullable(field.is_nullable() || other.is_nullable());
                if input.roles.get(index).map(|role| own_window(*role, id)) != Some(*role) {
                    *role = Role::Plain;
                }
            }
        }
        Ok((fields, roles))
    }
}

/// The role of a column that several nodes have made, in the node that brings them together.
const fn own_window(role: Role, id: NodeId) -> Role {
    match role {
        Role::WindowStart(_) => Role::WindowStart(id),
        Role::WindowEnd(_) => Role::WindowEnd(id),
        Role::WindowTime(_) => Role::WindowTime(id),
        other => other,
    }
}

fn scan_columns(scan: &Scan) -> (Vec<Field>, Vec<Role>) {
    let time = scan.table.watermark.as_ref().map(|watermark| watermark.column.as_str());
    let role =
        |field: &FieldRef| if Some(field.name().as_str()) == time { Role::Rowtime } else { Role::Plain };
    let roles = scan.fields.iter().map(role).collect();
    let fields =
        scan.fields.iter().map(|field| field.as_ref().clone().with_metadata(Default::default())).collect();
    (fields, roles)
}

fn side_columns(side: Side) -> (Vec<Field>, Vec<Role>) {
    let schema = match side {
        Side::DeadLetters => side_output::dead_letters(),
        Side::LateRows => side_output::late_rows(),
    };
    let fields: Vec<Field> = schema.fields().iter().map(|field| field.as_ref().clone()).collect();
    let roles = vec![Role::Plain; fields.len()];
    (fields, roles)
}

fn calc_columns(calc: &Calc, input: &Node) -> Result<(Vec<Field>, Vec<Role>)> {
    let schema = DFSchema::try_from(input.schema.clone()).map_err(|error| internal(&error))?;
    let mut fields = Vec::with_capacity(calc.projection.len());
    let mut roles = Vec::with_capacity(calc.projection.len());
    for item in &calc.projection {
        let (_, field) = item.expression.to_field(&schema).map_err(|error| internal(&error))?;
        // Operators refuse a NULL in a column that has none, so the more careful of DataFusion's two opinions counts.
        let evaluated = physical(&item.expression, &input.schema)?;
        let nullable =
            field.is_nullable() || evaluated.nullable(&input.schema).map_err(|error| internal(&error))?;
        fields.push(Field::new(&item.name, field.data_type().clone(), nullable));
        roles.push(match item.plain() {
            Some(column) => input.role(column),
            None if item.rowtime => Role::Rowtime,
            None if is_proctime(&item.expression) => Role::Proctime,
            None => Role::Plain,
        });
    }
    Ok((fields, roles))
}

/// Whether the expression is the processing time itself.
fn is_proctime(expression: &Expr) -> bool {
    matches!(expression, Expr::ScalarFunction(call) if call.func.name() == "proctime")
}

fn over_columns(over: &Over, input: &Node) -> Result<(Vec<Field>, Vec<Role>)> {
    let mut fields = Vec::new();
    let mut roles = Vec::new();
    for name in &over.kept {
        fields.push(input.schema.field_with_name(name)?.clone().with_metadata(Default::default()));
        roles.push(input.role(name));
    }
    for call in &over.calls {
        fields.push(call_field(call, input)?);
        roles.push(Role::Plain);
    }
    Ok((fields, roles))
}

/// The column of an aggregate function's results.
fn call_field(call: &Call, input: &Node) -> Result<Field> {
    let argument = call.argument.as_ref().map(|name| input.schema.field_with_name(name)).transpose()?;
    let data_type = aggregate_result_type(call.function, argument.map(Field::data_type))?;
    Ok(Field::new(&call.name, data_type, !is_never_null(call.function)))
}

fn window_columns(id: NodeId, window: &WindowTable, input: &Node) -> Result<(Vec<Field>, Vec<Role>)> {
    let data_type = window_type(input, &window.time)?;
    let mut fields: Vec<Field> = input
        .schema
        .fields()
        .iter()
        .map(|field| field.as_ref().clone().with_metadata(Default::default()))
        .collect();
    let mut roles = input.roles.clone();
    for (name, role) in
        WINDOW_COLUMNS.into_iter().zip([Role::WindowStart(id), Role::WindowEnd(id), Role::WindowTime(id)])
    {
        fields.push(Field::new(name, data_type.clone(), false));
        roles.push(role);
    }
    Ok((fields, roles))
}

fn unnest_columns(unnest: &Unnest, input: &Node) -> Result<(Vec<Field>, Vec<Role>)> {
    let mut fields = Vec::new();
    let mut roles = Vec::new();
    for name in &unnest.kept {
        fields.push(input.schema.field_with_name(name)?.clone().with_metadata(Default::default()));
        roles.push(input.role(name));
    }
    let collection = input.schema.field_with_name(&unnest.collection)?;
    let of_element = element_fields(collection.data_type())
        .ok_or_else(|| Error::internal(format!("an UNNEST of '{collection}'")))?;
    for (position, name) in &unnest.elements {
        let field = of_element
            .get(*position)
            .ok_or_else(|| Error::internal(format!("an element without a column {position}")))?;
        fields.push(Field::new(name, field.data_type().clone(), field.is_nullable() || unnest.outer));
        roles.push(Role::Plain);
    }
    if let Some(name) = &unnest.ordinality {
        fields.push(Field::new(name, DataType::Int32, unnest.outer));
        roles.push(Role::Plain);
    }
    Ok((fields, roles))
}

/// The type of window columns: milliseconds, in the time column's zone.
fn window_type(input: &Node, time: &str) -> Result<DataType> {
    match input.schema.field_with_name(time)?.data_type() {
        DataType::Timestamp(_, zone) => Ok(DataType::Timestamp(TimeUnit::Millisecond, zone.clone())),
        other => Err(Error::internal(format!("the time column {time} is a {other}"))),
    }
}

fn aggregate_columns(id: NodeId, aggregate: &Aggregate, input: &Node) -> Result<(Vec<Field>, Vec<Role>)> {
    let mut fields = Vec::new();
    let mut roles = Vec::new();
    for key in &aggregate.keys {
        let field = input.schema.field_with_name(key)?;
        fields.push(field.clone().with_metadata(Default::default()));
        // A key of a group is a value that came once, not the time of the group's row.
        roles.push(Role::Plain);
    }
    for call in &aggregate.calls {
        fields.push(call_field(call, input)?);
        roles.push(Role::Plain);
    }
    for (property, name) in &aggregate.properties {
        let data_type = match &aggregate.span {
            Span::Window { time, .. } => window_type(input, time)?,
            Span::Attached { end, .. } => window_type(input, end)?,
            Span::EndOfInput => {
                return Err(Error::internal("window columns of an aggregation without a window"));
            }
        };
        fields.push(Field::new(name, data_type, false));
        roles.push(match property {
            Property::Start => Role::WindowStart(id),
            Property::End => Role::WindowEnd(id),
            Property::Time => Role::WindowTime(id),
        });
    }
    Ok((fields, roles))
}
