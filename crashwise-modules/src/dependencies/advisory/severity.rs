//! How bad an advisory is: its own scores, its source's word, its aliases, its class, and otherwise unknown.

use crashwise_core::Severity;
use cvss::Cvss;

use super::record::{Class, Record, SeverityScore};

/// What a severity was taken from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum SeveritySource {
    /// A CVSS vector of the advisory.
    Cvss,
    /// The word of the advisory's source.
    Database,
    /// Another advisory of the same vulnerability.
    Alias,
    /// The class of the advisory.
    Class,
    /// Nothing says it.
    Unknown,
}

impl SeveritySource {
    pub(super) const ALL: [Self; 5] = [Self::Cvss, Self::Database, Self::Alias, Self::Class, Self::Unknown];

    /// The lower-case word used in every report.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Cvss => "cvss",
            Self::Database => "database",
            Self::Alias => "alias",
            Self::Class => "class",
            Self::Unknown => "unknown",
        }
    }
}

/// How bad an advisory is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rating {
    /// The level; `None` if nothing says it.
    pub severity: Option<Severity>,
    /// CVSS base score times ten, 0 to 100; `None` without a vector.
    pub score: Option<u8>,
    /// What it was taken from.
    pub source: SeveritySource,
}

impl Rating {
    pub(super) const UNKNOWN: Self = Self { severity: None, score: None, source: SeveritySource::Unknown };

    /// What the record itself says, class included only for malicious packages.
    pub(super) fn of_record(record: &Record, class: Class) -> Self {
        if class == Class::Malicious {
            return Self { severity: Some(Severity::Critical), score: None, source: SeveritySource::Class };
        }
        let scores =
            record.severity.iter().chain(record.affected.iter().flat_map(|affected| &affected.severity));
        let score = scores.filter_map(score_of).max();
        if let Some(score) = score {
            return Self { severity: Some(level(score)), score: Some(score), source: SeveritySource::Cvss };
        }
        let places = [&record.database_specific]
            .into_iter()
            .chain(record.affected.iter().map(|affected| &affected.database_specific));
        let word = places.filter_map(|place| place.get("severity")?.as_str()).find_map(word_level);
        match word {
            Some(severity) => {
                Self { severity: Some(severity), score: None, source: SeveritySource::Database }
            }
            None => Self::UNKNOWN,
        }
    }

    /// What the class says when nothing else does.
    pub(super) fn of_class(class: Class) -> Self {
        let severity = match class {
            Class::Malicious => Severity::Critical,
            Class::Unsound => Severity::Medium,
            Class::Unmaintained | Class::Notice => Severity::Low,
            Class::Vulnerability => return Self::UNKNOWN,
        };
        Self { severity: Some(severity), score: None, source: SeveritySource::Class }
    }

    /// The worse of two ratings.
    pub(super) fn worse(self, other: Self) -> Self {
        if (other.severity, other.score) > (self.severity, self.score) { other } else { self }
    }
}

/// The base score times ten of a vector, or of a bare number as some sources write it.
fn score_of(score: &SeverityScore) -> Option<u8> {
    let text = score.score.trim();
    let value = match text.parse::<Cvss>() {
        Ok(vector) => vector.score(),
        Err(_) => text.parse::<f64>().ok()?,
    };
    if !(0.0..=10.0).contains(&value) {
        return None;
    }
    let tenths = (value * 10.0).round();
    (0..=100_u8).find(|tenth| f64::from(*tenth) >= tenths)
}

/// The level of a base score times ten, by the table of CVSS v3 and v4; a score of zero is informational.
pub(super) fn level(score: u8) -> Severity {
    match score {
        0 => Severity::Info,
        1..=39 => Severity::Low,
        40..=69 => Severity::Medium,
        70..=89 => Severity::High,
        _ => Severity::Critical,
    }
}

fn word_level(word: &str) -> Option<Severity> {
    match word.to_ascii_lowercase().as_str() {
        "negligible" | "unimportant" | "none" => Some(Severity::Info),
        "low" => Some(Severity::Low),
        "moderate" | "medium" => Some(Severity::Medium),
        "high" | "important" => Some(Severity::High),
        "critical" => Some(Severity::Critical),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scores_of_every_system() {
        for (text, expect) in [
            ("AV:N/AC:L/Au:N/C:C/I:C/A:C", Some(100)),
            ("CVSS:3.0/AV:N/AC:H/PR:N/UI:N/S:U/C:H/I:H/A:H", Some(81)),
            ("CVSS:3.1/AV:N/AC:L/PR:N/UI:N/S:U/C:H/I:H/A:H", Some(98)),
            ("CVSS:3.1/AV:N/AC:L/PR:N/UI:N/S:U/C:N/I:N/A:N", Some(0)),
            ("CVSS:4.0/AV:N/AC:L/AT:N/PR:N/UI:N/VC:H/VI:H/VA:H/SC:N/SI:N/SA:N", Some(93)),
            ("7.5", Some(75)),
            ("11", None),
            ("garbage", None),
        ] {
            assert_eq!(score_of(&SeverityScore { score: text.to_owned() }), expect, "{text}");
        }
        assert_eq!(
            [0, 39, 40, 69, 70, 89, 90].map(level),
            [
                Severity::Info,
                Severity::Low,
                Severity::Medium,
                Severity::Medium,
                Severity::High,
                Severity::High,
                Severity::Critical
            ]
        );
    }

    #[test]
    fn a_record_is_rated_by_the_first_source_that_says_something() {
        let rated = |json: &str| {
            let record: Record = serde_json::from_str(json).unwrap();
            let rating = Rating::of_record(&record, Class::of(&record));
            (rating.severity, rating.source)
        };
        for (json, expect) in [
            (r#"{"id": "MAL-2024-1"}"#, (Some(Severity::Critical), SeveritySource::Class)),
            (
                r#"{"id": "A", "database_specific": {"severity": "MODERATE"}}"#,
                (Some(Severity::Medium), SeveritySource::Database),
            ),
            (
                r#"{"id": "A", "severity": [{"type": "CVSS_V2", "score": "AV:N/AC:L/Au:N/C:C/I:C/A:C"}], "database_specific": {"severity": "LOW"}}"#,
                (Some(Severity::Critical), SeveritySource::Cvss),
            ),
            (r#"{"id": "A"}"#, (None, SeveritySource::Unknown)),
        ] {
            assert_eq!(rated(json), expect, "{json}");
        }
    }
}
