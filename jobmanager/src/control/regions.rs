//! The regions of a job: what edges connect fails and starts anew together, and nothing else does.
//!
//! Invariant: every vertex belongs to one region, and no edge leads from one to another; so what happens in one, another can't
//! notice. Regions are found by vertex, not by subtask: pipelines that meet in one vertex are one region.

use std::collections::BTreeSet;

use weir_api::graph::JobGraph;
use weir_api::id::VertexIndex;

/// Some vertices of a job.
pub type Vertices = BTreeSet<VertexIndex>;

/// See the module.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Regions {
    /// By vertex: the first vertex of its region.
    first: Vec<u32>,
}

impl Regions {
    /// The regions of a graph.
    #[must_use]
    pub fn of(graph: &JobGraph) -> Self {
        let edges = graph.edges().iter().map(|edge| (edge.source as u32, edge.target as u32));
        Self::connected(graph.vertices().len() as u32, edges)
    }

    fn connected(vertices: u32, edges: impl Iterator<Item = (u32, u32)>) -> Self {
        let mut first: Vec<u32> = (0..vertices).collect();
        for (one, other) in edges {
            let of = |vertex: u32| first.get(vertex as usize).copied();
            if let (Some(one), Some(other)) = (of(one), of(other)) {
                let (keep, gone) = (one.min(other), one.max(other));
                first.iter_mut().filter(|first| **first == gone).for_each(|first| *first = keep);
            }
        }
        Self { first }
    }

    /// All vertices of the regions that these belong to.
    #[must_use]
    pub fn around(&self, vertices: impl IntoIterator<Item = VertexIndex>) -> Vertices {
        let of = |vertex: VertexIndex| self.first.get(vertex.0 as usize);
        let regions: BTreeSet<_> = vertices.into_iter().filter_map(of).collect();
        self.all().filter(|vertex| of(*vertex).is_some_and(|first| regions.contains(first))).collect()
    }

    /// Whether these are all vertices there are.
    #[must_use]
    pub fn is_everything(&self, vertices: &Vertices) -> bool {
        self.all().all(|vertex| vertices.contains(&vertex))
    }

    /// Every vertex.
    pub fn all(&self) -> impl Iterator<Item = VertexIndex> + use<> {
        (0..self.first.len() as u32).map(VertexIndex)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn a_region_is_what_edges_connect_and_nothing_more(
            vertices in 1_u32..12,
            edges in prop::collection::vec((0_u32..12, 0_u32..12), 0..16),
            asked in 0_u32..12,
        ) {
            let edges: Vec<_> =
                edges.into_iter().filter(|(one, other)| *one < vertices && *other < vertices).collect();
            let regions = Regions::connected(vertices, edges.iter().copied());
            let asked = VertexIndex(asked % vertices);
            // By walking.
            let mut reached = Vertices::from([asked]);
            while let Some((one, other)) = edges.iter().find(|(one, other)| {
                reached.contains(&VertexIndex(*one)) != reached.contains(&VertexIndex(*other))
            }) {
                reached.extend([VertexIndex(*one), VertexIndex(*other)]);
            }
            prop_assert_eq!(regions.around([asked]), reached.clone());
            prop_assert_eq!(regions.is_everything(&reached), reached.len() == vertices as usize);
            // Each vertex is in its own, and regions don't overlap.
            for vertex in regions.all() {
                let own = regions.around([vertex]);
                prop_assert!(own.contains(&vertex));
                prop_assert!(own == reached || own.is_disjoint(&reached));
            }
        }
    }
}
