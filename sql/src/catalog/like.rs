//! `CREATE TABLE … LIKE`: a definition laid over another, by Flink's rules.
//!
//! Without rules all of the other table is kept and options are overwritten. Physical columns are always kept. Knows no
//! connectors: the result is a statement as if its author had written it out.

use weir_api::error::Code;

use crate::error::{SqlError, SqlResult};
use crate::statement::{ColumnDefinition, ColumnKind, CreateTable, Feature, Like, Merging, Name};

/// The definition that `create … LIKE …` stands for; `base` is the other table's, its columns written out.
pub(super) fn merge(mut create: CreateTable, like: &Like, base: &CreateTable) -> SqlResult<CreateTable> {
    let rules = Rules(&like.rules);
    create.columns = columns(&create, &rules, base)?;
    watermark(&mut create, &rules, base)?;
    options(&mut create, &rules, base)?;
    take(
        &mut create.primary_key,
        &base.primary_key,
        rules.of(Feature::Constraints),
        "a primary key",
        "CONSTRAINTS",
    )?;
    take(
        &mut create.partitioned_by,
        &base.partitioned_by,
        rules.of(Feature::Partitions),
        "partitions",
        "PARTITIONS",
    )?;
    Ok(create)
}

struct Rules<'a>(&'a [(Feature, Merging)]);

impl Rules<'_> {
    fn of(&self, feature: Feature) -> Merging {
        let said =
            |wanted| self.0.iter().find(|(feature, _)| *feature == wanted).map(|(_, merging)| *merging);
        said(feature).or_else(|| said(Feature::All)).unwrap_or(match feature {
            Feature::Options => Merging::Overwriting,
            _ => Merging::Including,
        })
    }
}

/// Names that only one of both may have.
fn take(own: &mut Vec<Name>, base: &[Name], merging: Merging, what: &str, feature: &str) -> SqlResult<()> {
    match own.first() {
        Some(first) if !base.is_empty() && merging != Merging::Excluding => {
            let message =
                format!("the table behind LIKE already has {what}; EXCLUDING {feature} leaves it out");
            Err(SqlError::at(Code::InvalidArgument, first.position, message))
        }
        Some(_) => Ok(()),
        None => {
            if merging != Merging::Excluding {
                own.extend_from_slice(base);
            }
            Ok(())
        }
    }
}

fn feature_of(kind: &ColumnKind) -> Option<(Feature, &'static str, &'static str)> {
    match kind {
        ColumnKind::Physical(_) => None,
        ColumnKind::Computed(_) => Some((Feature::Generated, "a computed column", "GENERATED")),
        ColumnKind::Metadata { .. } => Some((Feature::Metadata, "a metadata column", "METADATA")),
    }
}

fn columns(create: &CreateTable, rules: &Rules<'_>, base: &CreateTable) -> SqlResult<Vec<ColumnDefinition>> {
    let kept = |column: &&ColumnDefinition| {
        feature_of(&column.kind).is_none_or(|(feature, _, _)| rules.of(feature) != Merging::Excluding)
    };
    let mut columns: Vec<ColumnDefinition> = base.columns.iter().filter(kept).cloned().collect();
    let taken = columns.len();
    for column in &create.columns {
        let place = columns.iter().take(taken).position(|known| known.name.value == column.name.value);
        let Some(known) = place.and_then(|place| columns.get_mut(place)) else {
            columns.push(column.clone());
            continue;
        };
        match (feature_of(&known.kind), feature_of(&column.kind)) {
            (Some((old, what, word)), Some((new, _, _))) if old == new => {
                if rules.of(new) != Merging::Overwriting {
                    let message = format!(
                        "the table behind LIKE already has {what} '{}'; EXCLUDING {word} leaves it out, OVERWRITING {word} replaces it",
                        column.name
                    );
                    return Err(SqlError::at(Code::InvalidArgument, column.name.position, message));
                }
                *known = column.clone();
            }
            _ => {
                let message = format!("the table behind LIKE already has a column '{}'", column.name);
                return Err(SqlError::at(Code::InvalidArgument, column.name.position, message));
            }
        }
    }
    Ok(columns)
}

fn watermark(create: &mut CreateTable, rules: &Rules<'_>, base: &CreateTable) -> SqlResult<()> {
    let merging = rules.of(Feature::Watermarks);
    match (&create.watermark, &base.watermark) {
        (Some(own), Some(known)) if merging == Merging::Including => {
            let message = format!(
                "the table behind LIKE already has a watermark, for '{}'; EXCLUDING WATERMARKS leaves it out, OVERWRITING \
                 WATERMARKS replaces it",
                known.column
            );
            Err(SqlError::at(Code::InvalidArgument, own.position, message))
        }
        (None, Some(known)) if merging != Merging::Excluding => {
            create.watermark = Some(known.clone());
            Ok(())
        }
        _ => Ok(()),
    }
}

fn options(create: &mut CreateTable, rules: &Rules<'_>, base: &CreateTable) -> SqlResult<()> {
    let merging = rules.of(Feature::Options);
    if merging == Merging::Excluding {
        return Ok(());
    }
    let mut options = base.options.clone();
    for option in std::mem::take(&mut create.options) {
        match options.iter_mut().take(base.options.len()).find(|known| known.key == option.key) {
            Some(_) if merging == Merging::Including => {
                let message = format!(
                    "the table behind LIKE already has the option '{}'; EXCLUDING OPTIONS leaves its options out, OVERWRITING \
                     OPTIONS replaces this one",
                    option.key
                );
                return Err(SqlError::at(Code::TableOptions, option.position, message));
            }
            Some(known) => *known = option,
            None => options.push(option),
        }
    }
    create.options = options;
    Ok(())
}
