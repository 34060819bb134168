use crate::sample::{assert_valid, report};
use crashwise_sarif::{ReadError, ReadOptions, merge_logs, read};
use serde_json::{Value, json};
use std::io::{self, Cursor, Write};

fn merged(logs: &[&str], options: &ReadOptions) -> Result<(u64, Value), ReadError> {
    let mut out = Vec::new();
    let runs = merge_logs(logs.iter().map(|log| log.as_bytes()), options, &mut out)?;
    Ok((runs, serde_json::from_slice(&out).unwrap()))
}

#[test]
fn runs_stay_as_they_are() {
    let mut own = Vec::new();
    crashwise_sarif::write(&report(), &mut own).unwrap();
    let own = String::from_utf8(own).unwrap();
    let other = json!({ "version": "2.1.0", "$schema": "x", "runs": [
        { "tool": { "driver": { "name": "a\u{1}\"" } }, "results": [], "properties": { "n": [1, -2, 0.5, true, null, {}] } },
        { "tool": { "driver": { "name": "b" } } },
    ] });
    let empty = json!({ "runs": [], "version": "2.1.0" }).to_string();
    let (runs, log) = merged(&[&own, &empty, &other.to_string()], &ReadOptions::new()).unwrap();
    assert_valid(&log);
    let first: Value = serde_json::from_str(&own).unwrap();
    assert_eq!(runs, 3);
    assert_eq!(log["runs"], json!([first["runs"][0], other["runs"][0], other["runs"][1]]));
    let mut count = 0;
    let summary = read(Cursor::new(log.to_string()), &ReadOptions::new(), &mut |_| {
        count += 1;
        Ok(())
    })
    .unwrap();
    assert_eq!((count, summary.runs.len()), (4, 3));
}

#[test]
fn nothing_to_merge_is_a_log_without_runs() {
    let (runs, log) = merged(&[], &ReadOptions::new()).unwrap();
    assert_valid(&log);
    assert_eq!((runs, &log["runs"]), (0, &json!([])));
}

#[test]
fn broken_inputs_are_errors() {
    let good = r#"{"version": "2.1.0", "runs": []}"#;
    for (log, expect) in [
        (r#"{"version": "2.0.0", "runs": []}"#, "SARIF version 2.0.0 is not supported: expected 2.1.0"),
        (r#"{"runs": []}"#, "SARIF version (none) is not supported: expected 2.1.0"),
        (r#"{"version": "2.1.0"}"#, "the SARIF log is broken at line 1, column 20: missing field `runs`"),
        (
            r#"{"version": "2.1.0", "runs": [{"#,
            "the SARIF log is broken at line 1, column 31: EOF while parsing an object",
        ),
        (
            r#"{"inlineExternalProperties": [], "version": "2.1.0", "runs": []}"#,
            "the SARIF log is broken at line 1, column 28: inlineExternalProperties cannot be merged",
        ),
    ] {
        let error = merged(&[good, log], &ReadOptions::new()).unwrap_err();
        assert_eq!(error.to_string(), expect, "{log}");
    }
    let bulk = json!({ "version": "2.1.0", "runs": [{ "x": "y".repeat(2000) }] }).to_string();
    let error = merged(&[&bulk], &ReadOptions::new().with_max_result_bytes(1000)).unwrap_err();
    assert_eq!(error.to_string(), "the SARIF log is too large: a value is over 1000 bytes");
}

#[test]
fn a_full_disk_is_an_error() {
    struct Full;
    impl Write for Full {
        fn write(&mut self, _: &[u8]) -> io::Result<usize> {
            Err(io::ErrorKind::StorageFull.into())
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }
    let bulk = json!({ "version": "2.1.0", "runs": [{ "x": "y".repeat(100_000) }] }).to_string();
    for log in [bulk.as_str(), r#"{"version": "2.1.0", "runs": []}"#] {
        match merge_logs([log.as_bytes()], &ReadOptions::new(), &mut Full) {
            Err(ReadError::Io(error)) => assert_eq!(error.kind(), io::ErrorKind::StorageFull),
            other => panic!("{other:?}"),
        }
    }
}
