//! The rules of a report, their descriptors, and the weaknesses they point to.

use crate::{Report, Rule, level};
use crashwise_core::{Confidence, Finding, FoundBy, RuleId, Severity};
use serde_json::Value;
use serde_sarif::sarif;
use std::collections::{BTreeMap, BTreeSet};
use std::io;

/// Every rule that has a finding or is described, sorted by id.
#[derive(Debug, Default)]
pub(super) struct RuleTable {
    rules: BTreeMap<RuleId, (usize, RuleFacts)>,
    cwe: BTreeMap<u32, usize>,
}

/// What the first finding of a rule says of it; results repeat only what differs.
#[derive(Debug, Clone, Default)]
pub(super) struct RuleFacts {
    pub(super) title: String,
    pub(super) category: String,
    pub(super) cwe: Vec<u32>,
    pub(super) references: Vec<String>,
    pub(super) recommendation: String,
    pub(super) found_by: Option<FoundBy>,
    severity: Option<Severity>,
    confidence: Option<Confidence>,
    described: Rule,
}

impl RuleTable {
    /// Goes through all findings once.
    pub(super) fn collect(report: &Report) -> io::Result<Self> {
        let mut table = Self::default();
        let mut cwe = BTreeSet::new();
        for (id, described) in &report.rules {
            cwe.extend(described.cwe.iter().copied());
            let facts = RuleFacts {
                severity: described.severity,
                cwe: described.cwe.clone(),
                described: described.clone(),
                ..RuleFacts::default()
            };
            table.rules.insert(id.clone(), (0, facts));
        }
        report.each(|finding| {
            table.add(&finding, &mut cwe);
            Ok(())
        })?;
        if let Some(comparison) = &report.comparison {
            comparison.each_absent(&mut |finding| {
                table.add(&finding, &mut cwe);
                Ok(())
            })?;
        }
        for (at, (index, _)) in table.rules.values_mut().enumerate() {
            *index = at;
        }
        table.cwe = cwe.into_iter().zip(0..).collect();
        Ok(table)
    }

    fn add(&mut self, finding: &Finding, cwe: &mut BTreeSet<u32>) {
        cwe.extend(finding.cwe.iter().copied());
        if let Some((_, facts)) = self.rules.get_mut(&finding.rule_id) {
            facts.add(finding);
        } else {
            let mut facts = RuleFacts::default();
            facts.add(finding);
            self.rules.insert(finding.rule_id.clone(), (0, facts));
        }
    }

    pub(super) fn rule(&self, id: &RuleId) -> Option<(usize, &RuleFacts)> {
        self.rules.get(id).map(|(index, facts)| (*index, facts))
    }

    pub(super) fn descriptors(&self) -> Vec<sarif::ReportingDescriptor> {
        self.rules.iter().map(|(id, (_, facts))| facts.descriptor(id, self)).collect()
    }

    /// The reference of a result to a weakness.
    pub(super) fn taxon(&self, cwe: u32) -> sarif::ReportingDescriptorReference {
        sarif::ReportingDescriptorReference {
            id: Some(cwe.to_string()),
            index: self.cwe.get(&cwe).and_then(|index| i64::try_from(*index).ok()),
            tool_component: Some(cwe_component()),
            ..sarif::ReportingDescriptorReference::default()
        }
    }

    pub(super) fn has_taxonomy(&self) -> bool {
        !self.cwe.is_empty()
    }

    /// The weaknesses that are pointed to; empty when there are none.
    pub(super) fn taxonomies(&self) -> Vec<sarif::ToolComponent> {
        if self.cwe.is_empty() {
            return Vec::new();
        }
        let taxa = self.cwe.keys().map(|cwe| {
            let mut taxon = sarif::ReportingDescriptor::builder().id(cwe.to_string()).build();
            taxon.name = Some(format!("CWE-{cwe}"));
            taxon.help_uri = Some(format!("https://cwe.mitre.org/data/definitions/{cwe}.html"));
            taxon
        });
        let mut component = sarif::ToolComponent::builder().name("CWE").build();
        component.organization = Some("MITRE".to_owned());
        component.short_description = Some(text("The MITRE Common Weakness Enumeration"));
        component.information_uri = Some("https://cwe.mitre.org/".to_owned());
        component.is_comprehensive = Some(false);
        component.taxa = Some(taxa.collect());
        vec![component]
    }
}

impl RuleFacts {
    fn add(&mut self, finding: &Finding) {
        self.severity = match self.described.severity {
            Some(severity) => Some(severity),
            None => self.severity.max(Some(finding.severity)),
        };
        if self.confidence.is_none() {
            finding.title.clone_into(&mut self.title);
            finding.category.clone_into(&mut self.category);
            finding.references.clone_into(&mut self.references);
            finding.recommendation.clone_into(&mut self.recommendation);
            finding.found_by.clone_into(&mut self.found_by);
            if self.described.cwe.is_empty() {
                finding.cwe.clone_into(&mut self.cwe);
            }
        }
        self.confidence = self.confidence.max(Some(finding.confidence));
    }

    fn descriptor(&self, id: &RuleId, table: &RuleTable) -> sarif::ReportingDescriptor {
        let severity = self.severity.unwrap_or(Severity::Info);
        let title = if self.title.is_empty() { id.as_str() } else { &self.title };
        let described = &self.described;
        let full = if described.description.is_empty() { title } else { &described.description };
        let mut rule = sarif::ReportingDescriptor::builder().id(id.as_str()).build();
        rule.name =
            Some(if described.name.is_empty() { one_word(id.as_str()) } else { described.name.clone() });
        rule.short_description = Some(text(title));
        rule.full_description = Some(text(full));
        rule.help = Some(self.help(title));
        let pages = [&described.help_uri].into_iter().chain(&self.references);
        rule.help_uri = pages.into_iter().find(|page| is_page(page)).cloned();
        rule.default_configuration = Some(sarif::ReportingConfiguration {
            level: Some(level::level_word(severity).into()),
            ..sarif::ReportingConfiguration::default()
        });
        rule.properties = Some(self.properties(severity));
        rule.relationships = (!self.cwe.is_empty()).then(|| {
            let relate = |cwe: &u32| sarif::ReportingDescriptorRelationship {
                target: table.taxon(*cwe),
                kinds: Some(vec!["superset".to_owned()]),
                description: None,
                properties: None,
            };
            self.cwe.iter().map(relate).collect()
        });
        rule
    }

    fn help(&self, title: &str) -> sarif::MultiformatMessageString {
        let words = [&self.described.help, &self.recommendation].into_iter().find(|words| !words.is_empty());
        let words = words.map_or(title, String::as_str);
        let mut plain = words.to_owned();
        let mut markdown = words.to_owned();
        for page in self.references.iter().filter(|page| is_page(page)) {
            plain.extend(["\n", page]);
            markdown.extend(["\n- <", page, ">"]);
        }
        sarif::MultiformatMessageString { text: plain, markdown: Some(markdown), properties: None }
    }

    fn properties(&self, severity: Severity) -> sarif::PropertyBag {
        let mut tags = BTreeSet::new();
        if severity > Severity::Info {
            tags.insert("security".to_owned());
        }
        if !self.category.is_empty() {
            tags.insert(self.category.clone());
        }
        tags.extend(self.described.tags.iter().cloned());
        tags.extend(self.cwe.iter().map(|cwe| format!("external/cwe/cwe-{cwe:03}")));
        let mut bag =
            sarif::PropertyBag { tags: Some(tags.into_iter().collect()), ..sarif::PropertyBag::default() };
        let mut put = |name: &str, value: Value| bag.additional_properties.insert(name.to_owned(), value);
        put("security-severity", level::score(severity).into());
        put("precision", level::precision(self.confidence.unwrap_or_default()).into());
        put("severity", severity.as_str().into());
        if !self.category.is_empty() {
            put("category", self.category.as_str().into());
        }
        if !self.recommendation.is_empty() {
            put("recommendation", self.recommendation.as_str().into());
        }
        if !self.references.is_empty() {
            put("references", self.references.clone().into());
        }
        if let Some(found_by) = &self.found_by {
            put("foundBy", serde_json::to_value(found_by).unwrap_or_default());
        }
        bag
    }
}

/// The reference to the one taxonomy.
pub(super) fn cwe_component() -> sarif::ToolComponentReference {
    sarif::ToolComponentReference { name: Some("CWE".to_owned()), index: Some(0), ..Default::default() }
}

pub(super) fn text(text: &str) -> sarif::MultiformatMessageString {
    sarif::MultiformatMessageString { text: text.to_owned(), markdown: None, properties: None }
}

/// An absolute web address without characters that an address cannot hold.
fn is_page(text: &str) -> bool {
    (text.starts_with("https://") || text.starts_with("http://"))
        && text.bytes().all(|byte| byte.is_ascii_graphic() && !b"<>\"{}|\\^`".contains(&byte))
}

/// A rule's id as one word: `code/python/os-system` becomes `CodePythonOsSystem`.
fn one_word(id: &str) -> String {
    let mut word = String::new();
    for part in id.split(|letter: char| !letter.is_ascii_alphanumeric()) {
        let mut letters = part.chars();
        word.extend(letters.next().map(|first| first.to_ascii_uppercase()));
        word.push_str(letters.as_str());
    }
    word
}
