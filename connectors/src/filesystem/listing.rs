//! Which files a path names: a file, a folder with its sub-folders, or a glob; in the order of their paths.
//!
//! Decides what is hidden: files and folders whose names start with `.` or `_`, unless the path names them itself.

mod objects;

use std::fs;
use std::path::{Path, PathBuf};
use std::time::UNIX_EPOCH;

use regex::Regex;
use weir_api::error::{Code, Error, Result};
use weir_api::storage::Location;

use super::split::FileInfo;
use crate::options::Options;

/// Folders may be nested so deep; more is a loop of links.
const MAX_DEPTH: usize = 64;

/// The pattern that paths must match as a whole.
pub fn path_pattern(options: &Options<'_>) -> Result<Option<Regex>> {
    options
        .text("source.path.regex-pattern")
        .map(|text| Regex::new(&format!("^(?:{text})$")))
        .transpose()
        .map_err(|error| {
            options.refuse("source.path.regex-pattern", "a regular expression").with_source(error)
        })
}

/// Lists the files that `location` names.
pub async fn list(location: &Location, pattern: Option<&Regex>) -> Result<Vec<FileInfo>> {
    let mut files = match location {
        Location::Object(location) => objects::list(location).await?,
        Location::Local(path) => {
            let path = path.clone();
            tokio::task::spawn_blocking(move || list_local(&path))
                .await
                .map_err(|error| Error::internal("listing files ended early").with_source(error))??
        }
    };
    if let Some(pattern) = pattern {
        files.retain(|file| pattern.is_match(&file.path));
    }
    files.sort();
    files.dedup();
    Ok(files)
}

fn not_found(what: &dyn std::fmt::Display) -> Error {
    Error::new(Code::NotFound, format!("list {what}: no such file or folder"))
}

fn is_glob(text: &str) -> bool {
    text.contains(['*', '?', '['])
}

fn is_hidden_name(name: &str) -> bool {
    name.starts_with(['.', '_'])
}

fn list_local(path: &Path) -> Result<Vec<FileInfo>> {
    let mut files = Vec::new();
    if fs::metadata(path).is_ok() {
        visit(path, 0, &mut files)?;
    } else {
        for found in globbed(path)? {
            visit(&found, 0, &mut files)?;
        }
    }
    Ok(files)
}

fn globbed(path: &Path) -> Result<Vec<PathBuf>> {
    let text = path.to_str().unwrap_or_default();
    if !is_glob(text) {
        return Err(not_found(&path.display()));
    }
    let options = glob::MatchOptions { require_literal_leading_dot: true, ..glob::MatchOptions::default() };
    let found = glob::glob_with(text, options)
        .map_err(|error| Error::new(Code::TableOptions, format!("'{text}' isn't a glob")).with_source(error))?
        .collect::<Result<Vec<_>, _>>()
        .map_err(|error| Error::new(Code::Io, format!("list {text}")).with_source(error))?;
    let found: Vec<_> = found.into_iter().filter(|path| !is_hidden(path)).collect();
    if found.is_empty() { Err(not_found(&path.display())) } else { Ok(found) }
}

fn is_hidden(path: &Path) -> bool {
    path.file_name().and_then(|name| name.to_str()).is_some_and(is_hidden_name)
}

fn visit(path: &Path, depth: usize, files: &mut Vec<FileInfo>) -> Result<()> {
    let failed = |error| Error::new(Code::Io, format!("list {}", path.display())).with_source(error);
    let metadata = fs::metadata(path).map_err(failed)?;
    if !metadata.is_dir() {
        let path = fs::canonicalize(path).map_err(failed)?;
        let modified = metadata.modified().ok().and_then(|time| time.duration_since(UNIX_EPOCH).ok());
        let modified_millis = modified.map_or(0, |age| i64::try_from(age.as_millis()).unwrap_or(i64::MAX));
        let Some(path) = path.to_str().map(str::to_owned) else {
            return Err(Error::new(Code::Unsupported, format!("{} isn't a path in UTF-8", path.display())));
        };
        files.push(FileInfo { path, len: metadata.len(), modified_millis, etag: None });
        return Ok(());
    }
    if depth == MAX_DEPTH {
        return Err(Error::new(
            Code::Io,
            format!("list {}: folders nested deeper than {MAX_DEPTH}", path.display()),
        ));
    }
    for entry in fs::read_dir(path).map_err(failed)? {
        let inner = entry.map_err(failed)?.path();
        if !is_hidden(&inner) {
            visit(&inner, depth + 1, files)?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn folders_globs_hidden_names_and_patterns() {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path().canonicalize().unwrap();
        for name in [
            "b.json",
            "a.json",
            "c.txt",
            "_SUCCESS",
            ".hidden.json",
            "sub/d.json",
            ".weir-1/e.json",
            "_tmp/f.json",
        ] {
            let path = root.join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, name).unwrap();
        }
        let io = crate::testing::runtime();
        let listed = |path: &Path, pattern: Option<&str>| {
            let pattern = pattern.map(|text| Regex::new(text).unwrap());
            io.block_on(list(&Location::Local(path.to_owned()), pattern.as_ref()))
        };
        let names = |path: &Path, pattern: Option<&str>| {
            let files = listed(path, pattern).unwrap();
            assert!(files.iter().all(|file| file.modified_millis > 0 && file.len > 0));
            files
                .iter()
                .map(|file| file.path.strip_prefix(&format!("{}/", root.display())).unwrap().to_owned())
                .collect::<Vec<_>>()
        };
        assert_eq!(names(&root, None), ["a.json", "b.json", "c.txt", "sub/d.json"]);
        assert_eq!(names(&root.join("*.json"), None), ["a.json", "b.json"]);
        assert_eq!(names(&root, Some("^.*/[ab].json$")), ["a.json", "b.json"]);
        assert_eq!(names(&root.join("_SUCCESS"), None), ["_SUCCESS"], "a file that is named is read");
        assert_eq!(listed(&root.join("none"), None).unwrap_err().code(), Code::NotFound);
        assert_eq!(listed(&root.join("*.csv"), None).unwrap_err().code(), Code::NotFound);
    }
}
