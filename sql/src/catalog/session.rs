//! The session: statements go in one by one, names come out.
//!
//! Invariant: a query or INSERT that has gone in keeps the [`Moment`] of its place, so that it means what it meant there,
//! whatever the text drops, alters or creates behind it.

mod changes;

use std::sync::Arc;

use weir_api::config::Configuration;
use weir_api::connector::{ConnectorRegistry, nearest};
use weir_api::error::Code;

use super::functions::Functions;
use super::history::History;
use super::namespaces::Namespaces;
use super::table::{CONNECTOR, build_table, check_distinct, written_out};
use super::{
    CatalogEntry, Config, DatabaseEntry, DeclaredTable, Deferred, Function, Moment, ObjectPath, Relation,
    View, alter, like,
};
use crate::error::{SqlError, SqlResult};
use crate::statement::{
    Alteration, ColumnKind, CreateTable, CreateView, ExplainTarget, Insert, Like, Position, Query, Statement,
    TableName, TableOption,
};

/// The most tables and views of a session.
const MAX_RELATIONS: usize = 10_000;
/// The most columns that a text's tables may have, all declarations and alterations together.
const MAX_COLUMNS: usize = 1_000_000;

/// Which relation: those that hide others are apart.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
struct Key {
    path: ObjectPath,
    temporary: bool,
}

/// Tables, views, functions and configuration, as the statements so far have left them.
#[derive(Clone, Default)]
pub struct Session {
    registry: ConnectorRegistry,
    relations: History<Key, Relation>,
    functions: Functions,
    namespaces: Namespaces,
    /// Whether something has read the current version, which is final then.
    is_read: bool,
    /// How many columns all tables built so far have.
    columns: usize,
    config: Configuration,
    warnings: Vec<String>,
}

impl Session {
    /// A session without tables.
    #[must_use]
    pub fn new(registry: &ConnectorRegistry) -> Self {
        Self { registry: registry.clone(), ..Self::default() }
    }

    /// Takes a statement in, or hands back what is others'.
    pub fn execute(&mut self, statement: Statement) -> SqlResult<Option<Deferred>> {
        match statement {
            Statement::CreateTable(create) => self.create_table(*create)?,
            Statement::CreateTableLike(create, like) => self.create_table_like(*create, &like)?,
            Statement::CreateTableAs(create, mut query) => {
                if self.vacant(&create.name, create.temporary, create.if_not_exists)?.is_some() {
                    self.bind(&mut query.query)?;
                    return Ok(Some(Deferred::CreateTableAs(create, query)));
                }
            }
            Statement::CreateView(create) => self.create_view(*create)?,
            Statement::CreateFunction(create) => {
                let function = self.functions.create(&create, &self.namespaces.current)?;
                return Ok(function.map(Deferred::CheckFunction));
            }
            Statement::CreateNamespace(create) => self.namespaces.create(&create)?,
            Statement::AlterTable(alter) => self.alter_table(&alter)?,
            Statement::AlterView(alter) => self.alter_view(*alter)?,
            Statement::Drop(drop) => self.drop(&drop)?,
            Statement::Use(statement) => self.namespaces.enter(&statement)?,
            Statement::Set(set) => {
                self.set(&set.key, &set.value).map_err(|error| error.or_at(set.position))?;
            }
            Statement::Reset(reset) => {
                self.reset(reset.key.as_deref()).map_err(|error| error.or_at(reset.position))?;
            }
            Statement::Inspect(inspect) => return Ok(Some(Deferred::Inspect(inspect))),
            Statement::Insert(mut insert) => {
                self.bind(&mut insert.query)?;
                return Ok(Some(Deferred::Inserts(vec![*insert])));
            }
            Statement::StatementSet(mut inserts) => {
                self.bind_all(&mut inserts)?;
                return Ok(Some(Deferred::Inserts(inserts)));
            }
            Statement::Explain(mut explain) => {
                match &mut explain.target {
                    ExplainTarget::Inserts(inserts) if inserts.is_empty() => {
                        let message = "EXPLAIN of a statement set without statements";
                        return Err(SqlError::syntax(explain.position, message));
                    }
                    ExplainTarget::Inserts(inserts) => self.bind_all(inserts)?,
                    ExplainTarget::Query(query) => self.bind(query)?,
                    ExplainTarget::CreateTableAs(_, query) => self.bind(&mut query.query)?,
                }
                return Ok(Some(Deferred::Explain(explain)));
            }
            Statement::Query(mut query) => {
                self.bind(&mut query)?;
                return Ok(Some(Deferred::Query(query)));
            }
        }
        Ok(None)
    }

    /// This moment; what is declared from here on doesn't change what it sees.
    pub fn moment(&mut self) -> Moment {
        self.is_read = true;
        self.namespaces.current.clone()
    }

    /// This moment, for names that are looked up at once.
    #[must_use]
    pub const fn now(&self) -> &Moment {
        &self.namespaces.current
    }

    /// Gives a query what its names stand for here.
    pub fn bind(&mut self, query: &mut Query) -> SqlResult<()> {
        self.functions.put_into_query(query, &self.namespaces.current)?;
        query.moment = self.moment();
        Ok(())
    }

    fn bind_all(&mut self, inserts: &mut [Insert]) -> SqlResult<()> {
        inserts.iter_mut().try_for_each(|insert| self.bind(&mut insert.query))
    }

    /// What a name stands for at a moment; the error names the nearest.
    pub fn resolve(&self, name: &TableName, moment: &Moment) -> SqlResult<&Relation> {
        let path = path_of(name, moment)?;
        self.at(&path, moment).ok_or_else(|| self.unknown(&path, name.position))
    }

    /// What the parts of a name (`[catalog.][database.]object`) stand for now.
    #[must_use]
    pub fn find(&self, parts: &[&str]) -> Option<&Relation> {
        self.at(&self.namespaces.current.path(parts)?, &self.namespaces.current)
    }

    /// What is at a path at a moment: first what hides others.
    #[must_use]
    pub fn at(&self, path: &ObjectPath, moment: &Moment) -> Option<&Relation> {
        let at = |temporary| self.relations.find(&Key { path: path.clone(), temporary }, moment.version);
        at(true).or_else(|| at(false))
    }

    /// The table of a name, for an INSERT; views are refused.
    pub fn resolve_sink(&self, name: &TableName, moment: &Moment) -> SqlResult<&Arc<DeclaredTable>> {
        match self.resolve(name, moment)? {
            Relation::Table(table) => Ok(table),
            Relation::View(view) => Err(SqlError::at(
                Code::InvalidArgument,
                name.position,
                format!("INSERT INTO the view {}: only tables can be written to", view.path),
            )),
        }
    }

    /// A table with other options over its own, as a hint says.
    pub fn with_options(&self, table: &DeclaredTable, options: &[TableOption]) -> SqlResult<DeclaredTable> {
        let mut definition = table.definition.clone();
        alter::apply(&mut definition, &Alteration::Set(options.to_vec()), table.position)?;
        let at = options.first().map_or(table.position, |option| option.position);
        let built =
            build_table(&definition, table.path.clone(), &self.registry).map_err(|error| error.or_at(at))?;
        let mut sorted: Vec<_> = options.iter().map(|option| (&option.key, &option.value)).collect();
        sorted.sort();
        Ok(DeclaredTable { table: built, definition, variant: format!("{} {sorted:?}", table.variant) })
    }

    /// The error for a name that stands for nothing.
    #[must_use]
    pub fn unknown(&self, path: &ObjectPath, position: Position) -> SqlError {
        let known = self.relations.iter().map(|(key, _)| key.path.object.as_str());
        let hint = match nearest(&path.object, known) {
            Some(name) if name == path.object => {
                let key = self.relations.iter().find(|(key, _)| key.path.object == name);
                key.map_or_else(String::new, |(key, _)| format!("; there is {}", key.path))
            }
            Some(name) => format!("; did you mean '{name}'?"),
            None if self.relations.len() == 0 => "; nothing has been created so far".to_owned(),
            None => String::new(),
        };
        SqlError::at(Code::SqlUnknownName, position, format!("there is no table or view '{path}'{hint}"))
    }

    /// The tables and views of a database by name, those that are hidden left out.
    pub fn relations_of(&self, catalog: &str, database: &str) -> impl Iterator<Item = (&str, &Relation)> {
        let of_database = self
            .relations
            .iter()
            .filter(move |(key, _)| key.path.catalog == catalog && key.path.database == database);
        // Keys are in order, so one that hides another comes right behind it.
        let mut relations: Vec<(&str, &Relation)> = Vec::new();
        for (key, relation) in of_database {
            match relations.last_mut() {
                Some((name, hidden)) if *name == key.path.object => *hidden = relation,
                _ => relations.push((&key.path.object, relation)),
            }
        }
        relations.into_iter()
    }

    /// The catalogs, by name.
    pub fn catalogs(&self) -> impl Iterator<Item = (&String, &CatalogEntry)> {
        self.namespaces.catalogs().iter()
    }

    /// A catalog that must be there.
    pub fn catalog(&self, name: &str, position: Position) -> SqlResult<&CatalogEntry> {
        self.namespaces.catalog(name, position)
    }

    /// The catalog and the name of a database that must be there, and the database; without a name the current one.
    pub fn database(&self, name: Option<&TableName>) -> SqlResult<(String, String, &DatabaseEntry)> {
        let current = &self.namespaces.current;
        let (catalog, database, position) = match name {
            Some(name) => {
                let (catalog, database) = self.namespaces.path(name)?;
                (catalog, database, name.position)
            }
            None => (current.catalog.to_string(), current.database.to_string(), Position::START),
        };
        let entry = self.namespaces.database(&catalog, &database, position)?;
        Ok((catalog, database, entry))
    }

    /// A function that was created.
    pub fn function(&self, name: &TableName) -> SqlResult<&Arc<Function>> {
        let parts: Vec<&str> = name.parts.iter().map(|part| part.value.as_str()).collect();
        self.functions.find(&parts, &self.namespaces.current).ok_or_else(|| {
            let message = format!("no function '{name}' has been created");
            SqlError::at(Code::SqlUnknownName, name.position, message)
        })
    }

    /// The names of the functions that were created in a database, or in none.
    pub fn function_names<'a>(
        &'a self,
        catalog: &'a str,
        database: &'a str,
    ) -> impl Iterator<Item = &'a str> {
        self.functions.names(catalog, database)
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

    /// Declares a table whose columns are known.
    pub fn create_table(&mut self, create: CreateTable) -> SqlResult<()> {
        if let Some(key) = self.vacant(&create.name, create.temporary, create.if_not_exists)? {
            let table = self.declared(create, &key)?;
            self.put(key, Some(Relation::Table(Arc::new(table))));
        }
        Ok(())
    }

    fn create_table_like(&mut self, create: CreateTable, like: &Like) -> SqlResult<()> {
        if self.vacant(&create.name, create.temporary, create.if_not_exists)?.is_none() {
            return Ok(());
        }
        let Relation::Table(base) = self.resolve(&like.source, &self.namespaces.current)? else {
            let message = format!("LIKE takes over a table, and {} is a view", like.source);
            return Err(SqlError::at(Code::InvalidArgument, like.source.position, message));
        };
        // The connector lends the new table its columns, unless that has another connector or columns of its own.
        let keeps_connector = !create.options.iter().any(|option| option.key == CONNECTOR)
            && !create.columns.iter().any(|column| matches!(column.kind, ColumnKind::Physical(_)));
        let base = if keeps_connector { base.definition.clone() } else { written_out(base) };
        let merged = like::merge(create, like, &base)?;
        self.create_table(merged)
    }

    /// The table of a definition, checked by its connector.
    fn declared(&mut self, definition: CreateTable, key: &Key) -> SqlResult<DeclaredTable> {
        let position = definition.name.position;
        let mut planned = definition.clone();
        for column in &mut planned.columns {
            if let ColumnKind::Computed(expression) = &mut column.kind {
                self.functions.put_into_expression(
                    expression,
                    &self.namespaces.current,
                    column.name.position,
                )?;
            }
        }
        if let Some(watermark) = &mut planned.watermark {
            let position = watermark.position;
            self.functions.put_into_expression(
                &mut watermark.expression,
                &self.namespaces.current,
                position,
            )?;
        }
        let table =
            build_table(&planned, key.path.clone(), &self.registry).map_err(|error| error.or_at(position))?;
        self.columns += table.columns.len() + 1;
        if self.columns > MAX_COLUMNS {
            let message = format!("the tables of this text have more than {MAX_COLUMNS} columns");
            return Err(SqlError::at(Code::InvalidArgument, position, message));
        }
        let before = self.relations.kept(key, self.next_version());
        let variant = if before == 0 { String::new() } else { format!("number {}", before + 1) };
        Ok(DeclaredTable { table, definition: planned, variant })
    }

    fn create_view(&mut self, create: CreateView) -> SqlResult<()> {
        if let Some(key) = self.vacant(&create.name, create.temporary, create.if_not_exists)? {
            check_distinct(&create.columns, &format!("view {}", key.path))?;
            let CreateView { columns, mut query, comment, position, temporary, .. } = create;
            self.functions.put_into_query(&mut query, &self.namespaces.current)?;
            query.moment = self.namespaces.current.clone();
            let view = View { path: key.path.clone(), columns, query, temporary, comment, position };
            self.put(key, Some(Relation::View(Arc::new(view))));
        }
        Ok(())
    }

    /// The version that a change makes: a new one if the current one has been read.
    const fn next_version(&self) -> u64 {
        self.namespaces.current.version + self.is_read as u64
    }

    fn put(&mut self, key: Key, relation: Option<Relation>) {
        self.namespaces.current.version = self.next_version();
        self.is_read = false;
        self.relations.put(key, self.namespaces.current.version, relation);
    }

    /// The place of a new relation, or `None` if it is taken and that is fine.
    fn vacant(&self, name: &TableName, temporary: bool, if_not_exists: bool) -> SqlResult<Option<Key>> {
        let path = path_of(name, &self.namespaces.current)?;
        if self.relations.len() >= MAX_RELATIONS {
            let message = format!("more than {MAX_RELATIONS} tables and views in one text");
            return Err(SqlError::at(Code::InvalidArgument, name.position, message));
        }
        let key = Key { path, temporary };
        match self.relations.latest(&key) {
            Some(_) if if_not_exists => Ok(None),
            Some(taken) => {
                let message =
                    format!("{} {} exists already, since {}", taken.kind(), key.path, taken.position());
                Err(SqlError::at(Code::InvalidArgument, name.position, message))
            }
            None => {
                self.namespaces.database(&key.path.catalog, &key.path.database, name.position)?;
                Ok(Some(key))
            }
        }
    }
}

/// The full path of a name as written.
fn path_of(name: &TableName, moment: &Moment) -> SqlResult<ObjectPath> {
    let parts: Vec<&str> = name.parts.iter().map(|part| part.value.as_str()).collect();
    moment.path(&parts).ok_or_else(|| {
        let message = format!("'{name}' has {} parts; a table's name has at most three", parts.len());
        SqlError::syntax(name.position, message)
    })
}
