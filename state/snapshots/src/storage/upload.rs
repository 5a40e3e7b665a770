//! Uploads in parts that a crash can't make immortal.
//!
//! An object store keeps (and bills) the parts of an upload that was neither completed nor given up, and lists them nowhere that
//! this library reaches. So the upload's id is written to a small object before the first part, and that object is deleted after
//! the end; whoever collects orphans gives up what the remaining ones name. Invariant: no part is sent before its record is
//! durable. A crash between the store's making an id and the record leaves an upload without parts.

use bytes::Bytes;
use futures::{StreamExt, TryStreamExt, stream};
use object_store::MultipartId;
use object_store::multipart::{MultipartStore, PartId};
use object_store::path::Path;
use weir_api::error::{Error, Result};
use weir_api::storage::{failed, is_not_found};

use super::again::again;
use super::{Storage, Writes};
use crate::layout::JobFolder;
use crate::name::FileName;

/// An upload that was begun: the object it was to become, and the store's id.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Record {
    /// The object.
    pub target: Path,
    /// The store's name for the upload.
    pub id: MultipartId,
}

impl Record {
    fn encode(&self) -> Bytes {
        format!("{}\n{}", self.target, self.id).into()
    }

    fn decode(at: &Path, bytes: &[u8]) -> Result<Self> {
        let text = std::str::from_utf8(bytes).ok().and_then(|text| text.split_once('\n'));
        let target = text.and_then(|(target, _)| Path::parse(target).ok());
        match (text, target) {
            (Some((_, id)), Some(target)) => Ok(Self { target, id: id.to_owned() }),
            _ => Err(Error::internal(format!("{at} isn't the record of an upload"))),
        }
    }
}

impl Storage {
    /// Writes a file of state, in parts where it is large.
    pub async fn put_file(&self, job: &JobFolder, path: &Path, name: &FileName, bytes: Bytes) -> Result<()> {
        match &self.0.writes {
            Writes::Objects(uploads) if bytes.len() > self.0.limits.part_bytes => {
                let record = job.uploads().join(format!("{name}.{}", self.unique()));
                self.put_in_parts(uploads.as_ref(), &record, path, bytes).await
            }
            _ => self.put(path, bytes).await,
        }
    }

    async fn put_in_parts(
        &self,
        uploads: &dyn MultipartStore,
        at: &Path,
        path: &Path,
        bytes: Bytes,
    ) -> Result<()> {
        // Where the answer is lost, an upload without parts stays, which costs nothing.
        let begun = again(|| uploads.create_multipart(path)).await;
        let id = begun.map_err(|error| failed("begin an upload to", path, error))?;
        let record = Record { target: path.clone(), id };
        let outcome = async {
            self.put(at, record.encode()).await?;
            self.send(uploads, &record, bytes).await
        };
        if let Err(error) = outcome.await {
            // Should this fail too, the record stays and the upload is given up later.
            if let Err(why) = self.give_up(at, &record).await {
                tracing::warn!(upload = %at, error = %why.chain(), "an upload is left for later");
            }
            return Err(error);
        }
        self.delete(at).await
    }

    async fn send(&self, uploads: &dyn MultipartStore, record: &Record, bytes: Bytes) -> Result<()> {
        let (path, size) = (&record.target, bytes.len());
        let step = self.0.limits.part_bytes.max(1);
        let part = |index: usize| {
            let part = bytes.slice(index * step..((index + 1) * step).min(size));
            async move {
                let _room = self.room(part.len()).await?;
                let sent = again(|| uploads.put_part(path, &record.id, index, part.clone().into())).await;
                sent.map_err(|error| failed("upload a part of", path, error))
            }
        };
        let parts = stream::iter((0..size.div_ceil(step)).map(part));
        let parts: Vec<PartId> = parts.buffered(self.0.limits.concurrent.max(1)).try_collect().await?;
        match again(|| uploads.complete_multipart(path, &record.id, parts.clone())).await {
            // The answer to a first try was lost: the upload is over, the object is there.
            Err(error) if is_not_found(&error) && self.size(path).await? == Some(size as u64) => Ok(()),
            outcome => outcome.map(drop).map_err(|error| failed("complete the upload of", path, error)),
        }
    }

    /// Gives up the upload that a record names, and removes the record.
    pub async fn abort_recorded(&self, at: &Path) -> Result<()> {
        let bytes = match self.size(at).await? {
            Some(_) => self.get(at).await?,
            None => return Ok(()),
        };
        self.give_up(at, &Record::decode(at, &bytes)?).await
    }

    async fn give_up(&self, at: &Path, record: &Record) -> Result<()> {
        if let Writes::Objects(uploads) = &self.0.writes {
            match again(|| uploads.abort_multipart(&record.target, &record.id)).await {
                Err(error) if !is_not_found(&error) => {
                    return Err(failed("give up the upload of", &record.target, error));
                }
                _ => {}
            }
        }
        self.delete(at).await
    }
}
