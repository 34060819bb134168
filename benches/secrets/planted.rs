//! Tokens made from the formats of the catalogue, each with the checksum that its format asks for, in files that hold
//! nothing else of interest. The same seed gives the same set.

use regex_syntax::hir::{Class, Hir, HirKind};
use serde_json::json;

/// The families of the catalogue.
const FAMILIES: [&str; 9] = [
    include_str!("../../crashwise-modules/src/secrets/catalogue/data/structures.toml"),
    include_str!("../../crashwise-modules/src/secrets/catalogue/data/source_hosting.toml"),
    include_str!("../../crashwise-modules/src/secrets/catalogue/data/cloud.toml"),
    include_str!("../../crashwise-modules/src/secrets/catalogue/data/data.toml"),
    include_str!("../../crashwise-modules/src/secrets/catalogue/data/ai.toml"),
    include_str!("../../crashwise-modules/src/secrets/catalogue/data/payments.toml"),
    include_str!("../../crashwise-modules/src/secrets/catalogue/data/messaging.toml"),
    include_str!("../../crashwise-modules/src/secrets/catalogue/data/operations.toml"),
    include_str!("../../crashwise-modules/src/secrets/catalogue/data/products.toml"),
];
/// The seed of the recorded set.
pub const SEED: u64 = 0x5EED_2026_1121;

/// A file of the set.
#[derive(Debug)]
pub struct PlantedFile {
    pub name: String,
    pub text: String,
    /// Rule and place of each token.
    pub tokens: Vec<(String, std::ops::Range<usize>)>,
}

/// Makes `count` tokens, ten to a file.
pub fn plant(count: usize, seed: u64) -> Vec<PlantedFile> {
    let rules = rules();
    let mut random = Random(seed);
    let mut files: Vec<PlantedFile> = Vec::new();
    for n in 0..count {
        if n % 10 == 0 {
            let ending = ["py", "yaml", "js", "env", "json", "sh", "txt", "tf"][random.below(8)];
            files.push(PlantedFile {
                name: format!("set/{:04}.{ending}", n / 10),
                text: String::new(),
                tokens: Vec::new(),
            });
        }
        let Some(file) = files.last_mut() else { continue };
        for _ in 0..5 + random.below(20) {
            file.text.push_str(&clean_line(&mut random));
        }
        let (id, token) = rules[n % rules.len()].make(&mut random);
        let start = file.text.len();
        file.text.push_str(&token);
        file.tokens.push((id, start..file.text.len()));
        file.text.push('\n');
    }
    files
}

struct Rule {
    id: String,
    prefixes: Vec<String>,
    names: Vec<String>,
    pattern: Hir,
    check: String,
}

/// The rules that tell a secret by its format: not those that judge whether a password looks like one.
fn rules() -> Vec<Rule> {
    let mut rules = Vec::new();
    for family in FAMILIES {
        let family: toml::Table = family.parse().expect("a family");
        for rule in family["rule"].as_array().expect("rules") {
            let text = |key: &str| rule.get(key).and_then(toml::Value::as_str).unwrap_or_default().to_owned();
            let list = |key: &str| {
                let words = rule.get(key).and_then(toml::Value::as_array).into_iter().flatten();
                words.filter_map(|word| word.as_str().map(str::to_owned)).collect::<Vec<_>>()
            };
            if rule.get("judge").and_then(toml::Value::as_bool) == Some(true) {
                continue;
            }
            let pattern = if text("regex").is_empty() { text("body") } else { text("regex") };
            let parse = |unicode| {
                regex_syntax::ParserBuilder::new().unicode(unicode).utf8(false).build().parse(&pattern).ok()
            };
            rules.push(Rule {
                id: format!("secret/{}", text("id")),
                prefixes: list("prefixes"),
                names: list("names"),
                pattern: parse(false).or_else(|| parse(true)).expect("a pattern"),
                check: text("check"),
            });
        }
    }
    rules
}

impl Rule {
    fn make(&self, random: &mut Random) -> (String, String) {
        let mut token = String::new();
        if !self.prefixes.is_empty() {
            token.push_str(&self.prefixes[random.below(self.prefixes.len())]);
        }
        match self.check.as_str() {
            "jwt" => {
                let claims = json!({ "sub": random.text(12), "iat": 1_700_000_000 + random.below(1 << 20) });
                let head = base64(br#"{"alg":"HS256","typ":"JWT"}"#);
                token = format!("{head}.{}.{}", base64(claims.to_string().as_bytes()), random.text(43));
            }
            "private-key" => {
                let lines: String = (0..6).map(|_| random.text(64) + "\n").collect();
                token = format!("-----BEGIN RSA PRIVATE KEY-----\n{lines}-----END RSA PRIVATE KEY-----");
            }
            _ => sample(&self.pattern, random, &mut token),
        }
        self.satisfy(&mut token);
        if !self.names.is_empty() {
            let name = &self.names[random.below(self.names.len())];
            let name: String =
                name.chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '_' }).collect();
            token = format!("{}_KEY = \"{token}\"", name.to_ascii_uppercase());
        } else if !self.prefixes.is_empty() {
            let (before, behind) =
                [("", ""), ("x = \"", "\""), ("use ", " now"), ("- ", ""), ("'", "',")][random.below(5)];
            token = format!("{before}{token}{behind}");
        }
        (self.id.clone(), token)
    }

    /// Gives the token the checksum of its format.
    fn satisfy(&self, token: &mut String) {
        match self.check.as_str() {
            "crc32-base62" => {
                let body = token.rfind('_').map_or(0, |at| at + 1);
                let payload = token.len() - 6;
                let digits = digits(crc32(&token.as_bytes()[body..payload]), 62, 6);
                token.replace_range(payload.., &digits);
            }
            "crc32-base36" if token.contains('.') => {
                let checked = token.len() - 7;
                let digits = digits(crc32(&token.as_bytes()[..checked]), 36, 7);
                token.replace_range(checked.., &digits);
            }
            "crc32-hex" => {
                let checked = token.len() - 9;
                let digits = format!("_{:08x}", crc32(&token.as_bytes()[..checked]).swap_bytes());
                token.replace_range(checked.., &digits);
            }
            _ => {}
        }
    }
}

/// A text that the pattern matches. Patterns of a catalogue are not nested deeply.
fn sample(pattern: &Hir, random: &mut Random, out: &mut String) {
    match pattern.kind() {
        HirKind::Empty | HirKind::Look(_) => {}
        HirKind::Literal(literal) => out.push_str(&String::from_utf8_lossy(&literal.0)),
        HirKind::Class(class) => {
            let members = members(class);
            if !members.is_empty() {
                out.push(members[random.below(members.len())]);
            }
        }
        HirKind::Capture(capture) => sample(&capture.sub, random, out),
        HirKind::Repetition(repetition) => {
            let least = repetition.min as usize;
            let most = repetition.max.map_or(least + 8, |most| most as usize).min(least + 40);
            for _ in 0..least + random.below(most - least + 1) {
                sample(&repetition.sub, random, out);
            }
        }
        HirKind::Concat(parts) => parts.iter().for_each(|part| sample(part, random, out)),
        HirKind::Alternation(parts) => sample(&parts[random.below(parts.len())], random, out),
    }
}

/// The printable members of a class; letters and digits only where it is not a small one.
fn members(class: &Class) -> Vec<char> {
    let is_member = |c: char| match class {
        Class::Unicode(class) => class.iter().any(|range| (range.start()..=range.end()).contains(&c)),
        Class::Bytes(class) => class.iter().any(|range| (range.start()..=range.end()).contains(&(c as u8))),
    };
    let all: Vec<char> = (b' '..=b'~').map(char::from).filter(|&c| is_member(c)).collect();
    let plain: Vec<char> = all.iter().copied().filter(char::is_ascii_alphanumeric).collect();
    if plain.len() >= 8 { plain } else { all }
}

/// A line of source text or configuration without anything secret in it.
fn clean_line(random: &mut Random) -> String {
    const WORDS: [&str; 24] = [
        "user",
        "count",
        "window",
        "render",
        "index",
        "items",
        "update",
        "config",
        "path",
        "value",
        "buffer",
        "handler",
        "request",
        "timeout",
        "state",
        "parse",
        "width",
        "node",
        "result",
        "token_count",
        "key_name",
        "author",
        "password_length",
        "secret_name",
    ];
    let word = |random: &mut Random| WORDS[random.below(WORDS.len())];
    let (a, b, c) = (word(random), word(random), word(random));
    let n = random.below(10_000);
    match random.below(8) {
        0 => format!("{a}.{b}({c}, {n})\n"),
        1 => format!("let {a}_{n} = {b}.{c};\n"),
        2 => format!("# the {a} of each {b} is a {c}\n"),
        3 => format!("{a}: {n}\n"),
        4 => format!("if {a} > {n}: return {b}\n"),
        5 => format!("import {a}.{b} as {c}\n"),
        6 => format!("{a}_url = \"https://www.example.com/{b}/{n}\"\n"),
        _ => "\n".to_owned(),
    }
}

fn crc32(bytes: &[u8]) -> u32 {
    !bytes.iter().fold(!0_u32, |crc, &byte| {
        (0..8).fold(crc ^ u32::from(byte), |crc, _| crc >> 1 ^ (0xEDB8_8320 & (crc & 1).wrapping_neg()))
    })
}

fn digits(mut number: u32, base: u32, len: usize) -> String {
    const DIGITS: [&[u8; 62]; 2] = [
        b"0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ",
        b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz",
    ];
    let mut text = vec!['0'; len];
    for digit in text.iter_mut().rev() {
        *digit = char::from(DIGITS[usize::from(base == 62)][(number % base) as usize]);
        number /= base;
    }
    text.into_iter().collect()
}

fn base64(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    let mut text = String::new();
    for chunk in bytes.chunks(3) {
        let bits =
            chunk.iter().fold(0_u32, |bits, &byte| bits << 8 | u32::from(byte)) << (8 * (3 - chunk.len()));
        for digit in 0..=chunk.len() {
            text.push(char::from(DIGITS[(bits >> (18 - 6 * digit) & 63) as usize]));
        }
    }
    text
}

/// `xorshift64*`: enough for test data, and the same on every machine.
struct Random(u64);

impl Random {
    fn below(&mut self, bound: usize) -> usize {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        let high = self.0.wrapping_mul(0x2545_F491_4F6C_DD1D) >> 33;
        usize::try_from(high).unwrap_or(0) % bound.max(1)
    }

    fn text(&mut self, len: usize) -> String {
        const LETTERS: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789";
        (0..len).map(|_| char::from(LETTERS[self.below(LETTERS.len())])).collect()
    }
}
