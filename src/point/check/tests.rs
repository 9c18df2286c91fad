//! Each rule with its recorded type and message.

use proptest::prelude::*;

use super::*;
use crate::point::{Category, Compat, rules};

fn run(kvs: Vec<DraftKv<'static>>, rules: &CategoryRules) -> (Draft<'static>, Vec<String>) {
    run_named("m", kvs, rules)
}

fn run_named(name: &str, kvs: Vec<DraftKv<'static>>, rules: &CategoryRules) -> (Draft<'static>, Vec<String>) {
    let name = Cow::Owned(name.as_bytes().to_vec());
    let mut draft = Draft { name, kvs, ..Draft::default() };
    let mut warns = Vec::new();
    check(&mut draft, rules, &mut warns);
    (draft, warns.iter().map(Warn::text).collect())
}

fn tag(key: &str, value: &str) -> DraftKv<'static> {
    DraftKv::tag(key.as_bytes().to_vec(), value.as_bytes().to_vec())
}

fn field(key: &str, value: Value<'static>) -> DraftKv<'static> {
    DraftKv::field(key.as_bytes().to_vec(), value)
}

fn keys(draft: &Draft<'_>) -> Vec<String> {
    draft.kvs.iter().map(|kv| String::from_utf8_lossy(&kv.key).into_owned()).collect()
}

const NETWORK: Category = Category::Network;

#[test]
fn rules_1_and_2_measurement() {
    let plain = rules(NETWORK, Compat::Datakit184);
    let (draft, warns) = run_named("", vec![], plain);
    assert_eq!(&*draft.name, b"__default");
    assert_eq!(warns, ["invalid_measurement: empty measurement, use __default"]);
    let (draft, warns) = run_named(&"x".repeat(1025), vec![], plain);
    assert_eq!(draft.name.len(), 1024);
    assert_eq!(warns, ["invalid_measurement: exceed max measurement length(1024), got length 1025, trimmed"]);
    assert!(run_named(&"x".repeat(1024), vec![], plain).1.is_empty());
}

#[test]
fn rules_3_and_4_counts() {
    let plain = rules(NETWORK, Compat::Datakit184);
    let mut kvs: Vec<_> = (0..1030).map(|i| field(&format!("f{i}"), Value::Int(1))).collect();
    kvs.extend((0..300).map(|i| tag(&format!("t{i}"), "v")));
    let (draft, warns) = run(kvs, plain);
    assert_eq!(draft.kvs.len(), 1024 + 256);
    assert_eq!(keys(&draft)[1023..1026], ["f1023", "t0", "t1"]);
    assert_eq!(
        warns,
        [
            "exceed_max_fields: exceed max field count(1024), got 1030 fields, extra fields deleted",
            "exceed_max_fields: exceed max tag count(256), got 300 tags, extra tags deleted",
        ]
    );
}

#[test]
fn rules_5_to_7_of_tags() {
    let dotless = rules(Category::Logging, Compat::Datakit184);
    let long = "k".repeat(257);
    let status = || field("status", Value::Int(1));
    let (draft, warns) = run(vec![tag(&long, "v"), status()], dotless);
    assert_eq!(draft.kvs[0].key.len(), 256);
    assert_eq!(warns, ["exceed_max_tag_key_len: exceed max tag key length(256), got 257, key truncated"]);
    let (draft, warns) = run(vec![tag(&long, "v"), tag(&long[..256], "w"), status()], dotless);
    assert_eq!(draft.kvs.len(), 2);
    assert_eq!(warns[1], format!("invalid_tag_key: tag key \"{}\" exist after truncate", &long[..256]));
    let (draft, warns) = run(vec![tag("a\nb\\\\", "v"), status()], dotless);
    assert_eq!(&*draft.kvs[0].key, b"a b");
    assert_eq!(warns, [r#"invalid_tag_key: invalid tag key "a\nb\\\\", replace \ or \n with ''"#]);
    let (draft, warns) = run(vec![tag("a.b", "v"), tag("a_b", "w"), status()], dotless);
    assert_eq!(keys(&draft), ["a_b", "status"]);
    assert_eq!(
        warns,
        [
            "invalid_tag_key: invalid tag key `a.b': found `.'",
            "invalid_tag_key: tag key \"a_b\" exist after adjust",
        ]
    );
}

#[test]
fn rules_5_to_7_of_fields() {
    let dotless = rules(Category::Object, Compat::Datakit184);
    let name = || field("name", Value::Int(1));
    let long = "k".repeat(300);
    let (_, warns) = run(vec![field(&long, Value::Bool(true)), name()], dotless);
    assert_eq!(
        warns,
        ["exceed_max_field_key_len: exceed max field key length(256), got length 300, key truncated"]
    );
    let (draft, warns) = run(vec![field("a.b\n", Value::Bool(true)), name()], dotless);
    assert_eq!(keys(&draft), ["a_b ", "name"]);
    assert_eq!(
        warns,
        [
            "dot_in_key: invalid field key `a.b\n': found `.'",
            r#"found_new_line_or_tail_espace: invalid field key "a_b\n": found \n, replaced with ' '"#,
        ]
    );
}

#[test]
fn rules_8_to_10_keys() {
    let logging = rules(Category::Logging, Compat::Datakit184);
    let kvs = vec![
        tag("", "v"),
        field("source", Value::Int(1)),
        tag("date", "x"),
        field("twice", Value::Int(1)),
        tag("twice", "x"),
        field("status", Value::Int(1)),
    ];
    let (draft, warns) = run(kvs, logging);
    assert_eq!(keys(&draft), ["status"]);
    assert_eq!(
        warns,
        [
            "tag_disabled: empty tag key disabled",
            "tag_disabled: tag key \"source\" disabled",
            "tag_disabled: tag key \"date\" disabled",
            "key_name_conflict: same key (\"twice\")",
            "key_name_conflict: same key (\"twice\")",
        ]
    );
}

#[test]
fn rules_11_and_12_of_tags() {
    let plain = rules(NETWORK, Compat::Datakit184);
    let (draft, warns) = run(vec![tag("t", "a\nb\\")], plain);
    assert_eq!(draft.kvs[0].value, Value::Str(b"a b".into()));
    assert_eq!(warns, [r#"found_new_line_or_tail_espace: invalid tag value "a\nb\\", found \n or tail \"#]);
    let (draft, warns) = run(vec![tag("t", &"世".repeat(342))], plain);
    // The cut goes through a character.
    assert!(matches!(&draft.kvs[0].value, Value::Str(value) if value.len() == 1024));
    assert_eq!(
        warns,
        ["exceed_max_tag_value_len: exceed max tag value length(1024), got 1026, value truncated"]
    );
}

#[test]
fn rules_11_to_15_of_fields() {
    let metric = rules(Category::Metric, Compat::Documented);
    let kvs = vec![
        field("up", Value::Float(f64::INFINITY)),
        field("down", Value::Float(f64::NEG_INFINITY)),
        field("nan", Value::Float(f64::NAN)),
        field("nil", Value::Nil),
        field("s", Value::Str(b"x".into())),
        field("d", Value::Bytes(b"x".into())),
        field("a", Value::Any(b"".into())),
    ];
    let (draft, warns) = run(kvs, metric);
    assert_eq!(keys(&draft), ["up", "down", "nan", "nil", "a"]);
    assert_eq!(draft.kvs[0].value, Value::Float(18446744073709551615.0));
    assert_eq!(draft.kvs[1].value, Value::Float(-9223372036854775808.0));
    assert_eq!(
        warns,
        [
            "convert_inf_to_max_value: +inf value from \"up\" convert to max-uint64",
            "convert_inf_to_min_value: +inf value from \"down\" convert to min-int64",
            "nil_field: nil field(nil)",
            "invalid_field_value_type: field(s) dropped with string value, when [DisableStringField] enabled",
            "invalid_field_value_type: field(d) dropped with string value, when [DisableStringField] enabled",
        ]
    );
    let plain = rules(NETWORK, Compat::Datakit184);
    let (draft, warns) =
        run(vec![field("f", Value::Str(vec![b'x'; FIELD_VALUE_BYTES_MAX + 1].into()))], plain);
    assert!(matches!(&draft.kvs[0].value, Value::Str(value) if value.len() == FIELD_VALUE_BYTES_MAX));
    let message = "field (f) exceed max field value length(33554432), got 33554433, value truncated";
    assert_eq!(warns, [format!("exceed_max_field_value_len: {message}")]);
}

#[test]
fn rule_16_required_key() {
    let documented = rules(Category::CustomObject, Compat::Documented);
    let (draft, warns) = run(vec![field("f", Value::Int(1))], documented);
    assert_eq!(draft.kvs[1], field("name", Value::Str(b"default".into())));
    assert_eq!(warns, ["add_required_kv: add required key-value \"name\": \"default\""]);
    // A key that the rules gave its name counts.
    let (draft, warns) = run(vec![tag("name\\", "x")], documented);
    assert_eq!((keys(&draft), warns.len()), (vec!["name".to_owned()], 1));
}

proptest! {
    /// The list of keys is searched in two ways, by its length; both must say the same.
    #[test]
    fn long_lists_are_checked_like_short_ones(
        names in proptest::collection::vec("[ab][._\\n]?[ab]?\\\\?", 1..12),
        is_tag in proptest::collection::vec(any::<bool>(), 12),
    ) {
        let rules = rules(Category::Tracing, Compat::Documented);
        let kvs: Vec<_> = names
            .iter()
            .zip(&is_tag)
            .map(|(name, is_tag)| if *is_tag { tag(name, "v") } else { field(name, Value::Int(1)) })
            .collect();
        let short = kvs.clone();
        let mut long = kvs;
        long.extend((0..LINEAR_KEYS_MAX).map(|i| field(&format!("filler{i}"), Value::Int(1))));
        let (short, short_warns) = run(short, rules);
        let (long, long_warns) = run(long, rules);
        prop_assert_eq!(short_warns, long_warns);
        prop_assert_eq!(&short.kvs[..], &long.kvs[..short.kvs.len()]);
        prop_assert_eq!(long.kvs.len() - short.kvs.len(), LINEAR_KEYS_MAX);
    }
}
