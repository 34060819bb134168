use super::*;

fn check(promise: Promise, secrets: &[&str], others: &[&str]) {
    for value in secrets {
        let score = likelihood(promise, value.as_bytes(), true);
        assert!(score >= 0.5, "{value}: {score}");
    }
    for value in others {
        let score = likelihood(promise, value.as_bytes(), true);
        assert!(score < 0.5, "{value}: {score}");
    }
}

#[test]
fn stand_ins_are_sorted() {
    assert!(STAND_INS.is_sorted());
}

#[test]
fn passwords() {
    check(
        Promise::Password,
        &["hT7!kd92", "Zrgslrai49!", "ztnhgk", "Tr0ub4dor&3", "correct-horse-17", "kingfisher77"],
        &[
            "password",
            "my_secret",
            "changeme",
            "<password>",
            "${DB_PASS}",
            "{{ pass }}",
            "$PASSWORD",
            "xxxxxxxx",
            "12345",
            "123456789",
            "test1234",
            "wrong-password",
            "testpass",
            "%s",
            "your-password-here",
            "/etc/shadow",
            "https://a.example/b",
            "",
            "********",
            "the password is not valid",
            r"Hello\nworld",
            r"Hello\n\nworld",
            "abcdefgh",
        ],
    );
}

#[test]
fn credentials() {
    check(
        Promise::Credential,
        &[
            "b99sj6p86cvy",
            "4f5e9e7f0a1b2c3d",
            "DEnmIQC4pbqqPIdxs50l",
            "22c0a751914133d6c2b537a10f1e17c97e9188f5",
            r#"{\"name\": \"root\", \"sig\": \"399wmg38e97380t33g0u046120h9du3n\"}"#,
            "a1e36397-983c-7af8-e27d-fd85cdb715cf",
        ],
        &[
            "token",
            "my-token",
            "consumer_secret",
            "application/json",
            "getUserToken",
            "falcon-api",
            "HMAC-SHA1",
            "Bearer",
            "token:software",
            "api-key-here",
            "eyJrefresh",
        ],
    );
}

#[test]
fn hints() {
    check(
        Promise::Hint,
        &["i%3A6yWSSRVMhk7Ls-mVk6NK8O_0MfCzOnAi.stPyRaSV7Oca9rcjtTNed", "9a1f0c2b7d3e4f5061728394a5b6c7d8"],
        &["primary", "3.0.1", "HMAC-SHA1", "a1e36397-983c-7af8-e27d-fd85cdb715cf", "user.name", "ArrowRight"],
    );
}
