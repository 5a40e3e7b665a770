//! Nodes as the messages that operators are made from.

use datafusion::arrow::datatypes::{Schema, SchemaRef};
use datafusion::common::DFSchema;
use weir_api::error::{Error, Result};
use weir_api::schema;
use weir_proto::v1 as proto;
use weir_proto::v1::over_aggregate_spec::Frame;
use weir_proto::v1::window::Kind as WindowMessage;
use weir_proto::v1::window_aggregate_spec::{Phase, WindowProperty};

use super::config::PlannerConfig;
use super::expressions::encode;
use super::guard::guarded;
use super::stream::{
    Aggregate, Calc, Call, EventOrder, Late, Over, Property, Scan, Span, Unnest, WindowTable, internal,
};
use crate::statement::WindowKind;

/// The spec of a source that emits `schema`.
pub(super) fn source(scan: &Scan, schema: &SchemaRef, config: &PlannerConfig) -> Result<proto::SourceSpec> {
    let watermark = match (&scan.watermark, &scan.table.watermark) {
        (Some(expression), Some(declared)) => Some(proto::WatermarkSpec {
            expression: encode(expression, schema)?,
            column: declared.column.clone(),
            idle_timeout_millis: config.idle_timeout_millis(&scan.table.spec)?,
        }),
        _ => None,
    };
    Ok(proto::SourceSpec {
        table: Some(scan.table.spec.clone()),
        projected_schema: schema::encode(schema),
        filters: scan.filters.clone(),
        watermark,
    })
}

/// The spec of a Calc over rows of `input`.
pub(super) fn calc(calc: &Calc, input: &Schema) -> Result<proto::CalcSpec> {
    let columns = DFSchema::try_from(input.clone()).map_err(|error| internal(&error))?;
    let predicate =
        calc.predicate.clone().map(|predicate| encode(&guarded(predicate, &columns), input)).transpose()?;
    let projection = calc
        .projection
        .iter()
        .map(|item| {
            let expression = encode(&item.expression, input)?;
            Ok(proto::NamedExpression { name: item.name.clone(), expression })
        })
        .collect::<Result<_>>()?;
    Ok(proto::CalcSpec { predicate: predicate.unwrap_or_default(), projection })
}

/// The spec of a window function over rows of `input`.
pub(super) fn window(window: &WindowTable, input: &Schema) -> Result<proto::WindowTableFunctionSpec> {
    Ok(proto::WindowTableFunctionSpec {
        window: Some(message_of(window.window)),
        time_column: position(input, &window.time)?,
    })
}

/// The spec of an UNNEST of rows of `input`.
pub(super) fn unnest(unnest: &Unnest, input: &Schema) -> Result<proto::UnnestSpec> {
    let element = |(element, _): &(usize, String)| {
        u32::try_from(*element).map_err(|_| Error::internal(format!("column {element} of an element")))
    };
    Ok(proto::UnnestSpec {
        collection: position(input, &unnest.collection)?,
        kept: unnest.kept.iter().map(|name| position(input, name)).collect::<Result<_>>()?,
        elements: unnest.elements.iter().map(element).collect::<Result<_>>()?,
        with_ordinality: unnest.ordinality.is_some(),
        outer: unnest.outer,
    })
}

/// The spec of one phase of an aggregation over rows of `input`; of the global phase, too, `input` is what the local one reads.
pub(super) fn aggregate(
    aggregate: &Aggregate,
    input: &SchemaRef,
    phase: Phase,
) -> Result<proto::WindowAggregateSpec> {
    let (window, time_column) = match &aggregate.span {
        Span::Window { window, time } => (message_of(*window), position(input, time)?),
        Span::Attached { start, end } => {
            let attached = proto::window::Attached {
                start_column: position(input, start)?,
                end_column: position(input, end)?,
            };
            (proto::Window { kind: Some(WindowMessage::Attached(attached)) }, 0)
        }
        Span::EndOfInput => {
            let end = proto::window::EndOfInput {};
            (proto::Window { kind: Some(WindowMessage::EndOfInput(end)) }, 0)
        }
    };
    let late = aggregate.late.as_ref().filter(|_| phase == Phase::Single);
    let property = |property: &Property| match property {
        Property::Start => WindowProperty::WindowStart,
        Property::End => WindowProperty::WindowEnd,
        Property::Time => WindowProperty::WindowTime,
    };
    Ok(proto::WindowAggregateSpec {
        phase: phase.into(),
        window: Some(window),
        time_column,
        key_columns: aggregate.keys.iter().map(|name| position(input, name)).collect::<Result<_>>()?,
        aggregates: calls(&aggregate.calls, input)?,
        properties: aggregate.properties.iter().map(|(kind, _)| property(kind).into()).collect(),
        input_schema: schema::encode(input),
        late_rows_of: late.map(|late| late.of.clone()).unwrap_or_default(),
        late_columns: late_columns(late, input)?,
    })
}

fn calls(calls: &[Call], input: &Schema) -> Result<Vec<proto::AggregateCall>> {
    let call = |call: &Call| {
        Ok(proto::AggregateCall {
            function: call.function.into(),
            arguments: call.argument.iter().map(|name| position(input, name)).collect::<Result<_>>()?,
            filter_column: call.filter.as_ref().map(|name| position(input, name)).transpose()?,
            distinct: call.distinct,
            name: call.name.clone(),
            parameters: call.parameters.clone(),
            keeps_nulls: call.keeps_nulls,
        })
    };
    calls.iter().map(call).collect()
}

fn late_columns(late: Option<&Late>, input: &Schema) -> Result<Vec<proto::LateColumn>> {
    let columns = late.map(|late| &late.columns).into_iter().flatten();
    columns
        .map(|(column, name)| Ok(proto::LateColumn { column: position(input, column)?, name: name.clone() }))
        .collect()
}

/// The spec of running aggregates over rows of `input`.
pub(super) fn over(over: &Over, input: &Schema, state_ttl_millis: u64) -> Result<proto::OverAggregateSpec> {
    let positions = |names: &[String]| names.iter().map(|name| position(input, name)).collect::<Result<_>>();
    let frame = match &over.event {
        Some(EventOrder { peers: false, .. }) => Frame::Rows,
        Some(EventOrder { peers: true, .. }) | None => Frame::Range,
    };
    let time = over.event.as_ref().map(|event| position(input, &event.time)).transpose()?;
    Ok(proto::OverAggregateSpec {
        key_columns: positions(&over.keys)?,
        time_column: time,
        frame: frame.into(),
        aggregates: calls(&over.calls, input)?,
        kept_columns: positions(&over.kept)?,
        state_ttl_millis,
        late_rows_of: over.late.as_ref().map(|late| late.of.clone()).unwrap_or_default(),
        late_columns: late_columns(over.late.as_ref(), input)?,
    })
}

fn message_of(window: WindowKind) -> proto::Window {
    let kind = match window {
        WindowKind::Tumble { size_millis, offset_millis } => {
            WindowMessage::Tumble(proto::window::Tumble { size_millis, offset_millis })
        }
        WindowKind::Hop { slide_millis, size_millis, offset_millis } => {
            WindowMessage::Hop(proto::window::Hop { slide_millis, size_millis, offset_millis })
        }
        WindowKind::Cumulate { step_millis, size_millis, offset_millis } => {
            WindowMessage::Cumulate(proto::window::Cumulate { step_millis, size_millis, offset_millis })
        }
    };
    proto::Window { kind: Some(kind) }
}

fn position(schema: &Schema, column: &str) -> Result<u32> {
    let index = schema.index_of(column)?;
    u32::try_from(index).map_err(|_| Error::internal(format!("column {index} of a schema")))
}
