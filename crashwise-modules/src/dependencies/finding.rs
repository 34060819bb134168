//! One vulnerability as a finding: where, why, how bad, and what to do.

use std::cell::OnceCell;
use std::collections::HashSet;
use std::fmt::Write as _;
use std::iter;

use crashwise_core::{Change, Finding, Fingerprint, Fix, ModuleError, RuleId, Severity};

use super::advisory::Class;
use super::analysis::Vulnerability;
use super::inventory::{Inventory, Package};

/// The identity over runs: advisory, file and package. A second version of the package in the file adds its version.
pub(super) fn fingerprint(
    vulnerability: &Vulnerability,
    package: &Package,
    known: &HashSet<Fingerprint>,
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

/// Most packages of a way that are named; of a longer one the first and the last are.
const MAX_WAY: usize = 32;

/// The ways from the project to its packages.
#[derive(Debug)]
pub(super) struct Ways<'a> {
    inventory: &'a Inventory,
    /// How each package's way begins, and how many packages it has; only looked at for long ways.
    starts: OnceCell<Vec<(usize, usize)>>,
}

/// A way, outermost first, and how many packages are left out after the first one.
#[derive(Debug, PartialEq)]
struct Way {
    packages: Vec<usize>,
    left_out: usize,
}

impl<'a> Ways<'a> {
    pub(super) fn new(inventory: &'a Inventory) -> Self {
        Self { inventory, starts: OnceCell::new() }
    }

    fn to(&self, package: usize) -> Way {
        let known = &self.inventory.packages;
        let via = |at: &usize| known[*at].via.filter(|parent| *parent < known.len());
        let mut packages: Vec<usize> = iter::successors(Some(package), via).take(MAX_WAY + 1).collect();
        let mut left_out = 0;
        if packages.len() > MAX_WAY {
            let starts = self.starts.get_or_init(|| starts(self.inventory));
            let (start, length) = starts[package];
            packages.truncate(MAX_WAY - 1);
            packages.push(start);
            left_out = length.saturating_sub(MAX_WAY);
        }
        packages.reverse();
        Way { packages, left_out }
    }
}

/// How the way to each package begins, and how long it is; each package is passed once.
fn starts(inventory: &Inventory) -> Vec<(usize, usize)> {
    let mut known: Vec<Option<(usize, usize)>> = vec![None; inventory.packages.len()];
    let mut passed = Vec::new();
    for package in 0..known.len() {
        let mut at = package;
        let (start, mut length) = loop {
            if let Some(found) = known[at] {
                break found;
            }
            // What leads in a circle has no start, and ends where it is met again.
            known[at] = Some((at, 0));
            passed.push(at);
            match inventory.packages[at].via {
                Some(parent) if parent < known.len() => at = parent,
                _ => break (at, 0),
            }
        };
        while let Some(index) = passed.pop() {
            length += 1;
            known[index] = Some((start, length));
        }
    }
    known.into_iter().flatten().collect()
}

pub(super) fn finding(
    ways: &Ways<'_>,
    vulnerability: &Vulnerability,
    severity: Severity,
) -> Result<Finding, ModuleError> {
    let inventory = ways.inventory;
    let advisory = &vulnerability.advisory;
    let package = &inventory.packages[vulnerability.packages[0]];
    let way = ways.to(vulnerability.packages[0]);
    let version = package.version.as_deref().unwrap_or_default();
    let rule = RuleId::new(advisory.id.as_str())
        .or_else(|_| RuleId::new("dependencies/advisory"))
        .map_err(ModuleError::failed)?;
    let title = if advisory.summary.is_empty() { "Known vulnerability" } else { &advisory.summary };
    let mut finding = Finding::new(rule, title, severity)
        .with_message(message(inventory, vulnerability, &way))
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
    let start = way.packages.first().map(|first| &inventory.packages[*first]);
    if let Some((start, manifest)) = start.and_then(|start| Some((start, start.manifest.clone()?))) {
        finding = finding.with_related(manifest.with_message(format!("asks for {}", start.name)));
    }
    if way.packages.len() > 1 {
        let step = |(place, index): (usize, &usize)| {
            let package = &inventory.packages[*index];
            let version = package.version.as_deref().unwrap_or_default();
            let mut message = format!("{} {version}", package.name);
            if place == 0 && way.left_out > 0 {
                let _ = write!(message, ", and by way of {} others", way.left_out);
            }
            package.location.clone().with_message(message)
        };
        finding = finding.with_code_flow(way.packages.iter().enumerate().map(step).collect());
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

fn message(inventory: &Inventory, vulnerability: &Vulnerability, way: &Way) -> String {
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
    if let [first, between @ .., _] = way.packages.as_slice() {
        let name = |index: &usize| inventory.packages[*index].name.as_str();
        let _ = write!(text, "; needed by {}", name(first));
        if way.left_out > 0 {
            let _ = write!(text, " > {} others", way.left_out);
        }
        for index in between {
            let _ = write!(text, " > {}", name(index));
        }
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dependencies::inventory_of_texts;

    /// Packages of which each needs the next one, and what leads to each.
    fn chain(via: &[Option<usize>]) -> Inventory {
        let mut lock = "GEM\n  specs:\n".to_owned();
        for index in 0..via.len() {
            let _ = writeln!(lock, "    p{index} (1.0)");
        }
        lock += "\nDEPENDENCIES\n";
        let path = crashwise_core::RelPath::new("Gemfile.lock").unwrap();
        let (mut inventory, gaps) = inventory_of_texts([(path, lock)]);
        assert!(gaps.is_empty());
        for (package, via) in inventory.packages.iter_mut().zip(via) {
            package.via = *via;
        }
        inventory
    }

    #[test]
    fn long_ways_are_shortened() {
        let via: Vec<Option<usize>> = (0..500_usize).map(|index| index.checked_sub(1)).collect();
        let inventory = chain(&via);
        let ways = Ways::new(&inventory);
        for package in 0..via.len() {
            let way = ways.to(package);
            let whole = inventory.path_to(package);
            assert_eq!(way.packages.len() + way.left_out, whole.len(), "{package}");
            let named = way.packages.len();
            assert_eq!((way.packages[0], &way.packages[1..]), (whole[0], &whole[whole.len() + 1 - named..]));
            assert!(named <= MAX_WAY);
        }
    }

    #[test]
    fn ways_that_lead_in_a_circle_end() {
        let via: Vec<Option<usize>> = (0..50).map(|index| Some((index + 1) % 50)).chain([Some(0)]).collect();
        let inventory = chain(&via);
        let ways = Ways::new(&inventory);
        for package in 0..via.len() {
            assert_eq!(ways.to(package).packages.len(), MAX_WAY);
        }
        let inventory = chain(&[Some(7)]);
        assert_eq!(Ways::new(&inventory).to(0), Way { packages: vec![0], left_out: 0 });
    }
}
