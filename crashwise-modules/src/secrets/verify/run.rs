//! Asks for many secrets, each once.

use std::collections::BTreeMap;

use crashwise_core::{Gap, GapReason, ModuleContext};

use super::{Verification, Verifier};
use crate::secrets::report::Occurrence;

/// The most secrets that are asked for in one run.
const MAX_ASKED: usize = 1_000;

/// What issuers say, by rule and digest of the secret; rules that nobody can be asked about are not in it.
pub(in crate::secrets) async fn verify_all(
    cx: &ModuleContext,
    verifier: &dyn Verifier,
    occurrences: &[Occurrence],
) -> BTreeMap<(String, String), Verification> {
    let mut distinct = BTreeMap::new();
    for one in occurrences {
        let key = (one.found.rule.id.to_string(), one.digest.to_string());
        distinct.entry(key).or_insert(one);
    }
    let mut answers = BTreeMap::new();
    let mut unknown = 0_usize;
    for (key, one) in distinct {
        if cx.is_cancelled() || answers.len() >= MAX_ASKED {
            let reason = if cx.is_cancelled() { GapReason::Cancelled } else { GapReason::TooMany };
            cx.not_covered(Gap::new("verification", reason, "not every secret was asked for"));
            break;
        }
        let asked = tokio::select! {
            answer = verifier.verify(&one.found.rule, &one.found.secret) => answer,
            () = cx.cancelled() => Some(Verification::Unknown),
        };
        if let Some(answer) = asked {
            unknown += usize::from(answer == Verification::Unknown);
            answers.insert(key, answer);
        }
    }
    if unknown > 0 {
        let detail = format!("{unknown} secrets could not be verified: no answer, or one that says neither");
        cx.not_covered(Gap::new("verification", GapReason::Failed, detail));
    }
    answers
}
