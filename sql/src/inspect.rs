//! SHOW, DESCRIBE and SET without a key: what the session knows, in Flink's columns.

use datafusion::arrow::datatypes::FieldRef;
use weir_api::config::Configuration;
use weir_api::error::Code;
use weir_api::schema::is_rowtime;

use crate::catalog::{ColumnSource, DeclaredTable, Relation, Session, View, signature};
use crate::error::{SqlError, SqlResult};
use crate::planner::{built_in_names, query_columns, table_columns};
use crate::results::Rows;
use crate::statement::{ColumnKind, Inspect, Inspection, Pattern, Query, TableName};
use crate::types::flink_type_name;
use crate::written;

/// The answer of a statement, in the session as it is now.
pub(crate) fn inspect(statement: &Inspect, session: &Session, base: &Configuration) -> SqlResult<Rows> {
    let now = session.now();
    Ok(match &statement.inspection {
        Inspection::Catalogs(pattern) => Rows::names(
            "catalog name",
            selected(session.catalogs().map(|(name, _)| name.clone()), pattern.as_ref()),
        ),
        Inspection::CurrentCatalog => Rows::names("current catalog name", [now.catalog.to_string()]),
        Inspection::CurrentDatabase => Rows::names("current database name", [now.database.to_string()]),
        Inspection::Databases(catalog, pattern) => {
            let (name, position) = match catalog {
                Some(name) => (name.value.as_str(), name.position),
                None => (&*now.catalog, statement.position),
            };
            let databases = session.catalog(name, position)?.databases.keys().cloned();
            Rows::names("database name", selected(databases, pattern.as_ref()))
        }
        Inspection::Tables(database, pattern) => {
            Rows::names("table name", relations(session, database.as_ref(), pattern.as_ref(), |_| true)?)
        }
        Inspection::Views(database, pattern) => {
            let is_view = |relation: &Relation| matches!(relation, Relation::View(_));
            Rows::names("view name", relations(session, database.as_ref(), pattern.as_ref(), is_view)?)
        }
        Inspection::CreateTable(name) => match session.resolve(name, now)? {
            Relation::Table(table) => Rows::text(written::create_table(table)),
            Relation::View(_) => return Err(other_kind(name, "a view", "SHOW CREATE VIEW")),
        },
        Inspection::CreateView(name) => match session.resolve(name, now)? {
            Relation::View(view) => Rows::text(written::create_view(view)),
            Relation::Table(_) => return Err(other_kind(name, "a table", "SHOW CREATE TABLE")),
        },
        Inspection::Columns(name, pattern) => columns(session, base, name, pattern.as_ref())?,
        Inspection::Functions { user, database, pattern } => {
            let (catalog, database, _) = session.database(database.as_ref())?;
            let own = session.function_names(&catalog, &database).map(str::to_owned);
            let mut names: Vec<String> =
                own.chain(if *user { Vec::new() } else { built_in_names() }).collect();
            names.sort();
            names.dedup();
            Rows::names("function name", selected(names.into_iter(), pattern.as_ref()))
        }
        Inspection::Function(name) => function(session, name)?,
        Inspection::Database(name) => {
            let (catalog, database, entry) = session.database(Some(name))?;
            facts([
                ("catalog name", Some(catalog)),
                ("database name", Some(database)),
                ("comment", entry.comment.clone()),
            ])
        }
        Inspection::Catalog(name) => {
            let entry = session.catalog(&name.value, name.position)?;
            facts([
                ("name", Some(name.value.clone())),
                ("type", Some("generic_in_memory".to_owned())),
                ("default-database", Some(entry.default_database.clone())),
            ])
        }
        Inspection::Settings => {
            let mut rows = Rows::new(&["key", "value"]);
            for (key, value) in session.config() {
                rows.push([Some(key.clone()), Some(written::shown(key, value).to_owned())]);
            }
            rows
        }
    })
}

fn selected(names: impl Iterator<Item = String>, pattern: Option<&Pattern>) -> Vec<String> {
    names.filter(|name| pattern.is_none_or(|pattern| pattern.selects(name))).collect()
}

fn relations(
    session: &Session,
    database: Option<&TableName>,
    pattern: Option<&Pattern>,
    is_wanted: impl Fn(&Relation) -> bool,
) -> SqlResult<Vec<String>> {
    let (catalog, database, _) = session.database(database)?;
    let wanted = session.relations_of(&catalog, &database).filter(|(_, relation)| is_wanted(relation));
    Ok(selected(wanted.map(|(name, _)| name.to_owned()), pattern))
}

fn other_kind(name: &TableName, is: &str, instead: &str) -> SqlError {
    SqlError::at(Code::InvalidArgument, name.position, format!("{name} is {is}: {instead} shows it"))
}

/// Flink's columns of DESCRIBE.
const COLUMNS: [&str; 6] = ["name", "type", "null", "key", "extras", "watermark"];

fn columns(
    session: &Session,
    base: &Configuration,
    name: &TableName,
    pattern: Option<&Pattern>,
) -> SqlResult<Rows> {
    match session.resolve(name, session.now())? {
        Relation::Table(table) => table_rows(table, session, base, pattern),
        Relation::View(view) => {
            let columns = view_columns(view, session, base).map_err(|error| error.or_at(name.position))?;
            let mut rows = Rows::new(&COLUMNS);
            for (name, field) in columns {
                if pattern.is_none_or(|pattern| pattern.selects(&name)) {
                    rows.push([
                        Some(name),
                        Some(type_text(&field, false)),
                        null_text(&field),
                        None,
                        None,
                        None,
                    ]);
                }
            }
            Ok(rows)
        }
    }
}

fn view_columns(view: &View, session: &Session, base: &Configuration) -> SqlResult<Vec<(String, FieldRef)>> {
    let moment = session.now().with_names_of(&view.query.moment);
    let query = Query { moment, ..view.query.clone() };
    let fields = query_columns(&query, session, base)?;
    if !view.columns.is_empty() && view.columns.len() != fields.len() {
        let message = format!(
            "view {} names {} columns, but its query has {}",
            view.path.object,
            view.columns.len(),
            fields.len()
        );
        return Err(SqlError::at(Code::SqlType, view.position, message));
    }
    let mut names = view.columns.iter();
    let named = fields.into_iter().map(|field| {
        let name = names.next().map_or_else(|| field.name().clone(), |name| name.value.clone());
        (name, field)
    });
    Ok(named.collect())
}

fn table_rows(
    table: &DeclaredTable,
    session: &Session,
    base: &Configuration,
    pattern: Option<&Pattern>,
) -> SqlResult<Rows> {
    let fields = table_columns(table, session, base)?;
    let has_comments = table.columns.iter().any(|column| column.comment.is_some());
    let mut names = COLUMNS.to_vec();
    names.extend(has_comments.then_some("comment"));
    let mut rows = Rows::new(&names);
    let definition = &table.definition;
    let watermark = definition.watermark.as_ref();
    for (column, field) in table.columns.iter().zip(&fields) {
        if !pattern.is_none_or(|pattern| pattern.selects(&column.name)) {
            continue;
        }
        let own = watermark.filter(|watermark| watermark.column.value == column.name);
        let key = table
            .primary_key
            .contains(&column.name)
            .then(|| format!("PRI({})", table.primary_key.join(", ")));
        let declared = definition.columns.iter().find(|declared| declared.name.value == column.name);
        let extras = match (&column.source, declared.map(|declared| &declared.kind)) {
            (_, Some(ColumnKind::Computed(expression))) => Some(format!("AS {expression}")),
            (ColumnSource::Metadata { key, is_virtual, .. }, _) => {
                let from = if *key == column.name { String::new() } else { format!(" FROM '{key}'") };
                Some(format!("METADATA{from}{}", if *is_virtual { " VIRTUAL" } else { "" }))
            }
            _ => None,
        };
        let mut row = vec![
            Some(column.name.clone()),
            Some(type_text(field, own.is_some())),
            null_text(field),
            key,
            extras,
            own.map(|watermark| watermark.expression.text.clone()),
        ];
        if has_comments {
            row.push(column.comment.clone());
        }
        rows.push(row);
    }
    Ok(rows)
}

fn type_text(field: &FieldRef, is_time: bool) -> String {
    let mark = if is_time || is_rowtime(field) { " *ROWTIME*" } else { "" };
    format!("{}{mark}", flink_type_name(field.data_type(), true))
}

fn null_text(field: &FieldRef) -> Option<String> {
    Some(if field.is_nullable() { "TRUE" } else { "FALSE" }.to_owned())
}

fn function(session: &Session, name: &TableName) -> SqlResult<Rows> {
    let function = session.function(name)?;
    let kind = if function.path.is_some() { "catalog function" } else { "temporary system function" };
    Ok(facts([
        ("signature", Some(signature(function))),
        ("returns", Some(function.returns.to_string())),
        ("kind", Some(kind.to_owned())),
        ("language", Some("SQL".to_owned())),
        ("body", Some(function.text.clone())),
    ]))
}

/// Names and values, in Flink's columns of DESCRIBE for what isn't a table.
fn facts<const N: usize>(facts: [(&str, Option<String>); N]) -> Rows {
    let mut rows = Rows::new(&["info name", "info value"]);
    for (name, value) in facts {
        rows.push([Some(name.to_owned()), value]);
    }
    rows
}
