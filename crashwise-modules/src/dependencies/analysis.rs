//! From an inventory and a database to what affects it, without input or output of its own.

use std::collections::hash_map::Entry;
use std::collections::{BTreeMap, BTreeSet, HashMap, btree_map};

use crashwise_core::Severity;

use super::advisory::{Advisory, Answer, Class, Database, DatabaseError, Query, Rating, SeveritySource};
use super::inventory::{Ignore, Inventory, Origin, Package};
use super::version::Ecosystem;

/// How many times an upgrade is looked up again because the version it leads to is affected too.
const MAX_UPGRADE_STEPS: usize = 16;

/// A vulnerability of a package in one file.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct Vulnerability {
    /// The advisory that names it.
    pub advisory: Advisory,
    /// Ids and aliases of all advisories of the same vulnerability, without the one that names it.
    pub aliases: Vec<String>,
    /// How bad it is: the worst that one of its advisories says.
    pub rating: Rating,
    /// The places in the inventory of this package and version in this file; never empty.
    pub packages: Vec<usize>,
    /// The first version that is not affected, if a fix is known.
    pub fixed: Option<String>,
    /// The smallest version that no advisory of the database affects, if there is one above this version.
    pub upgrade: Option<String>,
    /// The statements that say that it needs no action, by their place in the inventory.
    pub ignored_by: Vec<usize>,
}

/// What was found, and what could not be decided.
#[derive(Debug, Clone, Default, PartialEq)]
#[non_exhaustive]
pub struct Analysis {
    /// The vulnerabilities, by file, package and advisory.
    pub vulnerabilities: Vec<Vulnerability>,
    /// Packages that were looked up.
    pub looked_up: u64,
    /// Packages for development or tests that were left out.
    pub development: u64,
    /// Packages that are part of the project and have no advisories.
    pub local: u64,
    /// Packages whose version is not settled, by their place in the inventory.
    pub unsettled: Vec<usize>,
    /// Packages whose version cannot be compared although there are advisories, by their place in the inventory.
    pub undecided: Vec<usize>,
}

/// Looks every package up.
///
/// # Errors
/// If the database cannot be read or is damaged.
pub fn analyze(
    inventory: &Inventory,
    database: &Database,
    scan_dev_dependencies: bool,
) -> Result<Analysis, DatabaseError> {
    let mut analysis = Analysis::default();
    // One vulnerability per file, package, version and group of advisories.
    let mut found: BTreeMap<(&str, String, u32), Vulnerability> = BTreeMap::new();
    let mut answers: HashMap<(Ecosystem, &str, &str, &str), Answer> = HashMap::new();
    for (index, package) in inventory.packages.iter().enumerate() {
        if package.scope.is_dev() && !scan_dev_dependencies {
            analysis.development += 1;
            continue;
        }
        if !package.origin.is_advised() {
            analysis.local += 1;
            continue;
        }
        let Some(version) = package.version.as_deref() else {
            // A commit has no version that could be looked up.
            analysis.unsettled.push(index);
            continue;
        };
        analysis.looked_up += 1;
        let name = package.ecosystem.normalize_name(&package.name);
        if !database.may_know(package.ecosystem, &name)? {
            continue;
        }
        // Many lockfiles of one tree lock the same versions.
        let query = Query::new(package.ecosystem, &package.name, version).with_release(&package.release);
        let key = (package.ecosystem, package.name.as_str(), version, package.release.as_str());
        let answer = match answers.entry(key) {
            Entry::Occupied(known) => known.into_mut(),
            Entry::Vacant(place) => place.insert(database.query(&query)?),
        };
        if answer.undecided {
            analysis.undecided.push(index);
        }
        for hit in &answer.hits {
            let advisory = database.advisory(hit.advisory)?;
            let key = (
                package.location.path.as_str(),
                format!("{}\0{}\0{version}", package.ecosystem, package.name),
                advisory.group,
            );
            if let Some(known) = found.get_mut(&key) {
                if known.packages.last() != Some(&index) {
                    known.packages.push(index);
                }
                join(known, advisory, hit.fixed.clone());
            } else {
                let vulnerability = Vulnerability {
                    aliases: advisory.aliases.clone(),
                    rating: advisory.rating,
                    packages: vec![index],
                    fixed: hit.fixed.clone(),
                    upgrade: None,
                    ignored_by: Vec::new(),
                    advisory,
                };
                found.insert(key, vulnerability);
            }
        }
    }
    let mut upgrades: BTreeMap<(String, &str), Option<String>> = BTreeMap::new();
    for ((_, package_key, _), mut vulnerability) in found {
        let package = &inventory.packages[vulnerability.packages[0]];
        vulnerability.upgrade = match upgrades.entry((package_key, &package.release)) {
            btree_map::Entry::Occupied(known) => known.get().clone(),
            btree_map::Entry::Vacant(place) => place.insert(upgrade(database, package)?).clone(),
        };
        let aliases: BTreeSet<String> = vulnerability.aliases.drain(..).collect();
        vulnerability.aliases = aliases.into_iter().filter(|id| *id != vulnerability.advisory.id).collect();
        vulnerability.ignored_by = ignored_by(&inventory.ignores, package, &vulnerability);
        analysis.vulnerabilities.push(vulnerability);
    }
    Ok(analysis)
}

/// Adds a further advisory of the same vulnerability.
fn join(known: &mut Vulnerability, advisory: Advisory, fixed: Option<String>) {
    if advisory.id == known.advisory.id {
        return;
    }
    known.aliases.extend(advisory.aliases.iter().cloned());
    known.aliases.extend([advisory.id.clone(), known.advisory.id.clone()]);
    let own = |rating: &Rating| matches!(rating.source, SeveritySource::Cvss | SeveritySource::Database);
    let worse =
        (advisory.rating.severity, advisory.rating.score) > (known.rating.severity, known.rating.score);
    if worse || (own(&advisory.rating) && !own(&known.rating)) {
        known.rating = advisory.rating;
    }
    if known.fixed.is_none() {
        known.fixed = fixed;
    }
    if rank(&advisory) < rank(&known.advisory) {
        known.advisory = advisory;
    }
}

/// Which advisory of a vulnerability names it: that of the ecosystem's own database first.
fn rank(advisory: &Advisory) -> (u8, &str) {
    let prefix = advisory.id.split('-').next().unwrap_or_default();
    let rank = match prefix {
        "MAL" => 0,
        "CVE" => 3,
        "GHSA" => 2,
        _ => 1,
    };
    (rank, &advisory.id)
}

/// The smallest version above this one that clears every advisory with a known fix.
fn upgrade(database: &Database, package: &Package) -> Result<Option<String>, DatabaseError> {
    let order = package.ecosystem.order();
    let Some(mut version) = package.version.clone() else { return Ok(None) };
    for _ in 0..MAX_UPGRADE_STEPS {
        let query = Query::new(package.ecosystem, &package.name, &version).with_release(&package.release);
        let hits = database.query(&query)?.hits;
        if hits.is_empty() {
            return Ok(Some(version).filter(|version| Some(version) != package.version.as_ref()));
        }
        let mut next: Option<String> = None;
        for hit in hits {
            let class = database.class(hit.advisory)?;
            let Some(fixed) = hit.fixed else {
                // Nothing clears what has no fix; a package that is not maintained may still be made safe.
                if class == Class::Vulnerability || class == Class::Malicious {
                    return Ok(None);
                }
                continue;
            };
            let later = |known: &String| match (order.key(known), order.key(&fixed)) {
                (Ok(known), Ok(fixed)) => fixed > known,
                _ => false,
            };
            if next.as_ref().is_none_or(later) {
                next = Some(fixed);
            }
        }
        match next {
            Some(fixed) if order.key(&fixed).ok() > order.key(&version).ok() => version = fixed,
            _ => return Ok(Some(version).filter(|version| Some(version) != package.version.as_ref())),
        }
    }
    Ok(None)
}

/// The statements that cover a vulnerability of a package.
fn ignored_by(ignores: &[Ignore], package: &Package, vulnerability: &Vulnerability) -> Vec<usize> {
    let covers = |ignore: &Ignore| {
        let names = |id: &str| ignore.id.eq_ignore_ascii_case(id);
        let id = ignore.id.is_empty()
            || names(&vulnerability.advisory.id)
            || vulnerability.aliases.iter().any(|alias| names(alias));
        let about = ignore.package.as_ref().is_none_or(|about| {
            let fold = |name: &str| package.ecosystem.normalize_name(name).into_owned();
            about.ecosystem.is_none_or(|ecosystem| ecosystem == package.ecosystem)
                && fold(&about.name) == fold(&package.name)
                && about.version.as_ref().is_none_or(|version| Some(version) == package.version.as_ref())
        });
        id && about && reaches(ignore, package)
    };
    ignores.iter().enumerate().filter(|(_, ignore)| covers(ignore)).map(|(index, _)| index).collect()
}

/// Whether a package's file lies in the folder of a statement or below; `.cargo` and its like stand for their parent.
fn reaches(ignore: &Ignore, package: &Package) -> bool {
    let mut folder = ignore.location.path.parent();
    while let Some(inner) = &folder
        && inner.file_name().starts_with('.')
    {
        folder = inner.parent();
    }
    let Some(folder) = folder else { return true };
    package.location.path.as_str().strip_prefix(folder.as_str()).is_some_and(|rest| rest.starts_with('/'))
}

impl Vulnerability {
    /// The severity to report, with what an unknown one counts as; `None` if it is left out.
    pub fn severity(&self, unknown: Option<Severity>) -> Option<Severity> {
        self.rating.severity.or(unknown)
    }
}

/// Whether the origin of a package is a repository or an address that pins nothing.
pub(super) fn is_unpinned(origin: &Origin) -> bool {
    match origin {
        Origin::Git(address) => !address.split(['#', '@', '=', '&']).skip(1).any(|part| is_commit(part, 7)),
        Origin::Url(address) => {
            let is_digest = address.contains("#sha") || address.contains("sha256");
            !is_digest && !address.split(['#', '/']).any(|part| is_commit(part, 40))
        }
        _ => false,
    }
}

/// Whether a part of an address is the name of a commit of at least `shortest` digits.
fn is_commit(part: &str, shortest: usize) -> bool {
    (shortest..=64).contains(&part.len()) && part.bytes().all(|byte| byte.is_ascii_hexdigit())
}
