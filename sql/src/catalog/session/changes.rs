//! ALTER and DROP of what a session has declared.

use std::sync::Arc;

use weir_api::error::Code;

use super::{Key, Session, path_of};
use crate::catalog::table::written_out;
use crate::catalog::{DeclaredTable, Moment, ObjectPath, Relation, View, alter};
use crate::error::{SqlError, SqlResult};
use crate::statement::{
    AlterTable, AlterView, Alteration, CreateTable, Drop, DropTarget, TableName, ViewAlteration,
};

impl Session {
    /// The key of what a name stands for, and it; `None` if there is nothing and that is fine.
    fn existing(&self, name: &TableName, missing_is_fine: bool) -> SqlResult<Option<(Key, Relation)>> {
        let path = path_of(name, &self.namespaces.current)?;
        for temporary in [true, false] {
            let key = Key { path: path.clone(), temporary };
            if let Some(relation) = self.relations.latest(&key) {
                return Ok(Some((key, relation.clone())));
            }
        }
        if missing_is_fine { Ok(None) } else { Err(self.unknown(&path, name.position)) }
    }

    pub(super) fn alter_table(&mut self, statement: &AlterTable) -> SqlResult<()> {
        let Some((key, relation)) = self.existing(&statement.name, statement.if_exists)? else {
            return Ok(());
        };
        let Relation::Table(table) = relation else {
            return Err(wrong_kind(&key.path, "a view", "ALTER VIEW changes it", &statement.name));
        };
        if let Alteration::Rename(to) = &statement.alteration {
            return self.rename_table(key, &table, to);
        }
        let mut definition = match &statement.alteration {
            Alteration::Set(_) | Alteration::Reset(_) => table.definition.clone(),
            _ => written_out(&table),
        };
        alter::apply(&mut definition, &statement.alteration, statement.position)?;
        let altered = self.declared(definition, &key).map_err(|error| error.or_at(statement.position))?;
        self.put(key, Some(Relation::Table(Arc::new(altered))));
        Ok(())
    }

    fn rename_table(&mut self, key: Key, table: &DeclaredTable, to: &TableName) -> SqlResult<()> {
        let Some(new) = self.renamed(&key, to)? else { return Ok(()) };
        let definition = CreateTable { name: to.clone(), ..table.definition.clone() };
        let renamed = self.declared(definition, &new)?;
        self.put(key, None);
        self.put(new, Some(Relation::Table(Arc::new(renamed))));
        Ok(())
    }

    /// The key under a new name, which belongs to the old one's database unless it says otherwise.
    fn renamed(&self, key: &Key, to: &TableName) -> SqlResult<Option<Key>> {
        let old = &key.path;
        let names = Moment {
            version: 0,
            catalog: old.catalog.as_str().into(),
            database: old.database.as_str().into(),
        };
        let path = path_of(to, &names)?;
        if (&path.catalog, &path.database) != (&old.catalog, &old.database) {
            let message = format!("{old} can't be renamed into another database");
            return Err(SqlError::at(Code::InvalidArgument, to.position, message));
        }
        let new = Key { path, temporary: key.temporary };
        match self.relations.latest(&new) {
            Some(taken) => {
                let message =
                    format!("{} {} exists already, since {}", taken.kind(), new.path, taken.position());
                Err(SqlError::at(Code::InvalidArgument, to.position, message))
            }
            None => Ok(Some(new)),
        }
    }

    pub(super) fn alter_view(&mut self, statement: AlterView) -> SqlResult<()> {
        let Some((key, relation)) = self.existing(&statement.name, statement.if_exists)? else {
            return Ok(());
        };
        let Relation::View(view) = relation else {
            return Err(wrong_kind(&key.path, "a table", "ALTER TABLE changes it", &statement.name));
        };
        let mut view = View::clone(&view);
        match statement.alteration {
            ViewAlteration::Rename(to) => {
                let Some(new) = self.renamed(&key, &to)? else { return Ok(()) };
                view.path = new.path.clone();
                self.put(key, None);
                self.put(new, Some(Relation::View(Arc::new(view))));
            }
            ViewAlteration::As(mut query) => {
                self.functions.put_into_query(&mut query, &self.namespaces.current)?;
                query.moment = self.namespaces.current.clone();
                view.query = *query;
                self.put(key, Some(Relation::View(Arc::new(view))));
            }
        }
        Ok(())
    }

    pub(super) fn drop(&mut self, drop: &Drop) -> SqlResult<()> {
        match drop.target {
            DropTarget::Table | DropTarget::View => self.drop_relation(drop),
            DropTarget::Function { system } => {
                let there =
                    self.functions.drop(&drop.name, drop.temporary, system, &self.namespaces.current)?;
                present(there, drop, "function")
            }
            DropTarget::Database => self.drop_database(drop),
            DropTarget::Catalog => {
                let there = self.namespaces.drop_catalog(&drop.name)?;
                self.forget(|path| path.catalog == drop.name.to_string());
                present(there, drop, "catalog")
            }
        }
    }

    fn drop_database(&mut self, drop: &Drop) -> SqlResult<()> {
        let (catalog, database) = self.namespaces.path(&drop.name)?;
        let is_in = |path: &ObjectPath| path.catalog == catalog && path.database == database;
        let is_full = self.relations.iter().any(|(key, _)| !key.temporary && is_in(&key.path))
            || self.functions.any_in(&catalog, &database);
        if is_full && !drop.cascade {
            let message = format!(
                "the database '{catalog}.{database}' isn't empty: DROP DATABASE … CASCADE drops what is in it too"
            );
            return Err(SqlError::at(Code::InvalidArgument, drop.name.position, message));
        }
        let there = self.namespaces.drop_database(&catalog, &database, drop.name.position)?;
        self.forget(is_in);
        self.functions.drop_database(&catalog, &database);
        present(there, drop, "database")
    }

    fn forget(&mut self, goes: impl Fn(&ObjectPath) -> bool) {
        let keys: Vec<Key> =
            self.relations.iter().map(|(key, _)| key).filter(|key| goes(&key.path)).cloned().collect();
        for key in keys {
            self.put(key, None);
        }
    }

    fn drop_relation(&mut self, drop: &Drop) -> SqlResult<()> {
        let Some((key, relation)) = self.existing(&drop.name, drop.if_exists)? else { return Ok(()) };
        let (is, verb) = match relation {
            Relation::Table(_) => ("a table", "TABLE"),
            Relation::View(_) => ("a view", "VIEW"),
        };
        if matches!(relation, Relation::View(_)) != (drop.target == DropTarget::View) {
            return Err(wrong_kind(&key.path, is, &format!("DROP {verb} drops it"), &drop.name));
        }
        if key.temporary && !drop.temporary {
            let remedy = format!("DROP TEMPORARY {verb} drops it");
            return Err(wrong_kind(&key.path, "temporary", &remedy, &drop.name));
        }
        if drop.temporary && !key.temporary {
            if drop.if_exists {
                return Ok(());
            }
            let remedy = format!("DROP {verb} drops it");
            return Err(wrong_kind(&key.path, "not temporary", &remedy, &drop.name));
        }
        self.put(key, None);
        Ok(())
    }
}

fn wrong_kind(path: &ObjectPath, is: &str, remedy: &str, name: &TableName) -> SqlError {
    SqlError::at(Code::InvalidArgument, name.position, format!("{path} is {is}: {remedy}"))
}

/// Fails for what isn't there, unless that is fine.
fn present(there: bool, drop: &Drop, what: &str) -> SqlResult<()> {
    if there || drop.if_exists {
        return Ok(());
    }
    let message = format!("there is no {what} '{}'", drop.name);
    Err(SqlError::at(Code::SqlUnknownName, drop.name.position, message))
}
