//! JSON paths: `$`, then `.name`, `['name']` and `[index]`, with `lax` or `strict` before.
//!
//! Both modes find the same here: what a path doesn't lead to is missing. Wildcards and filters aren't known.

use datafusion_common::{Result, plan_err};

/// A step from a value to one inside.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum Step {
    Member(String),
    Element(usize),
}

/// Reads a path.
pub(super) fn parse(path: &str) -> Result<Vec<Step>> {
    match steps(path) {
        Some(steps) => Ok(steps),
        None => plan_err!(
            "the JSON path '{path}' can't be used; write one like '$.name', '$.list[0]' or '$[''a name'']'"
        ),
    }
}

fn steps(path: &str) -> Option<Vec<Step>> {
    let path = path.trim();
    let path = path.strip_prefix("lax ").or_else(|| path.strip_prefix("strict ")).unwrap_or(path);
    let mut rest = path.trim_start().strip_prefix('$')?;
    let mut steps = Vec::new();
    while !rest.is_empty() {
        let (step, after) = if let Some(member) = rest.strip_prefix('.') {
            let end = member.find(['.', '[']).unwrap_or(member.len());
            let (name, after) = member.split_at_checked(end)?;
            if name.is_empty() || name.contains(['*', '?', '(']) {
                return None;
            }
            (Step::Member(name.to_owned()), after)
        } else {
            bracketed(rest.strip_prefix('[')?)?
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
    Some((Step::Element(index.trim().parse().ok()?), after))
}

#[cfg(test)]
mod tests {

    use super::*;

    #[test]
    fn paths() {
        let member = |name: &str| Step::Member(name.to_owned());
        assert_eq!(parse("$").expect("valid"), []);
        assert_eq!(parse("lax $.a.b[2]").expect("valid"), [member("a"), member("b"), Step::Element(2)]);
        assert_eq!(
            parse("strict $['a b'][ \"c.d\" ].e").expect("valid"),
            [member("a b"), member("c.d"), member("e")]
        );
        for refused in ["", "a.b", "$.", "$..a", "$.a[*]", "$[?(@.a)]", "$[-1]", "$['a", "$x"] {
            assert!(parse(refused).is_err(), "{refused}");
        }
    }
}
