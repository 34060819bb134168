//! Amounts as people write them: memory, processors, durations.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::fmt;
use std::str::FromStr;
use std::time::Duration;

/// An amount that could not be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{text:?} is not {kind}: expected {expected}")]
pub struct InvalidQuantity {
    text: String,
    kind: &'static str,
    expected: &'static str,
}

macro_rules! quantity {
    ($(#[$doc:meta])* $name:ident($inner:ty), $kind:literal, $expected:literal, $pattern:literal, $parse:path, $write:path) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(try_from = "RawQuantity", into = "String")]
        pub struct $name($inner);

        impl FromStr for $name {
            type Err = InvalidQuantity;
            fn from_str(text: &str) -> Result<Self, InvalidQuantity> {
                $parse(text.trim()).map(Self).ok_or_else(|| InvalidQuantity {
                    text: text.chars().take(64).collect(),
                    kind: $kind,
                    expected: $expected,
                })
            }
        }

        impl TryFrom<RawQuantity> for $name {
            type Error = InvalidQuantity;
            fn try_from(raw: RawQuantity) -> Result<Self, InvalidQuantity> {
                raw.0.parse()
            }
        }

        impl From<$name> for String {
            fn from(quantity: $name) -> String {
                quantity.to_string()
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.pad(&$write(self.0))
            }
        }

        impl JsonSchema for $name {
            fn schema_name() -> std::borrow::Cow<'static, str> {
                stringify!($name).into()
            }

            fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
                schemars::json_schema!({
                    "type": ["string", "integer"],
                    "pattern": $pattern,
                    "minimum": 0,
                    "description": concat!($kind, ": ", $expected),
                })
            }
        }
    };
}

/// A quantity on the wire: text, or a bare whole number.
#[derive(Debug, Clone)]
struct RawQuantity(String);

impl<'de> Deserialize<'de> for RawQuantity {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Visitor;
        impl serde::de::Visitor<'_> for Visitor {
            type Value = RawQuantity;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an amount such as \"512Mi\", \"1000m\" or \"30m\", or a whole number")
            }
            fn visit_str<E>(self, text: &str) -> Result<RawQuantity, E> {
                Ok(RawQuantity(text.to_owned()))
            }
            fn visit_u64<E>(self, number: u64) -> Result<RawQuantity, E> {
                Ok(RawQuantity(number.to_string()))
            }
            fn visit_i64<E>(self, number: i64) -> Result<RawQuantity, E> {
                Ok(RawQuantity(number.to_string()))
            }
        }
        deserializer.deserialize_any(Visitor)
    }
}

quantity!(
    /// A number of bytes: `512Mi`, `10GB`, `1.5GiB`, `4096`.
    ///
    /// `k K M G T` (with or without `B`) are powers of 1000, `Ki Mi Gi Ti` (with or without `B`) powers of 1024.
    ByteSize(u64), "a size", "a number with k, M, G, T, Ki, Mi, Gi or Ti, such as 512Mi or 10GB",
    r"^\s*[0-9]+(\.[0-9]+)?\s*([kKMGT]i?)?B?\s*$", parse_bytes, write_bytes
);

quantity!(
    /// A share of processors: `1000m` is one core, `2` are two, `0.5` is half of one.
    CpuCount(u32), "a number of processors", "cores such as 2 or 0.5, or thousandths such as 1500m",
    r"^\s*[0-9]+(\.[0-9]+)?m?\s*$", parse_cpus, write_cpus
);

quantity!(
    /// A stretch of time: `7d`, `12h`, `30m`, `90s`, `250ms`, `1h30m`; a bare number is seconds.
    Span(Duration), "a duration", "a number with d, h, m, s or ms, such as 7d, 1h30m or 250ms; a bare number is seconds",
    r"^\s*([0-9]+|([0-9]+(\.[0-9]+)?(ms|d|h|m|s))+)\s*$", parse_span, write_span
);

impl ByteSize {
    /// From a number of bytes.
    pub const fn from_bytes(bytes: u64) -> Self {
        Self(bytes)
    }

    /// The number of bytes.
    pub const fn bytes(self) -> u64 {
        self.0
    }
}

impl CpuCount {
    /// From thousandths of a core.
    pub const fn from_millis(millis: u32) -> Self {
        Self(millis)
    }

    /// Thousandths of a core.
    pub const fn millis(self) -> u32 {
        self.0
    }
}

impl Span {
    /// From a duration.
    pub const fn new(duration: Duration) -> Self {
        Self(duration)
    }

    /// The duration.
    pub const fn duration(self) -> Duration {
        self.0
    }
}

impl From<Duration> for Span {
    fn from(duration: Duration) -> Self {
        Self(duration)
    }
}

/// `number * scale` without floating point: digits, optionally a dot and digits.
fn scaled(number: &str, scale: u128) -> Option<u128> {
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    if whole.is_empty() || number.ends_with('.') || fraction.len() > 18 {
        return None;
    }
    if !whole.bytes().chain(fraction.bytes()).all(|b| b.is_ascii_digit()) {
        return None;
    }
    let whole = whole.parse::<u128>().ok()?.checked_mul(scale)?;
    let fraction = match fraction {
        "" => 0,
        digits => {
            digits.parse::<u128>().ok()?.checked_mul(scale)? / 10u128.pow(u32::try_from(digits.len()).ok()?)
        }
    };
    whole.checked_add(fraction)
}

fn split_unit(text: &str) -> (&str, &str) {
    let end = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
    (&text[..end], text[end..].trim())
}

fn parse_bytes(text: &str) -> Option<u64> {
    let (number, unit) = split_unit(text);
    let scale: u128 = match unit.strip_suffix('B').unwrap_or(unit) {
        "" => 1,
        "k" | "K" => 1000,
        "M" => 1000_u128.pow(2),
        "G" => 1000_u128.pow(3),
        "T" => 1000_u128.pow(4),
        "Ki" | "ki" => 1024,
        "Mi" => 1024_u128.pow(2),
        "Gi" => 1024_u128.pow(3),
        "Ti" => 1024_u128.pow(4),
        _ => return None,
    };
    u64::try_from(scaled(number, scale)?).ok()
}

fn write_bytes(bytes: u64) -> String {
    for (unit, scale) in [("Ti", 1u64 << 40), ("Gi", 1 << 30), ("Mi", 1 << 20), ("Ki", 1 << 10)] {
        if bytes >= scale && bytes.is_multiple_of(scale) {
            return format!("{}{unit}", bytes / scale);
        }
    }
    bytes.to_string()
}

fn parse_cpus(text: &str) -> Option<u32> {
    let millis = match text.strip_suffix('m') {
        Some(millis) => scaled(millis, 1)?,
        None => scaled(text, 1000)?,
    };
    u32::try_from(millis).ok()
}

fn write_cpus(millis: u32) -> String {
    if millis.is_multiple_of(1000) { (millis / 1000).to_string() } else { format!("{millis}m") }
}

fn parse_span(text: &str) -> Option<Duration> {
    if text.is_empty() {
        return None;
    }
    if text.bytes().all(|b| b.is_ascii_digit()) {
        return text.parse().ok().map(Duration::from_secs);
    }
    let mut rest = text;
    let mut nanos: u128 = 0;
    while !rest.is_empty() {
        let end = rest.find(|c: char| !c.is_ascii_digit() && c != '.')?;
        let (number, behind) = rest.split_at(end);
        let (scale, unit) = [
            ("ms", 1_000_000_u128),
            ("d", 86_400_000_000_000),
            ("h", 3_600_000_000_000),
            ("m", 60_000_000_000),
            ("s", 1_000_000_000),
        ]
        .into_iter()
        .find(|(unit, _)| behind.starts_with(unit))
        .map(|(unit, scale)| (scale, unit))?;
        nanos = nanos.checked_add(scaled(number, scale)?)?;
        rest = &behind[unit.len()..];
    }
    let seconds = u64::try_from(nanos / 1_000_000_000).ok()?;
    Some(Duration::new(seconds, u32::try_from(nanos % 1_000_000_000).ok()?))
}

fn write_span(span: Duration) -> String {
    let millis = span.as_millis();
    for (unit, scale) in [("d", 86_400_000_u128), ("h", 3_600_000), ("m", 60_000), ("s", 1000)] {
        if millis >= scale && millis.is_multiple_of(scale) {
            return format!("{}{unit}", millis / scale);
        }
    }
    format!("{millis}ms")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes() {
        for (text, expect) in [
            ("512Mi", Some(512 << 20)),
            ("10GB", Some(10_000_000_000)),
            ("1.5GiB", Some(3 << 29)),
            ("500MB", Some(500_000_000)),
            ("0", Some(0)),
            ("4096", Some(4096)),
            ("12 k", Some(12_000)),
            ("", None),
            ("-1", None),
            ("1.", None),
            ("1e3", None),
            ("10XB", None),
            ("99999999999999999999T", None),
        ] {
            assert_eq!(text.parse::<ByteSize>().ok().map(ByteSize::bytes), expect, "{text:?}");
        }
        assert_eq!(ByteSize::from_bytes(512 << 20).to_string(), "512Mi");
    }

    #[test]
    fn processors() {
        for (text, expect) in
            [("1000m", Some(1000)), ("2", Some(2000)), ("0.5", Some(500)), ("m", None), ("1x", None)]
        {
            assert_eq!(text.parse::<CpuCount>().ok().map(CpuCount::millis), expect, "{text:?}");
        }
    }

    #[test]
    fn spans() {
        for (text, expect) in [
            ("7d", Some(7 * 86_400_000)),
            ("1800", Some(1_800_000)),
            ("1h30m", Some(5_400_000)),
            ("250ms", Some(250)),
            ("1.5s", Some(1500)),
            ("5", Some(5000)),
            ("", None),
            ("5 minutes", None),
            ("m", None),
            ("1h30", None),
        ] {
            assert_eq!(text.parse::<Span>().ok().map(|span| span.duration().as_millis()), expect, "{text:?}");
        }
        let span: Span = serde_json::from_str("1800").unwrap();
        assert_eq!(serde_json::to_string(&span).unwrap(), "\"30m\"");
    }
}
