//! What one lockfile says: packages, what they need, and what the project itself asks for.

use std::collections::VecDeque;
use std::ops::Range;

use crashwise_core::RelPath;

use crate::dependencies::inventory::{Origin, Scope};
use crate::dependencies::version::Ecosystem;

/// Most packages of one file.
pub(super) const MAX_PACKAGES: usize = 200_000;

/// A package of a lockfile.
#[derive(Debug, Clone)]
pub(super) struct Node {
    pub(super) ecosystem: Ecosystem,
    pub(super) name: String,
    pub(super) version: Option<String>,
    pub(super) release: String,
    pub(super) origin: Origin,
    /// Its bytes in the lockfile.
    pub(super) at: Range<usize>,
    /// What the file itself says it is needed for; the graph may only promote it.
    pub(super) scope: Option<Scope>,
    pub(super) license: Option<String>,
    pub(super) install_script: bool,
    pub(super) digest: Option<String>,
    /// What it needs, by place in the graph.
    pub(super) needs: Vec<usize>,
    /// What it can do without, by place in the graph.
    pub(super) may_need: Vec<usize>,
    /// The bytes of its version in the same file, if another one can be written there.
    pub(super) pin: Option<Range<usize>>,
    /// Whether it is the project or a part of it, which is no dependency.
    pub(super) is_project: bool,
}

impl Node {
    pub(super) fn new(ecosystem: Ecosystem, name: impl Into<String>, at: Range<usize>) -> Self {
        Self {
            ecosystem,
            name: name.into(),
            version: None,
            release: String::new(),
            origin: Origin::Public,
            at,
            scope: None,
            license: None,
            install_script: false,
            digest: None,
            needs: Vec::new(),
            may_need: Vec::new(),
            pin: None,
            is_project: false,
        }
    }

    pub(super) fn with_version(mut self, version: impl Into<String>) -> Self {
        self.version = Some(version.into());
        self
    }

    pub(super) fn with_origin(mut self, origin: Origin) -> Self {
        self.origin = origin;
        self
    }
}

/// That the project asks for a package.
#[derive(Debug, Clone)]
pub(super) struct Root {
    pub(super) node: usize,
    pub(super) scope: Scope,
    /// The place in a manifest, or in the lockfile itself, that asks.
    pub(super) asked: Option<(RelPath, Range<usize>)>,
}

/// Nodes to visit, each with the node that leads there.
type Queue = VecDeque<(usize, Option<usize>)>;

/// What one lockfile says.
#[derive(Debug, Default)]
pub(super) struct Graph {
    pub(super) nodes: Vec<Node>,
    pub(super) roots: Vec<Root>,
    /// What is needed for a scope by way of a package that need not need it otherwise: node, scope, by way of.
    pub(super) extras: Vec<(usize, Scope, usize)>,
    /// Where lockfile and manifest do not say the same.
    pub(super) mismatches: Vec<((RelPath, Range<usize>), String)>,
    /// What makes the result partial although the file was read: place, key, message.
    pub(super) notes: Vec<super::flaw::Flaw>,
}

/// What a walk of the graph settles about a node.
#[derive(Debug, Clone, Default)]
pub(super) struct Settled {
    pub(super) scope: Option<Scope>,
    pub(super) direct: bool,
    pub(super) asked: Option<(RelPath, Range<usize>)>,
    pub(super) via: Option<usize>,
    pub(super) parents: Vec<usize>,
}

impl Graph {
    pub(super) fn add(&mut self, node: Node) -> usize {
        self.nodes.push(node);
        self.nodes.len() - 1
    }

    /// Notes that the package of an entry stands in the file already.
    pub(super) fn twice(&mut self, at: usize, key: impl Into<String>) {
        self.notes.push(super::flaw::Flaw::new(at, key, "is in the file twice"));
    }

    /// Notes that lockfile and manifest do not say the same.
    pub(super) fn mismatch(&mut self, at: (RelPath, Range<usize>), message: impl Into<String>) {
        self.mismatches.push((at, message.into()));
    }

    /// Says that a package is needed for something by way of another one.
    pub(super) fn also(&mut self, node: usize, scope: Scope, via: usize) {
        self.extras.push((node, scope, via));
    }

    pub(super) fn ask(&mut self, node: usize, scope: Scope, asked: Option<(RelPath, Range<usize>)>) {
        self.roots.push(Root { node, scope, asked });
    }

    /// Walks from what the project asks for, once per scope, the most important first: a node keeps the first scope
    /// that reaches it and the shortest way of that scope.
    pub(super) fn settle(&self) -> Vec<Settled> {
        let mut settled = vec![Settled::default(); self.nodes.len()];
        let mut counts = vec![0_u32; self.nodes.len()];
        for need in self.nodes.iter().flat_map(|node| node.needs.iter().chain(&node.may_need)) {
            if let Some(count) = counts.get_mut(*need) {
                *count += 1;
            }
        }
        for (state, count) in settled.iter_mut().zip(counts) {
            state.parents.reserve_exact(count as usize);
        }
        for (index, node) in self.nodes.iter().enumerate() {
            for need in node.needs.iter().chain(&node.may_need) {
                if let Some(child) = settled.get_mut(*need)
                    && !node.is_project
                    && *need != index
                    && child.parents.last() != Some(&index)
                {
                    child.parents.push(index);
                }
            }
        }
        let mut roots = self.roots.clone();
        if roots.is_empty() {
            roots = self.assumed_roots(&settled);
        }
        roots.sort_by_key(|root| root.scope);
        let mut queues: [(Scope, Queue); 6] =
            [Scope::Prod, Scope::Unknown, Scope::Optional, Scope::Build, Scope::Dev, Scope::Test]
                .map(|scope| (scope, Queue::new()));
        for root in roots {
            let Some(node) = settled.get_mut(root.node) else { continue };
            if !node.direct {
                node.direct = true;
                node.asked = root.asked;
            }
            if let Some((_, queue)) = queues.iter_mut().find(|(scope, _)| *scope == root.scope) {
                queue.push_back((root.node, None));
            }
        }
        for (node, wanted, via) in &self.extras {
            if let Some((_, queue)) = queues.iter_mut().find(|(scope, _)| scope == wanted) {
                queue.push_back((*node, Some(*via)));
            }
        }
        for level in 0..queues.len() {
            while let Some((index, via)) = queues[level].1.pop_front() {
                let (Some(node), Some(state)) = (self.nodes.get(index), settled.get_mut(index)) else {
                    continue;
                };
                if state.scope.is_some() {
                    continue;
                }
                let scope = queues[level].0;
                state.scope = Some(scope);
                state.via = if state.direct { None } else { via };
                let via = (!node.is_project).then_some(index);
                let is_open = |need: usize| settled.get(need).is_some_and(|state| state.scope.is_none());
                for need in &node.needs {
                    if is_open(*need) {
                        queues[level].1.push_back((*need, via));
                    }
                }
                // What may be left out is at best optional; below that it keeps the scope of its parent.
                let below = level.max(2);
                for need in &node.may_need {
                    if is_open(*need) {
                        queues[below].1.push_back((*need, via));
                    }
                }
            }
        }
        for (node, state) in self.nodes.iter().zip(&mut settled) {
            // What the file says counts where the graph says nothing, or knows only that it does not know.
            if state.scope.is_none_or(|scope| scope == Scope::Unknown) {
                state.scope = node.scope.or(state.scope);
            }
        }
        settled
    }

    /// Without a manifest, whatever nothing needs is taken to be asked for.
    fn assumed_roots(&self, settled: &[Settled]) -> Vec<Root> {
        let mut roots: Vec<Root> = Vec::new();
        for (index, (node, state)) in self.nodes.iter().zip(settled).enumerate() {
            if state.parents.is_empty() && !node.is_project {
                roots.push(Root { node: index, scope: node.scope.unwrap_or(Scope::Unknown), asked: None });
            }
        }
        roots
    }
}
