//! The modules that a process has, by name.

use super::AnyModule;
use crate::problem::did_you_mean;
use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

/// The modules that a process has. Refuses duplicate names and lists in the order of names.
#[derive(Clone, Default)]
pub struct ModuleRegistry {
    modules: BTreeMap<String, Arc<dyn AnyModule>>,
}

/// Two modules with one name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("a module named {name:?} is registered already")]
pub struct DuplicateModule {
    /// The name.
    pub name: String,
}

/// A name that no module has.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("there is no module named {name:?}{hint}")]
pub struct UnknownModule {
    /// The name.
    pub name: String,
    hint: String,
}

impl ModuleRegistry {
    /// No modules.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a module.
    pub fn add(&mut self, module: impl AnyModule) -> Result<&mut Self, DuplicateModule> {
        self.add_shared(Arc::new(module))
    }

    /// Adds a module that others hold too.
    pub fn add_shared(&mut self, module: Arc<dyn AnyModule>) -> Result<&mut Self, DuplicateModule> {
        let name = module.info().name;
        if self.modules.contains_key(&name) {
            return Err(DuplicateModule { name });
        }
        self.modules.insert(name, module);
        Ok(self)
    }

    /// The module of a name; an unknown name says which one is nearest.
    pub fn find(&self, name: &str) -> Result<&Arc<dyn AnyModule>, UnknownModule> {
        self.modules.get(name).ok_or_else(|| UnknownModule {
            name: name.to_owned(),
            hint: did_you_mean(name, self.modules.keys().map(String::as_str)),
        })
    }

    /// All modules, in the order of their names.
    pub fn iter(&self) -> impl Iterator<Item = &Arc<dyn AnyModule>> {
        self.modules.values()
    }
}

impl fmt::Debug for ModuleRegistry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.modules.keys()).finish()
    }
}
