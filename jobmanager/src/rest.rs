//! REST on Flink's v1 paths, with and without `/v1`, with Flink's field names.
//!
//! Decides how things look from outside; what they are it asks the service. Invariants: every answer is JSON (or Prometheus
//! text at `/metrics`), errors are `{"errors": ["…"]}` with a status that says who must act; bodies are bounded; what is shown in
//! one answer was true at one moment, as the core is read in one step.

mod checkpoints;
mod cluster;
mod disposal;
mod error;
mod exceptions;
mod jobs;
mod managers;
mod metrics;
mod openapi;
mod operations;
mod path;
mod plan;
mod prometheus;
mod submission;
mod traffic;
mod vertices;

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::{DefaultBodyLimit, Request};
use axum::http::StatusCode;
use axum::http::header::CONTENT_LENGTH;
use axum::middleware::Next;
use axum::response::{IntoResponse as _, Response};
use axum::routing::{get, patch, post};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use weir_api::config::Configuration;
use weir_api::error::{Code, Error};

pub(crate) use self::disposal::Disposals;
use self::error::Refusal;
use crate::service::Client;
use crate::submit::Dispatcher;

/// The largest request body.
const MAX_BODY_BYTES: usize = 8 << 20;

/// The longest a request may take, sending it included: longer than planning and looking for splits may.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(300);

/// The release of Flink whose REST interface this follows; Flink's tools look at it.
pub const FLINK_VERSION: &str = "2.3.0";

/// What the handlers share.
#[derive(Clone)]
pub(crate) struct App {
    pub(crate) client: Client,
    pub(crate) dispatcher: Arc<Dispatcher>,
    pub(crate) configuration: Arc<Configuration>,
    /// Savepoints that are deleted.
    pub(crate) disposals: Disposals,
    /// Submissions go on when the one who asked hangs up.
    pub(crate) tasks: TaskTracker,
}

/// Serves until the token is cancelled.
pub(crate) async fn serve(
    app: App,
    listener: tokio::net::TcpListener,
    shutdown: CancellationToken,
) -> std::io::Result<()> {
    axum::serve(listener, router(app)).with_graceful_shutdown(shutdown.cancelled_owned()).await
}

fn router(app: App) -> Router {
    let api = api();
    Router::new()
        .route("/metrics", get(prometheus::metrics))
        .route("/openapi.json", get(openapi::document))
        .nest("/v1", api.clone())
        .merge(api)
        .fallback(unknown_path)
        .method_not_allowed_fallback(wrong_method)
        .layer(DefaultBodyLimit::max(MAX_BODY_BYTES))
        .layer(axum::middleware::from_fn(limits))
        .with_state(app)
}

fn api() -> Router<App> {
    Router::new()
        .route("/overview", get(cluster::overview))
        .route("/config", get(cluster::config))
        .route("/jobmanager/config", get(cluster::configuration))
        .route("/jobmanager/metrics", get(metrics::of_cluster))
        .route("/taskmanagers", get(managers::list))
        .route("/taskmanagers/{managerid}", get(managers::details))
        .route("/taskmanagers/{managerid}/metrics", get(metrics::of_manager))
        .route("/jobs", get(jobs::list).post(submission::submit))
        .route("/jobs/overview", get(jobs::overview))
        .route("/jobs/explain", post(submission::explain))
        .route("/jobs/{jobid}", patch(jobs::cancel).get(jobs::details))
        .route("/jobs/{jobid}/status", get(jobs::status))
        .route("/jobs/{jobid}/config", get(jobs::config))
        .route("/jobs/{jobid}/plan", get(plan::plan))
        .route("/jobs/{jobid}/exceptions", get(exceptions::exceptions))
        .route("/jobs/{jobid}/metrics", get(metrics::of_job))
        .route("/jobs/{jobid}/checkpoints", get(checkpoints::statistics).post(operations::checkpoint))
        .route("/jobs/{jobid}/checkpoints/config", get(checkpoints::config))
        .route("/jobs/{jobid}/checkpoints/details/{checkpointid}", get(checkpoints::details))
        .route(
            "/jobs/{jobid}/checkpoints/details/{checkpointid}/subtasks/{vertexid}",
            get(checkpoints::of_vertex),
        )
        .route("/jobs/{jobid}/checkpoints/{triggerid}", get(operations::checkpoint_result))
        .route("/jobs/{jobid}/savepoints", post(operations::savepoint))
        .route("/jobs/{jobid}/savepoints/{triggerid}", get(operations::savepoint_result))
        .route("/jobs/{jobid}/stop", post(operations::stop))
        .route("/savepoint-disposal", post(disposal::begin))
        .route("/savepoint-disposal/{triggerid}", get(disposal::result))
        .route("/jobs/{jobid}/vertices/{vertexid}", get(vertices::details))
        .route("/jobs/{jobid}/vertices/{vertexid}/backpressure", get(traffic::backpressure))
        .route("/jobs/{jobid}/vertices/{vertexid}/watermarks", get(traffic::watermarks))
        .route("/jobs/{jobid}/vertices/{vertexid}/subtasktimes", get(vertices::times))
        .route("/jobs/{jobid}/vertices/{vertexid}/taskmanagers", get(vertices::managers))
        .route("/jobs/{jobid}/vertices/{vertexid}/metrics", get(metrics::of_vertex))
        .route("/jobs/{jobid}/vertices/{vertexid}/subtasks/metrics", get(metrics::of_subtasks))
}

/// Refuses a body that announces to be too large before it is sent, and gives up on clients that send or wait forever.
async fn limits(request: Request, next: Next) -> Response {
    let announced =
        request.headers().get(CONTENT_LENGTH).and_then(|length| length.to_str().ok()?.parse::<usize>().ok());
    if announced.is_some_and(|bytes| bytes > MAX_BODY_BYTES) {
        let message = format!("the request's body may hold {MAX_BODY_BYTES} bytes");
        return Refusal::new(StatusCode::PAYLOAD_TOO_LARGE, message).into_response();
    }
    tokio::time::timeout(REQUEST_TIMEOUT, next.run(request)).await.unwrap_or_else(|_| {
        let message = format!("the request wasn't done within {} s", REQUEST_TIMEOUT.as_secs());
        Refusal::new(StatusCode::REQUEST_TIMEOUT, message).into_response()
    })
}

async fn unknown_path(uri: axum::http::Uri) -> Refusal {
    Error::new(Code::NotFound, format!("there is nothing at {}; see /openapi.json", uri.path())).into()
}

async fn wrong_method(method: axum::http::Method, uri: axum::http::Uri) -> Refusal {
    Refusal::new(
        StatusCode::METHOD_NOT_ALLOWED,
        format!("{} doesn't take {method}; see /openapi.json", uri.path()),
    )
}
