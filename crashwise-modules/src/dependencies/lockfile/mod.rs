//! Lockfiles and manifests: one file per format, each turning a text into a graph of packages.
//!
//! To add a format, write a file with a [`Format`] and its tests, and add it to [`FORMATS`].

mod bun;
mod cargo;
mod cargo_manifest;
mod cargo_plain;
mod composer;
mod constraint;
mod content_hash;
mod cyclonedx;
mod cyclonedx_xml;
mod dotnet;
mod dotnet_project;
mod flaw;
mod gemfile;
mod golang;
mod gradle;
mod gradle_script;
mod graph;
mod ignores;
mod input;
mod json;
mod json_reader;
mod mix;
mod namesakes;
mod node_manifest;
mod npm;
mod pdm;
mod pin;
mod pipfile;
mod places;
mod pnpm;
mod poetry;
mod pom;
mod pub_lock;
mod pylock;
mod python_manifest;
mod read;
mod requirements;
mod spdx;
mod spdx_tags;
#[cfg(test)]
mod tests;
mod toml;
mod tree;
mod unlocked;
mod uv;
mod uv_metadata;
mod xml;
mod yaml;
mod yaml_plain;
mod yarn;

#[cfg(test)]
pub(super) use cargo::PUBLIC_INDEX;
pub(crate) use input::Files;
use input::Input;
pub(crate) use read::{is_read, read};

use flaw::Flaw;
use graph::Graph;

/// A format of lockfile or manifest.
#[derive(Debug, Clone, Copy)]
struct Format {
    /// What people call it.
    name: &'static str,
    /// Whether a file of this name has the format.
    matches: fn(&str) -> bool,
    /// Turns a text into a graph.
    parse: fn(&Input<'_>) -> Result<Graph, Flaw>,
}

/// Every format, in the order in which a name is tried.
const FORMATS: &[Format] = &[
    cargo::FORMAT,
    npm::FORMAT,
    pnpm::FORMAT,
    yarn::FORMAT,
    bun::FORMAT,
    requirements::FORMAT,
    poetry::FORMAT,
    uv::FORMAT,
    pdm::FORMAT,
    pipfile::FORMAT,
    pylock::FORMAT,
    golang::FORMAT,
    composer::FORMAT,
    gemfile::FORMAT,
    gradle::LOCKFILE,
    gradle::VERIFICATION,
    pom::FORMAT,
    dotnet::LOCKFILE,
    dotnet_project::FORMAT,
    dotnet::CONFIG,
    mix::FORMAT,
    pub_lock::FORMAT,
    cyclonedx::FORMAT,
    cyclonedx_xml::FORMAT,
    spdx::FORMAT,
    spdx_tags::FORMAT,
];

/// Files that are no lockfiles themselves but say what the project asks for.
const MANIFESTS: &[&str] = &[
    "Cargo.toml",
    "package.json",
    "pyproject.toml",
    "Pipfile",
    "composer.json",
    "Gemfile",
    "gems.rb",
    "Directory.Packages.props",
    "Directory.Build.props",
    "go.sum",
    "mix.exs",
    "pubspec.yaml",
    "build.gradle",
    "build.gradle.kts",
    "libs.versions.toml",
    "Directory.Build.targets",
    "pubspec_overrides.yaml",
];
