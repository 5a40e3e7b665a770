//! Tests of what other crates call, and of the session behind it.

mod connectors;
mod damage;
mod request;
mod session;
mod statements;
