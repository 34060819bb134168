//! Credentials that standards, manuals and emulators print for everybody: who finds one has found a quotation.

/// Whether a value is such a credential.
pub(super) fn is_published(value: &[u8]) -> bool {
    PUBLISHED.binary_search_by(|known| known.as_bytes().cmp(value)).is_ok()
}

/// Sorted. From RFC 1635 (FTP), 2617 and 7617 (HTTP authentication), 4226 and 6238 (one-time passwords), 5849 (OAuth 1), 6455
/// (WebSocket), 6749, 6750, 7009, 7591, 7636, 7662 and 8628 (OAuth 2), 7515 and 7519 (JWT); OAuth Core 1.0 and its drafts of MAC
/// tokens; `OpenID` Connect Core; jwt.io; the documentation of Stripe and of Google Authenticator; the emulators of Azure Storage and
/// Cosmos DB, which take no other key; and the one password that everybody knows.
const PUBLISHED: [&str; 70] = [
    "0685bd9184jfhq22",
    "12345678901234567890",
    "23410913-abewfq.123483",
    "2YotnFZFEjr1zCsicMWpAA",
    "3132333435363738393031323334353637383930",
    "4572616e48616d6d65724c61686176",
    "45ghiukldjahdnhzdauz",
    "489dks293j39",
    "5ccc069c403ebaf9f0171e9517f40e41",
    "6629fae49393a05397450978507c4ef1",
    "74KNZJeDHnMBp0EMJ9ZHt%2FXKycU%3D",
    "74KNZJeDHnMBp0EMJ9ZHt/XKycU=",
    "7Fjfp0ZBr1KtDRbnfVdmIw",
    "8xLOxBtZp8",
    "9djdj82h48djs9d2",
    "AyM1SysPpbyDfgZld3umj1qzKObwVMkoqQ-EstJQLr_T-1qS0gZH75aKtMN3Yj0iPS4hcgUuTwjAzZr1Z9CAow",
    "C2y6yDjf5/R+ob0N8A7Cgv30VRDJIWEHLM+4QDU5DE2nQ9nDuVTqobD4b8mGGyPMbIZnqyMsEcaGQy67XIw/Jw==",
    "Circle Of Life",
    "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM",
    "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw==",
    "GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ",
    "GmRhmhcxhwAzkoEqiMEg_DnyEysNkuNhszIySk9eS",
    "JBSWY3DPEHPK3PXP",
    "MdpQcU8iPSUjWoN%2FUDMsK2sui9I%3D",
    "MdpQcU8iPSUjWoN/UDMsK2sui9I=",
    "QWxhZGRpbjpPcGVuU2VzYW1l",
    "QWxhZGRpbjpvcGVuIHNlc2FtZQ==",
    "SlAV32hkKG",
    "SplxlOBeZQQYbYS6WxSbIA",
    "WmwHQ8Ckw5o",
    "ad180jjd733klru7",
    "adijq39jdlaska9asud",
    "af0ifjsldkj",
    "anonymous@",
    "bYT5CMsGcbgUdFHObYMEfcx6bsw%3D",
    "bYT5CMsGcbgUdFHObYMEfcx6bsw=",
    "cf136dc3c1fc93f31185e5885805d",
    "czZCaGRSa3F0Mzo3RmpmcDBaQnIxS3REUmJuZlZkbUl3",
    "czZCaGRSa3F0MzpnWDFmQmF0M2JW",
    "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk",
    "dGVzdDoxMjPCow==",
    "dGhlIHNhbXBsZSBub25jZQ==",
    "dcd98b7102dd2f0e8b11d0f600bfb0c093",
    "dh893hdasih9",
    "djr9rjt0jd78jf88",
    "dpf43f3p2l4k3l03",
    "eyJ0eXAiOiJKV1QiLA0KICJhbGciOiJIUzI1NiJ9.eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9pc19yb290Ijp0cnVlfQ.dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk",
    "eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9.eyJzdWIiOiIxMjM0NTY3ODkwIiwibmFtZSI6IkpvaG4gRG9lIiwiYWRtaW4iOnRydWV9.TJVA95OrM7E2cBab30RMHrHDcEfxjoYZgeFONFh7HgQ",
    "eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9.eyJzdWIiOiIxMjM0NTY3ODkwIiwibmFtZSI6IkpvaG4gRG9lIiwiaWF0IjoxNTE2MjM5MDIyfQ.SflKxwRJSMeKKF2QT4fwpMeJf36POk6yJV_adQssw5c",
    "gX1fBat3bV",
    "h480djs93hd8",
    "hdhd0244k9j7ao03",
    "hh5s93j4hdidpola",
    "hunter2",
    "j49sk3j29djd",
    "jHkWEdUXMU1BwAsC4vtUsZwVNvTxIxr0z9k3vJF44",
    "jd93dh9dh39D",
    "kd94hf93k423kf44",
    "kkk9d7dh3k39sjv7",
    "mF_9.B5f-4.1JqM",
    "n-0S6_WzA2Mj",
    "nnch734d00sl2jdk",
    "pfkkdhi9sl3r4s00",
    "reg-23410913-abewfq.123483",
    "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=",
    "sk_test_4eC39HqLyjWDarjtT1zdp7dc",
    "tGzv3JOkF0XG5Qx2TlKWIA",
    "this.is.an.access.token.value.ffx83",
    "wOJIO9A2W5mFwDgiDvZbTSMK%2FPY%3D",
    "wOJIO9A2W5mFwDgiDvZbTSMK/PY=",
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quotations_are_known_whole() {
        assert!(PUBLISHED.is_sorted());
        for (value, expect) in [
            ("czZCaGRSa3F0MzpnWDFmQmF0M2JW", true),
            ("mF_9.B5f-4.1JqM", true),
            ("mF_9.B5f-4.1JqMx", false),
            ("mF_9", false),
            ("", false),
        ] {
            assert_eq!(is_published(value.as_bytes()), expect, "{value}");
        }
    }
}
