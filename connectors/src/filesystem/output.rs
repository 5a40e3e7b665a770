//! Where one file is written: a hidden file to be renamed, or an upload to be completed.
//!
//! Invariant: nothing can be seen under the file's own name before its committable is committed, and what is never committed
//! can be found and removed: a hidden file by its folder, an upload by a marker that is put before the upload's first part.

use std::collections::VecDeque;
use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use tokio::runtime::Handle;
use tokio::task::JoinHandle;
use weir_api::error::{Code, Error, Result};
use weir_api::sink::Committable;
use weir_api::storage::object_store::multipart::PartId;
use weir_api::storage::object_store::path::Path as Key;
use weir_api::storage::object_store::{ObjectStoreExt, PutPayload};
use weir_api::storage::{ObjectLocation, Upload, failed};

/// How often a file is created whose folder goes away meanwhile.
const CREATIONS: usize = 100;

/// What a commit has to do for one file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "snake_case")]
pub enum Pending {
    /// A file to be renamed.
    Rename {
        /// Where it has been written.
        from: PathBuf,
        /// Where it is to be seen.
        to: PathBuf,
    },
    /// An upload to be completed.
    Complete {
        /// The object's key, in the table's bucket.
        key: String,
        /// The upload's id.
        upload: String,
        /// The tags of its parts, in their order.
        parts: Vec<String>,
        /// The key of the marker that names the upload.
        marker: String,
    },
}

impl Pending {
    /// As a committable.
    pub fn encode(&self) -> Result<Committable> {
        serde_json::to_vec(self)
            .map(Committable::from)
            .map_err(|error| Error::internal("describe a written file").with_source(error))
    }

    /// The name of the hidden folder that it was written in, or noted in.
    #[must_use]
    pub fn hidden_name(&self) -> &str {
        let folder = match self {
            Self::Rename { from, .. } => {
                from.parent().and_then(Path::file_name).and_then(|name| name.to_str())
            }
            Self::Complete { marker, .. } => marker.rsplit('/').nth(1),
        };
        folder.unwrap_or_default()
    }

    /// What a committable says.
    pub fn of(committable: &[u8]) -> Result<Self> {
        serde_json::from_slice(committable).map_err(|error| {
            Error::new(Code::MalformedMessage, "a committable isn't a file's").with_source(error)
        })
    }
}

/// What a marker says: an upload that may have to be given up.
#[derive(Serialize, Deserialize)]
pub struct Marker {
    /// The object's key.
    pub key: String,
    /// The upload's id.
    pub upload: String,
    /// Whether a savepoint holds it.
    #[serde(default)]
    pub kept: bool,
}

/// The file or upload.
pub enum Output {
    /// A hidden file.
    File {
        /// The open file.
        file: File,
        /// Its path.
        from: PathBuf,
        /// Its name once it is committed.
        to: PathBuf,
    },
    /// An upload.
    Object(Box<ObjectWriter>),
}

impl Output {
    /// A new file in the hidden folder.
    pub fn file(hidden: &Path, name: &str, to: PathBuf) -> Result<Self> {
        let from = hidden.join(name);
        for _ in 0..CREATIONS {
            fs::create_dir_all(hidden)?;
            match File::create(&from) {
                // A commit removes the folder whenever it is empty.
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                created => return Ok(Self::File { file: created?, from, to }),
            }
        }
        Err(Error::new(Code::Io, format!("create {}: its folder is removed again and again", from.display())))
    }

    /// A new upload to `to`, named by `marker`.
    pub fn object(to: ObjectLocation, marker: Key, upload: Upload, io: Handle) -> Result<Self> {
        let id = io
            .block_on(to.bucket.uploads.create_multipart(&to.key))
            .map_err(|error| failed("begin an upload to", &to, error))?;
        let text = serde_json::to_vec(&Marker { key: to.key.to_string(), upload: id.clone(), kept: false })
            .map_err(|error| Error::internal("describe an upload").with_source(error))?;
        let put = io.block_on(to.bucket.objects.put(&marker, PutPayload::from(text)));
        if let Err(error) = put {
            // Nobody else knows of it. If this fails too, the bucket's own rule for old uploads removes it.
            let _ = io.block_on(to.abort_upload(&id));
            return Err(failed("note an upload to", &to, error));
        }
        let buffer = Vec::new();
        let (uploading, parts) = (VecDeque::new(), Vec::new());
        Ok(Self::Object(Box::new(ObjectWriter {
            to,
            marker,
            id,
            upload,
            io,
            buffer,
            uploading,
            parts,
            begun: 0,
            written: 0,
        })))
    }

    /// Bytes that have been written.
    pub fn written(&self) -> Result<u64> {
        match self {
            Self::File { file, .. } => Ok(file.metadata()?.len()),
            Self::Object(writer) => Ok(writer.written),
        }
    }

    /// Makes everything durable.
    pub fn finish(self) -> Result<Pending> {
        match self {
            Self::File { file, from, to } => {
                file.sync_all()?;
                Ok(Pending::Rename { from, to })
            }
            Self::Object(writer) => writer.finish(),
        }
    }
}

impl Write for Output {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Self::File { file, .. } => file.write(bytes),
            Self::Object(writer) => writer.write(bytes),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match self {
            Self::File { file, .. } => file.flush(),
            // A part that is sent early would be too small for some services: only whole parts leave.
            Self::Object(_) => Ok(()),
        }
    }
}

/// Uploads an object part by part. Holds one part, and those on their way.
pub struct ObjectWriter {
    to: ObjectLocation,
    marker: Key,
    id: String,
    upload: Upload,
    io: Handle,
    buffer: Vec<u8>,
    uploading: VecDeque<JoinHandle<Result<PartId>>>,
    parts: Vec<String>,
    begun: usize,
    written: u64,
}

impl ObjectWriter {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let room = self.upload.part_bytes.saturating_sub(self.buffer.len());
        let taken = bytes.get(..room.min(bytes.len())).unwrap_or(bytes);
        self.buffer.extend_from_slice(taken);
        self.written += taken.len() as u64;
        if self.buffer.len() >= self.upload.part_bytes {
            self.send().map_err(io::Error::other)?;
        }
        Ok(taken.len())
    }

    /// Sends the buffer as a part, waiting for an earlier one where too many are on their way.
    fn send(&mut self) -> Result<()> {
        while self.uploading.len() >= self.upload.concurrent.max(1) {
            self.take()?;
        }
        let (to, id, number) = (self.to.clone(), self.id.clone(), self.begun);
        let payload = PutPayload::from(std::mem::take(&mut self.buffer));
        self.begun += 1;
        self.uploading.push_back(self.io.spawn(async move {
            let uploads = &to.bucket.uploads;
            uploads
                .put_part(&to.key, &id, number, payload)
                .await
                .map_err(|error| failed("upload a part of", &to, error))
        }));
        Ok(())
    }

    fn take(&mut self) -> Result<()> {
        if let Some(part) = self.uploading.pop_front() {
            let part = self
                .io
                .block_on(part)
                .map_err(|error| Error::internal("an upload ended early").with_source(error))??;
            self.parts.push(part.content_id);
        }
        Ok(())
    }

    fn finish(mut self) -> Result<Pending> {
        if !self.buffer.is_empty() {
            self.send()?;
        }
        while !self.uploading.is_empty() {
            self.take()?;
        }
        Ok(Pending::Complete {
            key: self.to.key.to_string(),
            upload: std::mem::take(&mut self.id),
            parts: std::mem::take(&mut self.parts),
            marker: self.marker.to_string(),
        })
    }
}

impl Drop for ObjectWriter {
    fn drop(&mut self) {
        // The upload itself stays, by its marker, until the attempt is aborted: a drop can't wait for a request.
        self.uploading.iter().for_each(JoinHandle::abort);
    }
}
