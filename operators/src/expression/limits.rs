//! Bounds an expression's message before anything is built from it.
//!
//! Evaluating and dropping a tree recurse, so a deep one would overflow the stack. prost bounds how deep messages nest; chains of
//! one operator, which travel flat and become a tree again, are bounded here.

use datafusion_proto::protobuf::PhysicalExprNode;
use datafusion_proto::protobuf::physical_expr_node::ExprType;

/// The most bytes of one expression.
pub(super) const MAX_BYTES: usize = 1 << 20;
/// The deepest tree.
pub(super) const MAX_DEPTH: usize = 500;

/// Refuses trees deeper than [`MAX_DEPTH`] and nodes that no operator evaluates.
pub(super) fn check(node: &PhysicalExprNode) -> Result<(), String> {
    let depth = depth(node)?;
    if depth > MAX_DEPTH {
        return Err(format!(
            "is nested {depth} deep; the limit is {MAX_DEPTH}: split it into a view's columns"
        ));
    }
    Ok(())
}

/// Recursion is bounded by prost's limit on nested messages.
fn depth(node: &PhysicalExprNode) -> Result<usize, String> {
    let Some(kind) = &node.expr_type else { return Err("is empty".to_owned()) };
    let below = match kind {
        ExprType::Column(_) | ExprType::Literal(_) => 0,
        ExprType::BinaryExpr(binary) if !binary.operands.is_empty() => {
            binary.operands.len() + deepest(&binary.operands)?
        }
        ExprType::BinaryExpr(binary) => deepest(binary.l.as_deref().into_iter().chain(binary.r.as_deref()))?,
        ExprType::IsNullExpr(inner) => deepest(inner.expr.as_deref())?,
        ExprType::IsNotNullExpr(inner) => deepest(inner.expr.as_deref())?,
        ExprType::NotExpr(inner) => deepest(inner.expr.as_deref())?,
        ExprType::Negative(inner) => deepest(inner.expr.as_deref())?,
        ExprType::Cast(inner) => deepest(inner.expr.as_deref())?,
        ExprType::TryCast(inner) => deepest(inner.expr.as_deref())?,
        ExprType::InList(inner) => deepest(inner.expr.as_deref().into_iter().chain(&inner.list))?,
        ExprType::ScalarUdf(call) => deepest(&call.args)?,
        ExprType::LikeExpr(like) => deepest(like.expr.as_deref().into_iter().chain(like.pattern.as_deref()))?,
        ExprType::Case(case) => {
            let arms = case.when_then_expr.iter().flat_map(|arm| arm.when_expr.iter().chain(&arm.then_expr));
            deepest(case.expr.as_deref().into_iter().chain(case.else_expr.as_deref()).chain(arms))?
        }
        _ => return Err("is of a kind that operators don't evaluate".to_owned()),
    };
    Ok(below + 1)
}

fn deepest<'a>(nodes: impl IntoIterator<Item = &'a PhysicalExprNode>) -> Result<usize, String> {
    nodes.into_iter().try_fold(0, |deepest, node| Ok(deepest.max(depth(node)?)))
}
