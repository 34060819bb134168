//! The modules and workflows that the program knows.

use super::args::Globals;
use super::exit::Failure;
use super::state::StateFolder;
use super::workspaces;
use crate::definition::{Definition, discover, load};
use crate::engine::LazyMetadata;
use crate::workflows;
use crashwise_core::store::Store;
use crashwise_core::workflow::AnyWorkflow;
use crashwise_core::{Metadata, ModuleRegistry, nearest};
#[cfg(target_os = "linux")]
use crashwise_modules::fuzzing;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// The modules and workflows that the program knows.
pub(super) struct Catalogue {
    pub(super) modules: ModuleRegistry,
    workflows: BTreeMap<String, Known>,
}

/// A workflow, with where it comes from.
pub(super) struct Known {
    /// Read when it is asked for.
    pub(super) metadata: LazyMetadata,
    pub(super) code: Arc<dyn AnyWorkflow>,
    /// Set for workflows as data: their steps are known before a run.
    pub(super) definition: Option<Definition>,
    pub(super) folder: Option<PathBuf>,
    /// The texts of a workflow as data.
    #[cfg_attr(not(feature = "temporal"), allow(dead_code, reason = "clusters are sent it"))]
    pub(super) source: Option<crate::definition::Source>,
}

impl Catalogue {
    /// What comes with the program, and the definitions in `--workflows`.
    pub(super) fn load(globals: &Globals) -> Result<Self, Failure> {
        Self::with(globals, modules(None, |_| true))
    }

    /// What comes with the program and one module. Where there is none of this name, all modules: the nearest is named.
    pub(super) fn for_module(globals: &Globals, name: &str) -> Result<Self, Failure> {
        let catalogue = Self::with(globals, modules(None, |module| module == name));
        match catalogue {
            Ok(catalogue) if catalogue.modules.find(name).is_ok() && globals.workflows.is_none() => {
                Ok(catalogue)
            }
            _ => Self::load(globals),
        }
    }

    /// What a run of a workflow takes: of one that comes with the program, the modules that it names.
    pub(super) fn for_workflow(globals: &Globals, name: &str) -> Result<Self, Failure> {
        let shipped = workflows::named();
        let shipped = shipped.iter().find(|(known, _)| *known == name && globals.workflows.is_none());
        let required = shipped.map_or_else(Vec::new, |(_, code)| code.metadata().required_modules);
        if required.is_empty() {
            return Self::for_runs(globals);
        }
        let corpora =
            if required.iter().any(|name| name.ends_with("_fuzzer")) { corpora(globals)? } else { None };
        Self::with(globals, modules(corpora.as_ref(), |module| required.iter().any(|name| name == module)))
    }

    /// The same for runs that are kept: fuzzers keep their corpora too.
    pub(super) fn for_runs(globals: &Globals) -> Result<Self, Failure> {
        Self::with(globals, modules(corpora(globals)?.as_ref(), |_| true))
    }

    /// The same for a worker: fuzzers keep their corpora where all workers find them, unless another place is named.
    #[cfg(feature = "temporal")]
    pub(super) fn for_worker(globals: &Globals, store: &Store) -> Result<Self, Failure> {
        let store = match &globals.corpora {
            Some(asked) => workspaces::store(asked)?,
            None => store.clone(),
        };
        Self::with(globals, modules(Some(&store), |_| true))
    }

    fn with(globals: &Globals, modules: ModuleRegistry) -> Result<Self, Failure> {
        let mut catalogue = Self { modules, workflows: BTreeMap::new() };
        for (name, code) in workflows::named() {
            let described = Arc::clone(&code);
            let metadata = LazyMetadata::new(Box::new(move || described.metadata()));
            let known = Known { metadata, code, definition: None, folder: None, source: None };
            catalogue.workflows.insert(name.to_owned(), known);
        }
        if let Some(folder) = &globals.workflows {
            catalogue.add(folder)?;
        }
        Ok(catalogue)
    }

    fn add(&mut self, folder: &Path) -> Result<(), Failure> {
        let mut sources = Vec::new();
        for path in discover(folder)? {
            sources.push((path.clone(), load(&path)?));
        }
        let mut names: Vec<String> = self.workflows.keys().cloned().collect();
        for (_, source) in &sources {
            names.push(Metadata::from_yaml(&source.metadata.0, &source.metadata.1)?.name);
        }
        for (path, source) in sources {
            let source = source.with_workflows(names.iter().cloned());
            let definition = Definition::parse(&source, &self.modules)?;
            let metadata = definition.metadata();
            let name = metadata.name.clone();
            let metadata = LazyMetadata::new(Box::new(move || metadata));
            if let Some(other) = self.workflows.get(&name) {
                let other = other
                    .folder
                    .as_ref()
                    .map_or_else(|| "crashwise itself".to_owned(), |path| path.display().to_string());
                let text =
                    format!("{}: there is a workflow named {name:?} already, from {other}", path.display());
                return Err(Failure::usage(text));
            }
            let code = Arc::new(definition.clone());
            let (definition, folder, source) = (Some(definition), Some(path), Some(source));
            self.workflows.insert(name, Known { metadata, code, definition, folder, source });
        }
        Ok(())
    }

    pub(super) fn workflows(&self) -> impl Iterator<Item = &Known> {
        self.workflows.values()
    }

    /// The same with their names.
    pub(super) fn named_workflows(&self) -> impl Iterator<Item = (&str, &Known)> {
        self.workflows.iter().map(|(name, known)| (name.as_str(), known))
    }

    /// The workflow of a name; an unknown one names the nearest.
    pub(super) fn workflow(&self, name: &str) -> Result<&Known, Failure> {
        self.workflows.get(name).ok_or_else(|| {
            let near = nearest(name, self.workflows.keys().map(String::as_str));
            let hint = match near {
                Some(near) => format!(" (did you mean {near:?}?)"),
                None => "; `crashwise workflow list` shows those there are".to_owned(),
            };
            Failure::usage(format!("there is no workflow named {name:?}{hint}"))
        })
    }

    /// The definition in a folder, or the definition of a known workflow.
    pub(super) fn definition(&self, name_or_path: &str) -> Result<Definition, Failure> {
        let path = Path::new(name_or_path);
        if path.exists() {
            let source = load(path)?.with_workflows(self.workflows.keys().cloned());
            return Ok(Definition::parse(&source, &self.modules)?);
        }
        let known = self.workflow(name_or_path)?;
        known.definition.clone().ok_or_else(|| {
            Failure::usage(format!(
                "workflow {name_or_path:?} is written in Rust: its steps are not known before it runs"
            ))
        })
    }
}

/// The store that corpora are kept in; none if the usual one cannot be used, for then runs are not kept either.
pub(super) fn corpora(globals: &Globals) -> Result<Option<Store>, Failure> {
    if let Some(asked) = &globals.corpora {
        return workspaces::store(asked).map(Some);
    }
    Ok(StateFolder::of(globals).and_then(|state| Store::local(state.path()).ok()))
}

/// The modules that come with the program and whose names are wanted.
fn modules(corpora: Option<&Store>, wanted: impl Fn(&str) -> bool) -> ModuleRegistry {
    let mut modules = ModuleRegistry::new();
    // Those of the registry keep no corpora, so fuzzers that do come first.
    #[cfg(target_os = "linux")]
    for module in corpora.map_or_else(Vec::new, fuzzing::modules_with_store) {
        if wanted(&module.info().name) {
            let _ = modules.add_shared(module);
        }
    }
    #[cfg(not(target_os = "linux"))]
    let _ = corpora;
    for module in crashwise_modules::registry_of(wanted).iter() {
        // One that is there already knows more.
        let _ = modules.add_shared(Arc::clone(module));
    }
    modules
}
