//! Tests of what other crates call, and of the session behind it.

#![expect(clippy::unwrap_used, clippy::panic, reason = "tests")]

mod connectors;
mod damage;
mod request;
mod session;
