//! Completes uploads, and gives up those of attempts that have ended, by their markers.

use std::collections::BTreeSet;

use futures::{StreamExt, TryStreamExt};
use weir_api::error::{Code, Error, Result};
use weir_api::id::{Attempt, JobId};
use weir_api::storage::object_store::multipart::PartId;
use weir_api::storage::object_store::path::Path as Key;
use weir_api::storage::object_store::{ObjectStore, ObjectStoreExt, PutPayload};
use weir_api::storage::{ObjectLocation, failed, is_not_found};

use super::{Pending, SuccessFile};
use crate::filesystem::layout;
use crate::filesystem::output::Marker;

/// Requests that one commit has at once.
const CONCURRENT: usize = 16;

/// Makes the objects visible, then puts the success files, then forgets the uploads.
pub async fn complete_all(
    root: &ObjectLocation,
    pending: &[Pending],
    success: Option<&SuccessFile>,
) -> Result<()> {
    futures::stream::iter(pending.to_vec())
        .map(|upload| complete(root.clone(), upload))
        .buffer_unordered(CONCURRENT)
        .try_collect::<()>()
        .await?;
    if let Some(SuccessFile(name)) = success {
        for folder in pending.iter().filter_map(folder_of).collect::<BTreeSet<_>>() {
            let to = root.bucket.at(parse(&format!("{folder}/{name}"))?);
            let put = root.bucket.objects.put(&to.key, PutPayload::new()).await;
            put.map_err(|error| failed("create", &to, error))?;
        }
    }
    for upload in pending {
        if let Pending::Complete { marker, .. } = upload {
            remove(root, &parse(marker)?).await?;
        }
    }
    Ok(())
}

fn folder_of(pending: &Pending) -> Option<&str> {
    match pending {
        Pending::Complete { key, .. } => key.rsplit_once('/').map(|(folder, _)| folder),
        Pending::Rename { .. } => None,
    }
}

pub fn parse(key: &str) -> Result<Key> {
    Key::parse(key).map_err(|error| failed("name", &key, error.into()))
}

async fn complete(root: ObjectLocation, pending: Pending) -> Result<()> {
    let Pending::Complete { key, upload, parts, .. } = pending else {
        return Err(Error::new(Code::MalformedMessage, "a file is to be committed to a bucket"));
    };
    let to = root.bucket.at(parse(&key)?);
    let parts = parts.into_iter().map(|content_id| PartId { content_id }).collect();
    match root.bucket.uploads.complete_multipart(&to.key, &upload, parts).await {
        Ok(_) => Ok(()),
        // Whatever the service says of an upload that isn't there any more: the object tells whether it was completed. No other
        // upload has this key.
        Err(error) => match root.bucket.objects.head(&to.key).await {
            Ok(_) => Ok(()),
            Err(head) if is_not_found(&head) && is_not_found(&error) => {
                Err(super::lost(&format_args!("upload {upload}"), &to).with_source(error))
            }
            Err(_) => Err(failed("commit", &to, error)),
        },
    }
}

async fn remove(root: &ObjectLocation, key: &Key) -> Result<()> {
    match root.bucket.objects.delete(key).await {
        Err(error) if !is_not_found(&error) => Err(failed("remove", &root.bucket.at(key.clone()), error)),
        _ => Ok(()),
    }
}

/// Marks uploads that a savepoint holds; those that were completed meanwhile need no mark.
pub async fn keep_all(root: &ObjectLocation, pending: &[Pending]) -> Result<()> {
    futures::stream::iter(pending.to_vec())
        .map(|upload| keep(root.clone(), upload))
        .buffer_unordered(CONCURRENT)
        .try_collect()
        .await
}

async fn keep(root: ObjectLocation, pending: Pending) -> Result<()> {
    let Pending::Complete { key, upload, marker, .. } = pending else {
        return Err(Error::new(Code::MalformedMessage, "a file is to be kept in a bucket"));
    };
    let key_of_marker = parse(&marker)?;
    let at = root.bucket.at(key_of_marker.clone());
    match root.bucket.objects.head(&key_of_marker).await {
        Ok(_) => {}
        Err(error) if is_not_found(&error) => return Ok(()),
        Err(error) => return Err(failed("look for", &at, error)),
    }
    let text = serde_json::to_vec(&Marker { key, upload, kept: true })
        .map_err(|error| Error::internal("describe an upload").with_source(error))?;
    let put = root.bucket.objects.put(&key_of_marker, PutPayload::from(text)).await;
    put.map_err(|error| failed("keep output by", &at, error)).map(|_| ())
}

/// Gives up the uploads that the attempts of the job up to `attempt` have left.
pub async fn abort_attempts(root: &ObjectLocation, job: JobId, attempt: Attempt) -> Result<()> {
    let listed = root.bucket.objects.list_with_delimiter(Some(&root.key)).await;
    let listed = listed.map_err(|error| failed("list", root, error))?;
    let hidden = listed.common_prefixes.into_iter().filter(|prefix| {
        let of_job = prefix.filename().and_then(|name| layout::attempt_of(name, job));
        of_job.is_some_and(|of_prefix| of_prefix <= attempt)
    });
    for prefix in hidden {
        let markers: Vec<_> = root
            .bucket
            .objects
            .list(Some(&prefix))
            .try_collect()
            .await
            .map_err(|error| failed("list", &root.bucket.at(prefix.clone()), error))?;
        for marker in markers {
            abort(root, &marker.location).await?;
        }
    }
    Ok(())
}

async fn abort(root: &ObjectLocation, marker: &Key) -> Result<()> {
    let at = root.bucket.at(marker.clone());
    let bytes = match root.bucket.objects.get(marker).await {
        Ok(found) => found.bytes().await.map_err(|error| failed("read", &at, error))?,
        Err(error) if is_not_found(&error) => return Ok(()),
        Err(error) => return Err(failed("read", &at, error)),
    };
    let Marker { key, upload, kept } = serde_json::from_slice(&bytes).map_err(|error| {
        Error::new(Code::MalformedMessage, format!("{at} names no upload")).with_source(error)
    })?;
    if kept {
        return Ok(());
    }
    root.bucket.at(parse(&key)?).abort_upload(&upload).await?;
    remove(root, marker).await
}
