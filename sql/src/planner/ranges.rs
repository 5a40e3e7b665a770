//! What a predicate implies about the range of a column, in the form that connectors understand.
//!
//! `IN`, an `OR` over one column and `LIKE 'prefix%'` aren't comparisons, but no row passes them whose column lies outside of
//! their bounds: a connector that takes these reads fewer row groups and partitions. The predicate itself stays. Invariant: a
//! row that the predicate lets pass lies within the range; bounds count as inside.

use std::cmp::Ordering;

use datafusion::common::ScalarValue;
use datafusion::logical_expr::{BinaryExpr, Expr, Operator, expr::InList, expr::Like};

use super::paths::path_of;

/// The smallest and the largest value that a column may have.
#[derive(Clone, Debug)]
struct Range<'e> {
    column: &'e Expr,
    low: Option<ScalarValue>,
    high: Option<ScalarValue>,
}

/// Comparisons that hold for every row that passes `predicate`; none if it is a comparison itself.
pub(super) fn implied(predicate: &Expr) -> Vec<Expr> {
    let compares = |expression: &Expr| match expression {
        Expr::BinaryExpr(BinaryExpr { op, .. }) => !matches!(op, Operator::Or | Operator::And),
        _ => false,
    };
    let Some(Range { column, low, high }) = range_of(predicate).filter(|_| !compares(predicate)) else {
        return Vec::new();
    };
    let bound = |op, value: ScalarValue| {
        let (left, right) = (Box::new(column.clone()), Box::new(Expr::Literal(value, None)));
        Expr::BinaryExpr(BinaryExpr { left, op, right })
    };
    match (low, high) {
        (Some(low), Some(high)) if low == high => vec![bound(Operator::Eq, low)],
        (low, high) => low
            .map(|low| bound(Operator::GtEq, low))
            .into_iter()
            .chain(high.map(|high| bound(Operator::LtEq, high)))
            .collect(),
    }
}

fn range_of(predicate: &Expr) -> Option<Range<'_>> {
    match predicate {
        Expr::BinaryExpr(BinaryExpr { left, op: Operator::Or, right }) => {
            either(range_of(left)?, range_of(right)?)
        }
        Expr::BinaryExpr(BinaryExpr { left, op: Operator::And, right }) => {
            match (range_of(left), range_of(right)) {
                (Some(a), Some(b)) => Some(both(a, b)),
                (a, b) => a.or(b),
            }
        }
        Expr::BinaryExpr(BinaryExpr { left, op, right }) => match (left.as_ref(), right.as_ref()) {
            (column, Expr::Literal(value, _)) => compared(column, *op, value),
            (Expr::Literal(value, _), column) => compared(column, op.swap()?, value),
            _ => None,
        },
        Expr::InList(InList { expr, list, negated: false }) => {
            let mut all: Option<Range<'_>> = None;
            for value in list {
                let Expr::Literal(value, _) = value else { return None };
                // A NULL in the list lets no row pass by itself.
                if value.is_null() {
                    continue;
                }
                let one = compared(expr, Operator::Eq, value)?;
                all = Some(match all {
                    Some(all) => either(all, one)?,
                    None => one,
                });
            }
            all
        }
        Expr::Like(Like { negated: false, expr, pattern, escape_char: None, case_insensitive: false }) => {
            let Expr::Literal(ScalarValue::Utf8(Some(pattern)), _) = pattern.as_ref() else { return None };
            let prefix = pattern.split(['%', '_', '\\']).next().filter(|prefix| !prefix.is_empty())?;
            path_of(expr)?;
            Some(Range {
                column: expr,
                low: Some(ScalarValue::from(prefix)),
                high: after_all_with(prefix).map(ScalarValue::from),
            })
        }
        _ => None,
    }
}

fn compared<'e>(column: &'e Expr, operator: Operator, value: &ScalarValue) -> Option<Range<'e>> {
    path_of(column)?;
    if value.is_null() || matches!(value, ScalarValue::Boolean(_)) {
        return None;
    }
    let (low, high) = match operator {
        Operator::Eq => (Some(value.clone()), Some(value.clone())),
        Operator::Gt | Operator::GtEq => (Some(value.clone()), None),
        Operator::Lt | Operator::LtEq => (None, Some(value.clone())),
        _ => return None,
    };
    Some(Range { column, low, high })
}

/// The range of rows that lie in one of two; `None` if they are of different columns or bound nothing together.
fn either<'e>(a: Range<'e>, b: Range<'e>) -> Option<Range<'e>> {
    if a.column != b.column {
        return None;
    }
    let wider = |a: Option<ScalarValue>, b: Option<ScalarValue>, keep: Ordering| {
        let (a, b) = (a?, b?);
        let order = a.partial_cmp(&b)?;
        Some(if order == keep { a } else { b })
    };
    let range = Range {
        column: a.column,
        low: wider(a.low, b.low, Ordering::Less),
        high: wider(a.high, b.high, Ordering::Greater),
    };
    (range.low.is_some() || range.high.is_some()).then_some(range)
}

/// The range of rows that lie in both; of different columns, the first.
fn both<'e>(a: Range<'e>, b: Range<'e>) -> Range<'e> {
    if a.column != b.column {
        return a;
    }
    let narrower = |a: Option<ScalarValue>, b: Option<ScalarValue>, keep: Ordering| match (a, b) {
        (Some(a), Some(b)) => Some(if a.partial_cmp(&b) == Some(keep) { a } else { b }),
        (a, b) => a.or(b),
    };
    Range {
        column: a.column,
        low: narrower(a.low, b.low, Ordering::Greater),
        high: narrower(a.high, b.high, Ordering::Less),
    }
}

/// A text after every text that begins with `prefix`; `None` if there is none.
fn after_all_with(prefix: &str) -> Option<String> {
    let mut characters: Vec<char> = prefix.chars().collect();
    while let Some(last) = characters.pop() {
        let next = match last {
            '\u{D7FF}' => Some('\u{E000}'),
            last => char::from_u32(u32::from(last) + 1),
        };
        if let Some(next) = next {
            characters.push(next);
            return Some(characters.into_iter().collect());
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use datafusion::prelude::{col, lit};

    use super::*;

    fn text(predicate: Expr) -> String {
        implied(&predicate).iter().map(ToString::to_string).collect::<Vec<_>>().join(" AND ")
    }

    #[test]
    fn lists_and_alternatives_have_bounds() {
        assert_eq!(
            text(col("a").in_list(vec![lit(5), lit(2), lit(9)], false)),
            "a >= Int32(2) AND a <= Int32(9)"
        );
        assert_eq!(
            text(col("a").in_list(vec![lit(5), lit(ScalarValue::Int32(None))], false)),
            "a = Int32(5)"
        );
        assert_eq!(text(col("a").eq(lit(1)).or(col("a").gt(lit(7)))), "a >= Int32(1)");
        let in_two = |low: i32| col("a").gt(lit(low)).and(col("a").lt(lit(low + 2)));
        assert_eq!(text(in_two(1).or(in_two(8))), "a >= Int32(1) AND a <= Int32(10)");
        // One side of an AND says something, the other nothing that helps.
        let other = col("a").eq(lit(3)).and(col("b").is_null());
        assert_eq!(text(other.or(col("a").eq(lit(1)))), "a >= Int32(1) AND a <= Int32(3)");
    }

    #[test]
    fn a_prefix_has_bounds() {
        assert_eq!(text(col("s").like(lit("ab%"))), "s >= Utf8(\"ab\") AND s <= Utf8(\"ac\")");
        assert_eq!(text(col("s").like(lit("a_c"))), "s >= Utf8(\"a\") AND s <= Utf8(\"b\")");
        assert_eq!(text(col("s").like(lit("\u{10FFFF}%"))), "s >= Utf8(\"\u{10FFFF}\")");
        assert_eq!(
            text(col("s").like(lit("\u{D7FF}%"))),
            "s >= Utf8(\"\u{D7FF}\") AND s <= Utf8(\"\u{E000}\")"
        );
        for nothing in ["%a", "", "_"] {
            assert_eq!(text(col("s").like(lit(nothing))), "");
        }
    }

    #[test]
    fn what_bounds_nothing_says_nothing() {
        assert_eq!(text(col("a").in_list(vec![lit(5)], true)), "");
        assert_eq!(text(col("a").not_eq(lit(5)).or(col("a").eq(lit(1)))), "");
        assert_eq!(text(col("a").lt(lit(5)).or(col("a").gt(lit(7)))), "");
        assert_eq!(text(col("a").eq(lit(5)).or(col("b").eq(lit(1)))), "");
        // A comparison is offered as it is.
        assert_eq!(text(col("a").eq(lit(5))), "");
    }
}
