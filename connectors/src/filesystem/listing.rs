//! Which files a path names: a file, a folder with its sub-folders, or a glob; in the order of their paths.

use std::fs;
use std::path::{Path, PathBuf};

use regex::Regex;
use weir_api::error::{Code, Error, Result};

use crate::options::Options;

/// Folders may be nested so deep; more is a loop of links.
const MAX_DEPTH: usize = 64;

/// A file and how long it was when it was listed.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct Listed {
    /// Its absolute path.
    pub path: PathBuf,
    /// Its length in bytes.
    pub len: u64,
}

/// The path in the option `path`.
pub fn local_path(options: &Options<'_>) -> Result<PathBuf> {
    let text = options.required("path")?.trim();
    let path = match text.split_once("://") {
        Some(("file", rest)) => rest.strip_prefix("localhost").unwrap_or(rest),
        Some(_) => return Err(options.refuse("path", "a local path, plain or file:///…,")),
        // `file:/data` is what Java makes of a file's URI.
        None => text.strip_prefix("file:").unwrap_or(text),
    };
    if path.is_empty() {
        return Err(options.refuse("path", "the path of a file or folder"));
    }
    Ok(PathBuf::from(path))
}

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

/// Lists the files that `path` names.
pub fn list(path: &Path, pattern: Option<&Regex>) -> Result<Vec<Listed>> {
    let mut files = Vec::new();
    if fs::metadata(path).is_ok() {
        visit(path, 0, &mut files)?;
    } else {
        for found in globbed(path)? {
            visit(&found, 0, &mut files)?;
        }
    }
    if let Some(pattern) = pattern {
        files.retain(|file| file.path.to_str().is_some_and(|path| pattern.is_match(path)));
    }
    files.sort();
    files.dedup();
    Ok(files)
}

fn globbed(path: &Path) -> Result<Vec<PathBuf>> {
    let text = path.to_str().unwrap_or_default();
    let not_found = || Error::new(Code::NotFound, format!("list {}: no such file or folder", path.display()));
    if !text.contains(['*', '?', '[']) {
        return Err(not_found());
    }
    let options = glob::MatchOptions { require_literal_leading_dot: true, ..glob::MatchOptions::default() };
    let found = glob::glob_with(text, options)
        .map_err(|error| Error::new(Code::TableOptions, format!("'{text}' isn't a glob")).with_source(error))?
        .collect::<Result<Vec<_>, _>>()
        .map_err(|error| Error::new(Code::Io, format!("list {text}")).with_source(error))?;
    let found: Vec<_> = found.into_iter().filter(|path| !is_hidden(path)).collect();
    if found.is_empty() { Err(not_found()) } else { Ok(found) }
}

fn is_hidden(path: &Path) -> bool {
    path.file_name().and_then(|name| name.to_str()).is_some_and(|name| name.starts_with(['.', '_']))
}

fn visit(path: &Path, depth: usize, files: &mut Vec<Listed>) -> Result<()> {
    let failed = |error| Error::new(Code::Io, format!("list {}", path.display())).with_source(error);
    let metadata = fs::metadata(path).map_err(failed)?;
    if !metadata.is_dir() {
        let path = fs::canonicalize(path).map_err(failed)?;
        files.push(Listed { path, len: metadata.len() });
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
        let names = |path: &Path, pattern: Option<&str>| {
            let pattern = pattern.map(|text| Regex::new(text).unwrap());
            let files = list(path, pattern.as_ref()).unwrap();
            files
                .iter()
                .map(|file| file.path.strip_prefix(&root).unwrap().display().to_string())
                .collect::<Vec<_>>()
        };
        assert_eq!(names(&root, None), ["a.json", "b.json", "c.txt", "sub/d.json"]);
        assert_eq!(names(&root.join("*.json"), None), ["a.json", "b.json"]);
        assert_eq!(names(&root, Some("^.*/[ab].json$")), ["a.json", "b.json"]);
        assert_eq!(names(&root.join("_SUCCESS"), None), ["_SUCCESS"], "a file that is named is read");
        assert_eq!(list(&root.join("none"), None).unwrap_err().code(), Code::NotFound);
        assert_eq!(list(&root.join("*.csv"), None).unwrap_err().code(), Code::NotFound);
    }
}
