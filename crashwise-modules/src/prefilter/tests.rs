use std::collections::BTreeSet;

use proptest::prelude::*;

use super::{Case, LiteralError, Prefer, Prefilter, mandatory_literals, tail_of_hir};

type Literals = Vec<(Vec<u8>, Case)>;

fn found(literals: &Literals, haystack: &[u8]) -> Vec<(usize, usize)> {
    let mut builder = Prefilter::builder();
    let range = builder
        .add_all(literals.iter().map(|(bytes, case)| (bytes, *case)))
        .expect("literals of valid length");
    let prefilter = builder.build();
    let mut hits = Vec::new();
    prefilter.scan(haystack, |hit| hits.push((hit.start, range.local(hit.literal).expect("own literal"))));
    hits.sort_unstable();
    hits
}

fn naive(literals: &Literals, haystack: &[u8]) -> Vec<(usize, usize)> {
    let mut hits = Vec::new();
    for start in 0..haystack.len() {
        for (index, (literal, case)) in literals.iter().enumerate() {
            let Some(window) = haystack.get(start..start + literal.len()) else { continue };
            let equal = match case {
                Case::Sensitive => window == literal.as_slice(),
                Case::Insensitive => window.eq_ignore_ascii_case(literal),
            };
            if equal {
                hits.push((start, index));
            }
        }
    }
    hits
}

fn literal() -> impl Strategy<Value = (Vec<u8>, Case)> {
    let byte = prop_oneof![8 => prop::sample::select(b"abABk_@`\0{[".to_vec()), 1 => any::<u8>()];
    let bytes =
        prop_oneof![3 => prop::collection::vec(byte.clone(), 2..8), 1 => prop::collection::vec(byte, 14..20)];
    (bytes, prop::sample::select(vec![Case::Sensitive, Case::Insensitive]))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    #[test]
    fn finds_what_a_naive_search_finds(
        literals in prop::collection::vec(literal(), 1..12),
        filler in prop::collection::vec(prop::sample::select(b"abABk_@`\0{[ \n".to_vec()), 0..200),
        planted in prop::collection::vec((any::<prop::sample::Index>(), 0_usize..9000, any::<u32>()), 0..12),
        len in 0_usize..9000,
    ) {
        let mut haystack: Vec<u8> = filler.iter().copied().cycle().take(if filler.is_empty() { 0 } else { len }).collect();
        for (which, at, flips) in planted {
            let (literal, _) = which.get(&literals);
            let Some(place) = haystack.get_mut(at..at + literal.len()) else { continue };
            place.copy_from_slice(literal);
            // Letters in another case, and now and then something that only looks as if it were.
            for (n, byte) in (0..).zip(place) {
                let flip = flips >> n & 1 != 0 && (byte.is_ascii_alphabetic() || flips >> 28 == n);
                *byte ^= if flip { 0x20 } else { 0 };
            }
        }
        prop_assert_eq!(found(&literals, &haystack), naive(&literals, &haystack));
    }

    #[test]
    fn a_match_contains_a_mandatory_literal(text in "[a-c_=]{0,6}(key|Token)[-_]?id= ?[x-z]{2}[a-c]{0,3}") {
        let pattern = r"(?i:[a-z_]{0,6}(?:key|token)[-_]?id)\s*=\s*[x-z]{2}";
        let literals = mandatory_literals(pattern).expect("a mandatory literal");
        let words = literals.iter().map(|literal| (literal.bytes.clone(), literal.case)).collect();
        let hits = found(&words, text.as_bytes());
        prop_assert!(!hits.is_empty());
        let matched = regex::bytes::Regex::new(pattern).expect("valid").find(text.as_bytes()).expect("a match");
        let begins = |&(place, which): &(usize, usize)| {
            (literals[which].before.earliest(text.as_bytes(), place, 256)..=place).contains(&matched.start())
        };
        prop_assert!(hits.iter().any(begins));
    }
}

#[test]
fn finds_every_alignment_across_block_borders() {
    let literals: Literals = ["ab", "xyz", "AKIA", "secret_key", "@_"]
        .into_iter()
        .flat_map(|text| [(text.into(), Case::Sensitive), (text.into(), Case::Insensitive)])
        .collect();
    for (literal, _) in &literals {
        for len in [literal.len(), 17, 4095, 4104, 8200, 12_300] {
            for at in (0..20).chain(4080..4110).chain(8180..8200).chain([len - literal.len()]) {
                let mut haystack = vec![b'.'; len];
                let Some(place) = haystack.get_mut(at..at + literal.len()) else { continue };
                place.copy_from_slice(literal);
                assert_eq!(
                    found(&literals, &haystack),
                    naive(&literals, &haystack),
                    "{literal:?} at {at} of {len}"
                );
            }
        }
    }
}

#[test]
fn literals_that_share_a_window_are_all_found() {
    let literals: Literals = vec![
        (b"xoxb".into(), Case::Sensitive),
        (b"xoxb-1".into(), Case::Sensitive),
        (b"XOXB".into(), Case::Insensitive),
    ];
    assert_eq!(found(&literals, b"..xoxb-1"), [(2, 0), (2, 1), (2, 2)]);
}

#[test]
fn sets_keep_ranges_of_their_own() {
    let mut builder = Prefilter::builder();
    let first = builder.add_all([("one1", Case::Sensitive), ("two2", Case::Sensitive)]).expect("valid");
    let refused = builder.add_all([("good", Case::Sensitive), ("x", Case::Sensitive)]);
    assert_eq!(refused, Err(LiteralError::TooShort { len: 1 }));
    let second = builder.add_all([("two2", Case::Sensitive)]).expect("valid");
    let prefilter = builder.build();
    let mut hits = Vec::new();
    prefilter.scan(b"two2", |hit| hits.push((first.local(hit.literal), second.local(hit.literal))));
    assert_eq!(hits, [(Some(1), None), (None, Some(0))]);
    assert_eq!(prefilter.len(), 3);
}

#[test]
fn refuses_literals_of_a_length_it_cannot_hold() {
    let mut builder = Prefilter::builder();
    assert_eq!(builder.add(b"", Case::Sensitive), Err(LiteralError::TooShort { len: 0 }));
    assert_eq!(
        builder.add(&[b'a'; 4097], Case::Sensitive),
        Err(LiteralError::TooLong { len: 4097, max: 4096 })
    );
    assert!(builder.add(&[b'a'; 4096], Case::Sensitive).is_ok());
}

#[test]
fn tells_where_a_match_may_begin() {
    for (pattern, text, expect) in [
        (r"\beval\(", "x = eval(y)", "eval(y)"),
        (r"(?:os|sys)\.system\(", "x = os.system(y)", "os.system(y)"),
        (r"[a-z]+\s*=\s*execute_sql", "a, bc = execute_sql", " bc = execute_sql"),
        (r"(?:a|bb){2,3}key_id", "abababbkey_id", "bababbkey_id"),
        (r"(?:\w+\.)?(?:delete_all|[0-9]{2}drop_all)", "a b.c9.42drop_all", "b.c9.42drop_all"),
        (r"(?u:[\u{E9}x])secret_key", "ab\u{E9}secret_key", "\u{E9}secret_key"),
    ] {
        let literals = mandatory_literals(pattern).expect(pattern);
        let hits: Vec<_> = literals
            .iter()
            .filter_map(|one| Some((one, memchr::memmem::find(text.as_bytes(), &one.bytes)?)))
            .collect();
        let [(literal, place)] = hits[..] else { panic!("{pattern}: {literals:?}") };
        let start = literal.before.earliest(text.as_bytes(), place, 256);
        assert_eq!(&text[start..], expect, "{pattern}");
        assert!(literal.before.earliest(text.as_bytes(), place, 1) + 1 >= place);
    }
}

#[test]
fn tells_what_a_match_is_from_its_literal_on() {
    let parse = |pattern: &str| {
        regex_syntax::ParserBuilder::new().unicode(false).utf8(false).build().parse(pattern).expect("valid")
    };
    for (pattern, expect) in [
        (r"eval|exec", Some(r"eval|exec")),
        (r"\w{0,9}(?:secret|token)\d*x", Some(r"(?:secret|token)\d*x")),
        (r"[a-z]+=zendesk[0-9]", Some("=zendesk[0-9]")),
        (r"a?\s*(?:static\s+mut|const\s+fn)", Some(r"(?:static\s+mut|const\s+fn)")),
        (r"a?(?:\d+_key|drop_all)x", Some(r"(?:_key|drop_all)x")),
        (r"\d?(?:x?(?:secret_)+y)?(?:a|z)?(?:_id)+", Some(r"_id(?:_id)*")),
        (r"\w*(?:(?:auth)?\w*[_-]token|cred\d)=", Some(r"(?:[_-]token|cred\d)=")),
        (r"[0-9a-f]{32}", None),
    ] {
        assert_eq!(tail_of_hir(&parse(pattern), Prefer::Rare), expect.map(parse), "{pattern}");
    }
    let pattern = r"\.(?:read_line\([^)]*\)|next_line\(\))\s*\.(?:unwrap|expect)\(";
    for (prefer, expect) in [(Prefer::Rare, r"\.(?:unwrap|expect)\("), (Prefer::Early, &pattern[2..])] {
        assert_eq!(tail_of_hir(&parse(pattern), prefer), Some(parse(expect)), "{prefer:?}");
    }
    let rare_behind = r"name\s*=\s*zx[q]jk";
    assert_eq!(tail_of_hir(&parse(rare_behind), Prefer::Early), Some(parse("zx[q]jk")));
}

#[test]
fn derives_the_rarest_mandatory_literals() {
    let check = |pattern: &str, expect: &[&str]| {
        let literals = mandatory_literals(pattern);
        let texts: BTreeSet<String> = literals
            .iter()
            .flatten()
            .map(|literal| {
                let text = String::from_utf8_lossy(&literal.bytes);
                if literal.case == Case::Insensitive { format!("i:{text}") } else { text.into_owned() }
            })
            .collect();
        assert_eq!(texts, expect.iter().map(|&text| text.to_owned()).collect(), "{pattern}");
    };
    check(r"\bghp_[0-9A-Za-z]{36}\b", &["ghp_"]);
    check(r"(?:AKIA|ASIA)[A-Z2-7]{16}", &["AKIA", "ASIA"]);
    check(r"xox[bp]-\d+", &["xoxb-", "xoxp-"]);
    check(r"(?i)token.{0,20}zoho", &["i:zoho"]);
    check(r"[a-z]+@(?:mail|smtp)\.example", &["@mail.example", "@smtp.example"]);
    check(r"(?:ab){2}[0-9]+", &["abab"]);
    check(r"(?:key)+", &["key"]);
    check(r"dlopen(?:_ext)?|dlsym", &["dlopen", "dlsym"]);
    check(r"colou?r_q[0-9]", &["color_q", "colour_q"]);
    check(r"(?:secret)?[0-9]{8}", &[]);
    check(r"(?:abcd|[0-9]{8})", &[]);
    check(r"a[0-9]", &[]);
    check(r"(", &[]);
}
