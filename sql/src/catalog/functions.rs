//! Functions that are SQL expressions: put into the place of their calls before anything is planned.
//!
//! A call becomes its body in brackets, each parameter the argument cast to the parameter's type, the whole cast to the
//! result's. Invariants: a body holds no calls of such functions, because its own were put in when it was declared, so nothing recurses; a
//! statement grows by [`MAX_GROWTH`] nodes at most.

use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::sync::Arc;

use datafusion::sql::sqlparser::ast::{
    AccessExpr, CastKind, Expr, Function as Call, FunctionArg, FunctionArgExpr, FunctionArguments, Ident,
    Query as AstQuery, Spanned, Value, ValueWithSpan, Visit, VisitMut, Visitor, VisitorMut,
};
use weir_api::error::Code;

use super::{Moment, ObjectPath};
use crate::error::{SqlError, SqlResult};
use crate::parser::data_type::to_ast;
use crate::statement::{CreateFunction, Expression, Parameter, Position, Query, TableName, WindowInput};
use crate::types::FlinkType;

/// The most nodes that the functions of one statement may add to it.
const MAX_GROWTH: usize = 20_000;
/// The most functions of a text.
const MAX_FUNCTIONS: usize = 10_000;

/// A function of the session.
#[derive(Clone, Debug)]
pub struct Function {
    /// Its full name; `None` if it belongs to no database.
    pub path: Option<ObjectPath>,
    /// Its name, in lower case: case doesn't count.
    pub name: String,
    /// What it takes.
    pub parameters: Vec<Parameter>,
    /// The type of its values.
    pub returns: FlinkType,
    /// Its body as it was written.
    pub text: String,
    /// Its body with the functions that it calls put in.
    pub body: Box<Expr>,
    /// Where it was declared.
    pub position: Position,
}

/// Which function: those without a database first, then those that hide others, then the others.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
enum Key {
    System(String),
    Temporary(ObjectPath),
    Permanent(ObjectPath),
}

/// The functions of a session.
#[derive(Clone, Debug, Default)]
pub(super) struct Functions {
    all: BTreeMap<Key, Arc<Function>>,
}

fn lower(mut path: ObjectPath) -> ObjectPath {
    path.object = path.object.to_lowercase();
    path
}

fn path_of(name: &TableName, moment: &Moment) -> SqlResult<ObjectPath> {
    let parts: Vec<&str> = name.parts.iter().map(|part| part.value.as_str()).collect();
    let path = moment.path(&parts);
    path.map(lower)
        .ok_or_else(|| SqlError::syntax(name.position, "a function's name has at most three parts"))
}

impl Functions {
    fn key(name: &TableName, temporary: bool, system: bool, moment: &Moment) -> SqlResult<Key> {
        if system {
            return match name.parts.as_slice() {
                [only] => Ok(Key::System(only.value.to_lowercase())),
                _ => Err(SqlError::syntax(name.position, "a system function has a name of one part")),
            };
        }
        let path = path_of(name, moment)?;
        Ok(if temporary { Key::Temporary(path) } else { Key::Permanent(path) })
    }

    /// Takes in a CREATE FUNCTION; `None` if there is one already and that is fine.
    pub(super) fn create(
        &mut self,
        create: &CreateFunction,
        moment: &Moment,
    ) -> SqlResult<Option<Arc<Function>>> {
        let key = Self::key(&create.name, create.temporary, create.system, moment)?;
        if let Some(known) = self.all.get(&key) {
            if create.if_not_exists {
                return Ok(None);
            }
            let message = format!("the function {} exists already, since {}", create.name, known.position);
            return Err(SqlError::at(Code::InvalidArgument, create.name.position, message));
        }
        if self.all.len() >= MAX_FUNCTIONS {
            let message = format!("more than {MAX_FUNCTIONS} functions in one text");
            return Err(SqlError::at(Code::InvalidArgument, create.name.position, message));
        }
        let mut seen = std::collections::HashSet::new();
        if let Some(twice) = create.parameters.iter().find(|parameter| !seen.insert(&parameter.name.value)) {
            let message = format!("the parameter '{}' is declared twice", twice.name);
            return Err(SqlError::at(Code::InvalidArgument, twice.name.position, message));
        }
        let mut body = create.body.ast.clone();
        if let ControlFlow::Break(error) =
            Visit::visit(&body, &mut BodyCheck { functions: self, moment, own: &key })
        {
            return Err((*error).or_at(create.position));
        }
        self.put_in(&mut body, moment, create.position)?;
        let (path, name) = match &key {
            Key::System(name) => (None, name.clone()),
            Key::Temporary(path) | Key::Permanent(path) => (Some(path.clone()), path.object.clone()),
        };
        let function = Arc::new(Function {
            path,
            name,
            parameters: create.parameters.clone(),
            returns: create.returns.clone(),
            text: create.body.text.clone(),
            body,
            position: create.position,
        });
        self.all.insert(key, function.clone());
        Ok(Some(function))
    }

    /// Drops a function; `false` if there is none.
    pub(super) fn drop(
        &mut self,
        name: &TableName,
        temporary: bool,
        system: bool,
        moment: &Moment,
    ) -> SqlResult<bool> {
        Ok(self.all.remove(&Self::key(name, temporary, system, moment)?).is_some())
    }

    /// Forgets the functions of a database.
    pub(super) fn drop_database(&mut self, catalog: &str, database: &str) {
        self.all.retain(|key, _| match key {
            Key::System(_) => true,
            Key::Temporary(path) | Key::Permanent(path) => {
                path.catalog != catalog || path.database != database
            }
        });
    }

    /// Whether a database has functions.
    pub(super) fn any_in(&self, catalog: &str, database: &str) -> bool {
        self.all.keys().any(
            |key| matches!(key, Key::Permanent(path) if path.catalog == catalog && path.database == database),
        )
    }

    /// The function that a name calls; a built-in one hides those of databases.
    pub(super) fn find(&self, parts: &[&str], moment: &Moment) -> Option<&Arc<Function>> {
        if let [name] = parts {
            let name = name.to_lowercase();
            if let Some(function) = self.all.get(&Key::System(name.clone())) {
                return Some(function);
            }
            if self.all.is_empty() || crate::planner::is_built_in(&name) {
                return None;
            }
        }
        let path = lower(moment.path(parts)?);
        self.all.get(&Key::Temporary(path.clone())).or_else(|| self.all.get(&Key::Permanent(path)))
    }

    /// The names of the functions of a database, and of those of none.
    pub(super) fn names<'a>(&'a self, catalog: &'a str, database: &'a str) -> impl Iterator<Item = &'a str> {
        self.all.keys().filter_map(move |key| match key {
            Key::System(name) => Some(name.as_str()),
            Key::Temporary(path) | Key::Permanent(path) => {
                (path.catalog == catalog && path.database == database).then_some(path.object.as_str())
            }
        })
    }

    /// Puts the bodies of called functions into a tree.
    fn put_in<T: VisitMut>(&self, tree: &mut T, moment: &Moment, position: Position) -> SqlResult<()> {
        if self.all.is_empty() {
            return Ok(());
        }
        let mut calls = Calls { functions: self, moment, left: MAX_GROWTH };
        match VisitMut::visit(tree, &mut calls) {
            ControlFlow::Continue(()) => Ok(()),
            ControlFlow::Break(error) => Err((*error).or_at(position)),
        }
    }

    /// Puts the bodies of called functions into an expression.
    pub(super) fn put_into_expression(
        &self,
        expression: &mut Expression,
        moment: &Moment,
        position: Position,
    ) -> SqlResult<()> {
        self.put_in(&mut expression.ast, moment, position)
    }

    /// Puts the bodies of called functions into a query.
    pub(super) fn put_into_query(&self, query: &mut Query, moment: &Moment) -> SqlResult<()> {
        self.put_in(&mut query.ast, moment, query.position)?;
        for call in &mut query.windows {
            if let WindowInput::Query(input) = &mut call.input {
                self.put_in(input, moment, call.position)?;
            }
        }
        Ok(())
    }
}

/// The parts of a called name.
fn parts_of(call: &Call) -> Vec<&str> {
    call.name.0.iter().filter_map(|part| part.as_ident().map(|ident| ident.value.as_str())).collect()
}

/// Puts bodies into the places of calls.
struct Calls<'a> {
    functions: &'a Functions,
    moment: &'a Moment,
    left: usize,
}

impl VisitorMut for Calls<'_> {
    type Break = Box<SqlError>;

    // Behind its arguments, whose own calls are in place then.
    fn post_visit_expr(&mut self, expression: &mut Expr) -> ControlFlow<Self::Break> {
        let Expr::Function(call) = expression else { return ControlFlow::Continue(()) };
        let Some(function) = self.functions.find(&parts_of(call), self.moment) else {
            return ControlFlow::Continue(());
        };
        match inlined(function, call, &mut self.left) {
            Ok(body) => {
                *expression = body;
                ControlFlow::Continue(())
            }
            Err(error) => {
                let place = Position::of(call.name.span());
                ControlFlow::Break(Box::new(match place {
                    Some(place) => error.or_at(place),
                    None => error,
                }))
            }
        }
    }
}

fn inlined(function: &Function, call: &Call, left: &mut usize) -> SqlResult<Expr> {
    let refused = |message: String| SqlError::new(Code::SqlType, message);
    let is_plain = call.filter.is_none()
        && call.over.is_none()
        && call.within_group.is_empty()
        && call.null_treatment.is_none();
    let arguments: Vec<&Expr> = match &call.args {
        FunctionArguments::None if is_plain => Vec::new(),
        FunctionArguments::List(list)
            if is_plain && list.duplicate_treatment.is_none() && list.clauses.is_empty() =>
        {
            let plain = list.args.iter().map(|argument| match argument {
                FunctionArg::Unnamed(FunctionArgExpr::Expr(argument)) => Some(argument),
                _ => None,
            });
            plain
                .collect::<Option<_>>()
                .ok_or_else(|| refused(format!("{} takes its arguments by position", function.name)))?
        }
        _ => {
            return Err(refused(format!(
                "{} is a function of one row: DISTINCT, FILTER, OVER and the like mean nothing here",
                function.name
            )));
        }
    };
    if arguments.len() != function.parameters.len() {
        return Err(refused(format!(
            "{} has {} arguments here, but takes {}: {}",
            function.name,
            arguments.len(),
            function.parameters.len(),
            signature(function)
        )));
    }
    let mut body = function.body.clone();
    let mut parameters = Substitution {
        parameters: function
            .parameters
            .iter()
            .zip(arguments)
            .map(|(parameter, argument)| {
                let size = size_of_tree(argument) + 2;
                (parameter.name.value.as_str(), nested(cast(argument.clone(), &parameter.data_type)), size)
            })
            .collect(),
        left,
    };
    let size = size_of_tree(&body);
    let enough = parameters.spend(size) && VisitMut::visit(&mut body, &mut parameters).is_continue();
    if !enough {
        return Err(refused(format!(
            "the functions of this statement make it longer than {MAX_GROWTH} expressions; split it with views"
        )));
    }
    Ok(nested(cast(nested(*body), &function.returns)))
}

/// `name(parameter type, …)`, for messages and DESCRIBE.
pub(crate) fn signature(function: &Function) -> String {
    let parameters: Vec<String> = function
        .parameters
        .iter()
        .map(|parameter| format!("{} {}", parameter.name, parameter.data_type))
        .collect();
    format!("{}({})", function.name, parameters.join(", "))
}

fn nested(expression: Expr) -> Expr {
    Expr::Nested(Box::new(expression))
}

fn cast(expression: Expr, to: &FlinkType) -> Expr {
    Expr::Cast {
        kind: CastKind::Cast,
        expr: Box::new(expression),
        data_type: to_ast(&to.kind),
        array: false,
        format: None,
    }
}

/// Puts arguments into the places of parameters.
struct Substitution<'a> {
    /// Names, values, and how many nodes these have.
    parameters: Vec<(&'a str, Expr, usize)>,
    left: &'a mut usize,
}

impl Substitution<'_> {
    fn spend(&mut self, nodes: usize) -> bool {
        match self.left.checked_sub(nodes) {
            Some(left) => {
                *self.left = left;
                true
            }
            None => false,
        }
    }

    fn value(&mut self, name: &Ident) -> ControlFlow<(), Option<Expr>> {
        let found = self.parameters.iter().find(|(parameter, _, _)| *parameter == name.value);
        let Some((_, value, size)) = found else { return ControlFlow::Continue(None) };
        let (value, size) = (value.clone(), *size);
        if self.spend(size) { ControlFlow::Continue(Some(value)) } else { ControlFlow::Break(()) }
    }
}

impl VisitorMut for Substitution<'_> {
    type Break = ();

    // Behind its parts, so that what is put in isn't looked at.
    fn post_visit_expr(&mut self, expression: &mut Expr) -> ControlFlow<()> {
        match expression {
            Expr::Identifier(name) => {
                if let Some(value) = self.value(name)? {
                    *expression = value;
                }
            }
            Expr::CompoundIdentifier(parts) => {
                let Some((first, fields)) = parts.split_first() else { return ControlFlow::Continue(()) };
                let access_chain = fields
                    .iter()
                    .map(|field| {
                        let value = Value::SingleQuotedString(field.value.clone());
                        AccessExpr::Dot(Expr::Value(ValueWithSpan { value, span: field.span }))
                    })
                    .collect();
                if let Some(value) = self.value(first)? {
                    *expression = Expr::CompoundFieldAccess { root: Box::new(value), access_chain };
                }
            }
            _ => {}
        }
        ControlFlow::Continue(())
    }
}

fn size_of_tree(tree: &impl Visit) -> usize {
    struct Count(usize);
    impl Visitor for Count {
        type Break = std::convert::Infallible;

        fn pre_visit_expr(&mut self, _: &Expr) -> ControlFlow<Self::Break> {
            self.0 += 1;
            ControlFlow::Continue(())
        }
    }
    let mut count = Count(0);
    let _ = tree.visit(&mut count);
    count.0
}

/// Refuses what a function's body can't be.
struct BodyCheck<'a> {
    functions: &'a Functions,
    moment: &'a Moment,
    own: &'a Key,
}

impl BodyCheck<'_> {
    fn is_itself(&self, call: &Call) -> bool {
        let parts = parts_of(call);
        if self.functions.find(&parts, self.moment).is_some() {
            return false;
        }
        match (self.own, parts.as_slice()) {
            (Key::System(name), [called]) => called.eq_ignore_ascii_case(name),
            (Key::System(_), _) => false,
            (_, [called]) if crate::planner::is_built_in(&called.to_lowercase()) => false,
            (Key::Temporary(path) | Key::Permanent(path), parts) => {
                self.moment.path(parts).map(lower).as_ref() == Some(path)
            }
        }
    }
}

impl Visitor for BodyCheck<'_> {
    type Break = Box<SqlError>;

    fn pre_visit_query(&mut self, query: &AstQuery) -> ControlFlow<Self::Break> {
        let position = Position::of(query.span());
        let error = SqlError::new(
            Code::Unsupported,
            "a function's body is an expression over its parameters, without queries",
        );
        ControlFlow::Break(Box::new(match position {
            Some(position) => error.or_at(position),
            None => error,
        }))
    }

    fn pre_visit_expr(&mut self, expression: &Expr) -> ControlFlow<Self::Break> {
        let Expr::Function(call) = expression else { return ControlFlow::Continue(()) };
        let position = Position::of(call.name.span()).unwrap_or(Position::START);
        if call.over.is_some() {
            let message = "a function's body is an expression over its parameters, without OVER";
            return ControlFlow::Break(Box::new(SqlError::unsupported(position, message)));
        }
        if self.is_itself(call) {
            let message = "the function calls itself; a function here is put into the place of its call, which would never end";
            return ControlFlow::Break(Box::new(SqlError::unsupported(position, message)));
        }
        ControlFlow::Continue(())
    }
}
