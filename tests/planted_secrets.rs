//! Tokens of every format of the catalogue, made for this test, are found, and nothing else is.

#[path = "../benches/secrets/planted.rs"]
mod planted;

use crashwise_modules::secrets::{ScanOptions, SecretScanner};

#[test]
fn planted_tokens_are_found_and_nothing_else() {
    let scanner = SecretScanner::new(ScanOptions::new());
    let files = planted::plant(1_000, planted::SEED);
    let (mut planted, mut missed, mut wrong) = (0_usize, Vec::new(), Vec::new());
    for file in &files {
        let found = scanner.scan_bytes(&file.name, file.text.as_bytes());
        for (rule, place) in &file.tokens {
            planted += 1;
            if !found.iter().any(|one| one.span.start < place.end && place.start < one.span.end) {
                missed.push(format!("{rule}: {}", &file.text[place.clone()]));
            }
        }
        for one in found {
            if !file.tokens.iter().any(|(_, place)| one.span.start < place.end && place.start < one.span.end)
            {
                wrong.push(format!("{}: {}", one.rule.id, &file.text[one.span]));
            }
        }
    }
    assert_eq!(planted, 1_000);
    assert!(missed.len() * 100 <= planted, "{} missed:\n{}", missed.len(), missed.join("\n"));
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    let again = planted::plant(1_000, planted::SEED);
    assert!(files.iter().zip(&again).all(|(a, b)| a.text == b.text), "the same seed gives the same set");
}
