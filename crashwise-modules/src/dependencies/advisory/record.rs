//! An advisory as the OSV schema writes it; keys that are not needed are passed over.

use serde::Deserialize;
use serde_json::Value;

/// One advisory.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub(super) struct Record {
    pub(super) id: String,
    pub(super) modified: String,
    #[serde(deserialize_with = "null_as_default")]
    pub(super) published: String,
    #[serde(deserialize_with = "null_as_default")]
    pub(super) withdrawn: String,
    #[serde(deserialize_with = "null_as_default")]
    pub(super) aliases: Vec<String>,
    #[serde(deserialize_with = "null_as_default")]
    pub(super) summary: String,
    #[serde(deserialize_with = "null_as_default")]
    pub(super) details: String,
    #[serde(deserialize_with = "null_as_default")]
    pub(super) severity: Vec<SeverityScore>,
    #[serde(deserialize_with = "null_as_default")]
    pub(super) affected: Vec<Affected>,
    #[serde(deserialize_with = "null_as_default")]
    pub(super) references: Vec<Reference>,
    pub(super) database_specific: Value,
}

impl Record {
    /// When it changed last: some sources write the year 1 and say only when they published it.
    pub(super) fn changed(&self) -> &str {
        if self.modified.as_str() < "1990" { &self.published } else { &self.modified }
    }
}

/// A score of one of the scoring systems.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub(super) struct SeverityScore {
    pub(super) score: String,
}

/// A package and the versions of it that are affected.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub(super) struct Affected {
    #[serde(deserialize_with = "null_as_default")]
    pub(super) package: Package,
    #[serde(deserialize_with = "null_as_default")]
    pub(super) ranges: Vec<Range>,
    #[serde(deserialize_with = "null_as_default")]
    pub(super) versions: Vec<String>,
    #[serde(deserialize_with = "null_as_default")]
    pub(super) severity: Vec<SeverityScore>,
    pub(super) database_specific: Value,
}

/// The name of a package.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub(super) struct Package {
    pub(super) ecosystem: String,
    pub(super) name: String,
}

/// Events on one line of versions.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub(super) struct Range {
    #[serde(rename = "type")]
    pub(super) kind: String,
    #[serde(deserialize_with = "null_as_default")]
    pub(super) events: Vec<Event>,
}

/// One event; one of the fields is set.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub(super) struct Event {
    pub(super) introduced: Option<String>,
    pub(super) fixed: Option<String>,
    pub(super) last_affected: Option<String>,
    pub(super) limit: Option<String>,
}

/// A page about the advisory.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub(super) struct Reference {
    #[serde(rename = "type")]
    pub(super) kind: String,
    pub(super) url: String,
}

/// What kind of advisory a record is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Class {
    /// A vulnerability.
    Vulnerability,
    /// A package that was published to do harm.
    Malicious,
    /// A library that lets safe code break memory safety.
    Unsound,
    /// A package that nobody maintains.
    Unmaintained,
    /// Something else worth knowing.
    Notice,
}

impl Class {
    /// The classes in the order of their numbers in a database file.
    pub(super) const ALL: [Self; 5] =
        [Self::Vulnerability, Self::Malicious, Self::Unsound, Self::Unmaintained, Self::Notice];

    /// The lower-case word used in every report.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Vulnerability => "vulnerability",
            Self::Malicious => "malicious",
            Self::Unsound => "unsound",
            Self::Unmaintained => "unmaintained",
            Self::Notice => "notice",
        }
    }

    pub(super) fn of(record: &Record) -> Self {
        let malicious = |id: &String| id.starts_with("MAL-");
        if malicious(&record.id) || record.aliases.iter().any(malicious) {
            return Self::Malicious;
        }
        let informational = record
            .affected
            .iter()
            .find_map(|affected| affected.database_specific.get("informational")?.as_str());
        match informational {
            Some("unsound") => Self::Unsound,
            Some("unmaintained") => Self::Unmaintained,
            Some(_) => Self::Notice,
            None => Self::Vulnerability,
        }
    }
}

/// The numbers of the Common Weakness Enumeration that a record names, wherever its source puts them.
pub(super) fn weaknesses(record: &Record) -> Vec<u32> {
    let mut numbers = Vec::new();
    let places =
        record.affected.iter().map(|affected| &affected.database_specific).chain([&record.database_specific]);
    for place in places {
        for key in ["cwe_ids", "cwes"] {
            for entry in place.get(key).and_then(Value::as_array).into_iter().flatten() {
                let text = entry.as_str().or_else(|| entry.get("cweId")?.as_str()).unwrap_or_default();
                if let Some(number) = text.strip_prefix("CWE-").and_then(|number| number.parse().ok())
                    && !numbers.contains(&number)
                {
                    numbers.push(number);
                }
            }
        }
    }
    numbers
}

fn null_as_default<'de, D: serde::Deserializer<'de>, T: Deserialize<'de> + Default>(
    deserializer: D,
) -> Result<T, D::Error> {
    Ok(Option::deserialize(deserializer)?.unwrap_or_default())
}
