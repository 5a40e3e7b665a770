//! Catalogs and their databases: where names live.
//!
//! Invariant: the default catalog and each catalog's default database are always there, and so is the current database. All
//! of them are in memory and gone with the text.

use std::collections::BTreeMap;

use weir_api::connector::nearest;
use weir_api::error::Code;

use super::{DEFAULT_CATALOG, DEFAULT_DATABASE, Moment};
use crate::error::{SqlError, SqlResult};
use crate::statement::{CreateNamespace, Name, Position, TableName, TableOption, Use, UseTarget};

/// The only kind of catalog.
const IN_MEMORY: &str = "generic_in_memory";
/// The most catalogs and databases of a text.
const MAX_NAMESPACES: usize = 1_000;

/// A catalog.
#[derive(Clone, Debug)]
pub struct CatalogEntry {
    /// What its statement says in WITH.
    pub options: Vec<TableOption>,
    /// The database that USE CATALOG enters.
    pub default_database: String,
    /// Its databases.
    pub databases: BTreeMap<String, DatabaseEntry>,
}

/// A database.
#[derive(Clone, Debug, Default)]
pub struct DatabaseEntry {
    /// Its comment.
    pub comment: Option<String>,
    /// What its statement says in WITH.
    pub options: Vec<TableOption>,
}

/// All catalogs of a session, and which is current.
#[derive(Clone, Debug)]
pub(super) struct Namespaces {
    catalogs: BTreeMap<String, CatalogEntry>,
    /// Its version is the session's.
    pub(super) current: Moment,
}

impl Default for Namespaces {
    fn default() -> Self {
        let catalog = CatalogEntry::new(Vec::new(), DEFAULT_DATABASE.to_owned());
        let current = Moment { version: 0, ..Moment::default() };
        Self { catalogs: BTreeMap::from([(DEFAULT_CATALOG.to_owned(), catalog)]), current }
    }
}

impl CatalogEntry {
    fn new(options: Vec<TableOption>, default_database: String) -> Self {
        let databases = BTreeMap::from([(default_database.clone(), DatabaseEntry::default())]);
        Self { options, default_database, databases }
    }
}

impl Namespaces {
    /// All catalogs.
    pub(super) const fn catalogs(&self) -> &BTreeMap<String, CatalogEntry> {
        &self.catalogs
    }

    /// A catalog that must be there.
    pub(super) fn catalog(&self, name: &str, position: Position) -> SqlResult<&CatalogEntry> {
        self.catalogs.get(name).ok_or_else(|| {
            let hint = hint(name, self.catalogs.keys());
            SqlError::at(Code::SqlUnknownName, position, format!("there is no catalog '{name}'{hint}"))
        })
    }

    /// A database that must be there.
    pub(super) fn database(
        &self,
        catalog: &str,
        database: &str,
        position: Position,
    ) -> SqlResult<&DatabaseEntry> {
        let entry = self.catalog(catalog, position)?;
        entry.databases.get(database).ok_or_else(|| {
            let hint = hint(database, entry.databases.keys());
            let message =
                format!("there is no database '{catalog}.{database}'{hint}; CREATE DATABASE makes one");
            SqlError::at(Code::SqlUnknownName, position, message)
        })
    }

    /// The catalog and the database of a name of one or two parts.
    pub(super) fn path(&self, name: &TableName) -> SqlResult<(String, String)> {
        match name.parts.as_slice() {
            [database] => Ok((self.current.catalog.to_string(), database.value.clone())),
            [catalog, database] => Ok((catalog.value.clone(), database.value.clone())),
            _ => Err(SqlError::syntax(name.position, "a database's name has one or two parts")),
        }
    }

    /// Takes in a USE.
    pub(super) fn enter(&mut self, statement: &Use) -> SqlResult<()> {
        let (catalog, database) = match &statement.target {
            UseTarget::Catalog(Name { value, position }) => {
                (value.clone(), self.catalog(value, *position)?.default_database.clone())
            }
            UseTarget::Database(name) => {
                let (catalog, database) = self.path(name)?;
                self.database(&catalog, &database, name.position)?;
                (catalog, database)
            }
        };
        self.current.catalog = catalog.into();
        self.current.database = database.into();
        Ok(())
    }

    /// Takes in a CREATE.
    pub(super) fn create(&mut self, create: &CreateNamespace) -> SqlResult<()> {
        let position = create.name.position;
        let count: usize = self.catalogs.values().map(|catalog| catalog.databases.len()).sum();
        if count >= MAX_NAMESPACES {
            let message = format!("more than {MAX_NAMESPACES} databases in one text");
            return Err(SqlError::at(Code::InvalidArgument, position, message));
        }
        if create.is_catalog {
            let name = create.name.to_string();
            let entry = catalog_of(create)?;
            return match self.catalogs.contains_key(&name) {
                true if create.if_not_exists => Ok(()),
                true => Err(exists("catalog", &name, position)),
                false => {
                    self.catalogs.insert(name, entry);
                    Ok(())
                }
            };
        }
        let (catalog, database) = self.path(&create.name)?;
        self.catalog(&catalog, position)?;
        let entry = DatabaseEntry { comment: create.comment.clone(), options: create.options.clone() };
        let databases = self.catalogs.get_mut(&catalog).map(|catalog| &mut catalog.databases);
        match databases {
            Some(databases) if !databases.contains_key(&database) => {
                databases.insert(database, entry);
                Ok(())
            }
            _ if create.if_not_exists => Ok(()),
            _ => Err(exists("database", &format!("{catalog}.{database}"), position)),
        }
    }

    /// Drops a catalog; `false` if there is none. The current one and the default one stay.
    pub(super) fn drop_catalog(&mut self, name: &TableName) -> SqlResult<bool> {
        let catalog = name.to_string();
        let refusal = if catalog == DEFAULT_CATALOG {
            "it is the default catalog"
        } else if catalog == *self.current.catalog {
            "it is the current catalog: USE another first"
        } else {
            return Ok(self.catalogs.remove(&catalog).is_some());
        };
        Err(SqlError::at(
            Code::InvalidArgument,
            name.position,
            format!("the catalog '{catalog}' can't be dropped: {refusal}"),
        ))
    }

    /// Drops a database; `false` if there is none. The current one and its catalog's default one stay.
    pub(super) fn drop_database(
        &mut self,
        catalog: &str,
        database: &str,
        position: Position,
    ) -> SqlResult<bool> {
        let Some(entry) = self.catalogs.get_mut(catalog) else { return Ok(false) };
        let refusal = if *database == entry.default_database {
            "it is its catalog's default database"
        } else if *database == *self.current.database && *catalog == *self.current.catalog {
            "it is the current database: USE another first"
        } else {
            return Ok(entry.databases.remove(database).is_some());
        };
        let message = format!("the database '{catalog}.{database}' can't be dropped: {refusal}");
        Err(SqlError::at(Code::InvalidArgument, position, message))
    }
}

fn hint<'a>(name: &str, known: impl Iterator<Item = &'a String>) -> String {
    nearest(name, known.map(String::as_str))
        .map_or_else(String::new, |near| format!("; did you mean '{near}'?"))
}

fn exists(what: &str, name: &str, position: Position) -> SqlError {
    SqlError::at(Code::InvalidArgument, position, format!("the {what} '{name}' exists already"))
}

fn catalog_of(create: &CreateNamespace) -> SqlResult<CatalogEntry> {
    let option = |key: &str| create.options.iter().find(|option| option.key == key);
    match option("type") {
        Some(kind) if kind.value == IN_MEMORY => {}
        Some(kind) => {
            let message = format!(
                "there are no catalogs of the type '{}': tables live as long as their text, in catalogs of the type '{IN_MEMORY}'",
                kind.value
            );
            return Err(SqlError::unsupported(kind.position, message));
        }
        None => {
            let message = format!("a catalog needs its type: WITH ('type' = '{IN_MEMORY}')");
            return Err(SqlError::at(Code::TableOptions, create.name.position, message));
        }
    }
    let known = ["type", "default-database", "property-version"];
    if let Some(unknown) = create.options.iter().find(|option| !known.contains(&option.key.as_str())) {
        let message = format!(
            "a catalog of the type '{IN_MEMORY}' has no option '{}' (there are: {})",
            unknown.key,
            known.join(", ")
        );
        return Err(SqlError::at(Code::TableOptions, unknown.position, message));
    }
    let default = option("default-database").map_or("default", |option| option.value.as_str());
    Ok(CatalogEntry::new(create.options.clone(), default.to_owned()))
}
