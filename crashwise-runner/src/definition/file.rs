//! `workflow.yaml` as it is written. Its JSON Schema is published for editors.

use crashwise_core::Span;
use crashwise_core::workflow::Retry;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::collections::BTreeMap;

/// A workflow as data.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(title = "crashwise workflow")]
#[non_exhaustive]
pub struct DefinitionFile {
    /// What is done. Steps run side by side unless one needs another or refers to it.
    #[schemars(length(min = 1, max = 500))]
    pub steps: Vec<StepEntry>,
    /// What the run returns: names to values, in which `${{ … }}` holds an expression.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub outputs: BTreeMap<String, Value>,
}

/// One step. It does exactly one thing: `module`, `workflow`, `approval`, `signal` or `sleep`.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct StepEntry {
    /// The name of the step: a lower-case letter, then lower-case letters, digits and `_`.
    #[schemars(regex(pattern = r"^[a-z][a-z0-9_]{0,63}$"))]
    pub id: String,
    /// Runs a module of this name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub module: Option<String>,
    /// Runs another workflow of this name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub workflow: Option<String>,
    /// Waits for a person.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub approval: Option<ApprovalEntry>,
    /// Waits for a signal of this name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub signal: Option<String>,
    /// Waits for some time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sleep: Option<Span>,
    /// Configuration of the module or parameters of the workflow; `${{ … }}` holds an expression.
    #[serde(default, skip_serializing_if = "Value::is_null")]
    pub with: Value,
    /// Steps that must be over before this one begins, beside those it refers to.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub needs: Vec<String>,
    /// An expression; the step is skipped unless it is true.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub when: Option<String>,
    /// Does it once for each item of a list.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub foreach: Option<ForeachEntry>,
    /// When a module is tried again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retry: Option<Retry>,
    /// The most time for one attempt of a module.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timeout: Option<Span>,
    /// The most time for all attempts of a module and the waits between them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub total_timeout: Option<Span>,
    /// The most time between two signs of life of a module.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub heartbeat_timeout: Option<Span>,
    /// Takes a stored result of the same module, version, configuration and input.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub cached: bool,
    /// Never runs a module twice, whatever happens.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub at_most_once: bool,
    /// The vertical whose workers run the module.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub queue: Option<String>,
    /// Higher goes first among waiting steps.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub priority: Option<i32>,
    /// What an error of this step does to the run.
    #[serde(default)]
    pub on_error: OnError,
    /// A module that tidies up when this one fails or the run is cancelled while it runs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cleanup: Option<CleanupEntry>,
}

/// A question to a person.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
#[non_exhaustive]
pub struct ApprovalEntry {
    /// What is asked; `${{ … }}` holds an expression.
    pub prompt: String,
    /// How long to wait; then the step fails. None means for ever.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub timeout: Option<Span>,
}

/// A list to go through.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct ForeachEntry {
    /// The list, or a text that is one `${{ … }}` which gives a list. At most 10,000 items.
    #[serde(rename = "in")]
    pub list: Value,
    /// What expressions call the item.
    #[serde(rename = "as", default = "item")]
    #[schemars(regex(pattern = r"^[a-z][a-z0-9_]{0,63}$"))]
    pub name: String,
    /// How many run at once.
    #[serde(default = "limit")]
    #[schemars(range(min = 1, max = 1000))]
    pub limit: usize,
}

fn item() -> String {
    "item".into()
}

fn limit() -> usize {
    4
}

/// What tidies up after a module.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct CleanupEntry {
    /// Runs a module of this name.
    pub module: String,
    /// Its configuration; `${{ … }}` holds an expression.
    #[serde(default, skip_serializing_if = "Value::is_null")]
    pub with: Value,
}

/// What an error of a step does to the run.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum OnError {
    /// The run fails: nothing new begins, what runs is waited for.
    #[default]
    Fail,
    /// The run goes on and its coverage says what is missing. A run in which no step succeeded still fails.
    Continue,
}
