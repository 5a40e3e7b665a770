//! Does once more what an object store's client gives up too early.
//!
//! The client tries again where it knows that a request wasn't served or may be served twice. It doesn't where an answer to a
//! conditional put is lost, nor where the answer itself is cut short (a listing). Here everything may be done twice: whoever writes
//! conditionally compares contents afterwards. Invariant: an end, in tries and in time; what a store refuses is asked once.

use std::future::Future;
use std::time::Duration;

use object_store::Error;
use tokio::time::Instant;
use weir_api::storage::is_denied;

/// So many tries.
const TRIES: u32 = 6;
/// No try begins later than this: behind it, the client has been trying for long itself.
const WITHIN: Duration = Duration::from_secs(10);
/// The first pause; each is twice as long as the last.
const PAUSE: Duration = Duration::from_millis(50);

/// The outcome of `work`, which is begun anew while it fails for what may pass.
pub(super) async fn again<T, F>(work: impl Fn() -> F) -> object_store::Result<T>
where
    F: Future<Output = object_store::Result<T>>,
{
    let start = Instant::now();
    let mut tries = 1;
    loop {
        match work().await {
            Err(error) if may_pass(&error) && tries < TRIES && start.elapsed() < WITHIN => {
                tracing::debug!(%error, tries, "a request to the object store is tried again");
                tokio::time::sleep(PAUSE * 2_u32.pow(tries - 1)).await;
                tries += 1;
            }
            outcome => return outcome,
        }
    }
}

/// The client's word for all that went wrong on the way.
fn may_pass(error: &Error) -> bool {
    matches!(error, Error::Generic { .. }) && !is_denied(error)
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use super::*;

    fn broken() -> Error {
        Error::Generic { store: "S3", source: "connection reset".into() }
    }

    async fn tries(error: impl Fn() -> Error, failures: u32) -> (u32, bool) {
        let count = Cell::new(0);
        let outcome = again(|| async {
            count.set(count.get() + 1);
            if count.get() > failures { Ok(()) } else { Err(error()) }
        });
        let outcome = outcome.await.is_ok();
        (count.get(), outcome)
    }

    #[tokio::test]
    async fn what_may_pass_is_tried_again_to_an_end() {
        assert_eq!(tries(broken, 0).await, (1, true));
        assert_eq!(tries(broken, 3).await, (4, true));
        assert_eq!(tries(broken, 100).await, (TRIES, false));
        let refused = || Error::Generic { store: "S3", source: "status code: 403 Forbidden".into() };
        assert_eq!(tries(refused, 100).await, (1, false));
        let gone = || Error::NotFound { path: "x".to_owned(), source: "gone".into() };
        assert_eq!(tries(gone, 100).await, (1, false));
    }
}
