//! `weir state`: checkpoints and savepoints where they lie, read without any cluster.

use std::process::ExitCode;

use serde_json::{Value, json};
use weir_api::config::Configuration;
use weir_api::error::{Code, Error, Result};
use weir_api::storage::{FileSystems, Location};
use weir_snapshots::layout::SnapshotFolder;
use weir_snapshots::manifest::{Kind, Manifest};
use weir_snapshots::restore::Source;
use weir_snapshots::show;
use weir_snapshots::storage::{Limits, Storage, StorePath};
use weir_snapshots::verify::verify;

use crate::args::{Format, StateArgs, StateVerb};
use crate::{configuration, output};

/// Lists, shows or verifies.
pub fn execute(verb: &StateVerb, format: Format) -> Result<ExitCode> {
    runtime()?.block_on(async {
        match verb {
            StateVerb::Ls(arguments) => list(arguments, format).await,
            StateVerb::Show(arguments) => show(arguments, format).await,
            StateVerb::Verify(arguments) => check(arguments, format).await,
        }
    })
}

fn runtime() -> Result<tokio::runtime::Runtime> {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
    runtime.map_err(|error| Error::internal("start the I/O runtime").with_source(error))
}

/// Where snapshots lie.
struct Place {
    storage: Storage,
    path: StorePath,
    /// What stands before a path of the store, as users name it.
    root: String,
}

impl Place {
    fn open(configuration: &Configuration, text: &str) -> Result<Self> {
        let text = text.trim_end_matches('/').trim_end_matches("/_metadata");
        let location = FileSystems::new(configuration).resolve(text)?;
        let (storage, path) = Storage::at(&location, "weir-state", Limits::default())?;
        let root = match &location {
            Location::Local(_) if text.contains(':') => "file:///".to_owned(),
            Location::Local(_) => "/".to_owned(),
            Location::Object(object) => format!("{}/", object.bucket.url()),
        };
        Ok(Self { storage, path, root })
    }

    fn folder(&self) -> SnapshotFolder {
        SnapshotFolder::named(&self.path)
    }

    fn named(&self, path: &StorePath) -> String {
        format!("{}{path}", self.root)
    }

    /// The snapshot's manifest.
    async fn manifest(&self) -> Result<Manifest> {
        let source = Source { storage: self.storage.clone(), copies: None, folder: self.folder() };
        source.manifest().await.map_err(|error| self.explained(error))
    }

    /// An error with the place's full name.
    fn explained(&self, error: Error) -> Error {
        let name = self.named(&self.path);
        if error.code() == Code::NotFound {
            let what = format!("there is no snapshot at {name}; `weir state ls` lists those below a folder");
            return Error::new(Code::NotFound, what).with_source(error);
        }
        error.context(format_args!("read the snapshot {name}"))
    }
}

fn place(arguments: &StateArgs) -> Result<Place> {
    Place::open(&configuration::load(&arguments.config)?, &arguments.path)
}

/// The manifest of the snapshot at `path`.
pub(super) fn manifest(configuration: &Configuration, path: &str) -> Result<Manifest> {
    let place = Place::open(configuration, path)?;
    runtime()?.block_on(place.manifest())
}

const fn kind(manifest: &Manifest) -> &'static str {
    match manifest.kind {
        Kind::Checkpoint => "checkpoint",
        Kind::Savepoint => "savepoint",
    }
}

async fn list(arguments: &StateArgs, format: Format) -> Result<ExitCode> {
    let place = place(arguments)?;
    let listings = listings(&place).await?;
    let rows: Vec<Value> = listings
        .iter()
        .map(|listing| match &listing.manifest {
            Ok(manifest) => json!({
                "path": place.named(listing.folder.path()),
                "kind": kind(manifest),
                "job": manifest.job.to_string(),
                "id": manifest.checkpoint.0,
                "completed": output::moment(manifest.completed_millis),
                "bytes": manifest.totals.full_bytes,
                "new-bytes": manifest.totals.new_bytes,
            }),
            Err(error) => json!({ "path": place.named(listing.folder.path()), "error": error.chain() }),
        })
        .collect();
    let damaged = listings.iter().any(|listing| listing.manifest.is_err());
    output::print(format, &json!(rows), |_| {
        if rows.is_empty() {
            return format!("No snapshots below {}.", place.named(&place.path));
        }
        let cells = rows.iter().map(|row| {
            let fields = ["path", "kind", "job", "id", "completed", "bytes", "new-bytes"];
            let mut cells: Vec<_> = fields.iter().map(|field| output::cell(&row[*field])).collect();
            if let Some(error) = row["error"].as_str() {
                cells[1] = error.to_owned();
            }
            cells
        });
        output::table(&["PATH", "KIND", "JOB", "ID", "COMPLETED", "BYTES", "NEW BYTES"], cells)
    })?;
    Ok(if damaged { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}

/// The snapshots right below a folder; below its folders where it has none: a folder of several jobs' checkpoints.
async fn listings(place: &Place) -> Result<Vec<show::Listing>> {
    let direct = show::list(&place.storage, &place.path).await?;
    if !direct.is_empty() {
        return Ok(direct);
    }
    let mut names = place.storage.list_names(&place.path).await?;
    names.sort();
    let mut all = Vec::new();
    for name in names {
        all.extend(show::list(&place.storage, &name).await?);
    }
    Ok(all)
}

async fn show(arguments: &StateArgs, format: Format) -> Result<ExitCode> {
    let manifest = place(arguments)?.manifest().await?;
    let operators: Vec<Value> = show::show(&manifest).iter().map(operator).collect();
    let value = json!({
        "kind": kind(&manifest),
        "job": manifest.job.to_string(),
        "id": manifest.checkpoint.0,
        "attempt": manifest.attempt.0,
        "max-parallelism": manifest.max_parallelism,
        "key-encoding-version": manifest.key_encoding_version,
        "triggered": output::moment(manifest.triggered_millis),
        "completed": output::moment(manifest.completed_millis),
        "bytes": manifest.totals.full_bytes,
        "new-bytes": manifest.totals.new_bytes,
        "operators": operators,
    });
    output::print(format, &value, |value| {
        let head = format!(
            "{} {} of job {}, attempt {}, completed {}: {} bytes, {} of them new; {} key groups\n",
            kind(&manifest),
            manifest.checkpoint,
            manifest.job,
            manifest.attempt,
            output::cell(&value["completed"]),
            manifest.totals.full_bytes,
            manifest.totals.new_bytes,
            manifest.max_parallelism,
        );
        let rows = operators.iter().flat_map(|operator| {
            let states = operator["states"].as_array().cloned().unwrap_or_default();
            let own = ["uid", "parallelism", "splits", "committables", "operator-state-entries"];
            let own = own.map(|field| output::cell(&operator[field]));
            let states = if states.is_empty() { vec![Value::Null] } else { states };
            states.into_iter().map(move |state| {
                let fields = ["state", "rows", "bytes", "layers", "schema"];
                own.iter().cloned().chain(fields.iter().map(|field| output::cell(&state[*field]))).collect()
            })
        });
        let header = [
            "UID",
            "PARALLELISM",
            "SPLITS",
            "COMMITTABLES",
            "OPERATOR STATE",
            "STATE",
            "ROWS",
            "BYTES",
            "LAYERS",
            "SCHEMA",
        ];
        head + &output::table(&header, rows)
    })?;
    Ok(ExitCode::SUCCESS)
}

fn operator(operator: &show::OperatorSummary) -> Value {
    let states: Vec<Value> = operator
        .states
        .iter()
        .map(|(name, state)| {
            let fields = state.schema.fields().iter().zip(0_u32..);
            let columns: Vec<String> = fields
                .map(|(field, at)| {
                    let key = if at >= 1 && at <= state.key_columns { " KEY" } else { "" };
                    format!("{} {}{key}", field.name(), field.data_type())
                })
                .collect();
            json!({
                "state": name,
                "rows": state.rows,
                "bytes": state.bytes,
                "files": state.files,
                "layers": state.layers,
                "schema": columns.join(", "),
            })
        })
        .collect();
    json!({
        "uid": operator.uid.as_str(),
        "name": operator.name,
        "parallelism": operator.parallelism,
        "splits": operator.splits,
        "committables": operator.committables,
        "blobs": operator.blobs,
        "blob-bytes": operator.blob_bytes,
        "operator-state-entries": operator.operator_state_entries,
        "states": states,
    })
}

async fn check(arguments: &StateArgs, format: Format) -> Result<ExitCode> {
    let place = place(arguments)?;
    let report = verify(&place.storage, &place.folder()).await.map_err(|error| place.explained(error))?;
    let problems: Vec<String> = report.problems.iter().map(Error::chain).collect();
    let value = json!({
        "whole": report.is_whole(),
        "files": report.files,
        "bytes": report.bytes,
        "problems": problems,
    });
    output::print(format, &value, |_| match problems.as_slice() {
        [] => format!("Every byte is as it was written: {} files, {} bytes.", report.files, report.bytes),
        problems => format!("DAMAGED: {} of {} files\n{}", problems.len(), report.files, problems.join("\n")),
    })?;
    Ok(if report.is_whole() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
