//! What USE, SHOW and DESCRIBE say.

use super::{Name, Position, TableName};

/// `USE [catalog.]database` or `USE CATALOG catalog`.
#[derive(Clone, Debug)]
pub struct Use {
    /// What names without one belong to from here on.
    pub target: UseTarget,
}

/// What a USE names.
#[derive(Clone, Debug)]
pub enum UseTarget {
    /// A catalog; its default database with it.
    Catalog(Name),
    /// A database, of the current catalog or of another.
    Database(TableName),
}

/// A statement whose answer is a table for the person who asks.
#[derive(Clone, Debug)]
pub struct Inspect {
    /// What is asked.
    pub inspection: Inspection,
    /// The statement as it was written, but for white space and comments.
    pub text: String,
    /// Where the statement begins.
    pub position: Position,
}

/// What a SHOW, a DESCRIBE or a SET without a key asks.
#[derive(Clone, Debug)]
pub enum Inspection {
    /// `SHOW CATALOGS [LIKE …]`.
    Catalogs(Option<Pattern>),
    /// `SHOW CURRENT CATALOG`.
    CurrentCatalog,
    /// `SHOW DATABASES [FROM catalog] [LIKE …]`.
    Databases(Option<Name>, Option<Pattern>),
    /// `SHOW CURRENT DATABASE`.
    CurrentDatabase,
    /// `SHOW TABLES [FROM database] [LIKE …]`.
    Tables(Option<TableName>, Option<Pattern>),
    /// `SHOW VIEWS [FROM database] [LIKE …]`.
    Views(Option<TableName>, Option<Pattern>),
    /// `SHOW CREATE TABLE table`.
    CreateTable(TableName),
    /// `SHOW CREATE VIEW view`.
    CreateView(TableName),
    /// `DESCRIBE table`, `SHOW COLUMNS FROM table [LIKE …]`.
    Columns(TableName, Option<Pattern>),
    /// `SHOW [USER] FUNCTIONS [FROM database] [LIKE …]`.
    Functions {
        /// Whether those that were created are asked for only.
        user: bool,
        /// The database.
        database: Option<TableName>,
        /// Which names.
        pattern: Option<Pattern>,
    },
    /// `DESCRIBE FUNCTION function`.
    Function(TableName),
    /// `DESCRIBE DATABASE database`.
    Database(TableName),
    /// `DESCRIBE CATALOG catalog`.
    Catalog(Name),
    /// `SET`.
    Settings,
}

/// `[NOT] LIKE 'pattern'` or `[NOT] ILIKE 'pattern'`.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Pattern {
    /// Whether names that don't match are asked for.
    pub negated: bool,
    /// Whether case doesn't count.
    pub ignore_case: bool,
    /// `%` is any text, `_` any character; a backslash takes them as they are.
    pub text: String,
}

impl Pattern {
    /// Whether a name is asked for.
    #[must_use]
    pub fn selects(&self, name: &str) -> bool {
        let fold = |text: &str| if self.ignore_case { text.to_lowercase() } else { text.to_owned() };
        let name: Vec<char> = fold(name).chars().collect();
        is_like(&name, &tokens(&fold(&self.text))) != self.negated
    }
}

/// A piece of a pattern.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Piece {
    Any,
    One,
    Itself(char),
}

fn tokens(pattern: &str) -> Vec<Piece> {
    let mut pieces = Vec::new();
    let mut characters = pattern.chars();
    while let Some(character) = characters.next() {
        pieces.push(match character {
            '%' => Piece::Any,
            '_' => Piece::One,
            '\\' => Piece::Itself(characters.next().unwrap_or('\\')),
            other => Piece::Itself(other),
        });
    }
    pieces
}

/// By going back to the last `%` only: at most the product of both lengths.
fn is_like(name: &[char], pattern: &[Piece]) -> bool {
    let (mut at, mut piece) = (0, 0);
    let mut back: Option<(usize, usize)> = None;
    while let Some(character) = name.get(at) {
        match pattern.get(piece) {
            Some(Piece::Any) => {
                piece += 1;
                back = Some((at, piece));
                continue;
            }
            Some(Piece::One) => {}
            Some(Piece::Itself(wanted)) if wanted == character => {}
            _ => match back {
                Some((from, next)) => {
                    back = Some((from + 1, next));
                    (at, piece) = (from + 1, next);
                    continue;
                }
                None => return false,
            },
        }
        at += 1;
        piece += 1;
    }
    pattern.get(piece..).unwrap_or_default().iter().all(|rest| *rest == Piece::Any)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_select_as_sql_does() {
        let selects = |text: &str, name: &str| {
            Pattern { negated: false, ignore_case: false, text: text.to_owned() }.selects(name)
        };
        for (pattern, name) in
            [("%", ""), ("a%", "abc"), ("%b%", "abc"), ("a_c", "abc"), ("%a%a", "aaba"), ("a\\_", "a_")]
        {
            assert!(selects(pattern, name), "{pattern} {name}");
        }
        for (pattern, name) in
            [("", "a"), ("a", ""), ("a_", "a"), ("A%", "abc"), ("%a%b", "aba"), ("a\\_", "ab")]
        {
            assert!(!selects(pattern, name), "{pattern} {name}");
        }
        assert!(Pattern { negated: true, ignore_case: false, text: "a".to_owned() }.selects("b"));
        assert!(Pattern { negated: false, ignore_case: true, text: "Ä%".to_owned() }.selects("äB"));
        assert!(!selects(&"%a".repeat(2_000), &"b".repeat(4_000)), "and quickly");
    }
}
