//! From the streaming plan's nodes to operators: specs, phases, parallelism, how rows pass between them.
//!
//! Aggregations get two phases unless one of their functions is DISTINCT or their late rows are kept: local results leave the producer's task, only they
//! are shuffled. What only passes rows on keeps its input's parallelism, so that it can be chained.

use std::collections::HashMap;

use datafusion::arrow::datatypes::SchemaRef;
use weir_api::error::{Code, Error, Result};
use weir_api::graph::{Partitioning, window_aggregate_layout};
use weir_api::id::OperatorUid;
use weir_proto::v1 as proto;
use weir_proto::v1::operator_spec::Kind as Spec;
use weir_proto::v1::window_aggregate_spec::Phase;

use super::config::PlannerConfig;
use super::names;
use super::specs;
use super::stream::{Aggregate, Kind, Node, NodeId, Over, Scan, Sink, StreamPlan};
use super::uid::{NodeUid, uids_of};

/// An operator before it is chained.
pub(super) struct Operator {
    pub uid: OperatorUid,
    pub name: String,
    pub spec: Spec,
    pub schema: Option<SchemaRef>,
    pub parallelism: u32,
    /// What it reads, and how.
    pub inputs: Vec<(Port, Partitioning)>,
}

/// What an operator emits.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Port {
    /// Its position.
    pub operator: usize,
    /// Its side output, not its results.
    pub side: bool,
}

/// All operators of a plan, inputs first.
pub(super) fn operators_of(plan: &StreamPlan, config: &PlannerConfig) -> Result<Vec<Operator>> {
    let uids = uids_of(plan)?;
    let mut builder =
        Builder { plan, config, operators: Vec::new(), by_uid: HashMap::new(), outputs: Vec::new() };
    for (node, uid) in plan.nodes.iter().zip(&uids) {
        let outputs = match builder.by_uid.get(uid) {
            Some(outputs) => outputs.clone(),
            None => {
                let outputs = builder.build(node, uid)?;
                builder.by_uid.insert(uid.clone(), outputs.clone());
                outputs
            }
        };
        builder.outputs.push(outputs);
    }
    Ok(builder.operators)
}

struct Builder<'a> {
    plan: &'a StreamPlan,
    config: &'a PlannerConfig,
    operators: Vec<Operator>,
    by_uid: HashMap<NodeUid, Vec<Port>>,
    /// For each node the operators whose output is its output: several for a union.
    outputs: Vec<Vec<Port>>,
}

impl Builder<'_> {
    fn build(&mut self, node: &Node, uid: &NodeUid) -> Result<Vec<Port>> {
        let schema = Some(node.schema.clone());
        match &node.kind {
            Kind::Union => Ok(node.inputs.iter().flat_map(|input| self.outputs_of(*input)).collect()),
            Kind::Scan(scan) => {
                let spec = Spec::Source(specs::source(scan, &node.schema, self.config)?);
                let parallelism = scan_parallelism(scan, self.config)?;
                let name = names::of_scan(scan);
                self.push(Operator {
                    uid: uid.operator()?,
                    name,
                    spec,
                    schema,
                    parallelism,
                    inputs: Vec::new(),
                })
            }
            Kind::Calc(calc) => {
                let spec = Spec::Calc(specs::calc(calc, &self.input(node)?.schema)?);
                self.chained(node, uid.operator()?, names::of_calc(calc), spec, schema)
            }
            Kind::Window(window) => {
                let spec = Spec::WindowTableFunction(specs::window(window, &self.input(node)?.schema)?);
                self.chained(node, uid.operator()?, names::of_window(window), spec, schema)
            }
            Kind::Unnest(unnest) => {
                let spec = Spec::Unnest(specs::unnest(unnest, &self.input(node)?.schema)?);
                self.chained(node, uid.operator()?, names::of_unnest(unnest), spec, schema)
            }
            Kind::Aggregate(aggregate) => self.aggregate(node, aggregate, uid),
            Kind::Over(over) => self.over(node, over, uid),
            Kind::Sink(sink) => {
                let parallelism = option(&sink.spec, "sink.parallelism", self.config)?;
                let spec = Spec::Sink(proto::SinkSpec { table: Some(sink.spec.clone()) });
                self.sink(node, sink, uid, spec, parallelism)
            }
            Kind::Side(_) => {
                let ports = self.outputs_of_input(node)?;
                Ok(ports.into_iter().map(|port| Port { side: true, ..port }).collect())
            }
        }
    }

    fn aggregate(&mut self, node: &Node, aggregate: &Aggregate, uid: &NodeUid) -> Result<Vec<Port>> {
        let input = self.input(node)?.schema.clone();
        let parallelism = if aggregate.keys.is_empty() { 1 } else { self.config.parallelism };
        if aggregate.late.is_some() || aggregate.calls.iter().any(|call| call.distinct) {
            let spec = specs::aggregate(aggregate, &input, Phase::Single)?;
            let keys = spec.key_columns.iter().map(|column| *column as usize).collect();
            let inputs = self.keyed(&self.outputs_of_input(node)?, keys, parallelism);
            let name = names::of_aggregate(aggregate, "");
            let spec = Spec::WindowAggregate(spec);
            let schema = Some(node.schema.clone());
            return self.push(Operator { uid: uid.operator()?, name, spec, schema, parallelism, inputs });
        }
        let spec = specs::aggregate(aggregate, &input, Phase::Local)?;
        let partial = window_aggregate_layout(&spec, &input)?;
        let name = names::of_aggregate(aggregate, names::LOCAL);
        let local =
            self.chained(node, uid.phase("local")?, name, Spec::WindowAggregate(spec), Some(partial))?;

        let inputs = self.keyed(&local, (0..aggregate.keys.len()).collect(), parallelism);
        self.push(Operator {
            uid: uid.phase("global")?,
            name: names::of_aggregate(aggregate, names::GLOBAL),
            spec: Spec::WindowAggregate(specs::aggregate(aggregate, &input, Phase::Global)?),
            schema: Some(node.schema.clone()),
            parallelism,
            inputs,
        })
    }

    fn over(&mut self, node: &Node, over: &Over, uid: &NodeUid) -> Result<Vec<Port>> {
        let input = self.input(node)?.schema.clone();
        let parallelism = if over.keys.is_empty() { 1 } else { self.config.parallelism };
        let spec = specs::over(over, &input, self.config.state_ttl_millis())?;
        let keys = spec.key_columns.iter().map(|column| *column as usize).collect();
        let inputs = self.keyed(&self.outputs_of_input(node)?, keys, parallelism);
        let (uid, name) = (uid.operator()?, names::of_over(over));
        let schema = Some(node.schema.clone());
        self.push(Operator { uid, name, spec: Spec::OverAggregate(spec), schema, parallelism, inputs })
    }

    fn sink(
        &mut self,
        node: &Node,
        sink: &Sink,
        uid: &NodeUid,
        spec: Spec,
        parallelism: Option<u32>,
    ) -> Result<Vec<Port>> {
        let sources = self.outputs_of_input(node)?;
        let parallelism = parallelism.unwrap_or_else(|| self.widest(&sources));
        let inputs = self.passed_on(&sources, parallelism);
        let name = names::of_sink(sink);
        self.push(Operator { uid: uid.operator()?, name, spec, schema: None, parallelism, inputs })
    }

    /// An operator as parallel as what it reads.
    fn chained(
        &mut self,
        node: &Node,
        uid: OperatorUid,
        name: String,
        spec: Spec,
        schema: Option<SchemaRef>,
    ) -> Result<Vec<Port>> {
        let sources = self.outputs_of_input(node)?;
        let parallelism = self.widest(&sources);
        let inputs = self.passed_on(&sources, parallelism);
        self.push(Operator { uid, name, spec, schema, parallelism, inputs })
    }

    fn push(&mut self, operator: Operator) -> Result<Vec<Port>> {
        self.operators.push(operator);
        Ok(vec![Port { operator: self.operators.len() - 1, side: false }])
    }

    fn input(&self, node: &Node) -> Result<&Node> {
        let input = node.inputs.first().ok_or_else(|| Error::internal("an operator without an input"))?;
        self.plan.node(*input)
    }

    fn outputs_of(&self, node: NodeId) -> Vec<Port> {
        self.outputs.get(node.0).cloned().unwrap_or_default()
    }

    fn outputs_of_input(&self, node: &Node) -> Result<Vec<Port>> {
        let input = node.inputs.first().ok_or_else(|| Error::internal("an operator without an input"))?;
        Ok(self.outputs_of(*input))
    }

    fn parallelism_of(&self, port: Port) -> u32 {
        self.operators.get(port.operator).map_or(1, |operator| operator.parallelism)
    }

    fn widest(&self, sources: &[Port]) -> u32 {
        sources.iter().map(|source| self.parallelism_of(*source)).max().unwrap_or(1)
    }

    /// Rows stay in their subtask where they can.
    fn passed_on(&self, sources: &[Port], parallelism: u32) -> Vec<(Port, Partitioning)> {
        let how = |source: &Port| {
            if self.parallelism_of(*source) == parallelism {
                Partitioning::Forward
            } else {
                Partitioning::Rebalance
            }
        };
        sources.iter().map(|source| (*source, how(source))).collect()
    }

    /// Rows of one key meet in one subtask; without keys, all in the only one.
    fn keyed(&self, sources: &[Port], keys: Vec<usize>, parallelism: u32) -> Vec<(Port, Partitioning)> {
        if keys.is_empty() {
            return self.passed_on(sources, parallelism);
        }
        sources.iter().map(|source| (*source, Partitioning::Hash(keys.clone()))).collect()
    }
}

fn scan_parallelism(scan: &Scan, config: &PlannerConfig) -> Result<u32> {
    let wanted = option(&scan.table.spec, "scan.parallelism", config)?.unwrap_or(config.parallelism);
    Ok(scan.table.source.max_parallelism().map_or(wanted, |most| wanted.min(most.max(1))))
}

/// A table's own parallelism.
fn option(table: &proto::TableSpec, key: &str, config: &PlannerConfig) -> Result<Option<u32>> {
    let Some(text) = table.options.get(key) else { return Ok(None) };
    match text.trim().parse::<u32>() {
        Ok(parallelism) if parallelism > 0 && parallelism <= config.max_parallelism => Ok(Some(parallelism)),
        _ => Err(Error::new(
            Code::TableOptions,
            format!(
                "table {}: '{key}' is '{text}'; a number from 1 to {} (pipeline.max-parallelism) belongs here",
                table.name, config.max_parallelism
            ),
        )),
    }
}
