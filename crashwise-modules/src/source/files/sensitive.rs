//! Files that should not be in a source tree. Each rule looks at the name and, where a name is not enough, at the content.

use crashwise_core::{Confidence, Severity};
use memchr::memmem;
use std::sync::LazyLock;

/// A rule for files.
pub(super) struct SensitiveRule {
    /// The name, e.g. `file/private-key`.
    pub(super) id: &'static str,
    pub(super) title: &'static str,
    pub(super) severity: Severity,
    pub(super) confidence: Confidence,
    pub(super) cwe: u32,
    pub(super) fix: &'static str,
    test: fn(&Seen<'_>) -> bool,
}

/// What is known of a file.
pub(super) struct Seen<'f> {
    path: &'f str,
    name: &'f str,
    stem: &'f str,
    extension: &'f str,
    head: &'f [u8],
}

impl<'f> Seen<'f> {
    /// By the path in lower case and the first bytes, or all of them.
    pub(super) fn new(path: &'f str, head: &'f [u8]) -> Self {
        let name = path.rsplit_once('/').map_or(path, |(_, name)| name);
        let (stem, extension) = name.rsplit_once('.').unwrap_or((name, ""));
        Self { path, name, stem, extension, head }
    }

    fn holds(&self, text: &str) -> bool {
        memmem::find(self.head, text.as_bytes()).is_some()
    }

    fn is_named(&self, names: &[&str]) -> bool {
        names.contains(&self.name)
    }

    fn ends_with(&self, path: &str) -> bool {
        self.path.strip_suffix(path).is_some_and(|before| before.is_empty() || before.ends_with('/'))
    }

    /// A template that is there to be filled in.
    fn is_sample(&self) -> bool {
        ["example", "sample", "template", "dist", "tpl", "defaults", "schema"]
            .iter()
            .any(|word| self.name.contains(word))
    }

    /// Whether a line sets a name that contains one of the words to something that is no placeholder.
    fn sets(&self, words: &[&str]) -> bool {
        let text = String::from_utf8_lossy(self.head);
        text.lines().any(|line| {
            let Some((name, value)) = line.split_once('=').or_else(|| line.split_once(':')) else {
                return false;
            };
            let (name, value) = (name.trim().to_ascii_lowercase(), value.trim().trim_matches(['"', '\'']));
            let stand_in = value.len() < 4
                || value.starts_with(['$', '<', '{', '%'])
                || value.to_ascii_lowercase().starts_with("your")
                || value.to_ascii_lowercase().contains("change")
                || value.bytes().all(|b| b == value.as_bytes()[0]);
            !name.starts_with(['#', ';']) && !stand_in && words.iter().any(|word| name.contains(word))
        })
    }
}

/// Whether a text has a private key in it, with a body.
fn private_key(seen: &Seen<'_>) -> bool {
    static END: LazyLock<memmem::Finder<'static>> =
        LazyLock::new(|| memmem::Finder::new(b"PRIVATE KEY-----"));
    let Some(at) = END.find(seen.head) else { return false };
    let before = &seen.head[..at];
    let Some(begin) = memmem::rfind(before, b"-----BEGIN ") else { return false };
    let key = &seen.head[at + 16..];
    let body = key.iter().take(400).filter(|b| b.is_ascii_alphanumeric() || matches!(b, b'+' | b'/')).count();
    let own_file = before[..begin].iter().filter(|b| !b.is_ascii_whitespace()).count() == 0;
    at - begin < 40 && body >= 100 && (own_file || is_key_name(seen))
}

fn is_key_name(seen: &Seen<'_>) -> bool {
    matches!(seen.extension, "pem" | "key" | "priv" | "p8" | "pk8" | "asc" | "gpg")
        || seen.is_named(&["id_rsa", "id_dsa", "id_ecdsa", "id_ed25519", "identity"])
}

fn suspicious_name(seen: &Seen<'_>) -> bool {
    let data = [
        "",
        "txt",
        "json",
        "yaml",
        "yml",
        "xml",
        "csv",
        "ini",
        "conf",
        "cfg",
        "properties",
        "toml",
        "bak",
        "old",
        "env",
        "db",
        "xls",
        "xlsx",
        "doc",
        "docx",
    ];
    let words = [
        "credentials",
        "credential",
        "password",
        "passwords",
        "passwd",
        "secret",
        "secrets",
        "private_key",
        "api_key",
        "apikey",
        "api_keys",
        "token",
        "tokens",
    ];
    if !data.contains(&seen.extension) {
        return false;
    }
    let stem = seen.stem.trim_start_matches('.');
    let named = words.contains(&stem)
        || words.iter().any(|word| {
            stem.strip_prefix(word).is_some_and(|rest| rest.starts_with(['-', '_', '.']))
                || stem.strip_suffix(word).is_some_and(|rest| rest.ends_with(['-', '_', '.']))
        });
    named && !seen.is_sample() && seen.head.len() > 1
}

macro_rules! rules {
    ($($id:literal, $title:literal, $severity:ident, $confidence:ident, $cwe:literal, $fix:expr, $test:expr;)*) => {
        &[$(SensitiveRule {
            id: $id, title: $title, severity: Severity::$severity, confidence: Confidence::$confidence, cwe: $cwe,
            fix: $fix, test: $test,
        }),*]
    };
}

const REVOKE: &str =
    "Remove it from the tree and its history, revoke what it grants, and keep it in a store of secrets.";

/// All rules, the most telling first.
pub(super) const RULES: &[SensitiveRule] = rules! {
    "file/private-key", "Private key", High, High, 321,
    "Remove it from the tree and its history, make a new key, and keep it in a store of secrets.", private_key;
    "file/putty-key", "Private key of PuTTY", High, High, 321,
    "Remove it from the tree and its history and make a new key.",
    |seen| seen.head.starts_with(b"PuTTY-User-Key-File-");
    "file/gcp-service-account", "Key of a service account of Google Cloud", Critical, High, 798,
    "Delete the key in the console and use workload identity.",
    |seen| seen.extension == "json" && seen.holds("\"service_account\"") && seen.holds("PRIVATE KEY-----");
    "file/aws-credentials", "Credentials of AWS", Critical, High, 798,
    "Deactivate the key in IAM and use roles.",
    |seen| (seen.ends_with(".aws/credentials") || seen.is_named(&["credentials", "credentials.csv", "rootkey.csv", "accesskeys.csv"]))
        && (seen.holds("aws_secret_access_key") || seen.holds("AKIA") || seen.holds("AWSSecretKey"));
    "file/git-credentials", "Passwords of Git", High, High, 522,
    "Remove it from the tree and its history and revoke the tokens.",
    |seen| seen.is_named(&[".git-credentials"]) && seen.holds("://") && seen.holds("@");
    "file/npmrc-token", "Token of a package registry (npm)", High, High, 522,
    "Revoke the token and write ${NPM_TOKEN} instead.",
    |seen| seen.is_named(&[".npmrc", ".yarnrc", ".yarnrc.yml"]) && seen.sets(&["_authtoken", "_password", "_auth", "npmauthtoken"]);
    "file/pypirc-password", "Password of a package registry (PyPI)", High, High, 522, REVOKE,
    |seen| seen.is_named(&[".pypirc"]) && seen.sets(&["password"]);
    "file/cargo-credentials", "Token of a package registry (Cargo)", High, High, 522, REVOKE,
    |seen| (seen.ends_with(".cargo/credentials") || seen.ends_with(".cargo/credentials.toml")) && seen.sets(&["token"]);
    "file/gem-credentials", "Key of a package registry (RubyGems)", High, High, 522, REVOKE,
    |seen| seen.ends_with(".gem/credentials") && seen.sets(&["key"]);
    "file/docker-config", "Logins of container registries", High, High, 522,
    "Remove it from the tree and log out; use a credential helper.",
    |seen| (seen.ends_with(".docker/config.json") || seen.is_named(&[".dockercfg", ".dockerconfigjson"]))
        && seen.holds("\"auth\"");
    "file/netrc", "Passwords for hosts", High, High, 522, REVOKE,
    |seen| seen.is_named(&[".netrc", "_netrc"]) && seen.holds("password ");
    "file/pgpass", "Passwords of PostgreSQL", High, Medium, 522, REVOKE,
    |seen| seen.is_named(&[".pgpass", "pgpass.conf"]) && seen.holds(":");
    "file/mysql-login", "Passwords of MySQL", High, Medium, 522, REVOKE,
    |seen| seen.is_named(&[".mylogin.cnf"]) || (seen.is_named(&[".my.cnf"]) && seen.sets(&["password"]));
    "file/kubeconfig", "Access to a Kubernetes cluster", High, High, 522, REVOKE,
    |seen| (seen.ends_with(".kube/config") || seen.name.contains("kubeconfig"))
        && (seen.holds("client-key-data:") || seen.holds("token:") || seen.holds("password:"));
    "file/env", "Environment file with secrets", High, Medium, 798,
    "Remove it from the tree, add it to .gitignore, keep an .env.example without values.",
    |seen| (seen.name == ".env" || seen.name.starts_with(".env.") || seen.extension == "env") && !seen.is_sample()
        && seen.sets(&["password", "passwd", "secret", "token", "api_key", "apikey", "private_key", "access_key", "_pass", "_pwd", "credential", "_dsn", "database_url"]);
    "file/env-plain", "Environment file", Low, Medium, 538,
    "Add it to .gitignore and keep an .env.example without values.",
    |seen| (seen.name == ".env" || seen.name.starts_with(".env.")) && !seen.is_sample() && seen.head.len() > 1;
    "file/htpasswd", "Password hashes of a web server", Medium, High, 522,
    "Move it out of the tree.",
    |seen| seen.is_named(&[".htpasswd", "htpasswd"]) && seen.holds(":");
    "file/shadow", "Password hashes of a system", High, High, 522,
    "Move it out of the tree and change the passwords.",
    |seen| (seen.ends_with("etc/shadow") || seen.is_named(&["shadow", "shadow-"])) && seen.holds(":$");
    "file/keystore", "Key store", Medium, Medium, 321,
    "Keep it in a store of secrets; its password protects it only as long as nobody tries.",
    |seen| seen.head.starts_with(b"\xFE\xED\xFE\xED") || seen.head.starts_with(b"\xCE\xCE\xCE\xCE")
        || (matches!(seen.extension, "p12" | "pfx" | "jks" | "keystore" | "bks" | "jceks") && seen.head.starts_with(b"\x30"));
    "file/password-database", "Database of a password manager", High, High, 522,
    "Remove it from the tree and its history.",
    |seen| seen.head.starts_with(b"\x03\xD9\xA2\x9A")
        || (matches!(seen.extension, "kdbx" | "kdb" | "psafe3" | "agilekeychain" | "opvault") && !seen.head.is_empty());
    "file/wallet", "Wallet of a crypto currency", High, Medium, 321,
    "Remove it from the tree and its history, and move what it holds.",
    |seen| seen.name == "wallet.dat" || (seen.name.starts_with("utc--") && seen.holds("\"crypto\""));
    "file/terraform-state", "State of Terraform", Medium, Medium, 538,
    "Keep state in a remote backend with encryption: it holds secrets in the clear.",
    |seen| (seen.extension == "tfstate" || seen.name.ends_with(".tfstate.backup")) && seen.holds("\"terraform_version\"");
    "file/terraform-variables", "Variables of Terraform with secrets", Medium, Medium, 798, REVOKE,
    |seen| seen.name.ends_with(".tfvars") && !seen.is_sample() && seen.sets(&["password", "secret", "token", "access_key"]);
    "file/rails-master-key", "Master key of Rails", High, High, 321,
    "Remove it from the tree and its history and make a new one.",
    |seen| (seen.ends_with("config/master.key") || seen.ends_with("config/credentials/production.key"))
        && seen.head.trim_ascii().len() == 32 && seen.head.trim_ascii().iter().all(u8::is_ascii_hexdigit);
    "file/vpn-profile", "Profile of a VPN with its key", High, High, 321, REVOKE,
    |seen| (seen.extension == "ovpn" && seen.holds("<key>"))
        || (seen.extension == "conf" && seen.holds("[Interface]") && seen.holds("PrivateKey"));
    "file/secret-keyring", "Secret keys of GnuPG", High, High, 321, REVOKE,
    |seen| seen.is_named(&["secring.gpg"]) || (seen.extension == "key" && seen.path.contains("private-keys-v1.d/"));
    "file/remote-desktop", "Saved login of a remote session", Medium, Medium, 522, REVOKE,
    |seen| (seen.extension == "rdp" && seen.holds("password 51")) || (seen.is_named(&["filezilla.xml", "sitemanager.xml", "recentservers.xml"]) && seen.holds("<Pass"));
    "file/shell-history", "History of a shell or database client", Medium, Medium, 538,
    "Remove it from the tree: commands often hold passwords.",
    |seen| seen.is_named(&[".bash_history", ".zsh_history", ".sh_history", ".mysql_history", ".psql_history", ".python_history", ".node_repl_history", ".rediscli_history", ".irb_history"])
        && !seen.head.is_empty();
    "file/core-dump", "Memory image of a process", Medium, High, 528,
    "Remove it from the tree: memory holds keys and passwords.",
    |seen| seen.head.starts_with(b"\x7fELF") && seen.head.get(16..18).is_some_and(|kind| kind == [4, 0] || kind == [0, 4]);
    "file/browser-passwords", "Passwords saved by a browser", High, Medium, 522, REVOKE,
    |seen| seen.is_named(&["logins.json", "key4.db", "key3.db", "login data"]) && !seen.head.is_empty()
        && (seen.holds("encryptedPassword") || seen.head.starts_with(b"SQLite"));
    "file/suspicious-name", "File named after a secret", Low, Low, 538,
    "Look at it; if it holds secrets, remove it from the tree and its history.", suspicious_name;
};

/// The rules that a file breaks; a more telling one makes a vaguer one needless.
pub(super) fn broken_rules(seen: &Seen<'_>) -> Vec<&'static SensitiveRule> {
    let mut broken: Vec<&SensitiveRule> = RULES.iter().filter(|rule| (rule.test)(seen)).collect();
    if broken.len() > 1 {
        broken.retain(|rule| !matches!(rule.id, "file/suspicious-name" | "file/env-plain"));
    }
    broken
}
