//! Publishes the outputs of one transactional id, in order, each once, whatever happens on the way.
//!
//! Invariant: a transaction begins only where it is known that the output isn't published. A writer's first session knows it, as
//! outputs that came before it were published before its attempt began; every later session asks the progress topic. A writer that
//! was fenced off never takes the id again. Blocks.

use std::sync::Arc;

use bytes::Bytes;
use tokio::runtime::Handle;
use weir_api::error::{Code, Error, Result};
use weir_api::sink::{Blob, Blobs};

use super::Log;
use super::committable::Output;
use super::patience::Patience;
use super::progress::{self, Progress};
use super::session::{Session, Trouble};

/// Tries of what doesn't go by itself, before somebody is told.
const TRIES: u32 = 5;

/// Where chunks come from that aren't in the committable.
pub trait Chunks {
    /// A chunk's bytes.
    fn chunk(&self, blob: &Blob) -> Result<Bytes>;
}

/// Reads them from where they were put.
pub struct Stored {
    /// Where that was.
    pub blobs: Option<Arc<dyn Blobs>>,
    /// What the reading runs on.
    pub io: Handle,
}

impl Chunks for Stored {
    fn chunk(&self, blob: &Blob) -> Result<Bytes> {
        match &self.blobs {
            Some(blobs) => self.io.block_on(blobs.get(blob)),
            None => Err(Error::internal(format!(
                "output that was prepared for Kafka is in the file {}, and nothing says where files are",
                blob.name
            ))),
        }
    }
}

/// On whose behalf outputs are published.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Role {
    /// A writer's: nothing of what it will publish is published, and who fences it off is in the right.
    Writer,
    /// The JobManager's: anything may be published, and who fences it off is a writer that came late, or a committer like it.
    Committer,
}

/// See the module.
pub struct Publisher {
    log: Arc<Log>,
    id: String,
    /// The largest message that its topics take.
    message_bytes: usize,
    patience: Patience,
    role: Role,
    session: Option<Session>,
    /// Whether the progress topic must be asked before the next transaction.
    unsure: bool,
}

impl Publisher {
    /// For a transactional id.
    pub fn new(log: Arc<Log>, id: String, message_bytes: usize, patience: Patience, role: Role) -> Self {
        Self { log, id, message_bytes, patience, role, session: None, unsure: role == Role::Committer }
    }

    /// Takes the transactional id, if it isn't taken.
    pub fn open(&mut self) -> Result<()> {
        let mut tries = 0;
        while self.session.is_none() {
            match Session::open(&self.log, &self.id, self.message_bytes, &self.patience) {
                Ok(session) => self.session = Some(session),
                Err(trouble) => self.bear(trouble, &mut tries)?,
            }
        }
        Ok(())
    }

    /// What the progress topic says now; to be called after [`Self::open`] of all whom it is asked for.
    pub fn knows(&mut self) {
        self.unsure = false;
    }

    /// Publishes an output if it isn't published.
    pub fn publish(&mut self, output: &Output, chunks: &impl Chunks) -> Result<()> {
        let mut tries = 0;
        loop {
            self.open()?;
            if self.unsure {
                let progress = progress::read(&self.log, &output.header, &self.patience)?;
                if self.is_done(&progress, output)? {
                    return Ok(());
                }
            }
            let Some(session) = &mut self.session else { continue };
            let all = output
                .blobs
                .iter()
                .map(|blob| chunks.chunk(blob))
                .chain(std::iter::once(Ok(output.inline.clone())));
            match session.publish(&self.log, output, all, &self.patience) {
                Ok(()) => {
                    self.unsure = false;
                    if session.has_heard_errors() {
                        self.renew();
                    }
                    return Ok(());
                }
                Err(trouble) => {
                    self.renew();
                    self.bear(trouble, &mut tries).map_err(|error| self.at_risk(output, error))?;
                }
            }
        }
    }

    /// Whether the progress topic says that an output is published.
    pub fn is_done(&self, progress: &Progress, output: &Output) -> Result<bool> {
        progress.is_published(&self.log.table, &output.header)
    }

    fn renew(&mut self) {
        self.session = None;
        self.unsure = true;
    }

    /// Waits, where another try may go well.
    fn bear(&self, trouble: Trouble, tries: &mut u32) -> Result<()> {
        let trouble = match trouble {
            Trouble::Fenced(what) if self.role == Role::Committer => {
                Trouble::Again { why: self.fenced(&what), passing: false }
            }
            trouble => trouble,
        };
        match trouble {
            Trouble::Again { why, passing } => {
                self.patience.check(|| why.message().to_owned())?;
                *tries += 1;
                if !passing && *tries >= TRIES {
                    return Err(why);
                }
                tracing::warn!(table = %self.log.table, transactional_id = %self.id, error = %why, "kafka: trying again");
                self.patience.pause(*tries);
                Ok(())
            }
            Trouble::Fenced(what) => Err(self.fenced(&what)),
            Trouble::Stop(error) => Err(error),
        }
    }

    fn fenced(&self, what: &str) -> Error {
        Error::new(
            Code::Fenced,
            format!(
                "{what}: a newer attempt of the job, or another job with the same 'sink.transactional-id-prefix', has taken the transactional id {}, or the transaction took longer than {:?} ('properties.transaction.timeout.ms')",
                self.id,
                self.log.transaction_timeout()
            ),
        )
    }

    /// The error of an output that is kept and can't be published.
    fn at_risk(&self, output: &Output, error: Error) -> Error {
        if self.patience.is_cancelled() || error.code() == Code::Fenced {
            return error;
        }
        let header = &output.header;
        Error::new(
            Code::OutputUnpublished,
            format!(
                "table {}: the output of completed checkpoint {} ({} records, transactional id {}) can't be published to topic {}. It is kept with the checkpoint, and lost if the job is given up: mend what is wrong, then the job goes on from that checkpoint",
                self.log.table,
                header.checkpoint,
                header.records,
                header.transactional_id,
                header.topics.join(", ")
            ),
        )
        .with_source(error)
    }
}
