//! Which objects a path names. A store has no folders: a prefix that ends where a `/` does stands for one.

use futures::TryStreamExt;
use glob::{MatchOptions, Pattern};
use weir_api::error::{Code, Error, Result};
use weir_api::storage::object_store::path::Path;
use weir_api::storage::object_store::{ObjectMeta, ObjectStore, ObjectStoreExt};
use weir_api::storage::{ObjectLocation, failed, is_not_found};

use super::{is_glob, is_hidden_name, not_found};
use crate::filesystem::split::FileInfo;

/// Lists the objects that `location` names.
pub async fn list(location: &ObjectLocation) -> Result<Vec<FileInfo>> {
    let objects = &location.bucket.objects;
    let info = |meta: ObjectMeta| FileInfo {
        path: location.bucket.at(meta.location).to_string(),
        len: meta.size,
        modified_millis: meta.last_modified.timestamp_millis(),
        etag: meta.e_tag,
    };
    let key = location.key.as_ref();
    let pattern = match is_glob(key) {
        true => Some(Pattern::new(key).map_err(|error| {
            Error::new(Code::TableOptions, format!("'{location}' isn't a glob")).with_source(error)
        })?),
        false => None,
    };
    if pattern.is_none() && !key.is_empty() {
        match objects.head(&location.key).await {
            Ok(meta) => return Ok(vec![info(meta)]),
            Err(error) if is_not_found(&error) => {}
            Err(error) => return Err(failed("look for", location, error)),
        }
    }
    let prefix = fixed_prefix(key);
    let path = Path::parse(prefix).map_err(|error| failed("list", location, error.into()))?;
    let found: Vec<ObjectMeta> =
        objects.list(Some(&path)).try_collect().await.map_err(|error| failed("list", location, error))?;
    let files: Vec<_> = found
        .into_iter()
        .filter(|meta| is_wanted(meta.location.as_ref(), prefix, pattern.as_ref()))
        .map(info)
        .collect();
    // Hidden objects alone make a folder all the same: a sink's first job is at work there.
    if files.is_empty() && pattern.is_some() { Err(not_found(location)) } else { Ok(files) }
}

/// The folders before the first one with a wildcard.
fn fixed_prefix(key: &str) -> &str {
    match key.find(['*', '?', '[']) {
        None => key,
        Some(wild) => {
            key.get(..wild).and_then(|fixed| fixed.rsplit_once('/')).map_or("", |(folders, _)| folders)
        }
    }
}

fn is_wanted(key: &str, prefix: &str, pattern: Option<&Pattern>) -> bool {
    let below = key.strip_prefix(prefix).unwrap_or(key);
    // A marker of an empty folder is no file.
    if key.ends_with('/') || below.split('/').any(is_hidden_name) {
        return false;
    }
    let Some(pattern) = pattern else { return true };
    let options = MatchOptions { require_literal_separator: true, ..MatchOptions::default() };
    // The object itself, or a folder above it.
    let ends = key.match_indices('/').map(|(end, _)| end).chain([key.len()]);
    ends.filter_map(|end| key.get(..end)).any(|path| pattern.matches_with(path, options))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_prefix_or_a_glob_names() {
        let wanted = |key: &str, path: &str| {
            let pattern = is_glob(path).then(|| Pattern::new(path).unwrap());
            is_wanted(key, fixed_prefix(path), pattern.as_ref())
        };
        assert!(wanted("a/b/c.json", "a") && wanted("a/b/c.json", "a/b"));
        assert!(!wanted("a/_SUCCESS", "a") && !wanted("a/.weir-1/x", "a") && wanted("_a/b", "_a"));
        assert!(wanted("a/b.json", "a/*.json") && !wanted("a/b/c.json", "a/*.json"));
        assert!(wanted("a/b/c.json", "a/*/c.json") && wanted("a/b1/x/y", "a/b?"));
        assert_eq!((fixed_prefix("a/b*/c"), fixed_prefix("x*"), fixed_prefix("a/b")), ("a", "", "a/b"));
    }
}
