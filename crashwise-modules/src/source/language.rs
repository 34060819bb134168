//! The languages that the analyser reads.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::fmt;

/// A language that the analyser reads.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum Language {
    /// Python.
    Python,
    /// JavaScript and TypeScript.
    JavaScript,
    /// Java.
    Java,
    /// PHP.
    Php,
    /// Ruby.
    Ruby,
    /// Go.
    Go,
    /// Rust.
    Rust,
    /// C and C++.
    C,
    /// C#.
    CSharp,
}

impl Language {
    /// All languages.
    pub const ALL: [Self; 9] = [
        Self::Python,
        Self::JavaScript,
        Self::Java,
        Self::Php,
        Self::Ruby,
        Self::Go,
        Self::Rust,
        Self::C,
        Self::CSharp,
    ];

    /// The word used in rules and configurations.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Python => "python",
            Self::JavaScript => "javascript",
            Self::Java => "java",
            Self::Php => "php",
            Self::Ruby => "ruby",
            Self::Go => "go",
            Self::Rust => "rust",
            Self::C => "c",
            Self::CSharp => "csharp",
        }
    }

    /// The extensions of its files, lower-case, without the dot.
    pub const fn extensions(self) -> &'static [&'static str] {
        match self {
            Self::Python => &["py", "pyw", "pyi"],
            Self::JavaScript => &["js", "jsx", "mjs", "cjs", "ts", "tsx", "mts", "cts"],
            Self::Java => &["java"],
            Self::Php => &["php", "phtml", "php5", "php7", "phps", "inc"],
            Self::Ruby => &["rb", "rake", "gemspec", "ru"],
            Self::Go => &["go"],
            Self::Rust => &["rs"],
            Self::C => &["c", "h", "cc", "cpp", "cxx", "hh", "hpp", "hxx", "c++", "h++", "inl", "ino"],
            Self::CSharp => &["cs", "csx"],
        }
    }

    /// The language of a file by its name.
    pub fn of_name(file_name: &str) -> Option<Self> {
        match file_name {
            "Rakefile" | "Gemfile" | "Vagrantfile" | "Guardfile" | "Podfile" => return Some(Self::Ruby),
            "SConstruct" | "SConscript" | "wscript" => return Some(Self::Python),
            _ => {}
        }
        let (_, extension) = file_name.rsplit_once('.')?;
        Self::of_extension(extension)
    }

    /// The language of an extension, in any case, without the dot.
    pub fn of_extension(extension: &str) -> Option<Self> {
        Self::ALL
            .into_iter()
            .find(|language| language.extensions().iter().any(|own| own.eq_ignore_ascii_case(extension)))
    }

    /// The language of a script by its first line.
    pub fn of_shebang(bytes: &[u8]) -> Option<Self> {
        let line = bytes.strip_prefix(b"#!")?;
        let line = &line[..memchr::memchr(b'\n', line).unwrap_or(line.len()).min(256)];
        let line = std::str::from_utf8(line).ok()?;
        let mut words = line.split(|c: char| c.is_whitespace() || c == '/').filter(|word| {
            !word.is_empty() && *word != "env" && !word.starts_with('-') && !word.contains('=')
        });
        words.find_map(|word| match word.trim_end_matches(|c: char| c.is_ascii_digit() || c == '.') {
            "python" | "pypy" => Some(Self::Python),
            "node" | "nodejs" | "deno" | "bun" | "ts-node" | "tsx" => Some(Self::JavaScript),
            "php" => Some(Self::Php),
            "ruby" | "jruby" => Some(Self::Ruby),
            _ => None,
        })
    }
}

impl fmt::Display for Language {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_shebangs() {
        for (name, expect) in [
            ("a.py", Some(Language::Python)),
            ("a.d.TS", Some(Language::JavaScript)),
            ("Rakefile", Some(Language::Ruby)),
            ("x.hpp", Some(Language::C)),
            ("README", None),
            ("py", None),
        ] {
            assert_eq!(Language::of_name(name), expect, "{name}");
        }
        for (line, expect) in [
            ("#!/usr/bin/python3.11 -u\n", Some(Language::Python)),
            ("#!/usr/bin/env -S node --x\n", Some(Language::JavaScript)),
            ("#!/bin/sh\n", None),
            ("# python", None),
        ] {
            assert_eq!(Language::of_shebang(line.as_bytes()), expect, "{line}");
        }
    }
}
