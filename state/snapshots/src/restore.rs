//! Reads the keyed state of a snapshot back, a few key groups at a time.
//!
//! Invariant: no row leaves before every byte that it depends on has been verified; some [`WINDOW_BYTES`] of rows, or one key
//! group, are merged at once, and besides them at most one block of each file is in memory; each block is read once. A local copy
//! is taken where its bytes fit their checksums, else the store's file. Doesn't know who gets the rows.

use arrow::array::RecordBatch;
use bytes::Bytes;
use object_store::path::Path;
use weir_api::error::{Code, Error, Result};
use weir_api::graph::KeyGroupRange;

use crate::copies::Copies;
use crate::damage::Damage;
use crate::delta::{LayerRows, delta_schema, merge};
use crate::layout::SnapshotFolder;
use crate::manifest::{FileHandle, Layer, Manifest, StateSchema};
use crate::storage::{Created, Storage};
use crate::table::{Block, Contents, OpenFile, key_groups};

/// How many bytes of rows are merged at once. What one merge has used is still in the processor's cache for the next one.
const WINDOW_BYTES: u64 = 4 << 20;

/// Where a snapshot's bytes come from.
#[derive(Clone, Debug)]
pub struct Source {
    /// The store.
    pub storage: Storage,
    /// What this process has of it.
    pub copies: Option<Copies>,
    /// The snapshot.
    pub folder: SnapshotFolder,
}

impl Source {
    /// Reads the manifest. It must be that of the checkpoint that its folder is named for.
    pub async fn manifest(&self) -> Result<Manifest> {
        let path = self.folder.metadata();
        let bytes = match self.storage.get(&path).await {
            Err(error) if error.code() == Code::NotFound => {
                return Err(error.context(format_args!("{} isn't a completed snapshot", self.folder.path())));
            }
            bytes => bytes?,
        };
        let manifest = Manifest::decode(path.as_ref(), &bytes)?;
        if let Some(id) = self.folder.checkpoint_id() {
            let expected = self.folder.job().checkpoint(id);
            if id != manifest.checkpoint || !expected.path().as_ref().contains(&manifest.job.to_string()) {
                let actual = format!("checkpoint {} of job {}", manifest.checkpoint, manifest.job);
                return Err(Damage::new(path.as_ref(), 24, "the snapshot", expected.path(), actual).into());
            }
        }
        Ok(manifest)
    }

    /// Opens the layers of a table, to read the rows of `range`.
    pub async fn open(&self, schema: &StateSchema, layers: &[Layer], range: KeyGroupRange) -> Result<Reader> {
        let mut opened = Vec::with_capacity(layers.len());
        for layer in layers {
            let contents = if layer.delta { Contents::Delta } else { Contents::Full };
            let mut files = Vec::with_capacity(layer.files.len());
            for handle in &layer.files {
                let summary = &handle.summary;
                if summary.first_key_group < range.end && range.start <= summary.last_key_group {
                    let file = self.open_file(schema, contents, handle).await?;
                    files.push(Part { file, handle: handle.clone(), begun: None });
                }
            }
            opened.push((contents, files));
        }
        let next = range.start;
        let source = self.clone();
        Ok(Reader { source, schema: schema.clone(), layers: opened, range, next, window_bytes: WINDOW_BYTES })
    }

    async fn open_file(
        &self,
        schema: &StateSchema,
        contents: Contents,
        handle: &FileHandle,
    ) -> Result<OpenFile> {
        let path = self.folder.file(handle);
        let tail = handle.summary.bytes.saturating_sub(handle.summary.tail_bytes);
        let open = |bytes: Bytes| OpenFile::new(path.as_ref(), &bytes, &handle.summary);
        let file = self.verified(handle, tail, handle.summary.tail_bytes, open).await?;
        check_belongs(path.as_ref(), &file, schema, contents)?;
        Ok(file)
    }

    /// A part of a file that passes `check`: from the local copy, else from the store.
    async fn verified<T>(
        &self,
        handle: &FileHandle,
        offset: u64,
        length: u64,
        check: impl Fn(Bytes) -> Result<T>,
    ) -> Result<T> {
        if let Some(copies) = &self.copies
            && let Some(bytes) = copies.read(&handle.name, offset, length).await
        {
            match check(bytes) {
                Ok(value) => return Ok(value),
                Err(error) => {
                    tracing::warn!(file = %handle.name, error = %error.chain(), "a local copy is damaged");
                    copies.forget(&handle.name).await;
                }
            }
        }
        let path = self.folder.file(handle);
        match self.storage.get_range(&path, offset, length).await {
            Ok(bytes) => check(bytes),
            Err(error) => Err(self.why(&path, handle, error).await),
        }
    }

    /// A read that fails may mean that the file is gone or cut.
    async fn why(&self, path: &Path, handle: &FileHandle, error: Error) -> Error {
        let bytes = handle.summary.bytes;
        match self.storage.size(path).await {
            Ok(None) => Damage::missing(path.as_ref(), bytes).into(),
            Ok(Some(size)) if size != bytes => {
                let (expected, actual) = (format!("{bytes} bytes"), format!("{size} bytes"));
                Damage::new(path.as_ref(), size.min(bytes), "the file's length", expected, actual).into()
            }
            _ => error,
        }
    }
}

/// Completes a snapshot: its manifest is written last, and only once. Where another attempt was first, its manifest decides.
pub async fn complete(
    storage: &Storage,
    folder: &SnapshotFolder,
    manifest: &Manifest,
) -> Result<Option<Manifest>> {
    let path = folder.metadata();
    match storage.create(&path, manifest.encode()?).await? {
        Created::Ours => Ok(None),
        Created::Theirs(bytes) => Ok(Some(Manifest::decode(path.as_ref(), &bytes)?)),
    }
}

/// Refuses a file that is whole and holds another state, or another kind of rows.
pub(crate) fn check_belongs(
    path: &str,
    file: &OpenFile,
    schema: &StateSchema,
    contents: Contents,
) -> Result<()> {
    let index = file.index();
    let expected = match contents {
        Contents::Full => schema.schema.clone(),
        Contents::Delta => delta_schema(&schema.schema, schema.key_columns),
    };
    let same = index.state == schema.state
        && index.contents == contents
        && index.key_columns == schema.key_columns
        && file.schema() == &expected;
    if same {
        return Ok(());
    }
    let belongs = format!("{contents:?} rows of `{}` with {expected:?}", schema.state);
    let actual = format!("{:?} rows of `{}` with {:?}", index.contents, index.state, file.schema());
    Err(Damage::new(path, index.data_end(), "the file's content", belongs, actual).into())
}

/// Hands out a table's rows by growing key group.
#[derive(Debug)]
pub struct Reader {
    source: Source,
    schema: StateSchema,
    layers: Vec<(Contents, Vec<Part>)>,
    range: KeyGroupRange,
    next: u32,
    pub(crate) window_bytes: u64,
}

/// A file of a layer.
#[derive(Debug)]
struct Part {
    file: OpenFile,
    handle: FileHandle,
    /// The block that has been read and goes on behind the last window: where it lies, and its rows from there on.
    begun: Option<(u64, RecordBatch)>,
}

impl Part {
    /// The rows of the next key groups.
    async fn rows(&mut self, source: &Source, window: KeyGroupRange) -> Result<Vec<RecordBatch>> {
        let (mut batches, mut begun) = (Vec::new(), self.begun.take());
        let from_here = KeyGroupRange { start: window.start, end: u32::MAX };
        for block in self.file.index().blocks.iter().filter(|block| block.overlaps(window)) {
            let rows = match begun.take() {
                Some((offset, rows)) if offset == block.offset => rows,
                _ => {
                    let rows = |bytes: Bytes| self.file.rows(block, bytes, from_here);
                    source.verified(&self.handle, block.offset, block.bytes, rows).await?
                }
            };
            let end = key_groups(&rows)?.partition_point(|&key_group| key_group < window.end);
            batches.push(rows.slice(0, end));
            if end < rows.num_rows() {
                begun = Some((block.offset, rows.slice(end, rows.num_rows() - end)));
            }
        }
        self.begun = begun;
        Ok(batches)
    }

    /// What the rows of some key groups take, as if those of a block were equally many.
    fn bytes(&self, window: KeyGroupRange) -> u64 {
        let blocks = self.file.index().blocks.iter().filter(|block| block.overlaps(window));
        let share = |block: &Block| {
            let (first, end) = (u64::from(block.first_key_group), u64::from(block.last_key_group) + 1);
            let wanted = end.min(u64::from(window.end)) - first.max(u64::from(window.start));
            block.bytes.saturating_mul(wanted) / (end - first)
        };
        blocks.map(share).sum()
    }
}

impl Reader {
    /// The next key groups' rows, all layers merged into one. `None`: there are no more.
    pub async fn next(&mut self, into: Contents) -> Result<Option<RecordBatch>> {
        if self.next >= self.range.end {
            return Ok(None);
        }
        let window = KeyGroupRange { start: self.next, end: self.window_end() };
        self.next = window.end;
        let mut layers = Vec::with_capacity(self.layers.len());
        for (contents, files) in &mut self.layers {
            let mut batches = Vec::new();
            for file in files {
                batches.extend(file.rows(&self.source, window).await?);
            }
            layers.push(LayerRows { contents: *contents, batches });
        }
        merge(&self.schema.schema, self.schema.key_columns, &layers, into).map(Some)
    }

    /// Takes key groups in while their rows are few enough, at least one.
    fn window_end(&self) -> u32 {
        let parts = || self.layers.iter().flat_map(|(_, parts)| parts);
        let bytes_until = |end: u32| -> u64 {
            parts().map(|part| part.bytes(KeyGroupRange { start: self.next, end })).sum()
        };
        // By halves: the sum grows with the end.
        let (mut fits, mut end) = (self.next + 1, self.range.end);
        while fits < end {
            let middle = fits + (end - fits).div_ceil(2);
            if bytes_until(middle) <= self.window_bytes {
                fits = middle;
            } else {
                end = middle - 1;
            }
        }
        fits
    }
}
