//! `kitgate pipeline`: a script over sample data, and scripts against what is expected of them.

use std::fs;
use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};

use serde_json::Value;

use super::harness::{BINARY, scratch};

/// Exit code, standard output, standard error.
fn pipeline(arguments: &[&str], input: &[u8], folder: &Path) -> (i32, String, String) {
    let mut child = Command::new(BINARY)
        .arg("pipeline")
        .args(arguments)
        .current_dir(folder)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the binary starts");
    // Where it reads nothing it may be gone already.
    let _ = child.stdin.take().expect("stdin is piped").write_all(input);
    let output = child.wait_with_output().expect("it ends");
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).expect("UTF-8");
    (output.status.code().unwrap_or(-1), text(output.stdout), text(output.stderr))
}

#[test]
fn a_script_is_run_over_sample_data() {
    let folder = scratch();
    let put = |name: &str, text: &str| fs::write(folder.path().join(name), text).expect("a file");
    put(
        "shop.p",
        "use(\"lib.p\")\nif message == \"bad\" { x = 1 + nil }\nif message == \"gone\" { drop() }\n",
    );
    put("lib.p", "set_tag(by, \"lib\")");
    put("broken.p", "x = 1\ny = @");
    put("sample.log", "one\ngone\nbad\n");

    let (code, shown, _) = pipeline(&["run", "shop.p", "sample.log"], b"", folder.path());
    assert_eq!(code, 1, "a run failed: {shown}");
    assert!(shown.starts_with("1: shop at "), "{shown}");
    assert!(
        shown.contains("   tag   by = \"lib\"\n   field message = \"one\"\n   field status = \"info\"\n"),
        "{shown}"
    );
    assert!(shown.contains(", dropped\n") && shown.contains("3: failed: shop.p:2:"), "{shown}");

    let (code, shown, _) =
        pipeline(&["run", "shop.p", "--format", "json", "--whole"], b"a\nb\n", folder.path());
    assert_eq!(code, 0, "{shown}");
    let result: Value = serde_json::from_str(&shown).expect("one line of JSON");
    assert_eq!(result["point"]["fields"]["message"], "a\nb");
    let arguments = ["run", "shop.p", "-", "--category", "metric", "--format", "json"];
    let (code, shown, _) = pipeline(&arguments, b"cpu,host=h usage=1.5 1700000000000000001\n", folder.path());
    let result: Value = serde_json::from_str(&shown).expect("JSON");
    assert_eq!((code, &result["point"]["name"], &result["point"]["time_ns"]), (0, &"cpu".into(), &1.into()));

    let (code, _, said) = pipeline(&["run", "broken.p"], b"", folder.path());
    assert_eq!(code, 1);
    assert!(said.contains("broken.p:2:5: unexpected character"), "{said}");
    for (arguments, code) in [
        (&["run", "none.p"][..], 1),
        (&["run", "shop.p", "--category", "x"], 2),
        (&["run", "shop.p", "none.log"], 1),
    ] {
        let (got, _, said) = pipeline(arguments, b"", folder.path());
        assert!(got == code && !said.is_empty(), "{arguments:?}: {got}, {said}");
    }
}

#[test]
fn a_folder_of_scripts_is_tested() {
    let folder = scratch();
    let put = |name: &str, text: &str| fs::write(folder.path().join(name), text).expect("a file");
    put("shop.p", "set_tag(by, \"lib\")");
    put("shop.cases.jsonl", "{\"message\": \"x\", \"expect\": {\"tags\": {\"by\": \"lib\"}}}\n");
    let (code, shown, _) = pipeline(&["test", "."], b"", folder.path());
    assert_eq!((code, shown.as_str()), (0, "1 cases of 1 scripts, 0 failed\n"));
    put("shop.cases.jsonl", "{\"message\": \"x\", \"expect\": {\"tags\": {}}}\n");
    let (code, shown, _) = pipeline(&["test", ".", "--format", "json"], b"", folder.path());
    let report: Value = serde_json::from_str(&shown).expect("JSON");
    assert_eq!((code, report["failed"][0]["script"].as_str()), (1, Some("shop.p")));
    assert_eq!(pipeline(&["test", "none"], b"", folder.path()).0, 1);
}
