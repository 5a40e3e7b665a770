//! Tests of what other crates call, and of the session behind it.

mod connectors;
mod damage;
mod queries;
mod request;
mod session;
mod statements;
