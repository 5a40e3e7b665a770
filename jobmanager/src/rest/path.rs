//! The parts of a path: ids, and what they stand for in the core.

use axum::extract::{FromRequestParts, Path};
use axum::http::request::Parts;
use serde::Deserialize;
use weir_api::error::{Code, Error, Result};
use weir_api::graph::JobVertex;
use weir_api::id::{JobId, VertexId};

use super::error::Refusal;
use crate::control::Core;
use crate::control::job::Job;

/// `/jobs/{jobid}/…`
#[derive(Clone, Copy)]
pub(super) struct OfJob(pub(super) JobId);

/// `/jobs/{jobid}/vertices/{vertexid}/…`
#[derive(Clone, Copy)]
pub(super) struct OfVertex {
    job: JobId,
    vertex: VertexId,
}

/// A vertex of a job, found.
pub(super) struct Found<'a> {
    pub(super) job: &'a Job,
    pub(super) index: usize,
    pub(super) vertex: &'a JobVertex,
}

impl OfVertex {
    pub(super) fn find(self, core: &Core) -> Result<Found<'_>> {
        let job = core.job(self.job)?;
        let vertices = job.spec().graph.vertices();
        vertices.iter().enumerate().find(|(_, vertex)| vertex.id == self.vertex).map_or_else(
            || Err(Error::new(Code::NotFound, format!("job {} has no vertex {}", self.job, self.vertex))),
            |(index, vertex)| Ok(Found { job, index, vertex }),
        )
    }
}

#[derive(Deserialize)]
struct Parameters {
    jobid: String,
    vertexid: Option<String>,
}

async fn parameters<S: Send + Sync>(parts: &mut Parts, state: &S) -> Result<Parameters, Refusal> {
    let found = Path::<Parameters>::from_request_parts(parts, state).await;
    found.map(|Path(parameters)| parameters).map_err(|error| Refusal::new(error.status(), error.body_text()))
}

impl<S: Send + Sync> FromRequestParts<S> for OfJob {
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Refusal> {
        Ok(Self(parameters(parts, state).await?.jobid.parse()?))
    }
}

impl<S: Send + Sync> FromRequestParts<S> for OfVertex {
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Refusal> {
        let parameters = parameters(parts, state).await?;
        let vertex = parameters.vertexid.unwrap_or_default();
        Ok(Self { job: parameters.jobid.parse()?, vertex: vertex.parse()? })
    }
}
