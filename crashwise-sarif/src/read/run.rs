//! What a run says of its tool, rules and invocation.

use crate::write::FORMAT;
use crashwise_core::{Coverage, CoverageStatus, Gap, GapReason};
use serde::Deserialize;
use serde_json::Value;
use serde_sarif::sarif;
use std::collections::{BTreeMap, HashMap};

/// What a log held beside its findings.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct LogSummary {
    /// Its runs in order.
    pub runs: Vec<RunSummary>,
}

/// What a run held beside its findings.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct RunSummary {
    /// Name of the tool.
    pub tool: String,
    /// Version of the tool, empty when it is not told.
    pub version: String,
    /// Number of findings.
    pub results: u64,
    /// Number of results that report no problem.
    pub skipped: u64,
    /// What the tool says it could not look at.
    pub coverage: Coverage,
}

/// How many tools or taxonomies are looked through for a name.
pub(super) const MAX_COMPONENTS: usize = 1000;

/// The parts of a run that are read.
#[derive(Debug, Default)]
pub(super) struct Parts {
    pub(super) tool: Option<Tool>,
    pub(super) bases: Option<BTreeMap<String, sarif::ArtifactLocation>>,
    pub(super) artifacts: Option<Vec<Artifact>>,
    pub(super) flow_locations: Option<Vec<sarif::ThreadFlowLocation>>,
    pub(super) taxonomies: Option<Vec<Component>>,
    pub(super) invocations: Option<Vec<sarif::Invocation>>,
    pub(super) properties: Option<BTreeMap<String, Value>>,
    pub(super) points_elsewhere: bool,
}

/// A run without its results.
#[derive(Debug)]
pub(super) struct Head {
    pub(super) tool: Tool,
    pub(super) bases: BTreeMap<String, sarif::ArtifactLocation>,
    pub(super) artifacts: Vec<Artifact>,
    pub(super) flow_locations: Vec<sarif::ThreadFlowLocation>,
    pub(super) taxonomies: Vec<Component>,
    /// Written by this crate: properties mean what they say.
    pub(super) own: bool,
    pub(super) results: u64,
    pub(super) skipped: u64,
    pub(super) coverage: Coverage,
    ids: HashMap<String, (usize, usize)>,
}

#[derive(Debug, Deserialize)]
pub(super) struct Tool {
    pub(super) driver: Component,
    #[serde(default)]
    extensions: Option<Vec<Component>>,
}

/// A driver, extension or taxonomy.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct Component {
    pub(super) name: String,
    pub(super) guid: Option<String>,
    version: Option<String>,
    semantic_version: Option<String>,
    rules: Option<Vec<Rule>>,
    pub(super) taxa: Option<Vec<Rule>>,
    global_message_strings: Option<BTreeMap<String, Words>>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct Rule {
    pub(super) id: String,
    guid: Option<String>,
    pub(super) name: Option<String>,
    pub(super) short_description: Option<Words>,
    pub(super) help: Option<Words>,
    pub(super) help_uri: Option<String>,
    pub(super) message_strings: Option<BTreeMap<String, Words>>,
    pub(super) default_configuration: Option<sarif::ReportingConfiguration>,
    pub(super) relationships: Option<Vec<sarif::ReportingDescriptorRelationship>>,
    pub(super) properties: Option<sarif::PropertyBag>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Words {
    pub(super) text: Option<String>,
    markdown: Option<String>,
}

impl Words {
    pub(super) fn plain(&self) -> Option<&str> {
        self.text.as_deref().or(self.markdown.as_deref()).filter(|text| !text.is_empty())
    }
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Artifact {
    pub(super) location: Option<sarif::ArtifactLocation>,
}

impl Head {
    /// None when the run names no tool.
    pub(super) fn new(parts: Parts) -> Option<Self> {
        let tool = parts.tool?;
        let own = parts.properties.as_ref().is_some_and(|bag| bag.get(FORMAT) == Some(&Value::from(1)));
        let mut coverage = coverage(&tool.driver.name, parts.invocations.as_deref().unwrap_or_default());
        if parts.points_elsewhere {
            let detail = "parts of the log are in other files";
            coverage.push(Gap::new(tool.driver.name.as_str(), GapReason::Unsupported, detail));
        }
        let mut ids = HashMap::new();
        for (at, component) in tool.components().enumerate() {
            for (index, rule) in component.rules.iter().flatten().enumerate() {
                for id in [Some(&rule.id), rule.guid.as_ref()].into_iter().flatten() {
                    ids.entry(id.clone()).or_insert((at, index));
                }
            }
        }
        Some(Self {
            bases: parts.bases.unwrap_or_default(),
            artifacts: parts.artifacts.unwrap_or_default(),
            flow_locations: parts.flow_locations.unwrap_or_default(),
            taxonomies: parts.taxonomies.unwrap_or_default(),
            tool,
            own,
            results: 0,
            skipped: 0,
            coverage,
            ids,
        })
    }

    /// The rule of a result, by reference, index or id.
    pub(super) fn rule(&self, result: &sarif::Result) -> Option<&Rule> {
        let reference = result.rule.as_ref();
        let component = self.tool.component(reference.and_then(|rule| rule.tool_component.as_ref()))?;
        let rules = component.rules.as_deref().unwrap_or_default();
        let index = reference.and_then(|rule| rule.index).or(result.rule_index);
        if let Some(rule) = index.and_then(|index| rules.get(usize::try_from(index).ok()?)) {
            return Some(rule);
        }
        let guid = reference.and_then(|rule| rule.guid.as_deref());
        let id = reference.and_then(|rule| rule.id.as_deref()).or(result.rule_id.as_deref());
        let mut id = guid.filter(|guid| self.ids.contains_key(*guid)).or(id)?;
        loop {
            if let Some((component, index)) = self.ids.get(id) {
                return self.tool.components().nth(*component)?.rules.as_ref()?.get(*index);
            }
            // `CA1000/1` is a case of the rule `CA1000`.
            id = id.rsplit_once('/')?.0;
        }
    }

    /// A message that all rules share.
    pub(super) fn global_message(&self, id: &str) -> Option<&str> {
        self.tool.driver.global_message_strings.as_ref()?.get(id)?.plain()
    }

    pub(super) fn tool_version(&self) -> &str {
        let driver = &self.tool.driver;
        driver.semantic_version.as_deref().or(driver.version.as_deref()).unwrap_or_default()
    }

    pub(super) fn into_summary(self) -> RunSummary {
        RunSummary {
            version: self.tool_version().to_owned(),
            tool: self.tool.driver.name,
            results: self.results,
            skipped: self.skipped,
            coverage: self.coverage,
        }
    }
}

impl Tool {
    fn components(&self) -> impl Iterator<Item = &Component> {
        std::iter::once(&self.driver).chain(self.extensions.iter().flatten())
    }

    fn component(&self, reference: Option<&sarif::ToolComponentReference>) -> Option<&Component> {
        let Some(reference) = reference else { return Some(&self.driver) };
        let extensions = self.extensions.as_deref().unwrap_or_default();
        if let Some(index) = reference.index {
            return extensions.get(usize::try_from(index).ok()?);
        }
        let same = |component: &&Component| match (&reference.guid, &reference.name) {
            (Some(guid), _) => component.guid.as_ref() == Some(guid),
            (None, Some(name)) => component.name == *name,
            (None, None) => true,
        };
        self.components().take(MAX_COMPONENTS).find(same)
    }
}

/// What the invocations tell of things that went wrong.
fn coverage(tool: &str, invocations: &[sarif::Invocation]) -> Coverage {
    let mut coverage = Coverage::new();
    for invocation in invocations {
        let execution = invocation.tool_execution_notifications.iter().flatten();
        let configuration = invocation.tool_configuration_notifications.iter().flatten();
        for notification in execution.chain(configuration) {
            // The default is a warning.
            let level = notification.level.as_ref().and_then(Value::as_str).unwrap_or("warning");
            if level == "error" || level == "warning" {
                note(&mut coverage, tool, notification);
            }
        }
        if !invocation.execution_successful {
            if coverage.gap_count() == 0 {
                let code = invocation.exit_code.map_or_else(String::new, |code| format!("exit code {code}"));
                coverage.push(Gap::new(tool, GapReason::Failed, code));
            }
            coverage.status = CoverageStatus::Failed;
        }
    }
    coverage.sort();
    coverage
}

fn note(coverage: &mut Coverage, tool: &str, notification: &sarif::Notification) {
    let bag = notification.properties.as_ref().map(|bag| &bag.additional_properties);
    let word = |name: &str| bag.and_then(|bag| bag.get(name)).and_then(Value::as_str);
    let reason = bag.and_then(|bag| bag.get("reason")).and_then(|word| GapReason::deserialize(word).ok());
    let count = bag.and_then(|bag| bag.get("count")).and_then(Value::as_u64);
    match (reason, count, word("what")) {
        (Some(reason), Some(count), None) => {
            coverage.status = coverage.status.max(CoverageStatus::Partial);
            let sum = coverage.more_gaps.entry(reason).or_insert(0);
            *sum = sum.saturating_add(count);
        }
        (Some(reason), _, Some(what)) => {
            coverage.push(Gap::new(what, reason, word("detail").unwrap_or_default()));
        }
        _ => {
            let place = notification.locations.iter().flatten().find_map(|place| {
                place.physical_location.as_ref()?.artifact_location.as_ref()?.uri.as_deref()
            });
            let text = notification.message.text.as_deref().unwrap_or_default();
            coverage.push(Gap::new(place.unwrap_or(tool), GapReason::Failed, text));
        }
    }
}
