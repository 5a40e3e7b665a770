//! A part of a job that no edge connects with the rest: what is cancelled while the other tasks of the job go on.
//!
//! Invariant: a region holds the edges between its vertices, so its channels are those of its edges and its gates those of its vertices.

use std::collections::BTreeSet;

/// See the module.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Region {
    /// By their position in the graph; none: the whole job.
    vertices: BTreeSet<u32>,
    edges: BTreeSet<u32>,
}

impl Region {
    /// These vertices and edges; without vertices: the whole job.
    #[must_use]
    pub fn new(vertices: impl IntoIterator<Item = u32>, edges: impl IntoIterator<Item = u32>) -> Self {
        Self { vertices: vertices.into_iter().collect(), edges: edges.into_iter().collect() }
    }

    /// Whether nothing of the job is left beside it.
    #[must_use]
    pub fn is_whole(&self) -> bool {
        self.vertices.is_empty()
    }

    /// Whether the tasks of a vertex belong to it.
    #[must_use]
    pub fn has_vertex(&self, vertex: u32) -> bool {
        self.is_whole() || self.vertices.contains(&vertex)
    }

    /// Whether the channels of an edge belong to it.
    #[must_use]
    pub fn has_edge(&self, edge: u32) -> bool {
        self.is_whole() || self.edges.contains(&edge)
    }

    /// Its vertices; none: all.
    pub fn vertices(&self) -> impl Iterator<Item = u32> {
        self.vertices.iter().copied()
    }

    /// Its edges; none, where it has all vertices: all.
    pub fn edges(&self) -> impl Iterator<Item = u32> {
        self.edges.iter().copied()
    }
}
