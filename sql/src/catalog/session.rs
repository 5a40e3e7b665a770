//! The session: statements go in one by one, names come out.

use std::collections::BTreeMap;

use weir_api::config::Configuration;
use weir_api::connector::{ConnectorRegistry, nearest};
use weir_api::error::Code;

use super::table::{build_table, check_distinct};
use super::{Config, DEFAULT_CATALOG, DEFAULT_DATABASE, Deferred, ObjectPath, Relation, Table, View};
use crate::error::{SqlError, SqlResult};
use crate::statement::{CreateTable, CreateView, Drop, ExplainTarget, Position, Statement, TableName};

/// The most tables and views of a session.
const MAX_RELATIONS: usize = 10_000;

/// Tables, views and configuration, as the statements so far have left them.
#[derive(Clone, Default)]
pub struct Session {
    registry: ConnectorRegistry,
    relations: BTreeMap<ObjectPath, Relation>,
    config: Configuration,
    warnings: Vec<String>,
}

impl Session {
    /// A session without tables.
    #[must_use]
    pub fn new(registry: &ConnectorRegistry) -> Self {
        Self { registry: registry.clone(), ..Self::default() }
    }

    /// Takes a statement in, or hands back what is the planner's.
    pub fn execute(&mut self, statement: Statement) -> SqlResult<Option<Deferred>> {
        match statement {
            Statement::CreateTable(create) => self.create_table(&create)?,
            Statement::CreateView(create) => self.create_view(*create)?,
            Statement::Drop(drop) => self.drop_relation(&drop)?,
            Statement::Set(set) => {
                self.set(&set.key, &set.value).map_err(|error| error.or_at(set.position))?;
            }
            Statement::Reset(reset) => {
                self.reset(reset.key.as_deref()).map_err(|error| error.or_at(reset.position))?;
            }
            Statement::Insert(insert) => return Ok(Some(Deferred::Inserts(vec![*insert]))),
            Statement::StatementSet(inserts) => return Ok(Some(Deferred::Inserts(inserts))),
            Statement::Explain(explain) => {
                if let ExplainTarget::Inserts(inserts) = &explain.target
                    && inserts.is_empty()
                {
                    return Err(SqlError::syntax(
                        explain.position,
                        "EXPLAIN of a statement set without statements",
                    ));
                }
                return Ok(Some(Deferred::Explain(explain)));
            }
            Statement::Query(query) => return Ok(Some(Deferred::Query(query))),
        }
        Ok(None)
    }

    /// What a name stands for; the error names the nearest.
    pub fn resolve(&self, name: &TableName) -> SqlResult<&Relation> {
        let path = path_of(name)?;
        self.relations.get(&path).ok_or_else(|| self.unknown(&path, name.position))
    }

    /// What the parts of a name (`[catalog.][database.]object`) stand for.
    #[must_use]
    pub fn find(&self, parts: &[&str]) -> Option<&Relation> {
        self.relations.get(&path_of_parts(parts)?)
    }

    /// The table of a name, for an INSERT; views are refused.
    pub fn resolve_sink(&self, name: &TableName) -> SqlResult<&Table> {
        match self.resolve(name)? {
            Relation::Table(table) => Ok(table),
            Relation::View(view) => Err(SqlError::at(
                Code::InvalidArgument,
                name.position,
                format!("INSERT INTO the view {}: only tables can be written to", view.path),
            )),
        }
    }

    /// The error for a name that stands for nothing.
    #[must_use]
    pub fn unknown(&self, path: &ObjectPath, position: Position) -> SqlError {
        let hint = match nearest(&path.object, self.relations.keys().map(|known| known.object.as_str())) {
            Some(name) => format!("; did you mean '{name}'?"),
            None if self.relations.is_empty() => "; nothing has been created so far".to_owned(),
            None => String::new(),
        };
        SqlError::at(Code::SqlUnknownName, position, format!("there is no table or view '{path}'{hint}"))
    }

    /// All tables and views, by name.
    pub fn relations(&self) -> impl Iterator<Item = (&ObjectPath, &Relation)> {
        self.relations.iter()
    }

    /// The connectors.
    #[must_use]
    pub const fn registry(&self) -> &ConnectorRegistry {
        &self.registry
    }

    /// What SET has set and RESET hasn't reset.
    #[must_use]
    pub const fn config(&self) -> &Config {
        self.config.values()
    }

    /// What the user should hear about, in the order of the statements.
    #[must_use]
    pub fn warnings(&self) -> &[String] {
        &self.warnings
    }

    /// Sets a configuration key after checking it; a key of Flink's without a meaning here becomes a warning.
    pub fn set(&mut self, key: &str, value: &str) -> SqlResult<()> {
        self.warnings.extend(self.config.set(key, value)?);
        Ok(())
    }

    fn reset(&mut self, key: Option<&str>) -> SqlResult<()> {
        let Some(key) = key else {
            self.config = Configuration::default();
            return Ok(());
        };
        let kept = self.config.values().iter().filter(|(known, _)| *known != key);
        let (config, _) =
            Configuration::from_pairs(kept.map(|(known, value)| (known.as_str(), value.as_str())))?;
        self.config = config;
        Ok(())
    }

    fn create_table(&mut self, create: &CreateTable) -> SqlResult<()> {
        if let Some(path) = self.vacant(&create.name, create.if_not_exists)? {
            let table = build_table(create, path.clone(), &self.registry)
                .map_err(|error| error.or_at(create.name.position))?;
            self.relations.insert(path, Relation::Table(Box::new(table)));
        }
        Ok(())
    }

    fn create_view(&mut self, create: CreateView) -> SqlResult<()> {
        if let Some(path) = self.vacant(&create.name, create.if_not_exists)? {
            check_distinct(&create.columns, &format!("view {path}"))?;
            let CreateView { columns, query, comment, position, .. } = create;
            let view = View { path: path.clone(), columns, query, comment, position };
            self.relations.insert(path, Relation::View(view));
        }
        Ok(())
    }

    /// The full name, or `None` if it is taken and that is fine.
    fn vacant(&self, name: &TableName, if_not_exists: bool) -> SqlResult<Option<ObjectPath>> {
        let path = path_of(name)?;
        let taken = match self.relations.get(&path) {
            _ if self.relations.len() >= MAX_RELATIONS => {
                let message = format!("more than {MAX_RELATIONS} tables and views in one text");
                return Err(SqlError::at(Code::InvalidArgument, name.position, message));
            }
            None => return Ok(Some(path)),
            Some(_) if if_not_exists => return Ok(None),
            Some(Relation::Table(table)) => format!("table {path} exists already, since {}", table.position),
            Some(Relation::View(view)) => format!("view {path} exists already, since {}", view.position),
        };
        Err(SqlError::at(Code::InvalidArgument, name.position, taken))
    }

    fn drop_relation(&mut self, drop: &Drop) -> SqlResult<()> {
        let path = path_of(&drop.name)?;
        match self.relations.get(&path) {
            None if drop.if_exists => return Ok(()),
            None => return Err(self.unknown(&path, drop.name.position)),
            Some(relation) => {
                let is_view = matches!(relation, Relation::View(_));
                if is_view != drop.is_view {
                    let (is, verb) =
                        if is_view { ("a view", "DROP VIEW") } else { ("a table", "DROP TABLE") };
                    let message = format!("{path} is {is}: {verb} drops it");
                    return Err(SqlError::at(Code::InvalidArgument, drop.name.position, message));
                }
            }
        }
        self.relations.remove(&path);
        Ok(())
    }
}

/// The full path of a name as written.
fn path_of(name: &TableName) -> SqlResult<ObjectPath> {
    let parts: Vec<&str> = name.parts.iter().map(|part| part.value.as_str()).collect();
    path_of_parts(&parts).ok_or_else(|| {
        let message = format!("'{name}' has {} parts; a table's name has at most three", parts.len());
        SqlError::syntax(name.position, message)
    })
}

/// The full path of one to three parts.
#[must_use]
pub(crate) fn path_of_parts(parts: &[&str]) -> Option<ObjectPath> {
    let (catalog, database, object) = match *parts {
        [object] => (DEFAULT_CATALOG, DEFAULT_DATABASE, object),
        [database, object] => (DEFAULT_CATALOG, database, object),
        [catalog, database, object] => (catalog, database, object),
        _ => return None,
    };
    Some(ObjectPath { catalog: catalog.to_owned(), database: database.to_owned(), object: object.to_owned() })
}
