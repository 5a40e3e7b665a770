//! The allocator of all processes, and what it is told at the start.

#![expect(unsafe_code, reason = "a C library's setting; the block says why it may be called")]

use std::ffi::{c_int, c_long};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// `mi_option_purge_delay`: its crate doesn't name it. A test watches the number.
const PURGE_DELAY: c_int = 15;

/// For how long freed memory stays with the process, so that the next checkpoint finds the last one's. Where it is given back and
/// taken again each second, each page is cleared anew, and a virtual machine asks its host first: an eighth of a count's CPU time.
const KEPT_MILLIS: c_long = 10_000;

/// Tells the allocator for how long it keeps what is freed, unless `MIMALLOC_PURGE_DELAY` does. To be called first of all.
pub(crate) fn keep_freed_memory() {
    // SAFETY: it writes one word of the library's options, which mustn't happen beside other calls of it: there is one thread yet.
    unsafe { libmimalloc_sys::mi_option_set_default(PURGE_DELAY, KEPT_MILLIS) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_number_is_still_that_of_the_delay() {
        if std::env::var_os("MIMALLOC_PURGE_DELAY").is_some() {
            return;
        }
        // SAFETY: it reads one word of the library's options.
        let get = || unsafe { libmimalloc_sys::mi_option_get(PURGE_DELAY) };
        // The library's own delay is a second.
        assert_eq!(get(), 1000);
        keep_freed_memory();
        assert_eq!(get(), KEPT_MILLIS);
    }
}
