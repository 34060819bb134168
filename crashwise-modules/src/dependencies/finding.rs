//! One vulnerability as a finding: where, why, how bad, and what to do.

use std::fmt::Write as _;

use crashwise_core::{Change, Finding, Fingerprint, Fix, ModuleError, RuleId, Severity};

use super::advisory::Class;
use super::analysis::Vulnerability;
use super::inventory::{Inventory, Package};

/// The identity over runs: advisory, file and package. A second version of the package in the file adds its version.
pub(super) fn fingerprint(
    vulnerability: &Vulnerability,
    package: &Package,
    known: &[Fingerprint],
) -> Fingerprint {
    let path = package.location.path.as_str();
    let name = format!("{}:{}", package.ecosystem, package.ecosystem.normalize_name(&package.name));
    let id = vulnerability.advisory.id.as_str();
    let plain = Fingerprint::of([id, path, &name]);
    if known.contains(&plain) {
        return Fingerprint::of([id, path, &name, package.version.as_deref().unwrap_or_default()]);
    }
    plain
}

pub(super) fn finding(
    inventory: &Inventory,
    vulnerability: &Vulnerability,
    severity: Severity,
) -> Result<Finding, ModuleError> {
    let advisory = &vulnerability.advisory;
    let package = &inventory.packages[vulnerability.packages[0]];
    let version = package.version.as_deref().unwrap_or_default();
    let rule = RuleId::new(advisory.id.as_str())
        .or_else(|_| RuleId::new("dependencies/advisory"))
        .map_err(ModuleError::failed)?;
    let title = if advisory.summary.is_empty() { "Known vulnerability" } else { &advisory.summary };
    let mut finding = Finding::new(rule, title, severity)
        .with_message(message(inventory, vulnerability))
        .with_confidence(crashwise_core::Confidence::High)
        .with_category(match advisory.class {
            Class::Malicious => "malicious_package",
            Class::Unmaintained => "unmaintained_package",
            Class::Unsound => "unsound_package",
            _ => "vulnerable_dependency",
        })
        .with_evidence("package", package.name.as_str())
        .with_evidence("version", version)
        .with_evidence("ecosystem", package.ecosystem.name())
        .with_evidence("purl", package.purl())
        .with_evidence("scope", package.scope.as_str())
        .with_evidence("class", advisory.class.as_str())
        .with_evidence("severity_source", vulnerability.rating.source.as_str())
        .with_evidence("direct", package.direct);
    if let Some(score) = vulnerability.rating.score {
        finding = finding.with_evidence("cvss_score", f64::from(score) / 10.0);
    }
    if !vulnerability.aliases.is_empty() {
        finding = finding.with_evidence("aliases", vulnerability.aliases.clone());
    }
    for index in &vulnerability.packages {
        finding = finding.with_location(inventory.packages[*index].location.clone());
    }
    for number in if advisory.weaknesses.is_empty() { &[1395][..] } else { &advisory.weaknesses } {
        finding = finding.with_cwe(*number);
    }
    let way = inventory.path_to(vulnerability.packages[0]);
    if let Some(manifest) = way.first().and_then(|first| inventory.packages[*first].manifest.clone()) {
        let asked = format!("asks for {}", inventory.packages[way[0]].name);
        finding = finding.with_related(manifest.with_message(asked));
    }
    if way.len() > 1 {
        let step = |index: &usize| {
            let package = &inventory.packages[*index];
            let version = package.version.as_deref().unwrap_or_default();
            package.location.clone().with_message(format!("{} {version}", package.name))
        };
        finding = finding.with_code_flow(way.iter().map(step).collect());
    }
    if let Some(fixed) = &vulnerability.fixed {
        finding = finding.with_evidence("fixed_version", fixed.as_str());
    }
    finding = match (&vulnerability.upgrade, &vulnerability.fixed) {
        (Some(upgrade), _) => finding.with_evidence("upgrade_to", upgrade.as_str()).with_recommendation(
            format!("upgrade {} to {upgrade}, which no known advisory affects", package.name),
        ),
        (None, Some(fixed)) => finding.with_recommendation(format!(
            "upgrade {} to {fixed}; other advisories of it have no fix yet",
            package.name
        )),
        (None, None) if advisory.class == Class::Malicious => finding.with_recommendation(format!(
            "remove {} and treat what it could reach as compromised",
            package.name
        )),
        (None, None) => {
            finding.with_recommendation(format!("no fix is known: replace {} or limit its use", package.name))
        }
    };
    if let Some(fix) = fix(package, vulnerability) {
        finding = finding.with_fix(fix);
    }
    for url in &advisory.urls {
        finding = finding.with_reference(url.as_str());
    }
    Ok(finding)
}

fn message(inventory: &Inventory, vulnerability: &Vulnerability) -> String {
    let advisory = &vulnerability.advisory;
    let package = &inventory.packages[vulnerability.packages[0]];
    let version = package.version.as_deref().unwrap_or_default();
    let mut text = match advisory.class {
        Class::Malicious => format!("{} {version} is malicious", package.name),
        Class::Unmaintained => format!("{} {version} is not maintained", package.name),
        Class::Unsound => format!("{} {version} is unsound", package.name),
        _ => format!("{} {version} is vulnerable", package.name),
    };
    if !advisory.summary.is_empty() {
        let _ = write!(text, ": {}", advisory.summary);
    }
    if let Some(fixed) = &vulnerability.fixed {
        let _ = write!(text, "; fixed in {fixed}");
    }
    let way = inventory.path_to(vulnerability.packages[0]);
    if way.len() > 1 {
        let names: Vec<&str> = way.iter().map(|index| inventory.packages[*index].name.as_str()).collect();
        let _ = write!(text, "; needed by {}", names[..names.len() - 1].join(" > "));
    }
    text
}

/// The change of the one version that somebody wrote by hand, if that is enough to clear the package.
fn fix(package: &Package, vulnerability: &Vulnerability) -> Option<Fix> {
    let pin = package.pin.as_ref().filter(|_| package.direct)?;
    let upgrade = vulnerability.upgrade.as_deref()?;
    let is_prefixed = package.version.as_deref().is_some_and(|version| version.starts_with('v'));
    let missing = if is_prefixed && !upgrade.starts_with('v') && pin_has_prefix(package) { "v" } else { "" };
    let replacement = format!("{missing}{upgrade}");
    let description = format!("raise {} to {upgrade}, then renew the lockfile", package.name);
    let change = Change::new(pin.path.clone(), pin.region?, replacement);
    Some(Fix { description, changes: vec![change] })
}

/// Whether the pin covers the `v` in front of the version, as in `go.mod`.
fn pin_has_prefix(package: &Package) -> bool {
    package.pin.as_ref().is_some_and(|pin| pin.path == package.location.path)
}
