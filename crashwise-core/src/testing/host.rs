//! A host that keeps everything in memory.

use crate::{ArtifactRef, Finding, ModuleHost, Stats};
use serde_json::Value;
use std::collections::BTreeMap;
use std::io::{self, Read};
use std::sync::{Mutex, MutexGuard, PoisonError};

/// A [`ModuleHost`] that keeps everything a module pushes in memory, for tests and for use without an engine.
#[derive(Debug, Default)]
pub struct MemoryHost {
    kept: Mutex<Kept>,
}

#[derive(Debug, Default)]
struct Kept {
    findings: Vec<Finding>,
    stats: Vec<Stats>,
    heartbeats: Vec<Value>,
    files: BTreeMap<String, Vec<u8>>,
}

impl MemoryHost {
    /// An empty host.
    pub fn new() -> Self {
        Self::default()
    }

    /// The findings so far, in the order they were pushed.
    pub fn findings(&self) -> Vec<Finding> {
        self.kept().findings.clone()
    }

    /// The statistics so far.
    pub fn stats_events(&self) -> Vec<Stats> {
        self.kept().stats.clone()
    }

    /// The heartbeats so far.
    pub fn heartbeats(&self) -> Vec<Value> {
        self.kept().heartbeats.clone()
    }

    fn kept(&self) -> MutexGuard<'_, Kept> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl ModuleHost for MemoryHost {
    fn report(&self, finding: Finding) -> io::Result<()> {
        self.kept().findings.push(finding);
        Ok(())
    }

    fn stats(&self, stats: Stats) {
        self.kept().stats.push(stats);
    }

    fn heartbeat(&self, details: Value) {
        self.kept().heartbeats.push(details);
    }

    fn store(&self, name: &str, content: &mut dyn Read) -> io::Result<ArtifactRef> {
        let mut bytes = Vec::new();
        content.read_to_end(&mut bytes)?;
        let digest = blake3::hash(&bytes).to_hex().to_string();
        let artifact =
            ArtifactRef { name: name.to_owned(), digest: digest.clone(), size: bytes.len() as u64 };
        self.kept().files.insert(digest, bytes);
        Ok(artifact)
    }

    fn open(&self, artifact: &ArtifactRef) -> io::Result<Box<dyn Read + Send>> {
        match self.kept().files.get(&artifact.digest) {
            Some(bytes) => Ok(Box::new(io::Cursor::new(bytes.clone()))),
            None => Err(io::Error::new(io::ErrorKind::NotFound, format!("no artifact {:?}", artifact.name))),
        }
    }
}
