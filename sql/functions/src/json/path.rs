//! JSON paths: `$`, then `.name`, `['name']`, `[index]`, `.*` and `[*]`, with `lax` or `strict` before.
//!
//! What a lax path (the default) doesn't lead to is empty, what a strict one doesn't lead to is an error. Filters, ranges and
//! `..` aren't known.

use datafusion_common::{Result, plan_err};

/// A path.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(super) struct Path {
    pub is_strict: bool,
    pub steps: Vec<Step>,
}

impl Path {
    /// Whether it leads to a list of values and not to one.
    pub fn is_list(&self) -> bool {
        self.steps.contains(&Step::All)
    }
}

/// A step from a value to one inside.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum Step {
    Member(String),
    Element(usize),
    /// To all members or elements.
    All,
}

/// Reads a path.
pub(super) fn parse(path: &str) -> Result<Path> {
    let text = path.trim();
    let (is_strict, text) = match (text.strip_prefix("strict "), text.strip_prefix("lax ")) {
        (Some(rest), _) => (true, rest),
        (None, Some(rest)) => (false, rest),
        (None, None) => (false, text),
    };
    match steps(text) {
        Some(steps) => Ok(Path { is_strict, steps }),
        None => plan_err!(
            "the JSON path '{path}' can't be used; write one like '$.name', '$.list[0]', '$.list[*]' or '$[''a name'']'"
        ),
    }
}

fn steps(path: &str) -> Option<Vec<Step>> {
    let mut rest = path.trim_start().strip_prefix('$')?;
    let mut steps = Vec::new();
    while !rest.is_empty() {
        // `$.['a name']` is `$['a name']`.
        let bracket = rest.strip_prefix('[').or_else(|| rest.strip_prefix(".["));
        let (step, after) = match (bracket, rest.strip_prefix('.')) {
            (Some(bracket), _) => bracketed(bracket)?,
            (None, Some(member)) => {
                let end = member.find(['.', '[']).unwrap_or(member.len());
                let (name, after) = member.split_at_checked(end)?;
                match name {
                    "*" => (Step::All, after),
                    name if name.is_empty() || name.contains(['*', '?', '(']) => return None,
                    name => (Step::Member(name.to_owned()), after),
                }
            }
            (None, None) => return None,
        };
        steps.push(step);
        rest = after;
    }
    Some(steps)
}

fn bracketed(text: &str) -> Option<(Step, &str)> {
    let text = text.trim_start();
    for quote in ['\'', '"'] {
        if let Some(quoted) = text.strip_prefix(quote) {
            let (name, after) = quoted.split_once(quote)?;
            return Some((Step::Member(name.to_owned()), after.trim_start().strip_prefix(']')?));
        }
    }
    let (index, after) = text.split_once(']')?;
    if index.trim() == "*" {
        return Some((Step::All, after));
    }
    Some((Step::Element(index.trim().parse().ok()?), after))
}

#[cfg(test)]
mod tests {

    use super::*;

    #[test]
    fn paths() {
        let member = |name: &str| Step::Member(name.to_owned());
        let path = |is_strict: bool, steps: Vec<Step>| Path { is_strict, steps };
        assert_eq!(parse("$").expect("valid"), path(false, vec![]));
        assert_eq!(
            parse("lax $.a.b[2]").expect("valid"),
            path(false, vec![member("a"), member("b"), Step::Element(2)])
        );
        assert_eq!(
            parse("strict $['a b'][ \"c.d\" ].e.['f']").expect("valid"),
            path(true, vec![member("a b"), member("c.d"), member("e"), member("f")])
        );
        assert_eq!(parse("$.a[*].*").expect("valid"), path(false, vec![member("a"), Step::All, Step::All]));
        for refused in ["", "a.b", "$.", "$..a", "$.a*", "$[?(@.a)]", "$[-1]", "$['a", "$x", "$[0:2]"] {
            assert!(parse(refused).is_err(), "{refused}");
        }
    }
}
