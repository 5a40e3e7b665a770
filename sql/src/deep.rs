//! Room on the stack for trees as deep as the parser lets them be.
//!
//! sqlparser and DataFusion recurse over expressions, and so does the drop of a tree. Their depth is bounded by the parser's
//! limits; this gives that bound the stack that it needs, whoever calls.

use weir_api::{Error, Result};

/// Enough for the deepest tree that the parser lets through, in an unoptimised build; only touched pages cost memory.
const STACK_BYTES: usize = 256 << 20;

/// Runs `work` where the stack is large; its panic becomes an internal error.
pub(crate) fn with_deep_stack<T: Send>(work: impl FnOnce() -> T + Send) -> Result<T> {
    std::thread::scope(|scope| {
        let thread = std::thread::Builder::new()
            .name("sql".to_owned())
            .stack_size(STACK_BYTES)
            .spawn_scoped(scope, work)
            .map_err(|error| Error::from(error).context("start a thread to plan the statement on"))?;
        thread.join().map_err(|panic| {
            let what = panic
                .downcast_ref::<String>()
                .map(String::as_str)
                .or_else(|| panic.downcast_ref::<&str>().copied())
                .unwrap_or("no message");
            Error::internal(format!("planning panicked, please report it with the statement: {what}"))
        })
    })
}

#[cfg(test)]
mod tests {

    use super::*;

    #[test]
    fn a_panic_is_an_error() {
        let error = with_deep_stack(|| -> () { panic!("on purpose") }).expect_err("it panics");
        assert!(error.message().contains("on purpose"), "{error}");
    }
}
