//! What a query may not hold, said before it is planned, at its place and with the reason.
//!
//! What is refused here has either no bounded meaning on a stream or no operator yet; what depends on whether the sources
//! end is decided later, where that is known.

use std::ops::ControlFlow;

use datafusion::sql::sqlparser::ast::{
    Distinct, Expr, Function, GroupByExpr, JoinConstraint, JoinOperator, Query, Select, SelectItem, SetExpr,
    SetOperator, SetQuantifier, Spanned, TableFactor, TableWithJoins, Value, Visit, Visitor,
};

use super::refuse_over::{Refused, refusal_of_over};
use crate::error::{SqlError, SqlResult};
use crate::statement::{Position, Query as ParsedQuery, WindowInput};

/// Refuses what can't be planned.
pub(super) fn refuse_unsupported(query: &ParsedQuery) -> SqlResult<()> {
    check(&query.ast, query.position)?;
    for call in &query.windows {
        if let WindowInput::Query(input) = &call.input {
            check(input, call.position)?;
        }
    }
    Ok(())
}

fn check(query: &Query, position: Position) -> SqlResult<()> {
    match query.visit(&mut Refusal { nearest: position }) {
        ControlFlow::Continue(()) => Ok(()),
        ControlFlow::Break(error) => Err(error),
    }
}

struct Refusal {
    /// The place of the innermost thing that had one.
    nearest: Position,
}

type Verdict = ControlFlow<SqlError>;

impl Refusal {
    fn refuse(&self, at: &impl Spanned, reason: impl Into<String>) -> Verdict {
        ControlFlow::Break(SqlError::unsupported(Position::of(at.span()).unwrap_or(self.nearest), reason))
    }

    fn set_expression(&self, body: &SetExpr) -> Verdict {
        match body {
            SetExpr::Select(select) => self.select(select),
            SetExpr::SetOperation { op, set_quantifier, left, right } => {
                self.set_expression(left)?;
                self.set_expression(right)?;
                match (op, set_quantifier) {
                    (
                        SetOperator::Union,
                        SetQuantifier::All | SetQuantifier::None | SetQuantifier::Distinct,
                    ) => ControlFlow::Continue(()),
                    (SetOperator::Union, _) => {
                        self.refuse(right.as_ref(), "UNION BY NAME isn't supported: use UNION ALL")
                    }
                    (operator, _) => self.refuse(
                        right.as_ref(),
                        format!("{operator} isn't supported yet: it must keep all rows seen"),
                    ),
                }
            }
            // Query inside parentheses: the visitor comes to it.
            SetExpr::Query(_) => ControlFlow::Continue(()),
            SetExpr::Values(_) => ControlFlow::Continue(()),
            other => self.refuse(other, format!("a query is a SELECT or a UNION ALL of some, not '{other}'")),
        }
    }

    fn select(&self, select: &Select) -> Verdict {
        for (index, relation) in select.from.iter().enumerate() {
            if index > 0 && !matches!(relation.relation, TableFactor::UNNEST { .. }) {
                return self.refuse(relation, "joins aren't supported yet: FROM can name one table");
            }
            self.joins(relation)?;
            self.factor(&relation.relation)?;
        }
        if let Some(Distinct::On(columns)) = &select.distinct {
            let at = columns.first();
            let reason = "DISTINCT ON isn't supported: it isn't part of Flink's SQL";
            return at.map_or_else(|| self.refuse(select, reason), |at| self.refuse(at, reason));
        }
        if let GroupByExpr::Expressions(expressions, modifiers) = &select.group_by {
            for expression in expressions {
                if matches!(expression, Expr::GroupingSets(_) | Expr::Cube(_) | Expr::Rollup(_)) {
                    return self.refuse(expression, "GROUPING SETS, CUBE and ROLLUP aren't supported yet");
                }
            }
            if !modifiers.is_empty() {
                return self.refuse(select, "WITH CUBE, ROLLUP or TOTALS isn't supported");
            }
        } else {
            return self.refuse(select, "GROUP BY ALL isn't supported: name the columns");
        }
        if let Some(qualify) = &select.qualify {
            let reason =
                "QUALIFY isn't supported yet: filter by the result of OVER in a query around this one";
            return self.refuse(qualify, reason);
        }
        if let Some(Refused { place, reason }) = refusal_of_over(select) {
            return ControlFlow::Break(SqlError::unsupported(place.unwrap_or(self.nearest), reason));
        }
        if !select.lateral_views.is_empty() || !select.cluster_by.is_empty() || !select.sort_by.is_empty() {
            return self.refuse(select, "LATERAL VIEW, CLUSTER BY and SORT BY aren't supported");
        }
        ControlFlow::Continue(())
    }

    fn joins(&self, relation: &TableWithJoins) -> Verdict {
        for join in &relation.joins {
            if !matches!(join.relation, TableFactor::UNNEST { .. }) {
                let reason = "joins aren't supported yet: both sides would be kept in state, for as long as the query says";
                return self.refuse(&join.relation, reason);
            }
            let constraint = match &join.join_operator {
                JoinOperator::CrossJoin(constraint)
                | JoinOperator::Join(constraint)
                | JoinOperator::Inner(constraint)
                | JoinOperator::Left(constraint)
                | JoinOperator::LeftOuter(constraint) => constraint,
                _ => {
                    let reason = "UNNEST is joined by CROSS JOIN, or by LEFT JOIN … ON TRUE";
                    return self.refuse(&join.relation, reason);
                }
            };
            let is_true = |condition: &Expr| matches!(condition, Expr::Value(value) if value.value == Value::Boolean(true));
            let crosses = matches!(join.join_operator, JoinOperator::CrossJoin(_));
            match constraint {
                JoinConstraint::None if crosses => {}
                JoinConstraint::On(condition) if is_true(condition) && !crosses => {}
                JoinConstraint::On(condition) => {
                    let reason = "UNNEST is joined ON TRUE: put other conditions into WHERE";
                    return self.refuse(condition, reason);
                }
                _ => return self.refuse(&join.relation, "UNNEST is joined by CROSS JOIN, or ON TRUE"),
            }
            self.factor(&join.relation)?;
        }
        ControlFlow::Continue(())
    }

    fn factor(&self, factor: &TableFactor) -> Verdict {
        match factor {
            TableFactor::Table { args: None, version: None, .. } => ControlFlow::Continue(()),
            TableFactor::Table { version: Some(_), .. } => self
                .refuse(factor, "FOR SYSTEM_TIME AS OF isn't supported yet: it is part of a temporal join"),
            TableFactor::Table { name, .. } | TableFactor::Function { name, .. } => self.refuse(
                name,
                format!("there is no table function {name}: Weir has TUMBLE, HOP and CUMULATE"),
            ),
            TableFactor::Derived { lateral: false, .. } => ControlFlow::Continue(()),
            TableFactor::Derived { .. } => self.refuse(factor, "LATERAL isn't supported yet: it is a join"),
            TableFactor::NestedJoin { table_with_joins, .. } => {
                self.joins(table_with_joins)?;
                self.factor(&table_with_joins.relation)
            }
            TableFactor::UNNEST { array_exprs, with_offset, .. } => match array_exprs.as_slice() {
                [_] if !with_offset => ControlFlow::Continue(()),
                [_] => self.refuse(factor, "UNNEST … WITH OFFSET isn't Flink's: write WITH ORDINALITY"),
                _ => self.refuse(factor, "UNNEST takes one array or map"),
            },
            TableFactor::MatchRecognize { .. } => self.refuse(factor, "MATCH_RECOGNIZE isn't supported yet"),
            other => self.refuse(other, format!("'{other}' isn't supported in FROM")),
        }
    }

    fn function(&self, function: &Function) -> Verdict {
        if !function.within_group.is_empty() {
            return self.refuse(&function.name, format!("{} WITHIN GROUP isn't supported", function.name));
        }
        ControlFlow::Continue(())
    }
}

impl Visitor for Refusal {
    type Break = SqlError;

    fn pre_visit_query(&mut self, query: &Query) -> Verdict {
        if let Some(position) = Position::of(query.body.span()) {
            self.nearest = position;
        }
        if let Some(with) = query.with.as_ref().filter(|with| with.recursive) {
            return self.refuse(with, "WITH RECURSIVE isn't supported: a stream has no end to recurse to");
        }
        self.set_expression(&query.body)?;
        if let Some(order) = &query.order_by {
            let reason = "ORDER BY isn't supported yet: a stream has no last row, so there is nothing to sort; sort what \
                          reads the sink, or drop the clause";
            return self.refuse(order, reason);
        }
        if let Some(limit) = &query.limit_clause {
            return self
                .refuse(limit, "LIMIT isn't supported yet: which rows come first isn't defined on a stream");
        }
        if let Some(fetch) = &query.fetch {
            return self
                .refuse(fetch, "FETCH isn't supported yet: which rows come first isn't defined on a stream");
        }
        ControlFlow::Continue(())
    }

    fn pre_visit_expr(&mut self, expression: &Expr) -> Verdict {
        if let Some(position) = Position::of(expression.span()) {
            self.nearest = position;
        }
        match expression {
            Expr::Subquery(query) => {
                self.refuse(query.as_ref(), "a subquery as a value isn't supported yet: it is a join")
            }
            Expr::Exists { subquery, .. } => {
                self.refuse(subquery.as_ref(), "EXISTS isn't supported yet: it is a join with all rows seen")
            }
            Expr::InSubquery { subquery, .. } => self.refuse(
                subquery.as_ref(),
                "IN (SELECT …) isn't supported yet: it is a join with all rows seen",
            ),
            Expr::Function(function) => self.function(function),
            _ => ControlFlow::Continue(()),
        }
    }
}

/// Where the only GROUP BY of a query stands; `None` if there are several, or none.
pub(super) fn place_of_grouping(query: &ParsedQuery) -> Option<Position> {
    let mut found = Groupings(Vec::new());
    let _ = query.ast.visit(&mut found);
    for call in &query.windows {
        if let WindowInput::Query(input) = &call.input {
            let _ = input.visit(&mut found);
        }
    }
    match found.0.as_slice() {
        [only] => Some(*only),
        _ => None,
    }
}

struct Groupings(Vec<Position>);

impl Visitor for Groupings {
    type Break = std::convert::Infallible;

    fn pre_visit_query(&mut self, query: &Query) -> ControlFlow<Self::Break> {
        let mut open = vec![query.body.as_ref()];
        while let Some(body) = open.pop() {
            match body {
                SetExpr::SetOperation { left, right, .. } => open.extend([left.as_ref(), right.as_ref()]),
                SetExpr::Select(select) => match &select.group_by {
                    GroupByExpr::Expressions(expressions, _) => {
                        self.0.extend(expressions.first().and_then(|first| Position::of(first.span())));
                    }
                    GroupByExpr::All(_) => {}
                },
                _ => {}
            }
        }
        ControlFlow::Continue(())
    }
}

/// Where the expression of a query's output column stands, if the query lists its columns.
pub(super) fn place_of_output(query: &Query, column: usize) -> Option<Position> {
    let mut body = query.body.as_ref();
    loop {
        match body {
            SetExpr::SetOperation { left, .. } => body = left,
            SetExpr::Query(inner) => body = &inner.body,
            SetExpr::Select(select) => {
                let before = select.projection.get(..=column)?;
                let listed = before.iter().all(|item| {
                    matches!(item, SelectItem::UnnamedExpr(_) | SelectItem::ExprWithAlias { .. })
                });
                return before.last().filter(|_| listed).and_then(|item| Position::of(item.span()));
            }
            _ => return None,
        }
    }
}
