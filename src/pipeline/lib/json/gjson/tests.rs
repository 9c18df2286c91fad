//! The path language by its own description, and paths that are none.

use proptest::prelude::*;

use super::*;

const TEXT: &str = r#"{
  "name": {"first": "Tom", "last": "Anderson"}, "age": 37, "fav.movie": "Deer Hunter", "none": null, "ok": true,
  "children": ["Sara", "Alex", "Jack"],
  "friends": [
    {"first": "Dale", "last": "Murphy", "age": 44, "nets": ["ig", "fb", "tw"]},
    {"first": "Roger", "last": "Craig", "age": 68, "nets": ["fb", "tw"]},
    {"first": "Jane", "last": "Murphy", "age": 47, "nets": ["ig", "tw"]}
  ]
}"#;

fn found(path: &str) -> Option<String> {
    Some(match find(TEXT.as_bytes(), path)? {
        Found::Number(number) => number.to_string(),
        Found::Bool(value) => value.to_string(),
        Found::Text(bytes) | Found::Json(bytes) => String::from_utf8(bytes).unwrap(),
    })
}

#[test]
fn paths_of_the_languages_own_description() {
    for (path, expected) in [
        ("name.last", "Anderson"),
        ("age", "37"),
        ("ok", "true"),
        ("children.#", "3"),
        ("children.1", "Alex"),
        ("child*.2", "Jack"),
        ("c?ildren.0", "Sara"),
        ("fav\\.movie", "Deer Hunter"),
        ("friends.#.first", r#"["Dale","Roger","Jane"]"#),
        ("friends.1.last", "Craig"),
        ("friends.#(last==\"Murphy\").first", "Dale"),
        ("friends.#(last==\"Murphy\")#.first", r#"["Dale","Jane"]"#),
        ("friends.#(age>45)#.last", r#"["Craig","Murphy"]"#),
        ("friends.#(first%\"D*\").last", "Murphy"),
        ("friends.#(first!%\"D*\").last", "Craig"),
        ("friends.#(nets.#(==\"fb\"))#.first", r#"["Dale","Roger"]"#),
        ("friends.#(none==~null)#|#", "3"),
        ("children.#(!=\"Sara\")#", r#"["Alex","Jack"]"#),
        ("friends.#(age>100)#", "[]"),
        ("friends.#.nets|0", r#"["ig", "fb", "tw"]"#),
        ("friends.#.nets.0", r#"["ig","fb","ig"]"#),
        ("children|@reverse", r#"["Jack","Alex","Sara"]"#),
        ("children|@reverse|0", "Jack"),
        ("friends.#.nets|@flatten", r#"["ig","fb","tw","fb","tw","ig","tw"]"#),
        ("friends.#(last=Murphy)#|@join.first", "Jane"),
        ("name|@values", r#"["Tom","Anderson"]"#),
        ("name.@keys", r#"["first","last"]"#),
        (
            "{name.first,age,\"the_murphys\":friends.#(last==\"Murphy\")#.first}",
            r#"{"first":"Tom","age":37,"the_murphys":["Dale","Jane"]}"#,
        ),
        ("[age,ok,none,nothing]", "[37,true,null]"),
        ("name|@ugly", r#"{"first":"Tom","last":"Anderson"}"#),
        ("name|@tostr|@fromstr|first", "Tom"),
        ("@dig:age", "[37,44,68,47]"),
        ("{\"a\":!5,\"b\":!\"x\"}|b", "x"),
    ] {
        assert_eq!(found(path).as_deref(), Some(expected), "{path}");
    }
    for path in [
        "",
        "nothing",
        "name.first.x",
        "children.3",
        "children.x",
        "none",
        "@nothing",
        "friends.#(age>100)",
        "age.0",
    ] {
        assert_eq!(found(path), None, "{path}");
    }
}

#[test]
fn lines_are_a_list() {
    let text = b"{\"a\":1}\n{\"a\":2}\n\n[3]";
    assert_eq!(find(text, "..#"), Some(Found::Number(3.0)));
    assert_eq!(find(text, "..#.a"), Some(Found::Json(b"[1,2]".to_vec())));
}

#[test]
fn a_path_that_doubles_its_result_ends() {
    let path = ["[@this,@this,@this,@this]"; 100].join("|");
    assert_eq!(find(TEXT.as_bytes(), &path), None);
    let path = "[".repeat(2_000);
    assert_eq!(find(TEXT.as_bytes(), &path), None);
    // What is too deep is nothing, and maps around nothing are empty.
    let path = "{a:".repeat(500) + "age" + &"}".repeat(500);
    assert!(matches!(find(TEXT.as_bytes(), &path), Some(Found::Json(text)) if text.len() < 10 * DEPTH_MAX));
}

proptest! {
    #[test]
    fn no_path_makes_it_fall(
        path in "(name|friends|children|#|#\\(|\\)#|\\)|first|@keys|@pretty|@join|@flatten|:|[.|*?\\\\{}\\[\\],\"=!<>%~0-9]|\\PC){0,16}"
    ) {
        find(TEXT.as_bytes(), &path);
    }

    #[test]
    fn patterns(text in "[ab]{0,8}", pattern in "[ab*?]{0,8}") {
        let regex = format!("^(?s:{})$", pattern.replace('*', ".*").replace('?', "."));
        let expected = regex::Regex::new(&regex).unwrap().is_match(&text);
        prop_assert_eq!(matches(text.as_bytes(), pattern.as_bytes()), expected);
    }
}
