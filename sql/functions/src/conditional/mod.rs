//! Functions that choose among their arguments.

mod branches;
mod extreme;
mod lazy;

use crate::entry::Entry;
use crate::function::Definition;

pub(crate) fn definitions() -> impl Iterator<Item = &'static Definition> {
    extreme::DEFINITIONS.iter()
}

/// Those that plan into `CASE`, so that what isn't chosen isn't computed.
pub(crate) fn lazy() -> impl Iterator<Item = Entry> {
    branches::DEFINITIONS.iter().map(|(definition, rewrite)| Entry {
        udf: std::sync::Arc::new(lazy::Lazy::new(definition, *rewrite).into()),
        usage: definition.usage(),
        description: definition.description(),
    })
}
