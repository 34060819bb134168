//! What the configurations of all fuzzing modules have in common.

use std::path::PathBuf;
use std::time::Duration;

use crashwise_core::process::Level;
use crashwise_core::store::Store;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// How far code of the project under test is confined.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum Confinement {
    /// No network, only the workspace and the tools, no privileges.
    #[default]
    Sandbox,
    /// Limits of memory, processes and time only.
    Limits,
    /// A container of Docker or Podman with the grants and limits of the sandbox. What is built, is built in the sandbox.
    Container,
}

impl Confinement {
    pub(super) fn level(self) -> Level {
        match self {
            Self::Sandbox => Level::Sandbox,
            Self::Limits => Level::Limits,
            Self::Container => Level::Container,
        }
    }

    /// How far compilers are confined, which are the host's.
    pub(super) fn building(self) -> Level {
        self.level().min(Level::Sandbox)
    }
}

/// How to spend the time.
#[derive(Debug, Clone)]
pub(super) struct Options {
    pub(super) budget: Duration,
    pub(super) executions: Option<u64>,
    pub(super) jobs: usize,
    pub(super) seed: u32,
    pub(super) minimise: Duration,
    /// The name under which corpora are kept; the run's own without.
    pub(super) project: Option<String>,
    /// Where corpora are kept; nowhere without.
    pub(super) store: Option<Store>,
    /// Where the code of the targets lies beside the workspace.
    pub(super) sources: Vec<PathBuf>,
    /// Replays what is known, and nothing else.
    pub(super) replay: bool,
    /// Makes the corpora small at the end, also if they hardly grew.
    pub(super) minimise_corpus: bool,
}

/// A configuration of a fuzzing module: its own fields, with their defaults, then those that all have.
macro_rules! fuzzer_config {
    (
        $(#[$doc:meta])*
        pub struct $name:ident, $seconds:literal seconds {
            $($(#[$field_doc:meta])* pub $field:ident: $kind:ty = $default:expr,)*
        }
    ) => {
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize, schemars::JsonSchema)]
        #[serde(deny_unknown_fields, default)]
        #[non_exhaustive]
        pub struct $name {
            $($(#[$field_doc])* pub $field: $kind,)*
            /// Seconds to fuzz, all targets together; building is not counted.
            #[schemars(range(min = 1, max = 604_800))]
            pub timeout_seconds: u64,
            /// Processes for each target at once.
            #[schemars(range(min = 1, max = 256))]
            pub jobs: usize,
            /// Seconds that one input may take.
            #[schemars(range(min = 1, max = 3600))]
            pub input_timeout_seconds: u64,
            /// Memory that one input may take, in MiB.
            #[schemars(range(min = 16))]
            pub memory_mib: u64,
            /// Seconds to spend on making each crashing input smaller.
            pub minimise_seconds: u64,
            /// Seed of the first process; 0 takes another each time.
            pub seed: u32,
            /// Name under which corpora and known crashes are kept over runs; without one, that of what the run looks at.
            pub project: Option<String>,
            /// How far code of the project is confined.
            pub sandbox: $crate::fuzzing::Confinement,
            /// Image of the containers, which the engine has to have: none is pulled. Without one, targets see the system of this machine.
            pub image: Option<String>,
        }

        impl Default for $name {
            fn default() -> Self {
                Self {
                    $($field: $default,)*
                    timeout_seconds: $seconds,
                    jobs: 1,
                    input_timeout_seconds: 10,
                    memory_mib: 2048,
                    minimise_seconds: 10,
                    seed: 0,
                    project: None,
                    sandbox: $crate::fuzzing::Confinement::Sandbox,
                    image: None,
                }
            }
        }

        impl $name {
            /// How to spend the time, without a limit of executions.
            fn options(&self, store: Option<&crashwise_core::store::Store>) -> $crate::fuzzing::config::Options {
                let seconds = std::time::Duration::from_secs;
                $crate::fuzzing::config::Options {
                    budget: seconds(self.timeout_seconds),
                    executions: None,
                    jobs: self.jobs,
                    seed: self.seed,
                    minimise: seconds(self.minimise_seconds),
                    project: self.project.clone(),
                    store: store.cloned(),
                    sources: Vec::new(),
                    replay: false,
                    minimise_corpus: false,
                }
            }

            /// A target within the limits of the configuration.
            fn confine(&self, target: $crate::fuzzing::libfuzzer::Target) -> $crate::fuzzing::libfuzzer::Target {
                target
                    .with_level(self.sandbox.level())
                    .with_image(self.image.clone())
                    .with_memory(self.memory_mib)
                    .with_patience(self.input_timeout_seconds)
            }
        }
    };
}

/// A module that keeps corpora: its constructors.
macro_rules! fuzzer_module {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Default)]
        #[non_exhaustive]
        pub struct $name {
            store: Option<crashwise_core::store::Store>,
        }

        impl $name {
            /// The module. What a run learns is forgotten at its end.
            pub fn new() -> Self {
                Self::default()
            }

            /// Keeps corpora and known crashes in a store, so that a run begins where the last one ended.
            #[must_use]
            pub fn with_store(mut self, store: crashwise_core::store::Store) -> Self {
                self.store = Some(store);
                self
            }
        }
    };
}

pub(super) use {fuzzer_config, fuzzer_module};
