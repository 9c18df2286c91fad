//! The routes and the store behind them, on a real directory; programs are scripts.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};
use tempfile::TempDir;

use super::testing::{Item, archive, archive_of_a_million, form, map_to};
use super::*;
use crate::config::secret::Secret;
use crate::http1::query;
use crate::intake::ContentType;
use crate::intake::datakit::rum::sourcemap::BODY_BYTES_MAX;
use crate::intake::datakit::rum::sources::{Answers, Asked as Questions, Question, Sources};
use crate::point::draft::DraftKv;
use crate::point::pb::{self, PbValue};
use crate::point::{self, Batch, wire};

const TYPE: &[u8] = b"multipart/form-data; boundary=XX";
const TOKEN: &str = "tkn_0123456789abcdef0123456789abcdef";

struct Gateway {
    home: TempDir,
    store: Arc<Store>,
    sources: Arc<Sources>,
    settings: SourcemapSettings,
    token: FirstToken,
}

impl Gateway {
    fn new() -> Gateway {
        let home = tempfile::tempdir().unwrap();
        let sources = Arc::new(Sources::default());
        let store = Arc::new(Store::new(home.path(), Arc::clone(&sources)));
        let token = FirstToken::Token(Secret::new(TOKEN));
        Gateway { home, store, sources, settings: SourcemapSettings::default(), token }
    }

    fn path(&self, below: &str) -> PathBuf {
        self.home.path().join("rum").join(below)
    }

    fn put(&self, query: &str, file: &[u8]) -> Value {
        let query = format!("{query}&token={TOKEN}");
        let body = form("XX", "file", file);
        value(&put(&self.store, &self.settings, &query, TYPE, &body, &self.token))
    }

    fn delete(&self, query: &str) -> Value {
        value(&delete(&self.store, &format!("{query}&token={TOKEN}"), &self.token))
    }

    fn check(&self, query: &str, stack: &str) -> Value {
        let mut query = format!("{query}&error_stack=");
        query::escape(stack, &mut query);
        let reply = check(&self.store, &self.settings, &query, soon());
        assert_eq!(reply.content_type, ContentType::Value("application/json;charset=utf-8".into()));
        assert!(reply.status == 200 && !reply.nosniff && reply.enveloped);
        value(&reply)
    }

    /// A program of the tests. Another process writes it: one that is open for writing cannot be started, and a test beside
    /// this one may be starting its own, which for a moment has all that is open here.
    fn program(&self, path: &str, script: &str) -> PathBuf {
        let path = self.home.path().join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        let mut shell = std::process::Command::new("/bin/sh");
        let write = "printf '#!/bin/sh\\n%s\\n' \"$2\" > \"$1\" && chmod 755 \"$1\"";
        shell.args(["-c", write, "sh"]).arg(&path).arg(script);
        assert!(shell.status().unwrap().success());
        path
    }

    /// An error point of an SDK, and what it asks.
    fn asked(&self, sdk: &str, error_type: &str, stack: &str) -> (Batch, Vec<Question>) {
        let mut batch = Batch::default();
        wire::put_message(&mut batch.bytes, wire::POINTS_POINT, |out| {
            wire::put_bytes(out, wire::POINT_NAME, b"error");
            for (key, value) in [("sdk_name", sdk), ("app_id", "app"), ("error_type", error_type)] {
                DraftKv::tag(key.as_bytes(), value.as_bytes()).encode(out);
            }
            let stack = point::draft::Value::Str(stack.as_bytes().into());
            DraftKv::field(&b"error_stack"[..], stack).encode(out);
        });
        batch.points = 1;
        let mut asked = Questions::default();
        asked.look(&mut batch, Batch::default().mark(), &self.sources, None, 0);
        (batch, asked.take())
    }

    /// What the point has got.
    fn told(&self, mut batch: Batch, answers: &Answers) -> Option<String> {
        Questions::default().look(&mut batch, Batch::default().mark(), &self.sources, Some(answers), 0);
        let point = pb::points(&batch.bytes).next().unwrap().unwrap();
        let field = point.fields().last().unwrap().unwrap();
        let PbValue::Str(text) = field.value else { panic!("{field:?}") };
        (field.key == b"error_stack_source_base64")
            .then(|| String::from_utf8(STANDARD.decode(text).unwrap()).unwrap())
    }

    /// What an error point would get.
    fn resolved(&self, sdk: &str, error_type: &str, stack: &str) -> Option<String> {
        let (batch, questions) = self.asked(sdk, error_type, stack);
        let answers = Answers::default();
        self.store.answer(&questions, &answers, &self.settings, soon());
        self.told(batch, &answers)
    }
}

fn soon() -> Instant {
    Instant::now() + Duration::from_secs(20)
}

fn value(reply: &Reply) -> Value {
    serde_json::from_slice(&reply.body).unwrap()
}

fn done(text: String) -> Value {
    json!({ "content": text, "errorMsg": "", "success": true })
}

fn failed(text: &str) -> Value {
    json!({ "content": null, "errorMsg": text, "success": false })
}

fn found(resolved: &str, original: &str, error: &str) -> Value {
    let content = json!({ "error_stack": resolved, "original_error_stack": original });
    json!({ "content": content, "errorMsg": error, "success": error.is_empty() })
}

/// An archive of a map of `dist/a.js`.
fn maps(source: &str) -> Vec<u8> {
    archive(&[Item::deflated("dist/a.js.map", &map_to(source)), Item::new("dist/a.js", b"x")])
}

const FRAME: &str = "at f @ http://h/dist/a.js:1:4";

#[test]
fn an_archive_is_put_used_and_deleted() {
    let gateway = Gateway::new();
    let query = "app_id=app_sm&env=prod&version=1.0.0&platform=web";
    let path = gateway.path("web/app_sm-prod-1.0.0.zip");
    let shown = path.display();
    assert_eq!(gateway.put(query, &maps("src/a.ts")), done(format!("uploaded to [{shown}]!")));
    assert_eq!(fs::read(&path).unwrap(), maps("src/a.ts"));
    assert_eq!(gateway.check(query, FRAME), found("at f @ src/a.ts:3:1", FRAME, ""));
    assert!(!gateway.sources.is_empty());
    // Another one takes its place at once.
    gateway.put(query, &maps("src/b.ts"));
    assert_eq!(gateway.check(query, FRAME), found("at f @ src/b.ts:3:1", FRAME, ""));
    assert_eq!(gateway.delete(query), done(format!("deleted [{shown}]!")));
    assert!(!path.exists() && gateway.sources.is_empty());
    let missing =
        format!("delete sourcemap file [{shown}] failed: remove {shown}: no such file or directory");
    assert_eq!(gateway.delete(query), failed(&missing));
    assert_eq!(
        gateway.check(query, FRAME),
        found("", FRAME, &format!("source map file [{shown}] not exists"))
    );
    assert_eq!(fs::read_dir(gateway.path(".tmp")).unwrap().count(), 0);
}

#[test]
fn answers_are_the_recorded_bytes() {
    let gateway = Gateway::new();
    let reply = put(&gateway.store, &gateway.settings, "app_id=a&token=x", TYPE, b"", &gateway.token);
    assert_eq!(
        String::from_utf8(reply.body).unwrap(),
        r#"{"content":null,"errorMsg":"invalid token: token is missing or not correct","success":false}"#
    );
    assert_eq!(reply.content_type, ContentType::Value("text/plain; charset=utf-8".into()));
    assert!(reply.status == 200 && !reply.nosniff && reply.enveloped);
    let reply = check(&gateway.store, &gateway.settings, "", soon());
    assert_eq!(
        String::from_utf8(reply.body).unwrap(),
        r#"{"content":{"error_stack":"","original_error_stack":""},"errorMsg":"","success":true}"#
    );
    let reply = check(&gateway.store, &gateway.settings, "error_stack=%3Ca%3E&app_id=", soon());
    assert!(String::from_utf8(reply.body).unwrap().contains(r#""original_error_stack":"\u003ca\u003e""#));
}

#[test]
fn refusals_come_in_order() {
    let gateway = Gateway::new();
    let with = |query: &str, content_type: &[u8], body: &[u8], token: &FirstToken| {
        value(&put(&gateway.store, &gateway.settings, query, content_type, body, token))["errorMsg"].clone()
    };
    let (good, other) = (form("XX", "file", b"x"), form("XX", "other", b"x"));
    let token = &gateway.token;
    let full = format!("app_id=a&token={TOKEN}");
    let platform = |name: &str| format!("{full}&platform={name}");
    let unsupported = "platform [x] not supported, please use web, miniapp, android or ios";
    let huge = vec![0; BODY_BYTES_MAX + 1];
    for (query, content_type, body, token, message) in [
        ("", TYPE, &*good, &FirstToken::NoDataway, "invalid token: dataway is not initialized"),
        ("", TYPE, &good, &FirstToken::NoToken, "invalid token: dataway token is not set"),
        ("app_id=a", TYPE, &good, token, "invalid token: token is missing or not correct"),
        ("app_id=a&token=tkn_x", TYPE, &good, token, "invalid token: token is missing or not correct"),
        (&format!("token={TOKEN}&platform=x"), TYPE, &good, token, "app_id not found"),
        (&platform("x"), b"", &huge, token, unsupported),
        (&full, b"", &huge, token, "http: request body too large"),
        (&full, b"text/plain", &good, token, "request Content-Type isn't multipart/form-data"),
        (&full, TYPE, &other, token, "http: no such file"),
        (&platform("miniapp"), TYPE, &other, token, "http: no such file"),
    ] {
        assert_eq!(with(query, content_type, body, token), message, "{query}");
    }
    assert_eq!(gateway.delete("env=x")["errorMsg"], "app_id not found");
    assert_eq!(gateway.delete("app_id=a&platform=x")["errorMsg"], unsupported);
    let reply = delete(&gateway.store, "app_id=a", token);
    assert_eq!(value(&reply)["errorMsg"], "invalid token: token is missing or not correct");
}

#[test]
fn what_the_file_system_says_is_told_in_gos_words() {
    let mut gateway = Gateway::new();
    let long = "x".repeat(300);
    let path = gateway.path(&format!("web/{long}-none-none.zip"));
    let expected =
        format!("create sourcemap file [{0}] failed: open {0}: file name too long", path.display());
    assert_eq!(gateway.put(&format!("app_id={long}"), b"x"), failed(&expected));
    let nul = gateway.put("app_id=%00", b"x")["errorMsg"].as_str().unwrap().to_owned();
    assert!(nul.ends_with(": invalid argument"), "{nul}");
    assert_eq!(fs::read_dir(gateway.path(".tmp")).unwrap().count(), 0, "nothing is left behind");
    gateway.settings.capacity_bytes = 100;
    let path = gateway.path("web/a-none-none.zip");
    let full =
        format!("write sourcemap file [{0}] failed: write {0}: no space left on device", path.display());
    assert_eq!(gateway.put("app_id=a", &[0; 101]), failed(&full));
    fs::write(gateway.path("ios"), b"in the way").unwrap();
    let dir = gateway.path("ios");
    let text = gateway.put("app_id=a&platform=ios", b"x")["errorMsg"].as_str().unwrap().to_owned();
    assert!(text.starts_with(&format!("create rum dir [{0}] failed: mkdir {0}: ", dir.display())), "{text}");
}

#[test]
fn names_stay_inside_their_folder() {
    let gateway = Gateway::new();
    for (app, name) in [("a%2F..%2Fb", "a__..__b-none-none.zip"), ("..%2F..%2Fx", "..__..__x-none-none.zip")]
    {
        let path = gateway.path("web").join(name);
        assert_eq!(
            gateway.put(&format!("app_id={app}"), b"x"),
            done(format!("uploaded to [{}]!", path.display()))
        );
        assert!(path.is_file());
    }
    let entries = |path: &Path| fs::read_dir(path).unwrap().count();
    assert_eq!((entries(gateway.home.path()), entries(&gateway.path("web"))), (1, 2));
}

#[test]
fn miniapp_has_its_own_folder_and_falls_back_to_web() {
    let gateway = Gateway::new();
    let miniapp = "app_id=app&platform=miniapp";
    let path = gateway.path("miniapp/app-none-none.zip");
    let missing = found("", FRAME, &format!("source map file [{}] not exists", path.display()));
    assert_eq!(gateway.check(miniapp, FRAME), missing, "the path is miniapp's");
    gateway.put("app_id=app", &maps("web.ts"));
    assert_eq!(gateway.check(miniapp, FRAME), found("at f @ web.ts:3:1", FRAME, ""));
    assert_eq!(gateway.resolved("df_uniapp_rum_sdk", "", FRAME).unwrap(), "at f @ web.ts:3:1");
    gateway.put(miniapp, &maps("mini.ts"));
    assert!(path.is_file());
    assert_eq!(gateway.check(miniapp, FRAME), found("at f @ mini.ts:3:1", FRAME, ""));
    assert_eq!(gateway.check("app_id=app", FRAME), found("at f @ web.ts:3:1", FRAME, ""));
    // Whatever else is asked for is web.
    assert_eq!(gateway.check("app_id=app&platform=x", FRAME), found("at f @ web.ts:3:1", FRAME, ""));
    assert_eq!(gateway.resolved("df_miniapp_rum_sdk", "", FRAME).unwrap(), "at f @ mini.ts:3:1");
    assert_eq!(gateway.resolved("df_web_rum_sdk", "", FRAME).unwrap(), "at f @ web.ts:3:1");
}

#[test]
fn check_tells_what_it_finds() {
    let gateway = Gateway::new();
    gateway.put("app_id=app", &maps("src/a.ts"));
    let query = "app_id=app";
    assert_eq!(gateway.check(query, "no frames"), found("no frames", "no frames", ""));
    assert_eq!(gateway.check(query, ""), found("", "", ""));
    assert_eq!(gateway.check("env=e", "x"), found("", "x", ""));
    let some = format!("{FRAME}\n@ http://h/b.js:1:1");
    let required = "parse sourcemap for [http://h/b.js:1:1] failed: sourcemap file [b.js.map] is required";
    assert_eq!(
        gateway.check(query, &some),
        found("at f @ src/a.ts:3:1\n@ http://h/b.js:1:1", &some, required)
    );
    for platform in ["android", "ios"] {
        let query = format!("app_id=app&platform={platform}");
        assert_eq!(gateway.check(&query, FRAME), found("", FRAME, ""));
    }
}

#[test]
fn a_corrupt_archive_is_stored_and_resolves_nothing() {
    let gateway = Gateway::new();
    let query = "app_id=app";
    let path = gateway.path("web/app-none-none.zip");
    for bytes in [b"no zip".to_vec(), maps("a")[..100].to_vec(), archive_of_a_million(), Vec::new()] {
        assert_eq!(gateway.put(query, &bytes), done(format!("uploaded to [{}]!", path.display())));
        let missing = format!("source map file [{}] not exists", path.display());
        assert_eq!(gateway.check(query, FRAME), found("", FRAME, &missing));
        assert_eq!(gateway.resolved("df_web_rum_sdk", "", FRAME), None);
    }
    // An archive that can be read and maps that cannot be.
    let bomb = vec![b' '; 32 << 20];
    let evil = archive(&[
        Item::deflated("dist/a.js.map", &bomb),
        Item::new("b.js.map", b"not a map"),
        Item { mode: 0o120_777, ..Item::new("c.js.map", b"/etc/passwd") },
        Item::new("../d.js.map", &map_to("d")),
    ]);
    gateway.put(query, &evil);
    for key in ["dist/a.js", "b.js", "c.js", "d.js"] {
        let frame = format!("@ http://h/{key}:1:4");
        let reason = gateway.check(query, &frame)["errorMsg"].as_str().unwrap().to_owned();
        assert!(reason.ends_with(&format!("sourcemap file [{key}.map] is required")), "{reason}");
        assert_eq!(gateway.resolved("df_web_rum_sdk", "", &frame), Some(frame));
    }
}

#[test]
fn what_others_put_there_is_noticed_in_time() {
    let gateway = Gateway::new();
    gateway.put("app_id=app", &maps("old.ts"));
    let path = gateway.path("web/app-none-none.zip");
    let name = "app-none-none.zip";
    let now = Instant::now();
    let before = gateway.store.open(Platform::Web, name, now).unwrap();
    let written = |bytes: &[u8], later_s: u64| {
        let other = gateway.home.path().join("other");
        fs::write(&other, bytes).unwrap();
        let file = fs::File::options().write(true).open(&other).unwrap();
        file.set_modified(SystemTime::now() + Duration::from_secs(later_s)).unwrap();
        fs::rename(&other, &path).unwrap();
    };
    written(&maps("new.ts"), 10);
    let at = |minutes: u64| gateway.store.open(Platform::Web, name, now + Duration::from_secs(minutes * 60));
    assert!(Arc::ptr_eq(&at(4).unwrap(), &before), "for five minutes the old one is good");
    let after = at(6).unwrap();
    assert!(!Arc::ptr_eq(&after, &before));
    assert!(Arc::ptr_eq(&at(12).unwrap(), &after), "the same file is not read again");
    fs::remove_file(&path).unwrap();
    assert!(at(10).is_some() && at(18).is_none());
    // Looking at the folders finds out earlier.
    gateway.put("app_id=app", &maps("old.ts"));
    gateway.check("app_id=app", FRAME);
    assert_eq!(gateway.store.held(), (1, 1));
    fs::remove_file(&path).unwrap();
    gateway.store.look(&gateway.settings);
    assert_eq!(gateway.store.held(), (0, 0));
    assert!(gateway.sources.is_empty());
    fs::write(&path, maps("a.ts")).unwrap();
    gateway.store.look(&gateway.settings);
    assert_eq!(gateway.resolved("df_web_rum_sdk", "", FRAME).unwrap(), "at f @ a.ts:3:1");
}

#[test]
fn memory_for_maps_is_bounded() {
    let mut gateway = Gateway::new();
    gateway.settings.cache_bytes = 1 << 20;
    let mappings = format!("AACA{}", ",CACA".repeat(10_000));
    let text = format!(r#"{{"version":3,"sources":["s"],"mappings":"{mappings}"}}"#);
    let items: Vec<Item> =
        (0..20).map(|index| Item::deflated(&format!("{index}.js.map"), text.as_bytes())).collect();
    for app in 0..3 {
        gateway.put(&format!("app_id=app{app}"), &archive(&items));
        for index in 0..20 {
            let found = gateway.check(&format!("app_id=app{app}"), &format!("@ {index}.js:1:7"));
            assert_eq!(found["content"]["error_stack"], "@ s:9:0");
        }
    }
    // Two hundred kilobytes each.
    let (open, maps) = gateway.store.held();
    assert!(open == 3 && (2..=5).contains(&maps), "{maps}");
    for app in 0..100 {
        gateway.put(&format!("app_id=many{app}"), &maps_of_one());
        gateway.check(&format!("app_id=many{app}"), FRAME);
    }
    assert!(gateway.store.held().0 <= 64);
}

fn maps_of_one() -> Vec<u8> {
    maps("a.ts")
}

#[test]
fn symbols_are_unpacked_and_go_with_their_archive() {
    let gateway = Gateway::new();
    let query = "app_id=app&platform=android";
    let folder = gateway.path("android/app-none-none");
    let symbols = |text: &str| {
        archive(&[
            Item::new("app-none-none/mapping.txt", text.as_bytes()),
            Item::new("x86/lib.so", b"so"),
            Item::new("../../slip", b"x"),
            Item { mode: 0o120_777, ..Item::new("link", b"/etc") },
        ])
    };
    gateway.put(query, &symbols("one"));
    assert!(gateway.sources.is_empty(), "symbols that are not unpacked resolve nothing");
    gateway.store.look(&gateway.settings);
    assert!(!gateway.sources.is_empty());
    assert_eq!(fs::read(folder.join("mapping.txt")).unwrap(), b"one");
    assert_eq!(fs::read_dir(&folder).unwrap().count(), 2);
    assert!(!gateway.home.path().join("slip").exists() && !gateway.path("slip").exists());
    // Nothing is done twice.
    fs::write(folder.join("mapping.txt"), b"touched").unwrap();
    gateway.store.look(&gateway.settings);
    assert_eq!(fs::read(folder.join("mapping.txt")).unwrap(), b"touched");
    // A restart knows it too.
    let again = Store::new(gateway.home.path(), Arc::default());
    again.look(&gateway.settings);
    assert_eq!(fs::read(folder.join("mapping.txt")).unwrap(), b"touched");
    // Another archive, another folder.
    gateway.put(query, &symbols("two"));
    let archive = gateway.path("android/app-none-none.zip");
    let file = fs::File::options().write(true).open(&archive).unwrap();
    file.set_modified(SystemTime::now() + Duration::from_secs(5)).unwrap();
    gateway.store.look(&gateway.settings);
    assert_eq!(fs::read(folder.join("mapping.txt")).unwrap(), b"two");
    // One that cannot be unpacked leaves the old one, and is not tried again.
    gateway.put(query, b"no zip");
    gateway.store.look(&gateway.settings);
    assert_eq!(fs::read(folder.join("mapping.txt")).unwrap(), b"two");
    gateway.delete(query);
    assert!(folder.is_dir());
    gateway.store.look(&gateway.settings);
    assert!(!folder.exists() && gateway.sources.is_empty());
    assert_eq!(fs::read_dir(gateway.path(".tmp")).unwrap().count(), 0);
}

#[test]
fn books_that_name_others_folders_remove_nothing() {
    let gateway = Gateway::new();
    let other = gateway.home.path().join("precious");
    fs::create_dir_all(&other).unwrap();
    fs::create_dir_all(gateway.path("android")).unwrap();
    let note = r#"{"mod_time":"2026-01-02T03:04:05Z","extract_time":"2026-01-02T03:04:05Z"}"#;
    let text = format!(r#"{{"{0}.zip":{note},"{0}":{note}}}"#, other.display());
    fs::write(gateway.path(".--source-map-archive-dict.json"), text).unwrap();
    gateway.store.look(&gateway.settings);
    assert!(other.is_dir());
    assert_eq!(fs::read_to_string(gateway.path(".--source-map-archive-dict.json")).unwrap(), "{}");
}

#[test]
fn what_writers_left_is_removed() {
    let gateway = Gateway::new();
    fs::create_dir_all(gateway.path(".tmp/1-1/folder")).unwrap();
    fs::write(gateway.path(".tmp/1-2"), b"half").unwrap();
    gateway.store.look(&gateway.settings);
    assert_eq!(fs::read_dir(gateway.path(".tmp")).unwrap().count(), 0);
}

#[test]
fn crashes_on_android_go_to_their_programs() {
    let mut gateway = Gateway::new();
    let query = "app_id=app&platform=android";
    let stack = "java.lang.X\n\tat a.b(SourceFile:1)\n";
    let unpack = |gateway: &Gateway, mapping: &str| {
        gateway.put(
            query,
            &archive(&[Item::new("mapping.txt", mapping.as_bytes()), Item::new("x86/l.so", b"")]),
        );
        let file = fs::File::options().write(true).open(gateway.path("android/app-none-none.zip")).unwrap();
        file.set_modified(SystemTime::now() + Duration::from_secs(u64::from(mapping.len() as u32))).unwrap();
        gateway.store.look(&gateway.settings);
    };
    unpack(&gateway, "# compiler: R8\n");
    let sdk = "df_android_rum_sdk";
    assert_eq!(gateway.resolved(sdk, "java_crash", stack), None, "its program is not configured");
    gateway.program(
        "cmdline/bin/retrace",
        "echo Waiting for stack-trace input...; echo; echo r8 $(head -c3 \"$1\"); cat",
    );
    gateway.program("proguard/bin/retrace.sh", "echo proguard $(basename \"$1\"); cat");
    gateway.program(
        "ndk/ndk-stack",
        "echo dump; echo \" #00 $1 $(basename \"$2\")\"; echo 'Crash dump is completed'",
    );
    gateway.settings.android_cmdline_home = Some(gateway.home.path().join("cmdline"));
    // That it failed is remembered for a while: another stack.
    let other = format!("{stack}x");
    let expected = "r8 # c\njava.lang.X\n\tat a.b(SourceFile:1)\nx";
    assert_eq!(gateway.resolved(sdk, "java_crash", &other).unwrap(), expected);
    unpack(&gateway, "a.b -> c:\n# and so on\n");
    assert_eq!(gateway.resolved(sdk, "java_crash", stack), None);
    gateway.settings.proguard_home = Some(gateway.home.path().join("proguard"));
    assert_eq!(gateway.resolved(sdk, "java_crash", "s").unwrap(), "proguard mapping.txt\ns");
    let native = "ABI: 'x86'\nbacktrace:\n #00 pc\nlogcat: x";
    assert_eq!(gateway.resolved(sdk, "native_crash", native), None);
    gateway.settings.ndk_home = Some(gateway.home.path().join("ndk"));
    let native = format!("{native}y");
    assert_eq!(
        gateway.resolved(sdk, "native_crash", &native).unwrap(),
        "ABI: 'x86'\nbacktrace:\n #00 --sym x86\n\nlogcat: xy"
    );
    assert_eq!(gateway.resolved(sdk, "native_crash", "ABI: 'arm64-v8a'\n"), None, "no such folder");
    assert_eq!(gateway.resolved(sdk, "other", "z"), None);
    // A program that hangs.
    gateway.program("proguard/bin/retrace.sh", "sleep 1000");
    gateway.settings.tool_timeout = Duration::from_millis(200);
    let begun = Instant::now();
    assert_eq!(gateway.resolved(sdk, "java_crash", "hangs"), None);
    assert!(begun.elapsed() < Duration::from_secs(5));
}

#[test]
fn crashes_on_ios_get_their_symbols() {
    let mut gateway = Gateway::new();
    let query = "app_id=app&platform=ios";
    let items = [
        Item::new("out/App.app.dSYM/Contents/Resources/DWARF/App", b"symbols"),
        Item::new("UIKit.dSYM", b"symbols"),
        Item::new("App.dSYM/nothing", b""),
    ];
    gateway.put(query, &archive(&items));
    gateway.store.look(&gateway.settings);
    let crash = "0 App 0x20 0x10 + 16\n1 App 0x21 0x10 + 17\n2 UIKit 0x31 0x30 + 1\n3 None 0x1 0x0 + 1\n";
    assert_eq!(gateway.check(query, crash), found("", crash, ""), "its program is not configured");
    // -o FILE -l LOAD ADDRESS…
    let script = "file=$2; load=$4; shift 4; for a in \"$@\"; do echo \"$(basename $file) $load $a\"; done";
    gateway.settings.atos_bin_path = Some(gateway.program("atosl", script));
    let expected = "0 App 0x20 App 0x10 0x20\n1 App 0x21 App 0x10 0x21\n2 UIKit 0x31 UIKit.dSYM 0x30 0x31\n\
                    3 None 0x1 0x0 + 1\n";
    assert_eq!(gateway.check(query, crash), found(expected, crash, ""));
    assert_eq!(gateway.resolved("df_ios_rum_sdk", "", crash).unwrap(), expected);
    assert_eq!(gateway.check(query, "no addresses"), found("", "no addresses", ""));
    // One that answers several at once with too few lines is asked for each.
    let one = "shift 4; [ $# -gt 1 ] && echo many || echo one $1";
    gateway.program("atosl", one);
    let expected = "0 App 0x20 one 0x20\n1 App 0x21 one 0x21\n2 UIKit 0x31 one 0x31\n3 None 0x1 0x0 + 1\n";
    assert_eq!(gateway.check(query, crash), found(expected, crash, ""));
    gateway.program("atosl", "exit 1");
    assert_eq!(gateway.check(query, crash), found(crash, crash, ""));
}

#[test]
fn requests_are_answered_by_other_threads() {
    let gateway = Gateway::new();
    let answers = Arc::new(Answers::default());
    assert!(gateway.store.ask(Vec::new(), &answers, &gateway.settings).is_none(), "nobody has begun");
    let settings = gateway.settings.clone();
    let (stop, stopped) = std::sync::mpsc::channel::<()>();
    let stopped = std::sync::Mutex::new(stopped);
    Store::keep_looking(&gateway.store, move || {
        let gone = stopped.lock().unwrap().try_recv() == Err(std::sync::mpsc::TryRecvError::Disconnected);
        (!gone).then(|| settings.clone())
    })
    .unwrap();
    gateway.put("app_id=app", &maps("a.ts"));
    gateway.put("app_id=app&platform=android", &archive(&[Item::new("mapping.txt", b"m")]));
    // The thread that was woken unpacks it.
    let unpacked = gateway.path("android/app-none-none/mapping.txt");
    while !unpacked.is_file() || gateway.asked("df_android_rum_sdk", "java_crash", FRAME).1.is_empty() {
        std::thread::yield_now();
    }
    let (web, mut questions) = gateway.asked("df_web_rum_sdk", "", FRAME);
    let (android, more) = gateway.asked("df_android_rum_sdk", "java_crash", FRAME);
    questions.extend(more);
    assert_eq!(questions.len(), 2);
    let done = gateway.store.ask(questions, &answers, &gateway.settings).unwrap();
    let end = done.recv_timeout(Duration::from_secs(20));
    assert_eq!(end, Err(flume::RecvTimeoutError::Disconnected), "both are done");
    assert_eq!(gateway.told(web, &answers).unwrap(), "at f @ a.ts:3:1");
    assert_eq!(gateway.told(android, &answers), None);
    drop(stop);
}
