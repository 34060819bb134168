//! What the parent tells the child: libFuzzer's flags, in a variable of the environment, so that the program's own
//! arguments stay what they are.

use std::path::PathBuf;

/// The variable that names the target to fuzz. A program that has it is a child.
pub(crate) const TARGET: &str = "CRASHWISE_FUZZ_TARGET";
/// The variable that holds the flags.
pub(crate) const FLAGS: &str = "CRASHWISE_FUZZ_FLAGS";
/// What stands between two flags.
pub(crate) const SEPARATOR: char = '\u{1f}';

/// Flags of one process.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Flags {
    /// Inputs to run; none for no limit.
    pub(super) runs: Option<u64>,
    /// Seconds to run; none for no limit.
    pub(super) seconds: Option<u64>,
    /// What the names of artifacts begin with.
    pub(super) prefix: String,
    /// MiB of resident memory.
    pub(super) memory: u64,
    /// Seconds of CPU time that one input may take.
    pub(super) patience: u64,
    pub(super) seed: u64,
    pub(super) longest: Option<usize>,
    pub(super) words: Option<PathBuf>,
    /// KiB of the stack that the target runs on.
    pub(super) stack: usize,
    /// Whether short parts are repeated many times.
    pub(super) repeat: bool,
    /// Seconds between two looks for what others added to the corpus; none to look at the begin only.
    pub(super) reload: Option<u64>,
    /// Directories of inputs, of which the first grows, and files to run once.
    pub(super) inputs: Vec<PathBuf>,
}

impl Flags {
    /// Reads flags; unknown ones are passed over, as libFuzzer does.
    pub(super) fn parse(text: &str) -> Self {
        let mut flags = Self {
            runs: None,
            seconds: None,
            prefix: "./".into(),
            memory: 2048,
            patience: 10,
            seed: 0,
            longest: None,
            words: None,
            stack: 8192,
            repeat: false,
            reload: Some(1),
            inputs: Vec::new(),
        };
        for flag in text.split(SEPARATOR).filter(|flag| !flag.is_empty()) {
            let Some((name, value)) = flag.strip_prefix('-').and_then(|flag| flag.split_once('=')) else {
                flags.inputs.push(flag.into());
                continue;
            };
            let number = || value.parse::<u64>().ok();
            match name {
                "runs" => flags.runs = number(),
                "max_total_time" => flags.seconds = number().filter(|seconds| *seconds > 0),
                "artifact_prefix" => value.clone_into(&mut flags.prefix),
                "rss_limit_mb" => flags.memory = number().unwrap_or(flags.memory),
                "timeout" => flags.patience = number().unwrap_or(flags.patience),
                "seed" => flags.seed = number().unwrap_or(0),
                "max_len" => flags.longest = number().and_then(|bytes| usize::try_from(bytes).ok()),
                "dict" => flags.words = Some(value.into()),
                "stack_kib" => {
                    let kib = number().and_then(|kib| usize::try_from(kib).ok()).unwrap_or(flags.stack);
                    flags.stack = kib.clamp(64, 1 << 20);
                }
                "reload" => flags.reload = number().filter(|seconds| *seconds > 0),
                "repeat" => flags.repeat = value == "1",
                _ => {}
            }
        }
        flags
    }
}

/// The words of a dictionary in the format of AFL and libFuzzer: `name="word"` or `"word"` on a line, with `\xAB`, `\\` and
/// `\"`. Lines that are none are passed over.
pub(super) fn words(text: &str) -> Vec<Vec<u8>> {
    let word = |line: &str| {
        let line = line.trim();
        let start = line.find('"').filter(|_| !line.starts_with('#'))?;
        let inner = line[start + 1..].strip_suffix('"')?;
        let mut bytes = Vec::new();
        let mut rest = inner.as_bytes();
        while let Some((first, after)) = rest.split_first() {
            rest = after;
            match (first, after) {
                (b'\\', [b'x', high, low, ..]) => {
                    let digit =
                        |byte: u8| char::from(byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
                    bytes.push(digit(*high)? << 4 | digit(*low)?);
                    rest = &after[3..];
                }
                (b'\\', [escaped, ..]) => {
                    bytes.push(*escaped);
                    rest = &after[1..];
                }
                _ => bytes.push(*first),
            }
        }
        (!bytes.is_empty()).then_some(bytes)
    };
    text.lines().filter_map(word).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn flags_are_those_of_libfuzzer() {
        let text =
            ["-runs=5", "-seed=9", "-artifact_prefix=/w/", "-odd=1", "/corpus", "-repeat=1", "-stack_kib=1"];
        let flags = Flags::parse(&text.join("\u{1f}"));
        assert_eq!((flags.runs, flags.seed, flags.prefix.as_str(), flags.repeat), (Some(5), 9, "/w/", true));
        assert_eq!((flags.inputs, flags.stack), (vec![PathBuf::from("/corpus")], 64));
        for (text, reload) in [("", Some(1)), ("-reload=0", None), ("-reload=7", Some(7))] {
            assert_eq!(Flags::parse(text).reload, reload, "{text}");
        }
    }

    #[test]
    fn dictionaries() {
        let text = "# \"no\"\nkey=\"a\\x00\\\"b\"\n\"plain\"\nbroken=\"x\n\"\"\nbad=\"\\xZZ\"\n";
        assert_eq!(words(text), [b"a\0\"b".to_vec(), b"plain".to_vec()]);
    }
}
