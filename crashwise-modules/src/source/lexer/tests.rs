use super::*;
use crate::source::Language;
use proptest::prelude::*;

/// The text with `‹letter …›` around each token: `c` comment, `s` string, `i` string with code in it, `'` character,
/// `r` regex, `m` markup.
fn marked(language: Language, text: &str) -> String {
    let mut marked = String::new();
    let mut at = 0;
    for token in lex(text.as_bytes(), language) {
        let mark = match token.kind {
            TokenKind::Comment => "c",
            TokenKind::String => "s",
            TokenKind::Char => "'",
            TokenKind::Regex => "r",
            TokenKind::Markup => "m",
            _ => "i",
        };
        marked.extend([&text[at..token.start], "‹", mark, " ", &text[token.start..token.end], "›"]);
        at = token.end;
    }
    marked + &text[at..]
}

#[test]
fn languages() {
    for (language, expect) in [
        (Language::Python, "x = ‹s 'a'› ‹c # b›"),
        (Language::Python, r##"‹s 'a\'b'› ‹s "#"› ‹s rb'\''› sub‹s ""› x"##),
        (Language::Python, "‹s '''a'b\n'''› y"),
        (Language::Python, r#"‹i f'a{›b[‹s "k"›]‹i }c{{}}'› z"#),
        (Language::Python, "‹s 'open›\nx = 1"),
        (Language::JavaScript, "a = b / c / d; ‹c // e›"),
        (Language::JavaScript, r#"x = ‹r /[/"]/›.test(y)"#),
        (Language::JavaScript, "return ‹r /'/›g; x.in / 2 / 3"),
        (Language::JavaScript, "‹i `a${› {b:‹i `c${›d‹i }`›} ‹i }e`› f"),
        (Language::JavaScript, "x ‹c /* ' */› y = ‹c /*z*/› ‹r /'/›"),
        (Language::Rust, r"fn f<'a>(x: &'a str) { ‹' '\''› ‹' 'b'› ‹' 'ü'› 'l: loop {} }"),
        (Language::Rust, r##"‹s r#"a"b"#› ‹c /* /* */ */› z ‹s b"q"›"##),
        (Language::C, "‹s R\"x(a\")x\"› 1'000 ‹' 'c'› L‹s \"w\"› ‹c // a\\\nb›\nd"),
        (Language::Go, "‹s `a\n\"`› ‹' '\"'› x"),
        (Language::Java, "‹s \"\"\"\na \" b\"\"\"› x"),
        (Language::CSharp, r#"‹i $"a{›b‹i }c"› ‹s @"\"› x"#),
        (Language::Php, "‹m <p>'</p><?php› ‹c # x›\n$a = ‹i \"b $c\"›; #[A]\n‹c // z ›?>‹m it's›"),
        (Language::Php, "‹m <?php› $x = <<<EOT\n‹i hi $y'\n›EOT;\n‹s 'z'›"),
        (Language::Ruby, "x = ‹s %w[a b]› % 2 ‹c # c›"),
        (Language::Ruby, "f(<<~SQL, 1)\n‹s   a'\n›SQL\n‹i \"b#{›c‹i }\"›"),
        (Language::Ruby, "‹c =begin\nx\n=end›\ny; a << B; c = d / e; split ‹r /'/›"),
        (Language::Ruby, "‹s %q(a(b)c)› x\n‹c __END__\n'›"),
    ] {
        let text: String = expect.replace('›', "");
        let text = text.split('‹').enumerate().map(|(n, part)| if n == 0 { part } else { &part[2..] });
        assert_eq!(marked(language, &text.collect::<String>()), expect, "{language}");
    }
}

proptest! {
    #[test]
    fn tokens_are_in_order(text in "[a-z'\"`#/*%{}()<~$@?=\\\\\n R]{0,200}", language in 0..Language::ALL.len()) {
        let mut end = 0;
        for token in lex(text.as_bytes(), Language::ALL[language]) {
            prop_assert!(token.start >= end && token.end >= token.start && token.end <= text.len());
            prop_assert!(token.content().end >= token.content().start);
            end = token.end;
        }
    }
}
