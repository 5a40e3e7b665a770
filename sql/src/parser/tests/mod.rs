//! Tests of the parser as a whole: what it reads, what it refuses and where, and that nothing makes it fall over.

mod errors;
mod limits;
mod literals;
pub(crate) mod mutations;
mod nexmark;
mod statements;
mod types;
mod windows;

use crate::deep::with_deep_stack;
use crate::statement::Statement;

/// The one statement of a text.
fn one(text: &str) -> Statement {
    let mut statements = all(text);
    assert_eq!(statements.len(), 1, "{text}");
    statements.remove(0)
}

/// All statements of a text.
fn all(text: &str) -> Vec<Statement> {
    super::parse(text).unwrap_or_else(|error| panic!("{error}\nin: {text}"))
}

/// The query of a text, as sqlparser prints it.
fn query_text(text: &str) -> String {
    match one(text) {
        Statement::Query(query) => query.ast.to_string(),
        other => panic!("not a query: {other:?}"),
    }
}

/// `line:column message` of a text that must be refused.
fn refusal(text: &str) -> String {
    let text = text.to_owned();
    with_deep_stack(move || match super::parse(&text) {
        Ok(statements) => panic!("accepted: {text}\n{statements:?}"),
        Err(error) => {
            let position = error.position().unwrap_or_else(|| panic!("no place: {error}"));
            format!("{}:{} {}", position.line, position.column, error.message())
        }
    })
    .unwrap()
}
