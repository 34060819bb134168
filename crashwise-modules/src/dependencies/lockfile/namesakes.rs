//! The packages of a lockfile by name, of which there may be several versions.

use std::collections::HashMap;

use crashwise_core::GapReason;

use super::flaw::Flaw;
use super::graph::Graph;

/// Most packages of one name that are told apart: a need that names no version leads to each of them.
pub(super) const MAX_NAMESAKES: usize = 64;

/// Places in a graph by name.
#[derive(Debug, Default)]
pub(super) struct Namesakes {
    by_name: HashMap<String, Vec<usize>>,
}

impl Namesakes {
    /// Adds a node of the graph. More of one name than can be told apart are noted once.
    pub(super) fn add(&mut self, graph: &mut Graph, name: String, index: usize) {
        let found = self.by_name.entry(name).or_default();
        if found.len() == MAX_NAMESAKES {
            let node = &graph.nodes[index];
            let message =
                format!("there are more packages of this name, at most {MAX_NAMESAKES} are told apart");
            let flaw = Flaw::new(node.at.start, node.name.clone(), message);
            graph.notes.push(Flaw { reason: GapReason::TooMany, ..flaw });
        }
        if found.len() <= MAX_NAMESAKES {
            found.push(index);
        }
    }

    /// The packages of a name, in the order of the file.
    pub(super) fn get(&self, name: &str) -> &[usize] {
        let found = self.by_name.get(name).map_or(&[][..], Vec::as_slice);
        &found[..found.len().min(MAX_NAMESAKES)]
    }
}
