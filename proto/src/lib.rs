//! The control plane's messages and the gRPC service, made from `weir/v1/*.proto`.
//!
//! Owns: the wire shapes of job graphs, of the JobManager–TaskManager session and of snapshots' manifests. Does not own: what a
//! valid graph is (`weir-api::graph`), what a whole snapshot is (`weir-snapshots`), the session's state machines (`weir-jobmanager`, `weir-taskmanager`), or the data plane's frames
//! (`weir-taskmanager::network`). Read next: `weir/v1/graph.proto`.

/// Version 1 of the protocol.
pub mod v1 {
    #![expect(missing_docs, clippy::all, reason = "generated code; the .proto files hold the documentation")]
    #![expect(clippy::allow_attributes, reason = "tonic's templates allow lints of their own")]
    tonic::include_proto!("weir.v1");
}
