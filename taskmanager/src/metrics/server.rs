//! The HTTP server of `/metrics`.

use std::sync::Arc;

use axum::Router;
use axum::http::header::CONTENT_TYPE;
use axum::response::IntoResponse;
use axum::routing::get;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::prometheus::render;
use super::sampler::Sample;

/// The media type of Prometheus's text format.
const TEXT_FORMAT: &str = "text/plain; version=0.0.4; charset=utf-8";

/// Who the figures are about.
pub(crate) struct Process {
    pub(crate) prefix: String,
    pub(crate) host: String,
    pub(crate) tm_id: String,
}

/// Serves the latest sample until `stop`.
pub(crate) async fn serve(
    listener: TcpListener,
    samples: watch::Receiver<Sample>,
    process: Process,
    stop: CancellationToken,
) {
    let process = Arc::new(process);
    let page = move || {
        let (process, samples) = (Arc::clone(&process), samples.clone());
        async move {
            let page = render(&samples.borrow(), &process.prefix, &process.host, &process.tm_id);
            ([(CONTENT_TYPE, TEXT_FORMAT)], page).into_response()
        }
    };
    let router = Router::new().route("/metrics", get(page.clone())).route("/", get(page));
    let served = axum::serve(listener, router).with_graceful_shutdown(stop.cancelled_owned()).await;
    if let Err(error) = served {
        tracing::error!(%error, "the metrics server has ended");
    }
}
