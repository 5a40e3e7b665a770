//! Errors that say who must act and whether a retry can help.
//!
//! Every error that a user may see has a stable [`Code`] with a page `docs/errors/<code>.md`. Library crates keep `thiserror`
//! enums of their own where callers tell cases apart, and convert them into [`Error`] at their boundary.

use std::error::Error as StdError;
use std::fmt;

/// The result of everything that crosses a crate's boundary.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Who must act.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Domain {
    /// The author of the statement, job or configuration.
    User,
    /// An outside system: storage, network, a broker.
    External,
    /// Weir: a bug.
    Internal,
}

/// Whether the same thing can go right when tried again.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Retry {
    /// It will fail again until somebody changes something.
    Never,
    /// A restart of the job may help.
    Restart,
}

macro_rules! codes {
    ($($(#[$doc:meta])* $name:ident = $text:literal, $domain:ident, $retry:ident;)*) => {
        /// A stable code; its page is `docs/errors/<code>.md`.
        #[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
        pub enum Code {
            $($(#[$doc])* $name,)*
        }

        impl Code {
            /// All codes, for the test that each has a page.
            pub const ALL: &'static [Code] = &[$(Code::$name,)*];

            /// The code as users see it.
            #[must_use]
            pub const fn as_str(self) -> &'static str {
                match self { $(Code::$name => $text,)* }
            }

            /// Who must act.
            #[must_use]
            pub const fn domain(self) -> Domain {
                match self { $(Code::$name => Domain::$domain,)* }
            }

            /// Whether a retry can help.
            #[must_use]
            pub const fn retry(self) -> Retry {
                match self { $(Code::$name => Retry::$retry,)* }
            }
        }
    };
}

codes! {
    /// An argument that can't be what it says.
    InvalidArgument = "WEIR-0001", User, Never;
    /// A configuration key that doesn't exist, or a value that doesn't fit it.
    InvalidConfiguration = "WEIR-0002", User, Never;
    /// A file or address that was asked for isn't there.
    NotFound = "WEIR-0003", User, Never;
    /// Something that Weir doesn't do, yet or by intent.
    Unsupported = "WEIR-0004", User, Never;
    /// An invariant of Weir's own doesn't hold.
    Internal = "WEIR-0005", Internal, Restart;
    /// Reading or writing failed.
    Io = "WEIR-0006", External, Restart;

    /// The statement's text doesn't parse.
    SqlSyntax = "WEIR-1001", User, Never;
    /// A table, column, function or type that isn't known.
    SqlUnknownName = "WEIR-1002", User, Never;
    /// An expression whose types don't fit.
    SqlType = "WEIR-1003", User, Never;
    /// A query that has no meaning on an unbounded stream.
    SqlUnbounded = "WEIR-1004", User, Never;
    /// WITH options that the connector doesn't take.
    TableOptions = "WEIR-1005", User, Never;
    /// The YAML of a job or a configuration doesn't parse.
    Yaml = "WEIR-1006", User, Never;

    /// A record that can't be decoded.
    MalformedRecord = "WEIR-2001", User, Never;
    /// A value that the expression can't be computed for (division by zero, overflow, failed cast).
    Evaluation = "WEIR-2002", User, Never;
    /// One record larger than the network can carry.
    RecordTooLarge = "WEIR-2003", User, Never;
    /// An operator's state met its limit in bytes.
    StateLimit = "WEIR-2004", User, Never;
    /// Records that a source was to read are no longer there.
    RecordsLost = "WEIR-2005", User, Never;
    /// Output of a completed checkpoint can't be made visible.
    OutputUnpublished = "WEIR-2006", External, Restart;
    /// Nobody can know whether output of a completed checkpoint is visible.
    OutputUnknown = "WEIR-2007", User, Never;

    /// A message or frame that breaks the protocol.
    MalformedMessage = "WEIR-3001", External, Restart;
    /// The connection to another TaskManager was lost.
    ConnectionLost = "WEIR-3002", External, Restart;
    /// A TaskManager was lost.
    TaskManagerLost = "WEIR-3003", External, Restart;
    /// A task panicked.
    TaskPanicked = "WEIR-3004", Internal, Restart;
    /// Slots were not found in time.
    NoSlots = "WEIR-3005", External, Restart;
    /// The sender speaks for a leader or an attempt that is over.
    Fenced = "WEIR-3006", Internal, Restart;
    /// The job doesn't exist.
    UnknownJob = "WEIR-3007", User, Never;
    /// A process of another version wants to join.
    VersionMismatch = "WEIR-3008", User, Never;
    /// The task at the other end of a channel ended early; its own error says why.
    ChannelClosed = "WEIR-3009", Internal, Restart;
    /// The network memory doesn't hold what the job's channels need.
    NetworkMemory = "WEIR-3010", User, Restart;

    /// A file of a snapshot doesn't hold the bytes that were written.
    SnapshotDamaged = "WEIR-4001", External, Never;
    /// A snapshot that a newer version of Weir wrote.
    SnapshotVersion = "WEIR-4002", User, Never;
    /// More checkpoints in a row have failed than the job tolerates.
    CheckpointsFailed = "WEIR-4003", External, Restart;
}

impl fmt::Display for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// What went wrong, to what, and what to do about it.
#[derive(Debug)]
pub struct Error {
    code: Code,
    message: String,
    source: Option<Box<dyn StdError + Send + Sync>>,
}

impl Error {
    /// An error with a message that names what was being done, to what, and what to do about it.
    pub fn new(code: Code, message: impl Into<String>) -> Self {
        Self { code, message: message.into(), source: None }
    }

    /// A bug: an invariant that doesn't hold.
    pub fn internal(message: impl Into<String>) -> Self {
        Self::new(Code::Internal, message)
    }

    /// The same error with its cause.
    #[must_use]
    pub fn with_source(mut self, source: impl Into<Box<dyn StdError + Send + Sync>>) -> Self {
        self.source = Some(source.into());
        self
    }

    /// The same error, its message preceded by what was being done.
    #[must_use]
    pub fn context(mut self, doing: impl fmt::Display) -> Self {
        self.message = format!("{doing}: {}", self.message);
        self
    }

    /// The stable code.
    #[must_use]
    pub const fn code(&self) -> Code {
        self.code
    }

    /// The message without the causes.
    #[must_use]
    pub fn message(&self) -> &str {
        &self.message
    }

    /// Whether restarting the job can help.
    #[must_use]
    pub fn is_restartable(&self) -> bool {
        self.code.retry() == Retry::Restart
    }

    /// The message and all its causes on one line, each cause once.
    #[must_use]
    pub fn chain(&self) -> String {
        let mut text = self.message.clone();
        let mut cause = self.source();
        while let Some(error) = cause {
            let next = error.to_string();
            if !text.contains(&next) {
                text.push_str(": ");
                text.push_str(&next);
            }
            cause = error.source();
        }
        text
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "[{}] {}", self.code, self.message)
    }
}

impl StdError for Error {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        self.source.as_ref().map(|source| source.as_ref() as &(dyn StdError + 'static))
    }
}

impl From<std::io::Error> for Error {
    fn from(error: std::io::Error) -> Self {
        Error::new(Code::Io, "input or output failed").with_source(error)
    }
}

impl From<arrow::error::ArrowError> for Error {
    fn from(error: arrow::error::ArrowError) -> Self {
        use arrow::error::ArrowError as E;
        let code = match &error {
            E::DivideByZero | E::ArithmeticOverflow(_) | E::CastError(_) | E::ParseError(_) => {
                Code::Evaluation
            }
            E::IoError(..) => Code::Io,
            _ => Code::Internal,
        };
        Error::new(code, "a columnar computation failed").with_source(error)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn codes_are_unique() {
        let texts: HashSet<_> = Code::ALL.iter().map(|code| code.as_str()).collect();
        assert_eq!(texts.len(), Code::ALL.len());
    }

    #[test]
    fn every_code_has_a_page_and_a_line_in_the_index() {
        let folder = "../docs/errors";
        let index = std::fs::read_to_string(format!("{folder}/README.md")).expect("the index is there");
        for code in Code::ALL {
            let page = std::fs::read_to_string(format!("{folder}/{code}.md")).expect("each code has a page");
            assert!(page.starts_with(&format!("# {code}: ")) && page.contains("## What to do"), "{code}");
            assert!(index.contains(&format!("[{code}]({code}.md)")), "{code} is missing in the index");
        }
    }

    #[test]
    fn chain_names_every_cause_once() {
        let inner = std::io::Error::other("disk is full");
        let error = Error::from(inner).context("write part-0.parquet");
        assert_eq!(error.chain(), "write part-0.parquet: input or output failed: disk is full");
    }
}
