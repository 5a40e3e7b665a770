//! What DataFusion's SQL planner asks for: tables, views, functions, types.
//!
//! Names of tables and columns keep their case; functions are found in any case. A view is planned where it is used, by a
//! planner of its own, as its window table functions are its own.

use std::borrow::Cow;
use std::cell::RefCell;
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use datafusion::arrow::datatypes::{DataType, FieldRef, SchemaRef};
use datafusion::common::config::ConfigOptions;
use datafusion::common::{Result, TableReference, plan_datafusion_err};
use datafusion::logical_expr::planner::{ContextProvider, ExprPlanner, RelationPlanner, TypePlanner};
use datafusion::logical_expr::{
    AggregateUDF, Expr, HigherOrderUDF, LogicalPlan, LogicalPlanBuilder, ScalarUDF, TableSource, WindowUDF,
};
use datafusion::sql::planner::SqlToRel;
use datafusion::sql::sqlparser::ast::{self, Statement};
use weir_api::error::Code;
use weir_functions::{FlinkExprPlanner, registry};

use super::config::PlannerConfig;
use super::errors::{placed, planning_error};
use super::functions::{CountStar, aggregate_udfs};
use super::normalise::normalise;
use super::refuse::refuse_unsupported;
use super::relation::WindowFunctions;
use super::table::{BoundTable, CatalogSource};
use crate::catalog::{DeclaredTable, Moment, ObjectPath, Relation, Session, View};
use crate::error::{SqlError, SqlResult};
use crate::statement::{Position, Query, TableHint};

/// How deep views may read views.
const MAX_VIEW_DEPTH: usize = 100;

/// What all queries of a job share while they are planned.
pub(super) struct Planning<'a> {
    /// Tables, views, connectors.
    pub session: &'a Session,
    aggregates: BTreeMap<String, Arc<AggregateUDF>>,
    options: Arc<ConfigOptions>,
    /// By path and variant.
    tables: RefCell<HashMap<(ObjectPath, String), Arc<BoundTable>>>,
}

impl<'a> Planning<'a> {
    pub fn new(session: &'a Session, config: &PlannerConfig) -> Self {
        let mut options = ConfigOptions::default();
        options.sql_parser.enable_ident_normalization = false;
        options.sql_parser.parse_float_as_decimal = true;
        options.sql_parser.collect_spans = true;
        options.sql_parser.map_string_types_to_utf8view = false;
        options.optimizer.skip_failed_rules = false;
        options.execution.time_zone = Some(config.time_zone.clone());
        let aggregates = aggregate_udfs()
            .into_iter()
            .flat_map(|udf| {
                let names: Vec<String> =
                    std::iter::once(udf.name().to_owned()).chain(udf.aliases().iter().cloned()).collect();
                names.into_iter().map(move |name| (name, udf.clone()))
            })
            .collect();
        Self { session, aggregates, options: Arc::new(options), tables: RefCell::default() }
    }

    /// DataFusion's options for this job.
    pub fn options(&self) -> Arc<ConfigOptions> {
        self.options.clone()
    }

    /// A query as DataFusion resolves it; types are DataFusion's.
    pub fn resolve(&self, query: &Query) -> SqlResult<LogicalPlan> {
        self.resolve_at_depth(query, 0)
    }

    fn resolve_at_depth(&self, query: &Query, depth: usize) -> SqlResult<LogicalPlan> {
        refuse_unsupported(query)?;
        let query = &normalise(query);
        let context = QueryContext::new(self, query, depth);
        SqlToRel::new(&context)
            .sql_statement_to_plan(Statement::Query(query.ast.clone()))
            .map_err(|error| planning_error(&error, query.position))
    }

    /// A view's plan, with the declarations of `moment`.
    fn view(&self, view: &View, moment: &Moment, depth: usize) -> SqlResult<LogicalPlan> {
        if depth >= MAX_VIEW_DEPTH {
            let message = format!("view {} reads views more than {MAX_VIEW_DEPTH} deep", view.path);
            return Err(SqlError::at(Code::InvalidArgument, view.position, message));
        }
        let query = Query { moment: moment.with_names_of(&view.query.moment), ..view.query.clone() };
        let plan = self
            .resolve_at_depth(&query, depth + 1)
            .map_err(|error| error.context(format!("view {}", view.path.object)))?;
        if view.columns.is_empty() {
            return Ok(plan);
        }
        let width = plan.schema().fields().len();
        if width != view.columns.len() {
            let message = format!(
                "view {} names {} columns, but its query has {width}",
                view.path.object,
                view.columns.len()
            );
            return Err(SqlError::at(Code::SqlType, view.position, message));
        }
        let renamed: Vec<Expr> = plan
            .schema()
            .columns()
            .into_iter()
            .zip(&view.columns)
            .map(|(column, name)| Expr::Column(column).alias(&name.value))
            .collect();
        LogicalPlanBuilder::from(plan)
            .project(renamed)
            .and_then(LogicalPlanBuilder::build)
            .map_err(|error| planning_error(&error, view.position))
    }

    fn table(&self, relation: &DeclaredTable) -> SqlResult<Arc<BoundTable>> {
        let key = (relation.path.clone(), relation.variant.clone());
        if let Some(bound) = self.tables.borrow().get(&key) {
            return Ok(bound.clone());
        }
        let source = self.session.registry().source(&relation.spec)?;
        let nothing = QueryContext::without_query(self);
        let mut bound = BoundTable::bind(relation, source, &nothing)?;
        bound.variant.clone_from(&relation.variant);
        let bound = Arc::new(bound);
        self.tables.borrow_mut().insert(key, bound.clone());
        Ok(bound)
    }
}

/// What one query is planned against.
pub(super) struct QueryContext<'a> {
    planning: &'a Planning<'a>,
    expression_planners: Vec<Arc<dyn ExprPlanner>>,
    relation_planners: Vec<Arc<dyn RelationPlanner>>,
    moment: Moment,
    hints: Vec<TableHint>,
    depth: usize,
}

impl<'a> QueryContext<'a> {
    fn new(planning: &'a Planning<'a>, query: &Query, depth: usize) -> Self {
        let windows = Arc::new(WindowFunctions::new(&query.windows));
        let (moment, hints) = (query.moment.clone(), query.hints.clone());
        Self { relation_planners: vec![windows], moment, hints, depth, ..Self::without_query(planning) }
    }

    /// For expressions that stand alone.
    pub(super) fn without_query(planning: &'a Planning<'a>) -> Self {
        let expression_planners: Vec<Arc<dyn ExprPlanner>> =
            vec![Arc::new(FlinkExprPlanner), Arc::new(CountStar)];
        let (moment, hints) = (Moment::default(), Vec::new());
        Self { planning, expression_planners, relation_planners: vec![], moment, hints, depth: 0 }
    }
}

impl ContextProvider for QueryContext<'_> {
    fn get_table_source(&self, name: TableReference) -> Result<Arc<dyn TableSource>> {
        let parts: Vec<&str> = match &name {
            TableReference::Bare { table } => vec![table],
            TableReference::Partial { schema, table } => vec![schema, table],
            TableReference::Full { catalog, schema, table } => vec![catalog, schema, table],
        };
        let marked = name.table();
        let plain: Vec<&str> = parts.iter().map(|part| TableHint::split(part).0).collect();
        let path = self
            .moment
            .path(&plain)
            .ok_or_else(|| plan_datafusion_err!("the name of a table has at most three parts"))?;
        let hint = self.hints.iter().find(|hint| hint.marked == marked);
        match (self.planning.session.at(&path, &self.moment), hint) {
            (Some(Relation::Table(table)), None) => {
                let bound = self.planning.table(table).map_err(placed)?;
                Ok(Arc::new(CatalogSource(bound)))
            }
            (Some(Relation::Table(table)), Some(hint)) => {
                let table = self.planning.session.with_options(table, &hint.options).map_err(placed)?;
                let bound = self.planning.table(&table).map_err(placed)?;
                Ok(Arc::new(CatalogSource(bound)))
            }
            (Some(Relation::View(view)), Some(hint)) => {
                let message =
                    format!("{} is a view: the hint OPTIONS changes the options of a table", view.path);
                Err(placed(SqlError::at(Code::InvalidArgument, hint.position, message)))
            }
            (Some(Relation::View(view)), None) => {
                let plan = self.planning.view(view, &self.moment, self.depth).map_err(placed)?;
                Ok(Arc::new(ViewSource { schema: plan.schema().inner().clone(), plan }))
            }
            (None, _) => {
                let unknown = self.planning.session.unknown(&path, Position::START);
                // Without a place: the planner knows where the name stands.
                Err(placed(SqlError::new(unknown.code(), unknown.message())))
            }
        }
    }

    fn get_expr_planners(&self) -> &[Arc<dyn ExprPlanner>] {
        &self.expression_planners
    }

    fn get_relation_planners(&self) -> &[Arc<dyn RelationPlanner>] {
        &self.relation_planners
    }

    fn get_type_planner(&self) -> Option<Arc<dyn TypePlanner>> {
        Some(Arc::new(FlinkTypes))
    }

    fn get_function_meta(&self, name: &str) -> Option<Arc<ScalarUDF>> {
        registry().find(name).cloned()
    }

    fn get_higher_order_meta(&self, _: &str) -> Option<Arc<HigherOrderUDF>> {
        None
    }

    fn get_aggregate_meta(&self, name: &str) -> Option<Arc<AggregateUDF>> {
        self.planning.aggregates.get(&name.to_lowercase()).cloned()
    }

    fn get_window_meta(&self, _: &str) -> Option<Arc<WindowUDF>> {
        None
    }

    fn get_variable_type(&self, _: &[String]) -> Option<DataType> {
        None
    }

    fn options(&self) -> &ConfigOptions {
        &self.planning.options
    }

    fn udf_names(&self) -> Vec<String> {
        registry().scalar_functions().keys().cloned().collect()
    }

    fn higher_order_function_names(&self) -> Vec<String> {
        Vec::new()
    }

    fn udaf_names(&self) -> Vec<String> {
        self.planning.aggregates.keys().cloned().collect()
    }

    fn udwf_names(&self) -> Vec<String> {
        Vec::new()
    }
}

/// A view: its plan takes its place.
struct ViewSource {
    schema: SchemaRef,
    plan: LogicalPlan,
}

impl TableSource for ViewSource {
    fn schema(&self) -> SchemaRef {
        self.schema.clone()
    }

    fn get_logical_plan(&'_ self) -> Option<Cow<'_, LogicalPlan>> {
        Some(Cow::Borrowed(&self.plan))
    }
}

/// The types of CAST.
#[derive(Debug)]
struct FlinkTypes;

impl TypePlanner for FlinkTypes {
    fn plan_type_field(&self, written: &ast::DataType) -> Result<Option<FieldRef>> {
        let flink = crate::parser::data_type::from_ast(written)
            .map_err(|error| placed(SqlError::new(error.code(), error.message())))?;
        Ok(Some(Arc::new(flink.to_field(""))))
    }
}
