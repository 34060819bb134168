//! What a workflow says of itself: `metadata.yaml`, or the same from Rust.

use crate::document::{Schema, apply_defaults, fits};
use crate::{ByteSize, CpuCount, Document, Problem, Problems, Span, Version};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// The description of a workflow. Unknown keys are refused, because a typo must not switch something off.
///
/// ```
/// use crashwise_core::Metadata;
/// let text = "
/// name: dependency_analysis
/// version: 1.0.0
/// description: Finds known vulnerabilities in dependencies.
/// author: crashwise
/// vertical: web
/// parameters:
///   type: object
///   properties:
///     vulnerability_threshold: {type: string, enum: [low, medium, high, critical], default: medium}
/// ";
/// let metadata = Metadata::from_yaml("metadata.yaml", text).unwrap();
/// let parameters = metadata.check_parameters(serde_json::json!({})).unwrap();
/// assert_eq!(parameters["vulnerability_threshold"], "medium");
/// ```
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct Metadata {
    /// The name that runs it: a lower-case letter, then lower-case letters, digits and `_`; 2 to 64 characters.
    #[schemars(regex(pattern = r"^[a-z][a-z0-9_]{1,63}$"))]
    pub name: String,
    /// Semantic version, `1.2.3`.
    #[schemars(with = "String", regex(pattern = r"^\d+\.\d+\.\d+(-[0-9A-Za-z.-]+)?(\+[0-9A-Za-z.-]+)?$"))]
    pub version: Version,
    /// What it does, in a sentence or two.
    pub description: String,
    /// Who wrote it.
    #[serde(default)]
    pub author: String,
    /// What kind of workflow it is.
    #[serde(default)]
    pub category: Category,
    /// The kind of worker that runs it, e.g. `rust`, `python`, `web`, `secrets`.
    #[schemars(regex(pattern = r"^[a-z][a-z0-9_-]{0,63}$"))]
    pub vertical: String,
    /// Words to find it by.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub tags: Vec<String>,
    /// What it needs.
    #[serde(default, skip_serializing_if = "Requirements::is_empty")]
    pub requirements: Requirements,
    /// JSON Schema of the parameters.
    #[serde(default = "no_parameters")]
    pub parameters: Value,
    /// Values for parameters whose schema has no `default`.
    #[serde(default, skip_serializing_if = "Value::is_null")]
    pub default_parameters: Value,
    /// JSON Schema of the output.
    #[serde(default, skip_serializing_if = "Value::is_null")]
    pub output_schema: Value,
    /// How runs share the tree they look at.
    #[serde(default)]
    pub workspace_isolation: Isolation,
    /// Modules that must be registered.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub required_modules: Vec<String>,
    /// Example parameters.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub examples: Vec<Value>,
}

/// What kind of workflow it is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Category {
    /// Looks at many things.
    Comprehensive,
    /// Looks at one kind of thing.
    #[default]
    Specialized,
    /// Fuzzes.
    Fuzzing,
    /// Looks at one thing.
    Focused,
}

/// What a workflow needs.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Requirements {
    /// Modules or programs.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub tools: Vec<String>,
    /// Limits on the run.
    pub resources: Resources,
}

impl Requirements {
    fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

/// Limits on a run.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Resources {
    /// Memory, e.g. `512Mi`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub memory: Option<ByteSize>,
    /// Processors, e.g. `1000m`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cpu: Option<CpuCount>,
    /// Deadline of the whole run; a bare number is seconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub timeout: Option<Span>,
}

/// How runs share the tree they look at.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Isolation {
    /// Each run has a tree of its own.
    #[default]
    Isolated,
    /// All runs read one tree.
    Shared,
    /// One tree is fetched once, each run gets a cheap copy.
    CopyOnWrite,
}

fn no_parameters() -> Value {
    serde_json::json!({"type": "object", "properties": {}})
}

impl Metadata {
    /// The description of a workflow written in Rust.
    pub fn new(name: impl Into<String>, version: Version, description: impl Into<String>) -> Self {
        Self {
            name: name.into(),
            version,
            description: description.into(),
            author: String::new(),
            category: Category::default(),
            vertical: "local".into(),
            tags: Vec::new(),
            requirements: Requirements::default(),
            parameters: no_parameters(),
            default_parameters: Value::Null,
            output_schema: Value::Null,
            workspace_isolation: Isolation::default(),
            required_modules: Vec::new(),
            examples: Vec::new(),
        }
    }

    /// Sets how runs share the tree they look at.
    #[must_use]
    pub fn with_isolation(mut self, isolation: Isolation) -> Self {
        self.workspace_isolation = isolation;
        self
    }

    /// Sets the kind of worker that runs it.
    #[must_use]
    pub fn with_vertical(mut self, vertical: impl Into<String>) -> Self {
        self.vertical = vertical.into();
        self
    }

    /// Reads and checks a `metadata.yaml`; all problems at once, with their lines.
    pub fn from_yaml(name: impl Into<String>, text: &str) -> Result<Self, Problems> {
        let document = Document::parse(name, text)?;
        let metadata: Self = document.decode()?;
        match metadata.problems() {
            problems if problems.is_empty() => Ok(metadata),
            problems => Err(document.problems(problems)),
        }
    }

    /// Reads a document that was checked before, such as one that ships with a program and that its tests read with
    /// [`Self::from_yaml`]. An error is what cannot be decoded, and nothing else: that takes a hundredth of the time.
    pub fn from_checked_yaml(name: impl Into<String>, text: &str) -> Result<Self, Problems> {
        let document = Document::parse(name, text)?;
        Self::deserialize(document.value())
            .map_err(|error| document.problems(vec![(String::new(), Problem::new("", error.to_string()))]))
    }

    /// Checks what a schema cannot say; all problems at once.
    pub fn validate(&self) -> Result<(), Problems> {
        let problems: Vec<Problem> = self.problems().into_iter().map(|(_, problem)| problem).collect();
        if problems.is_empty() { Ok(()) } else { Err(Problems::new(&self.name, problems)) }
    }

    fn problems(&self) -> Vec<(String, Problem)> {
        let mut problems = Vec::new();
        let mut report = |pointer: &str, message: String| {
            problems.push((pointer.to_owned(), Problem::new(super::document::key_of(pointer), message)));
        };
        if self.description.trim().is_empty() {
            report("/description", "is empty: expected a sentence that says what the workflow does".into());
        }
        if let Some(timeout) = self.requirements.resources.timeout
            && timeout.duration().is_zero()
        {
            report("/requirements/resources/timeout", "expected more than 0 seconds".into());
        }
        if self.output_schema != Value::Null
            && let Err(problem) = Schema::new(self.output_schema.clone())
        {
            report("/output_schema", problem.message);
        }
        match Schema::new(self.parameters.clone()) {
            Err(problem) => report("/parameters", problem.message),
            Ok(schema) => {
                let type_is_object = self.parameters.get("type").is_none_or(|kind| kind == "object");
                if !type_is_object {
                    report("/parameters/type", "expected \"object\": parameters are named".into());
                }
                for (name, property) in
                    self.parameters.get("properties").and_then(Value::as_object).into_iter().flatten()
                {
                    let pointer = format!("/parameters/properties/{name}/default");
                    if let (Some(default), Ok(schema)) =
                        (property.get("default"), Schema::new(property.clone()))
                    {
                        for (_, problem) in schema.check(default) {
                            report(&pointer, problem.message);
                        }
                    }
                }
                for (n, example) in self.examples.iter().enumerate() {
                    let mut example = example.clone();
                    apply_defaults(&self.parameters, &mut example);
                    for (pointer, problem) in schema.check(&example) {
                        report(&format!("/examples/{n}{pointer}"), problem.message);
                    }
                }
            }
        }
        problems
    }

    /// Fills in defaults and checks parameters; all problems at once. A parameter that the schema does not name is
    /// refused, with the nearest one that it does name.
    pub fn check_parameters(&self, mut parameters: Value) -> Result<Value, Problems> {
        if parameters.is_null() {
            parameters = serde_json::json!({});
        }
        if let (Some(given), Some(defaults)) =
            (parameters.as_object_mut(), self.default_parameters.as_object())
        {
            for (name, default) in defaults {
                given.entry(name).or_insert_with(|| default.clone());
            }
        }
        apply_defaults(&self.parameters, &mut parameters);
        let mut closed = self.parameters.clone();
        if let Some(object) = closed.as_object_mut() {
            object.entry("type").or_insert_with(|| "object".into());
            object.entry("additionalProperties").or_insert(Value::Bool(false));
        }
        if fits(&closed, &parameters) {
            return Ok(parameters);
        }
        let source = format!("parameters of {}", self.name);
        let schema = Schema::new(closed).map_err(|problem| Problems::one(&source, problem))?;
        let problems: Vec<Problem> =
            schema.check(&parameters).into_iter().map(|(_, problem)| problem).collect();
        if problems.is_empty() { Ok(parameters) } else { Err(Problems::new(source, problems)) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    const GOOD: &str = "name: demo\nversion: 1.2.3\ndescription: Shows it.\nvertical: rust\n";

    #[test]
    fn all_problems_at_once_with_lines() {
        let text = "name: Demo\nversion: \"1.2\"\ndescription: x\nvertcal: rust\nrequirements:\n  resources:\n    memory: 12XB\n    timeout: 1800\nworkspace_isolation: sharde\n";
        let error = Metadata::from_yaml("metadata.yaml", text).unwrap_err();
        let lines: Vec<String> = error.to_string().lines().map(str::to_owned).collect();
        for expect in [
            "metadata.yaml:1:1: name: expected",
            "metadata.yaml:2:1: version: expected",
            "metadata.yaml:4:1: vertcal: unknown key (did you mean \"vertical\"?)",
            "metadata.yaml:7:5: requirements.resources.memory: expected",
            "metadata.yaml:9:1: workspace_isolation: expected one of \"isolated\", \"shared\", \"copy-on-write\"",
        ] {
            assert!(lines.iter().any(|line| line.starts_with(expect)), "{expect}\n{error}");
        }
        assert!(lines.iter().any(|line| line.contains("vertical: is required")), "{error}");
    }

    #[test]
    fn schemas_defaults_and_examples_are_checked() {
        for (more, expect) in [
            ("parameters: {type: object, properties: {a: {type: strin}}}\n", "not a valid JSON Schema"),
            (
                "parameters: {type: object, properties: {a: {type: string, default: 5}}}\n",
                "expected string, found 5",
            ),
            ("parameters: {type: array}\n", "parameters are named"),
            (
                "parameters: {type: object, properties: {a: {type: integer}}}\nexamples: [{a: x}]\n",
                "expected integer",
            ),
        ] {
            let error = Metadata::from_yaml("m.yaml", &format!("{GOOD}{more}")).unwrap_err().to_string();
            assert!(error.contains(expect), "{more}: {error}");
            assert!(error.starts_with("m.yaml:"), "{error}");
        }
        assert!(Metadata::from_yaml("m.yaml", GOOD).is_ok());
    }

    #[test]
    fn parameters() {
        let metadata = Metadata::from_yaml(
            "m.yaml",
            &format!("{GOOD}parameters: {{type: object, properties: {{depth: {{type: integer, minimum: 1, default: 3}}}}}}\n"),
        )
        .unwrap();
        assert_eq!(metadata.check_parameters(Value::Null).unwrap(), json!({"depth": 3}));
        for (given, expect) in [
            (json!({"depht": 1}), "parameters of demo: depht: unknown key (did you mean \"depth\"?)"),
            (json!({"depth": 0}), "parameters of demo: depth: expected at least 1, found 0"),
            (json!({"depth": "x"}), "parameters of demo: depth: expected integer, found \"x\""),
            (json!([1]), "parameters of demo: expected object, found [1]"),
        ] {
            let error = metadata.check_parameters(given).unwrap_err().to_string();
            assert!(error.contains(expect), "{error}");
        }
    }
}
