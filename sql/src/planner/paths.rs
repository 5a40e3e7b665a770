//! Paths into structs: which parts of a column an expression reads.
//!
//! A path is a column, or fields of fields of one, by name. What reads a whole struct needs all of it.

use std::collections::BTreeMap;
use std::sync::Arc;

use datafusion::arrow::datatypes::{DataType, Field, FieldRef};
use datafusion::logical_expr::Expr;
use datafusion::logical_expr::expr::ScalarFunction;

/// The function behind `row.field`.
const GET_FIELD: &str = "get_field";

/// The column and the fields below it that an expression is; `None` if it computes something.
pub(super) fn path_of(expression: &Expr) -> Option<Vec<&str>> {
    match expression {
        Expr::Column(column) => Some(vec![&column.name]),
        Expr::Alias(alias) => path_of(&alias.expr),
        Expr::ScalarFunction(ScalarFunction { func, args }) if func.name() == GET_FIELD => {
            let (row, names) = args.split_first()?;
            let mut path = path_of(row)?;
            for name in names {
                let Expr::Literal(name, _) = name else { return None };
                path.push(name.try_as_str()??);
            }
            Some(path)
        }
        _ => None,
    }
}

/// How much of a column is read.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum Need {
    /// All of it.
    All,
    /// Some fields of a struct.
    Fields(BTreeMap<String, Need>),
}

impl Need {
    /// Nothing so far.
    pub const fn nothing() -> Self {
        Self::Fields(BTreeMap::new())
    }

    /// Adds `need` of what lies at `path` below this.
    pub fn add(&mut self, path: &[&str], need: &Self) {
        let Self::Fields(fields) = self else { return };
        match path.split_first() {
            Some((first, rest)) => {
                fields.entry((*first).to_owned()).or_insert_with(Self::nothing).add(rest, need);
            }
            None => match need {
                Self::All => *self = Self::All,
                Self::Fields(others) => {
                    for (name, other) in others {
                        fields.entry(name.clone()).or_insert_with(Self::nothing).add(&[], other);
                    }
                }
            },
        }
    }

    /// The field with no more below it than is needed. A struct of which nothing is needed keeps one field: it still says
    /// whether it is null.
    pub fn narrow(&self, field: &FieldRef) -> FieldRef {
        let (Self::Fields(needed), DataType::Struct(fields)) = (self, field.data_type()) else {
            return field.clone();
        };
        let mut kept: Vec<FieldRef> = fields
            .iter()
            .filter_map(|field| needed.get(field.name()).map(|need| need.narrow(field)))
            .collect();
        if kept.is_empty() {
            kept.extend(fields.first().cloned());
        }
        if kept.len() == fields.len() && kept.iter().zip(fields).all(|(kept, field)| kept == field) {
            return field.clone();
        }
        Arc::new(Field::new(field.name(), DataType::Struct(kept.into()), field.is_nullable()))
    }
}

/// What expressions read, by column.
#[derive(Clone, Default, Debug)]
pub(super) struct Needs {
    columns: BTreeMap<String, Need>,
}

impl Needs {
    /// Adds `need` of a column.
    pub fn add(&mut self, column: &str, need: &Need) {
        self.columns.entry(column.to_owned()).or_insert_with(Need::nothing).add(&[], need);
    }

    /// Adds all that an expression reads.
    pub fn add_expression(&mut self, expression: &Expr) {
        self.add_result(expression, &Need::All);
    }

    /// Adds what an expression reads if of its result only `need` is.
    pub fn add_result(&mut self, expression: &Expr, need: &Need) {
        if let Some(path) = path_of(expression) {
            if let Some((column, rest)) = path.split_first() {
                self.columns.entry((*column).to_owned()).or_insert_with(Need::nothing).add(rest, need);
            }
            return;
        }
        for child in children(expression) {
            self.add_expression(child);
        }
    }

    /// The need of a column; `None` if nobody reads it.
    pub fn get(&self, column: &str) -> Option<&Need> {
        self.columns.get(column)
    }

    /// Adds everything of another.
    pub fn merge(&mut self, other: &Self) {
        for (column, need) in &other.columns {
            self.add(column, need);
        }
    }
}

fn children(expression: &Expr) -> Vec<&Expr> {
    use datafusion::common::tree_node::{TreeNode, TreeNodeRecursion};
    let mut children = Vec::new();
    // The closure never fails.
    let _ = expression.apply_children(|child| {
        children.push(child);
        Ok(TreeNodeRecursion::Continue)
    });
    children
}
