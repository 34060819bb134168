//! Checks that a token's format allows without asking anyone.

use crashwise_core::Confidence;

/// A check that a rule names in its `check` key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Check {
    /// The last six characters are the CRC-32 of the rest behind the first underscore, in base 62.
    Crc32Base62,
    /// Behind the last dot two digits of length and seven of CRC-32, both in base 36, the checksum over all before it.
    /// Tokens of the older form, without a dot, have none.
    Crc32Base36,
    /// The last eight digits are the CRC-32 of what is before the last underscore, in hexadecimal, least byte first.
    Crc32Hex,
    /// Three base64url parts, the first two JSON objects, the first with `alg`.
    Jwt,
    /// Base64 that decodes and starts like a macaroon of the package index.
    Macaroon,
    /// An armoured private key that is not encrypted.
    PrivateKey,
    /// The decimal digits satisfy the Luhn formula.
    Luhn,
}

/// What a check says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum Verdict {
    /// The token satisfies its own checksum or structure: no accident.
    Valid,
    /// It does not: made up, cut, or altered.
    Invalid,
}

impl Check {
    pub(super) fn parse(name: &str) -> Option<Self> {
        Some(match name {
            "crc32-base62" => Self::Crc32Base62,
            "crc32-base36" => Self::Crc32Base36,
            "crc32-hex" => Self::Crc32Hex,
            "jwt" => Self::Jwt,
            "macaroon" => Self::Macaroon,
            "private-key" => Self::PrivateKey,
            "luhn" => Self::Luhn,
            _ => return None,
        })
    }

    /// How sure one may be of a token that does not satisfy the check: a wrong checksum is a token somebody altered, an
    /// encrypted key is of little use to whoever finds it.
    pub(super) fn confidence_if_invalid(self) -> Confidence {
        match self {
            Self::PrivateKey => Confidence::Low,
            _ => Confidence::Medium,
        }
    }

    /// None where a token of this form has nothing that could be checked.
    pub(super) fn verdict(self, token: &[u8]) -> Option<Verdict> {
        let valid = match self {
            Self::Crc32Base36 => crc32_base36(token)?,
            Self::Crc32Hex => crc32_hex(token),
            Self::Crc32Base62 => crc32_base62(token),
            Self::Jwt => jwt(token),
            Self::Macaroon => macaroon(token),
            Self::PrivateKey => !token.windows(9).any(|window| window == b"ENCRYPTED"),
            Self::Luhn => luhn(token),
        };
        Some(if valid { Verdict::Valid } else { Verdict::Invalid })
    }
}

const BASE62: &[u8; 62] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";

/// CRC-32 (IEEE).
fn crc32(bytes: &[u8]) -> u32 {
    let mut crc = !0_u32;
    for &byte in bytes {
        crc ^= u32::from(byte);
        for _ in 0..8 {
            crc = crc >> 1 ^ (0xEDB8_8320 & (crc & 1).wrapping_neg());
        }
    }
    !crc
}

/// The six base-62 digits of the CRC-32 of `bytes`, most significant first, padded with zeros.
fn crc32_digits(bytes: &[u8]) -> [u8; 6] {
    let mut crc = crc32(bytes);
    let mut digits = [b'0'; 6];
    for digit in digits.iter_mut().rev() {
        *digit = BASE62[(crc % 62) as usize];
        crc /= 62;
    }
    digits
}

fn crc32_base62(token: &[u8]) -> bool {
    let Some(body) = token.iter().rposition(|&byte| byte == b'_').map(|at| &token[at + 1..]) else {
        return false;
    };
    body.split_last_chunk::<6>().is_some_and(|(payload, digits)| crc32_digits(payload) == *digits)
}

fn crc32_base36(token: &[u8]) -> Option<bool> {
    let dot = token.iter().rposition(|&byte| byte == b'.')?;
    let (checked, digits) = token.split_last_chunk::<7>()?;
    let sum = std::str::from_utf8(digits).ok().and_then(|digits| u32::from_str_radix(digits, 36).ok());
    Some(token.len() == dot + 10 && sum == Some(crc32(checked)))
}

fn crc32_hex(token: &[u8]) -> bool {
    let Some((rest, digits)) = token.split_last_chunk::<8>() else { return false };
    let sum = std::str::from_utf8(digits).ok().and_then(|digits| u32::from_str_radix(digits, 16).ok());
    rest.strip_suffix(b"_").is_some_and(|checked| sum == Some(crc32(checked).swap_bytes()))
}

fn jwt(token: &[u8]) -> bool {
    let mut parts = token.split(|&byte| byte == b'.');
    let (Some(header), Some(claims), Some(_)) = (parts.next(), parts.next(), parts.next()) else {
        return false;
    };
    let object = |part: &[u8]| {
        let decoded = super::base64::decode(part)?;
        serde_json::from_slice::<serde_json::Map<String, serde_json::Value>>(&decoded).ok()
    };
    object(header).is_some_and(|header| header.contains_key("alg")) && object(claims).is_some()
}

/// `pypi-` and base64url of a version 2 macaroon: 02, a location (01, length, text), an identifier (02, ...). The prefixes of
/// the rule hold the location.
fn macaroon(token: &[u8]) -> bool {
    let body = token.strip_prefix(b"pypi-").unwrap_or(token);
    super::base64::decode(&body[..body.len() / 4 * 4]).is_some_and(
        |decoded| matches!(*decoded, [2, 1, len, ref rest @ ..] if rest.get(usize::from(len)) == Some(&2)),
    )
}

fn luhn(token: &[u8]) -> bool {
    let digits: Vec<u32> =
        token.iter().filter(|byte| byte.is_ascii_digit()).map(|byte| u32::from(byte - b'0')).collect();
    let sum: u32 = digits
        .iter()
        .rev()
        .enumerate()
        .map(|(place, &digit)| if place % 2 == 0 { digit } else { digit * 2 / 10 + digit * 2 % 10 })
        .sum();
    digits.len() >= 8 && sum.is_multiple_of(10)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn crc_of_a_known_string() {
        // The check value of CRC-32/ISO-HDLC.
        let digits = crc32_digits(b"123456789");
        let value = digits.iter().fold(0_u64, |sum, digit| {
            sum * 62 + BASE62.iter().position(|symbol| symbol == digit).expect("a digit") as u64
        });
        assert_eq!(value, 0xCBF4_3926);
    }

    #[test]
    fn tokens_with_a_checksum() {
        let payload = b"0123456789abcdefghijABCDEFGHIJ";
        let mut token = [b"ghp_".as_slice(), payload, &crc32_digits(payload)].concat();
        assert_eq!(Check::Crc32Base62.verdict(&token), Some(Verdict::Valid));
        token[10] ^= 1;
        assert_eq!(Check::Crc32Base62.verdict(&token), Some(Verdict::Invalid));
        assert_eq!(Check::Crc32Base62.verdict(b""), Some(Verdict::Invalid));
    }

    #[test]
    fn tokens_with_other_checksums() {
        let gitlab = "glpat-bzoxCnU6MQr6Jk3Yw0sXv9TqLhEd2fGz.01.0w";
        let check = |text: &str| Check::Crc32Base36.verdict(text.as_bytes());
        let mut sum = u64::from(crc32(gitlab.as_bytes()));
        let mut digits = Vec::new();
        for _ in 0..7 {
            digits
                .insert(0, char::from_digit(u32::try_from(sum % 36).expect("a digit"), 36).expect("a digit"));
            sum /= 36;
        }
        let digits: String = digits.into_iter().collect();
        assert_eq!(check(&format!("{gitlab}{digits}")), Some(Verdict::Valid));
        assert_eq!(check(&format!("{gitlab}0000000")), Some(Verdict::Invalid));
        assert_eq!(check("glpat-ts8y8Mk2gxi-xvXVsxfN"), None, "the older form");
        let grafana = "glsa_HOruNAb7SOiCdshU2AE0MUb8N2LT5GAE";
        let digits = format!("{:08x}", crc32(grafana.as_bytes()).swap_bytes());
        let check = |text: String| Check::Crc32Hex.verdict(text.as_bytes());
        assert_eq!(check(format!("{grafana}_{digits}")), Some(Verdict::Valid));
        assert_eq!(check(format!("{grafana}_00000000")), Some(Verdict::Invalid));
    }

    #[test]
    fn structures() {
        let jwt = "eyJhbGciOiJub25lIn0.eyJzdWIiOiJhIn0.c2ln";
        assert_eq!(Check::Jwt.verdict(jwt.as_bytes()), Some(Verdict::Valid));
        assert_eq!(Check::Jwt.verdict(b"eyJhbGciOiJub25lIn0.bm90IGpzb24.c2ln"), Some(Verdict::Invalid));
        assert_eq!(Check::Luhn.verdict(b"4539 1488 0343 6467"), Some(Verdict::Valid));
        assert_eq!(Check::Luhn.verdict(b"4539 1488 0343 6468"), Some(Verdict::Invalid));
        assert_eq!(Check::parse("nothing"), None);
    }
}
