//! What is left of the accuracy on a repository that had no say in the thresholds.

use std::collections::{BTreeMap, BTreeSet};

use crashwise_core::Confidence;

/// A finding of a labelled repository, at any confidence.
#[derive(Debug)]
pub struct Judged {
    pub repository: String,
    pub rule: String,
    pub confidence: Confidence,
    /// The true rows that it hits.
    pub rows: Vec<usize>,
}

/// From which confidence on findings count, by family: generic passwords, generic credentials, formats. None counts no
/// finding of the family.
type Setting = [Option<Confidence>; 3];

const LEVELS: [Option<Confidence>; 4] =
    [Some(Confidence::Low), Some(Confidence::Medium), Some(Confidence::High), None];

fn family(rule: &str) -> usize {
    match rule {
        "secret/generic-password" => 0,
        "secret/generic-credential" => 1,
        _ => 2,
    }
}

/// Right findings, wrong findings and rows found.
fn count<'j>(found: impl Iterator<Item = &'j Judged>, setting: Setting) -> (usize, usize) {
    let (mut hit, mut wrong) = (BTreeSet::new(), 0);
    for one in found {
        if setting[family(&one.rule)].is_some_and(|least| one.confidence >= least) {
            hit.extend(one.rows.iter().map(|row| (one.repository.as_str(), *row)));
            wrong += usize::from(one.rows.is_empty());
        }
    }
    (hit.len(), wrong)
}

#[expect(clippy::cast_precision_loss, reason = "figures for people")]
fn figures(hit: usize, wrong: usize, rows: usize) -> (f64, f64, f64) {
    let precision = hit as f64 / (hit + wrong).max(1) as f64;
    let recall = hit as f64 / rows.max(1) as f64;
    (precision, recall, 2.0 * precision * recall / (precision + recall).max(1e-9))
}

/// For each repository: the best setting of the others, and what it gives on this one.
pub fn run(found: &[Judged], rows: &BTreeMap<String, usize>) {
    let settings: Vec<Setting> = LEVELS
        .iter()
        .flat_map(|a| LEVELS.iter().flat_map(move |b| LEVELS.iter().map(move |c| [*a, *b, *c])))
        .collect();
    let (mut hits, mut wrongs) = (0, 0);
    for (held_out, here) in rows {
        let elsewhere: usize = rows.iter().filter(|(name, _)| *name != held_out).map(|(_, rows)| rows).sum();
        let score = |setting: Setting| {
            let (hit, wrong) = count(found.iter().filter(|one| one.repository != *held_out), setting);
            figures(hit, wrong, elsewhere).2
        };
        // The first of equals, so that the choice is the same in every run.
        let best = settings.iter().copied().reduce(|a, b| if score(b) > score(a) { b } else { a });
        let Some(best) = best else { return };
        let (hit, wrong) = count(found.iter().filter(|one| one.repository == *held_out), best);
        let (precision, recall, f1) = figures(hit, wrong, *here);
        println!(
            "held out {held_out:10} true {here:4}  P {precision:.3}  R {recall:.3}  F1 {f1:.3}  setting {best:?}"
        );
        hits += hit;
        wrongs += wrong;
    }
    let (precision, recall, f1) = figures(hits, wrongs, rows.values().sum());
    println!("held out, all together: P {precision:.3}  R {recall:.3}  F1 {f1:.3}");
}
