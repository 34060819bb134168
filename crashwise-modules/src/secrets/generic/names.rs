//! What a name says about the value assigned to it.

/// What a name promises.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::secrets) enum Promise {
    /// A password: chosen by people, so it need not look random.
    Password,
    /// A secret, token or key issued by a machine: it looks random.
    Credential,
    /// A word that goes with secrets and with much else: the value must be random beyond doubt.
    Hint,
}

/// Words that name a password.
const PASSWORD: [&str; 12] = [
    "password",
    "passwd",
    "passphrase",
    "passcode",
    "passwort",
    "pass",
    "pwd",
    "pw",
    "psw",
    "pswd",
    "passw",
    "passkey",
];
/// Words that name a credential.
const CREDENTIAL: [&str; 12] = [
    "secret",
    "token",
    "apikey",
    "credential",
    "cred",
    "bearer",
    "nonce",
    "salt",
    "jwt",
    "otp",
    "seckey",
    "authkey",
];
/// Words that name a credential only with other evidence.
const HINT: [&str; 12] = [
    "auth",
    "authorization",
    "authentication",
    "signature",
    "sig",
    "verifier",
    "sid",
    "session",
    "cookie",
    "basic",
    "hash",
    "code",
];
/// What comes before `key` where it is one to keep.
const KEY_OF: [&str; 28] = [
    "api",
    "access",
    "secret",
    "private",
    "auth",
    "master",
    "account",
    "storage",
    "encryption",
    "encrypt",
    "signing",
    "sign",
    "consumer",
    "client",
    "session",
    "shared",
    "app",
    "application",
    "service",
    "hmac",
    "aes",
    "license",
    "ssh",
    "deploy",
    "webhook",
    "admin",
    "crypto",
    "cipher",
];
/// Last words that say the value is about a secret, not one.
const ABOUT: [&str; 72] = [
    "id",
    "ids",
    "name",
    "names",
    "type",
    "types",
    "url",
    "uri",
    "endpoint",
    "path",
    "file",
    "filename",
    "dir",
    "folder",
    "length",
    "len",
    "size",
    "count",
    "num",
    "number",
    "min",
    "max",
    "limit",
    "field",
    "fields",
    "label",
    "header",
    "headers",
    "prefix",
    "suffix",
    "param",
    "parameter",
    "placeholder",
    "hint",
    "policy",
    "expiry",
    "expires",
    "expire",
    "expiration",
    "ttl",
    "timeout",
    "age",
    "format",
    "regex",
    "regexp",
    "pattern",
    "algorithm",
    "alg",
    "method",
    "mode",
    "location",
    "index",
    "idx",
    "column",
    "required",
    "enabled",
    "valid",
    "error",
    "errors",
    "msg",
    "message",
    "title",
    "description",
    "list",
    "map",
    "set",
    "class",
    "version",
    "scope",
    "state",
    "status",
    "host",
];
/// Last words that add nothing: the word before decides.
const NEUTRAL: [&str; 12] =
    ["value", "val", "string", "str", "text", "plain", "raw", "base64", "b64", "hex", "encoded", "default"];
/// Words anywhere in a name that turn it around.
const AGAINST: [&str; 14] = [
    "public",
    "pub",
    "foreign",
    "primary",
    "keyboard",
    "partition",
    "sort",
    "author",
    "compass",
    "bypass",
    "passenger",
    "translation",
    "i18n",
    "css",
];

/// What the name promises; `None` where it is no name of a secret.
pub(in crate::secrets) fn promise(name: &[u8]) -> Option<Promise> {
    let words = words(name);
    if words.iter().any(|word| AGAINST.contains(&word.as_str())) {
        return None;
    }
    let mut last = words.len();
    while last > 1 && (NEUTRAL.contains(&words[last - 1].as_str()) || is_number(&words[last - 1])) {
        last -= 1;
    }
    let head = words.get(last.checked_sub(1)?)?.as_str();
    let singular =
        head.strip_suffix('s').filter(|word| word.len() > 3 && !word.ends_with('s')).unwrap_or(head);
    if ABOUT.contains(&singular) || ABOUT.contains(&head) {
        return None;
    }
    if let Some(promise) = of_word(singular) {
        return Some(promise);
    }
    let before = last.checked_sub(2).map(|at| words[at].as_str());
    if singular == "key" {
        return Some(match before {
            Some(word) if KEY_OF.contains(&word) || of_word(word) == Some(Promise::Credential) => {
                Promise::Credential
            }
            _ => Promise::Hint,
        });
    }
    // `password_confirmation`, `token2use`: weaker than a last word, still a promise.
    words[..last].iter().find_map(|word| of_word(word)).map(|_| Promise::Hint)
}

fn of_word(word: &str) -> Option<Promise> {
    if PASSWORD.contains(&word) {
        return Some(Promise::Password);
    }
    if CREDENTIAL.contains(&word) {
        return Some(Promise::Credential);
    }
    if HINT.contains(&word) {
        return Some(Promise::Hint);
    }
    // Words written together: `dbpassword`, `authtoken`, `secretkey`.
    for ending in ["password", "passwd", "pwd", "passphrase"] {
        if word.ends_with(ending) {
            return Some(Promise::Password);
        }
    }
    for ending in ["secret", "token", "apikey", "nonce"] {
        if word.ends_with(ending) {
            return Some(Promise::Credential);
        }
    }
    let key_of = word.strip_suffix("key")?;
    KEY_OF.iter().any(|of| key_of.ends_with(of)).then_some(Promise::Credential)
}

fn is_number(word: &str) -> bool {
    word.bytes().all(|byte| byte.is_ascii_digit())
}

/// The words of an identifier, lower-case, at most 16 of them: split at separators and where the case changes.
pub(super) fn words(name: &[u8]) -> Vec<String> {
    let mut words: Vec<String> = Vec::new();
    let mut word = String::new();
    for (at, &byte) in name.iter().enumerate() {
        if !byte.is_ascii_alphanumeric() {
            words.extend((!word.is_empty()).then(|| std::mem::take(&mut word)));
            continue;
        }
        let before = at.checked_sub(1).map(|before| name[before]);
        let next_is_lower = name.get(at + 1).is_some_and(u8::is_ascii_lowercase);
        let starts = before.is_some_and(|before| {
            byte.is_ascii_uppercase()
                && (before.is_ascii_lowercase() || before.is_ascii_uppercase() && next_is_lower)
                || byte.is_ascii_digit() != before.is_ascii_digit()
                    && !(byte.is_ascii_digit() && matches!(&*word, "base" | "b" | "i"))
                    && !matches!(&*word, "base6" | "b6" | "i1")
        });
        if starts {
            words.extend((!word.is_empty()).then(|| std::mem::take(&mut word)));
        }
        word.push(char::from(byte.to_ascii_lowercase()));
    }
    words.extend((!word.is_empty()).then_some(word));
    words.truncate(16);
    words
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn splits_identifiers() {
        for (name, expect) in [
            ("DB_PASSWORD", vec!["db", "password"]),
            ("clientSecret", vec!["client", "secret"]),
            ("HTTPAuthToken", vec!["http", "auth", "token"]),
            ("x-api-key", vec!["x", "api", "key"]),
            ("password2", vec!["password", "2"]),
            ("key_base64", vec!["key", "base64"]),
            ("__", vec![]),
        ] {
            assert_eq!(words(name.as_bytes()), expect, "{name}");
        }
    }

    #[test]
    fn what_names_promise() {
        use Promise::{Credential, Hint, Password};
        for (name, expect) in [
            ("password", Some(Password)),
            ("DB_PASS", Some(Password)),
            ("userPassword1", Some(Password)),
            ("dbpassword", Some(Password)),
            ("client_secret", Some(Credential)),
            ("setAuthToken", Some(Credential)),
            ("secretKeyBase64", Some(Credential)),
            ("accesskey", Some(Credential)),
            ("aws.secret.access.key", Some(Credential)),
            ("tokens", Some(Credential)),
            ("key", Some(Hint)),
            ("tesla-auth.sid", Some(Hint)),
            ("Authorization", Some(Hint)),
            ("password_confirmation", Some(Hint)),
            ("token_url", None),
            ("password_length", None),
            ("public_key", None),
            ("primary_key", None),
            ("keyboard", None),
            ("monkey", None),
            ("author", None),
            ("passenger_temp", None),
            ("accessKeyId", None),
            ("", None),
        ] {
            assert_eq!(promise(name.as_bytes()), expect, "{name}");
        }
    }
}
