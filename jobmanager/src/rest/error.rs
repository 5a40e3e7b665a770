//! Errors as answers: `{"errors": ["…"]}` with a status that says who must act.

use axum::Json;
use axum::extract::rejection::{JsonRejection, QueryRejection};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use utoipa::ToSchema;
use weir_api::error::{Code, Domain, Error};

/// What was wrong.
#[derive(Serialize, ToSchema)]
pub(super) struct Errors {
    errors: Vec<String>,
}

/// An answer that isn't what was asked for.
#[derive(Debug)]
pub(super) struct Refusal {
    status: StatusCode,
    message: String,
}

pub(super) type Answer<T> = Result<Json<T>, Refusal>;

impl Refusal {
    pub(super) fn new(status: StatusCode, message: impl Into<String>) -> Self {
        Self { status, message: message.into() }
    }

    /// The request can't be served in the state that things are in.
    pub(super) fn conflict(error: &Error) -> Self {
        let status =
            if error.code() == Code::InvalidArgument { StatusCode::CONFLICT } else { status_of(error) };
        Self { status, message: text(error) }
    }
}

fn text(error: &Error) -> String {
    format!("[{}] {}", error.code(), error.chain())
}

fn status_of(error: &Error) -> StatusCode {
    match (error.code(), error.code().domain()) {
        (Code::UnknownJob | Code::NotFound, _) => StatusCode::NOT_FOUND,
        (Code::Fenced, _) | (_, Domain::External) => StatusCode::SERVICE_UNAVAILABLE,
        (_, Domain::User) => StatusCode::BAD_REQUEST,
        (_, Domain::Internal) => StatusCode::INTERNAL_SERVER_ERROR,
    }
}

impl From<Error> for Refusal {
    fn from(error: Error) -> Self {
        Self { status: status_of(&error), message: text(&error) }
    }
}

impl From<JsonRejection> for Refusal {
    fn from(rejection: JsonRejection) -> Self {
        let status = match rejection.status() {
            // What was sent doesn't fit, whatever exactly: the caller must change it.
            StatusCode::UNPROCESSABLE_ENTITY => StatusCode::BAD_REQUEST,
            other => other,
        };
        Self::new(status, rejection.body_text())
    }
}

impl From<QueryRejection> for Refusal {
    fn from(rejection: QueryRejection) -> Self {
        Self::new(rejection.status(), rejection.body_text())
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        (self.status, Json(Errors { errors: vec![self.message] })).into_response()
    }
}
