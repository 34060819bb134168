//! Severities in the words and numbers of SARIF.

use crashwise_core::{Confidence, Severity};
use serde_sarif::sarif::{ResultKind, ResultLevel};

/// The level of a result. `none` says that there is no problem to grade: its kind is `informational`.
pub(crate) fn level(severity: Severity) -> ResultLevel {
    match severity {
        Severity::Critical | Severity::High => ResultLevel::Error,
        Severity::Medium => ResultLevel::Warning,
        Severity::Low => ResultLevel::Note,
        Severity::Info => ResultLevel::None,
    }
}

pub(crate) fn level_word(severity: Severity) -> &'static str {
    match severity {
        Severity::Critical | Severity::High => "error",
        Severity::Medium => "warning",
        Severity::Low => "note",
        Severity::Info => "none",
    }
}

/// The kind of a result; none where it is the default, `fail`.
pub(crate) fn kind(severity: Severity) -> Option<ResultKind> {
    (severity == Severity::Info).then_some(ResultKind::Informational)
}

/// The score of a severity on the scale of 0 to 10 that code scanning services read, inside the band of its name.
pub(crate) fn score(severity: Severity) -> &'static str {
    match severity {
        Severity::Critical => "9.5",
        Severity::High => "8.0",
        Severity::Medium => "5.5",
        Severity::Low => "2.0",
        Severity::Info => "0.0",
    }
}

/// The severity of a score on that scale.
pub(crate) fn from_score(score: f64) -> Option<Severity> {
    match score {
        score if score >= 9.0 => Some(Severity::Critical),
        score if score >= 7.0 => Some(Severity::High),
        score if score >= 4.0 => Some(Severity::Medium),
        score if score > 0.0 => Some(Severity::Low),
        0.0 => Some(Severity::Info),
        _ => None,
    }
}

/// The severity of a level that is not told more precisely.
pub(crate) fn from_level(level: ResultLevel) -> Severity {
    match level {
        ResultLevel::Error => Severity::High,
        ResultLevel::Warning => Severity::Medium,
        ResultLevel::Note => Severity::Low,
        ResultLevel::None => Severity::Info,
    }
}

/// The precision of a rule in the words that code scanning services read.
pub(crate) fn precision(confidence: Confidence) -> &'static str {
    confidence.as_str()
}

/// The confidence of such a word.
pub(crate) fn from_precision(word: &str) -> Option<Confidence> {
    match word {
        "very-high" => Some(Confidence::High),
        other => other.parse().ok(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scores_stay_in_the_band_of_their_name() {
        for severity in Severity::ALL {
            assert_eq!(from_score(score(severity).parse().unwrap()), Some(severity));
            assert_eq!(serde_json::to_value(level(severity)).unwrap(), level_word(severity));
        }
        assert_eq!(from_score(f64::NAN), None);
        assert_eq!(from_score(-1.0), None);
    }
}
