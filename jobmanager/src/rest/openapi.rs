//! `/openapi.json`: made from the handlers and their types.

use axum::Json;
use utoipa::OpenApi;

#[derive(OpenApi)]
#[openapi(
    info(title = "Weir", description = "Flink's REST interface, v1. Every path is also served without /v1."),
    servers((url = "/v1")),
    paths(
        super::cluster::overview,
        super::cluster::config,
        super::cluster::configuration,
        super::managers::list,
        super::managers::details,
        super::jobs::list,
        super::jobs::overview,
        super::jobs::status,
        super::jobs::details,
        super::jobs::config,
        super::jobs::cancel,
        super::plan::plan,
        super::exceptions::exceptions,
        super::checkpoints::statistics,
        super::checkpoints::config,
        super::checkpoints::details,
        super::checkpoints::subtasks::of_vertex,
        super::operations::checkpoint,
        super::operations::checkpoint_result,
        super::operations::savepoint,
        super::operations::savepoint_result,
        super::operations::stop,
        super::disposal::begin,
        super::disposal::result,
        super::submission::submit,
        super::submission::explain,
        super::vertices::details,
        super::vertices::times,
        super::vertices::managers,
        super::traffic::backpressure,
        super::traffic::watermarks,
        super::metrics::of_cluster,
        super::metrics::of_manager,
        super::metrics::of_job,
        super::metrics::of_vertex,
        super::metrics::of_subtasks,
    )
)]
struct Document;

/// What can be asked here.
pub(super) async fn document() -> Json<utoipa::openapi::OpenApi> {
    Json(Document::openapi())
}
