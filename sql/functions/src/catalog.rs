//! All functions with their descriptions.

use std::sync::LazyLock;

use crate::entry::Entry;

/// Every function, made once per process.
pub(crate) static ENTRIES: LazyLock<Vec<Entry>> = LazyLock::new(|| {
    let mut entries = Vec::new();
    entries.extend(crate::string::reused());
    entries.extend(crate::nested::reused());
    entries.extend(crate::conditional::lazy());
    let own = crate::string::definitions()
        .chain(crate::regexp::definitions())
        .chain(crate::hash::definitions())
        .chain(crate::math::definitions())
        .chain(crate::conditional::definitions())
        .chain(crate::nested::definitions())
        .chain(crate::time::definitions())
        .chain(crate::json::definitions())
        .chain(crate::cast::definitions());
    entries.extend(own.map(Entry::own));
    entries
});
