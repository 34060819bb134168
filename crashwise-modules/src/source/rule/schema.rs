//! What a rule file may hold.

use crate::source::Language;
use crashwise_core::{Confidence, RuleId, Severity};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::num::NonZeroUsize;

/// One rule of the code analyser, as its file holds it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Rule {
    /// The name, e.g. `code/python/eval`.
    pub id: RuleId,
    /// One line that names the problem.
    pub title: String,
    /// What is wrong and what can happen.
    pub message: String,
    /// How bad it is.
    pub severity: Severity,
    /// How sure a match is; a match whose input is traced to a user is always sure.
    #[serde(default)]
    pub confidence: Confidence,
    /// Group for summaries, e.g. `sql_injection`.
    pub category: String,
    /// Numbers of the Common Weakness Enumeration.
    pub cwe: Vec<u32>,
    /// The languages it looks at.
    pub languages: Vec<Language>,
    /// How to repair it.
    pub fix: String,
    /// Pages to read.
    #[serde(default)]
    pub references: Vec<String>,
    /// A regex that the code of the file must match somewhere, e.g. an import.
    #[serde(default)]
    pub requires: Option<String>,
    /// The shapes that the problem takes; each is looked for alone.
    #[serde(rename = "match")]
    pub matches: Vec<Matcher>,
    /// The most findings of one file; the last of them says how many more such places there are. For habits that a file
    /// has or has not, where each further place says nothing new.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub most: Option<NonZeroUsize>,
    /// A mechanical repair.
    #[serde(default)]
    pub replace: Option<Replacement>,
    /// Text that must and must not match, by language.
    #[serde(default)]
    pub examples: BTreeMap<Language, Examples>,
}

/// One shape of a problem: exactly one of `call`, `pattern` and `string`.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Matcher {
    /// A regex for the function that is called. What starts with a dot or an arrow is a method of anything; any other
    /// match is the whole name: nothing may stand before it that makes it another name, a method or a definition.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub call: Option<String>,
    /// Whether the call needs no parentheses (`system "ls"` of Ruby, `include $x` of PHP).
    pub bare: bool,
    /// A regex.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pattern: Option<String>,
    /// Where `pattern` looks.
    #[serde(rename = "in")]
    pub scope: Scope,
    /// A regex for the content of a string literal.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub string: Option<String>,
    /// Whether the string must be put together with something that is not constant.
    pub built: bool,
    /// A regex for parts of such a string that are harmless.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub safe: Option<String>,
    /// What holds for the arguments of the call, or for the expression that starts with the group `arg` of `pattern`;
    /// all of it.
    pub args: Vec<Argument>,
    /// Regexes of which none may match the text between the parentheses.
    pub lacks: Vec<String>,
    /// A regex for the text of the match's lines; where it matches there is no finding.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub unless: Option<String>,
    /// A test for what the group `value` of `pattern` caught.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub value: Option<ValueTest>,
    /// Whether what the groups `first` and `second` of `pattern` caught must be the same.
    pub same: bool,
}

/// Where a pattern looks.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Scope {
    /// Code alone: comments and what strings hold are blank.
    #[default]
    Code,
    /// The text as it is, for matches that start in code.
    Text,
    /// The text as it is, for matches that start in a string.
    String,
    /// The text as it is, for matches that start outside comments.
    Any,
}

/// What holds for an argument.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Argument {
    /// Its place among the arguments, from 0; without `at` and `name`, one of the arguments is enough.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub at: Option<usize>,
    /// Its name, where it is given by name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// What it is.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub is: Option<ArgumentKind>,
    /// A regex for its text.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub matches: Option<String>,
    /// A regex that its text must not match.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub not: Option<String>,
}

/// What an argument is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum ArgumentKind {
    /// Not known before the program runs.
    Dynamic,
    /// Literals and constants alone.
    Constant,
    /// A string put together with something dynamic, here or where the variable was set.
    Built,
    /// It comes from a user, directly or through variables.
    Tainted,
    /// Built or tainted.
    Unsafe,
}

/// A test for a value that looks like a secret.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum ValueTest {
    /// A password: no placeholder, no reference to a variable, no prose.
    Password,
    /// A key or token: like a password, and it looks random.
    Random,
}

/// A mechanical repair: within the match, what `find` matches becomes `with`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Replacement {
    /// A regex.
    pub find: String,
    /// The text that comes; `$1` names a group.
    pub with: String,
}

/// Text that must and must not match.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Examples {
    /// Each of these has the problem.
    pub bad: Vec<String>,
    /// None of these has it.
    pub good: Vec<String>,
}
