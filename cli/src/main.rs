//! The one binary: a cluster's processes, and the client that talks to them.
//!
//! Owns: the command line, the wiring of crates, clocks and logging. Does not own: any logic of a job; see `weir-jobmanager`,
//! `weir-taskmanager`, `weir-sql`. Read next: [`args`].

mod allocator;
mod args;
mod client;
mod clock;
mod command;
mod configuration;
mod job_file;
mod output;
mod place;
mod process;
mod results;
mod sequences;

use std::io::IsTerminal;
use std::process::ExitCode;

use clap::Parser;
use tracing_subscriber::EnvFilter;
use weir_api::error::Error;

use crate::args::{Cli, JobVerb, Target, Verb, VerifyVerb};

fn main() -> ExitCode {
    allocator::keep_freed_memory();
    let cli = Cli::parse();
    let serves = matches!(cli.verb, Verb::Local(_) | Verb::Jobmanager(_) | Verb::Taskmanager(_));
    log_to_stderr(if serves { "info" } else { "warn" });
    match execute(cli) {
        Ok(code) => code,
        Err(error) => {
            show(&error);
            ExitCode::FAILURE
        }
    }
}

fn execute(cli: Cli) -> Result<ExitCode, Error> {
    let format = cli.output;
    let done = |()| ExitCode::SUCCESS;
    match &cli.verb {
        Verb::Local(arguments) => process::local(arguments).map(done),
        Verb::Jobmanager(arguments) => process::jobmanager(arguments).map(done),
        Verb::Taskmanager(arguments) => process::taskmanager(arguments).map(done),
        Verb::Run(arguments) if arguments.target == Target::Local => process::run_local(arguments, format),
        Verb::Run(arguments) => command::run::execute(arguments, format),
        Verb::List(arguments) => command::list::execute(arguments, format).map(done),
        Verb::Info(arguments) => command::info::execute(arguments, format).map(done),
        Verb::Cancel(arguments) => command::cancel::execute(arguments, format).map(done),
        Verb::Savepoint(arguments) => command::savepoint::savepoint(arguments, format).map(done),
        Verb::Checkpoint(arguments) => command::savepoint::checkpoint(arguments, format).map(done),
        Verb::Stop(arguments) => command::savepoint::stop(arguments, format).map(done),
        Verb::State { verb } => command::state::execute(verb, format),
        Verb::Job { verb: JobVerb::Diff(arguments) } => command::job::diff(arguments, format).map(done),
        Verb::Verify { verb: VerifyVerb::ExactlyOnce(arguments) } => {
            command::verify::exactly_once(arguments, format)
        }
        Verb::Explain(arguments) => command::explain::execute(arguments, format).map(done),
    }
}

/// Logs to standard error at `level`, unless `WEIR_LOG` says otherwise; as JSON where `WEIR_LOG_FORMAT=json`.
fn log_to_stderr(level: &str) {
    let filter = EnvFilter::try_from_env("WEIR_LOG").unwrap_or_else(|_| EnvFilter::new(level));
    let builder = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_ansi(std::io::stderr().is_terminal());
    if std::env::var("WEIR_LOG_FORMAT").is_ok_and(|format| format == "json") {
        builder.json().init();
    } else {
        builder.init();
    }
}

/// Prints an error and its chain of causes.
fn show(error: &Error) {
    eprintln!("error: {error}");
    let mut cause = std::error::Error::source(error);
    while let Some(inner) = cause {
        eprintln!("  caused by: {inner}");
        cause = inner.source();
    }
}
