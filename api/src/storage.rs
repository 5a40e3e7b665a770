//! Files and object stores behind one kind of path.
//!
//! Decides which store a path is in, with which credentials and limits it is reached, and how its failures are worded. One
//! client per bucket and process: its requests are bounded in number, tried again, and end. Invariant: credentials come from
//! the process's configuration or environment alone, never from a job. Knows nothing of what is stored.

mod s3;

use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use object_store::local::LocalFileSystem;
use object_store::memory::InMemory;
use object_store::multipart::MultipartStore;
use object_store::path::Path;
use object_store::{MultipartId, ObjectStore};

pub use object_store;

use crate::config::{Configuration, options};
use crate::error::{Code, Error, Result};
use s3::Settings;

/// The schemes that name S3.
const S3_SCHEMES: [&str; 3] = ["s3", "s3a", "s3p"];
/// The scheme of stores in this process's memory, gone with it.
const MEMORY: &str = "memory";

/// The file systems that a process reaches.
#[derive(Clone)]
pub struct FileSystems {
    settings: Arc<Settings>,
    upload: Upload,
    has_memory: bool,
    buckets: Arc<Mutex<BTreeMap<String, Bucket>>>,
}

/// How objects are uploaded.
#[derive(Clone, Copy, Debug)]
pub struct Upload {
    /// The size of a part.
    pub part_bytes: usize,
    /// How many parts of an object are on their way at once.
    pub concurrent: usize,
}

/// A bucket of an object store.
#[derive(Clone)]
pub struct Bucket {
    /// `s3://name`.
    url: String,
    /// Its objects.
    pub objects: Arc<dyn ObjectStore>,
    /// Uploads that can be completed by another process than the one that began them.
    pub uploads: Arc<dyn MultipartStore>,
}

/// Where a path leads.
#[derive(Clone, Debug)]
pub enum Location {
    /// To a file or folder that this process's operating system knows.
    Local(PathBuf),
    /// To an object, or to a prefix of objects.
    Object(ObjectLocation),
}

/// A key in a bucket, or a prefix of keys.
#[derive(Clone)]
pub struct ObjectLocation {
    /// The bucket.
    pub bucket: Bucket,
    /// The key, without a `/` at its start or end.
    pub key: Path,
}

impl FileSystems {
    /// The file systems of a process with this configuration. No connection is made yet.
    #[must_use]
    pub fn new(configuration: &Configuration) -> Self {
        let part_bytes = usize::try_from(configuration.get(&options::S3_MIN_PART).0).unwrap_or(usize::MAX);
        let concurrent = usize::try_from(configuration.get(&options::S3_UPLOADS)).unwrap_or(1);
        Self {
            settings: Arc::new(Settings::of(configuration)),
            upload: Upload { part_bytes, concurrent },
            has_memory: false,
            buckets: Arc::default(),
        }
    }

    /// Also knows `memory://`, for tests: what is written there is gone with this process and is seen by no other, so no user's
    /// path may lead there.
    #[must_use]
    pub fn with_memory(self) -> Self {
        Self { has_memory: true, ..self }
    }

    /// Where `text` leads: a plain path, `file:///…`, `s3://bucket/key`.
    pub fn resolve(&self, text: &str) -> Result<Location> {
        let text = text.trim();
        let (scheme, rest) = match text.split_once("://") {
            Some((scheme, rest)) => (scheme, rest),
            // `file:/data` is what Java makes of a file's URI.
            None => ("file", text.strip_prefix("file:").unwrap_or(text)),
        };
        if scheme == "file" {
            let path = rest.strip_prefix("localhost").unwrap_or(rest);
            if path.is_empty() {
                return Err(Error::new(Code::InvalidArgument, "an empty path leads nowhere"));
            }
            return Ok(Location::Local(PathBuf::from(path)));
        }
        let scheme = if S3_SCHEMES.contains(&scheme) { S3_SCHEMES[0] } else { scheme };
        if scheme != S3_SCHEMES[0] && !(scheme == MEMORY && self.has_memory) {
            return Err(Error::new(
                Code::InvalidArgument,
                format!("'{text}' has the scheme '{scheme}'; there are file, s3, s3a and s3p"),
            ));
        }
        let (bucket, key) = rest.split_once('/').unwrap_or((rest, ""));
        if bucket.is_empty() {
            return Err(Error::new(Code::InvalidArgument, format!("'{text}' names no bucket")));
        }
        // Keys are taken as they are written: nothing is decoded.
        let key = Path::parse(key.trim_matches('/')).map_err(|error| {
            Error::new(Code::InvalidArgument, format!("'{text}' isn't the path of an object"))
                .with_source(error)
        })?;
        Ok(Location::Object(ObjectLocation { bucket: self.bucket(scheme, bucket)?, key }))
    }

    /// The store behind a path and the path in it, for what treats files as objects too.
    pub fn store(&self, text: &str) -> Result<(Arc<dyn ObjectStore>, Path)> {
        match self.resolve(text)? {
            Location::Object(location) => Ok((location.bucket.objects, location.key)),
            Location::Local(path) => {
                let path = std::path::absolute(&path)?;
                let key = Path::from_absolute_path(&path)
                    .map_err(|error| failed("find", &path.display(), error.into()))?;
                Ok((Arc::new(LocalFileSystem::new()), key))
            }
        }
    }

    /// How objects are uploaded.
    #[must_use]
    pub const fn upload(&self) -> Upload {
        self.upload
    }

    fn bucket(&self, scheme: &str, name: &str) -> Result<Bucket> {
        let url = format!("{scheme}://{name}");
        // The map is whole whatever happened to a thread that held it.
        let mut buckets = self.buckets.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(bucket) = buckets.get(&url) {
            return Ok(bucket.clone());
        }
        let (objects, uploads) = if scheme == MEMORY {
            let memory = Arc::new(InMemory::new());
            (memory.clone() as Arc<dyn ObjectStore>, memory as Arc<dyn MultipartStore>)
        } else {
            self.settings.bucket(name)?
        };
        let bucket = Bucket { url: url.clone(), objects, uploads };
        buckets.insert(url, bucket.clone());
        Ok(bucket)
    }
}

impl fmt::Debug for FileSystems {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The settings hold secrets.
        f.write_str("FileSystems")
    }
}

impl Bucket {
    /// Its name, with the scheme.
    #[must_use]
    pub fn url(&self) -> &str {
        &self.url
    }

    /// A place in this bucket.
    #[must_use]
    pub fn at(&self, key: Path) -> ObjectLocation {
        ObjectLocation { bucket: self.clone(), key }
    }
}

impl ObjectLocation {
    /// Gives up an upload to this place: what has been uploaded of it goes away. One that is gone already is fine.
    pub async fn abort_upload(&self, id: &MultipartId) -> Result<()> {
        match self.bucket.uploads.abort_multipart(&self.key, id).await {
            Err(error) if !is_not_found(&error) => Err(failed("give up an upload to", self, error)),
            _ => Ok(()),
        }
    }
}

impl fmt::Display for ObjectLocation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.bucket.url, self.key)
    }
}

impl fmt::Debug for ObjectLocation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl fmt::Display for Location {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Local(path) => path.display().fmt(f),
            Self::Object(object) => object.fmt(f),
        }
    }
}

/// Whether what was asked for isn't there, an upload included.
#[must_use]
pub fn is_not_found(error: &object_store::Error) -> bool {
    matches!(error, object_store::Error::NotFound { .. })
}

/// Whether the store knows who asks and says no, or doesn't know. Trying again can't help. The client names it for some requests; for
/// listings only its text does.
#[must_use]
pub fn is_denied(error: &object_store::Error) -> bool {
    use object_store::Error as E;
    match error {
        E::PermissionDenied { .. } | E::Unauthenticated { .. } => true,
        E::Generic { source, .. } => {
            let text = source.to_string();
            ["403 Forbidden", "401 Unauthorized"].iter().any(|status| text.contains(status))
        }
        _ => false,
    }
}

/// The error of a request to a store: what was being done, to what, and whether a retry can help.
#[must_use]
pub fn failed(doing: &str, to: &dyn fmt::Display, error: object_store::Error) -> Error {
    let (code, hint) = match &error {
        object_store::Error::NotFound { .. } => (Code::NotFound, ""),
        _ if is_denied(&error) => {
            (Code::Io, " (look at s3.access-key and s3.secret-key of this process, or its environment)")
        }
        _ => (Code::Io, ""),
    };
    Error::new(code, format!("{doing} {to}{hint}")).with_source(error)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file_systems(pairs: &[(&str, &str)]) -> FileSystems {
        FileSystems::new(&Configuration::from_pairs(pairs.iter().copied()).unwrap().0)
    }

    #[test]
    fn paths_lead_to_files_or_objects() {
        let file_systems = file_systems(&[
            ("s3.endpoint", "http://localhost:9"),
            ("s3.access-key", "a"),
            ("s3.secret-key", "b"),
            ("s3.path.style.access", "true"),
        ]);
        for (text, path) in [
            ("/a/b", "/a/b"),
            ("a", "a"),
            ("file:///a", "/a"),
            ("file:/a", "/a"),
            ("file://localhost/a", "/a"),
        ] {
            match file_systems.resolve(text).unwrap() {
                Location::Local(found) => assert_eq!(found, PathBuf::from(path), "{text}"),
                Location::Object(object) => panic!("{text} led to {object}"),
            }
        }
        for (text, shown) in [
            ("s3://bucket/a/b=1%2F/c/", "s3://bucket/a/b=1%2F/c"),
            ("s3a://bucket/", "s3://bucket/"),
            (" s3p://other ", "s3://other/"),
        ] {
            assert_eq!(file_systems.resolve(text).unwrap().to_string(), shown);
        }
        for wrong in ["", "s3://", "s3:///x", "gs://b/x", "s3://b/a//b", "memory://b/x"] {
            assert_eq!(file_systems.resolve(wrong).unwrap_err().code(), Code::InvalidArgument, "{wrong}");
        }
        assert_eq!(file_systems.buckets.lock().unwrap().len(), 2, "one client a bucket");
    }

    #[test]
    fn the_secret_is_in_no_text() {
        let file_systems = file_systems(&[("s3.access-key", "key-text"), ("s3.secret-key", "secret-text")]);
        let location = file_systems.resolve("s3://bucket/key").unwrap();
        assert!(!format!("{location:?} {location}").contains("-text"));
    }
}
