//! The examples and constraints of the public API document, under the default `compat`. Section names are the document's.

use kitgate::point::Compat;
use serde_json::{Value, json};

use crate::golden_gateway::{Gateway, Got, NOW_NS, Sent};

fn post(target: &str, body: &[u8]) -> Got {
    let sent = Sent {
        method: "POST".to_owned(),
        target: format!("/v1/write/{target}"),
        headers: Vec::new(),
        body: body.to_vec(),
    };
    Gateway::new(Compat::Documented).send(&sent)
}

fn echo(target: &str, body: &str) -> String {
    let got = post(&format!("{target}?dry=1&echo=lp"), body.as_bytes());
    assert_eq!(got.status, 200, "{}", String::from_utf8_lossy(&got.body));
    String::from_utf8(got.body).unwrap()
}

/// The points in PB-JSON form.
fn points(target: &str, body: &str) -> Vec<Value> {
    let got = post(&format!("{target}?dry=1&echo=pbjson"), body.as_bytes());
    assert_eq!(got.status, 200, "{}", String::from_utf8_lossy(&got.body));
    serde_json::from_slice(&got.body).unwrap()
}

fn warns(point: &Value) -> Vec<&str> {
    point["warns"].as_array().into_iter().flatten().map(|warn| warn["type"].as_str().unwrap()).collect()
}

#[test]
fn line_protocol_body_simple_examples() {
    let body = "# Normal example\n\
        some_measurement,host=my_host,region=my_region cpu_usage=0.01,memory_usage=1048576u 1710321406000000000\n\n\
        # No tag example\n\
        some_measurement cpu_usage=0.01,memory_usage=1048576u 1710321406000000000\n\n\
        # No timestamp example\n\
        some_measurement,host=my_host,region=my_region cpu_usage=0.01,memory_usage=1048576u\n";
    assert_eq!(
        echo("metric", body),
        format!(
            "some_measurement,host=my_host,region=my_region cpu_usage=0.01,memory_usage=1048576u 1710321406000000000\n\
             some_measurement cpu_usage=0.01,memory_usage=1048576u 1710321406000000000\n\
             some_measurement,host=my_host,region=my_region cpu_usage=0.01,memory_usage=1048576u {NOW_NS}"
        )
    );
    let all_types = "some_measurement,host=my_host,region=my_region float=0.01,uint=1048576u,int=42i,\
        string=\"my-host\",boolean=T,binary=\"aGVsbG8=\"b,array=[1.414,3.14] 1710321406000000000";
    assert_eq!(
        echo("network", all_types),
        "some_measurement,host=my_host,region=my_region array=[1.414,3.14],binary=\"aGVsbG8=\"b,boolean=true,\
         float=0.01,int=42i,string=\"my-host\",uint=1048576u 1710321406000000000"
    );
    assert_eq!(post("metric", body.as_bytes()).fed.points, 3);
}

#[test]
fn line_protocol_body_values() {
    let body = "m some_int=42i,some_uint=42u,some_float_1=3.14,some_float_2=3,some_string=\"hello world\",\
        some_true=T,some_false=F,some_array=[1i,2i,3i] 1710321406000000000";
    let points = points("network", body);
    let field = |key: &str| {
        let fields = points[0]["fields"].as_array().unwrap();
        fields.iter().find(|field| field["key"] == key).cloned().unwrap()
    };
    assert_eq!(field("some_int")["i"], "42");
    assert_eq!(field("some_uint")["u"], "42");
    assert_eq!(field("some_float_2")["f"].as_f64(), Some(3.0));
    assert_eq!(field("some_true")["b"], true);
    assert_eq!(field("some_array")["a"]["arr"], json!([{ "i": "1" }, { "i": "2" }, { "i": "3" }]));
    // Types in an array must be consistent: the document calls this one unsupported.
    let invalid = post("network", b"m invalid_array=[1i,3.14,\"string\"]\nm f=1i");
    assert_eq!(invalid.status, 400);
}

#[test]
fn line_protocol_body_escapes() {
    let body = r#"m\,1,t\,\=\ k=v\,\=\ 1 f\,\=\ k="a \"quoted\" text" 1710321406000000000"#;
    let points = points("network", body);
    assert_eq!(points[0]["name"], "m,1");
    let mut fields = points[0]["fields"].as_array().unwrap().clone();
    fields.sort_by_key(|field| field["key"].to_string());
    assert_eq!(
        fields,
        [
            json!({ "key": "f,= k", "s": "a \"quoted\" text" }),
            json!({ "key": "t,= k", "s": "v,= 1", "is_tag": true }),
        ]
    );
    assert_eq!(echo("network", body), body);
    // Newlines in field values need no escape.
    assert_eq!(echo("network", "m f=\"a\nb\" 1710321406000000000"), "m f=\"a\nb\" 1710321406000000000");
}

#[test]
fn parameters_precision_is_recognised_by_size() {
    for (time, ns) in [
        ("1716544492", "1716544492000000000"),
        ("1716544492000", "1716544492000000000"),
        ("1716544492000000", "1716544492000000000"),
        ("1716544492000000000", "1716544492000000000"),
    ] {
        assert_eq!(echo("metric", &format!("m f=1i {time}")), format!("m f=1i {ns}"));
    }
}

#[test]
fn parameters_of_type_bool_look_at_presence_only() {
    let got = post("metric?dry=false&echo=lp", b"m f=1i 1710321406");
    assert_eq!((got.status, got.fed.points), (200, 0));
    assert_eq!(got.body, b"m f=1i 1710321406000000000");
    assert_eq!(post("metric?dry=", b"m f=1i 1710321406").fed.points, 1);
}

#[test]
fn every_documented_category_is_taken() {
    for category in [
        "custom_object",
        "keyevent",
        "logging",
        "metric",
        "network",
        "object",
        "profiling",
        "rum",
        "security",
        "tracing",
    ] {
        // RUM points say which measurement of RUM they are, and of which application.
        let body: &[u8] =
            if category == "rum" { b"view,app_id=a f=1i 1710321406" } else { b"m f=1i 1710321406" };
        let got = post(category, body);
        assert_eq!((got.status, got.body.len(), got.fed.points), (200, 0, 1), "{category}");
    }
    assert_eq!(post("metrics", b"m f=1i").status, 400);
}

#[test]
fn constraint_2_metrics_lose_their_strings() {
    let points = points("metric", "m f=1i,s=\"x\",d=\"aGVsbG8=\"b 1710321406");
    assert_eq!(points[0]["fields"], json!([{ "key": "f", "i": "1" }]));
    assert_eq!(warns(&points[0]), ["invalid_field_value_type", "invalid_field_value_type"]);
}

#[test]
fn constraint_3_dots_become_underscores_in_all_but_metric() {
    for category in [
        "custom_object",
        "keyevent",
        "network",
        "profiling",
        "rum",
        "security",
        "tracing",
        "logging",
        "object",
    ] {
        let name = if category == "rum" { "view,app_id=a" } else { "m" };
        let line = format!("{name},a.b=x c.d=1i,status=\"ok\",name=\"n\" 1710321406");
        let points = points(category, &line);
        let keys: Vec<&str> = points[0]["fields"]
            .as_array()
            .unwrap()
            .iter()
            .map(|field| field["key"].as_str().unwrap())
            .collect();
        assert!(keys.contains(&"a_b") && keys.contains(&"c_d"), "{category}: {keys:?}");
        let mut warns = warns(&points[0]);
        warns.sort_unstable();
        assert_eq!(warns, ["dot_in_key", "invalid_tag_key"], "{category}");
    }
    assert_eq!(echo("metric", "m,a.b=x c.d=1i 1710321406"), "m,a.b=x c.d=1i 1710321406000000000");
}

#[test]
fn constraint_4_logging_gets_the_status_unknown() {
    assert_eq!(echo("logging", "m f=1i 1710321406"), "m f=1i,status=\"unknown\" 1710321406000000000");
    for present in ["m,status=ok f=1i 1710321406", "m f=1i,status=\"ok\" 1710321406"] {
        assert!(!echo("logging", present).contains("unknown"));
    }
}

#[test]
fn constraint_5_objects_and_custom_objects_get_the_name_default() {
    for category in ["object", "custom_object"] {
        assert_eq!(echo(category, "m f=1i 1710321406"), "m f=1i,name=\"default\" 1710321406000000000");
        assert!(!echo(category, "m,name=x f=1i 1710321406").contains("default"));
    }
}

#[test]
fn constraints_6_and_7_of_a_key_that_comes_twice_one_stays() {
    assert_eq!(echo("network", "m,k=tag k=1i,f=2i 1710321406"), "m,k=tag f=2i 1710321406000000000");
    assert_eq!(echo("network", "m k=1i,k=2i 1710321406"), "m k=2i 1710321406000000000");
}

#[test]
fn constraints_8_to_12_counts_and_lengths_are_cut() {
    let tags: String = (0..300).map(|i| format!(",t{i}=v")).collect();
    let fields: Vec<String> = (0..1100).map(|i| format!("f{i}=1i")).collect();
    let point = &points("network", &format!("m{tags} {} 1710321406", fields.join(",")))[0];
    let is_tag = |field: &&Value| field["is_tag"] == true;
    let fields = point["fields"].as_array().unwrap();
    assert_eq!(fields.iter().filter(is_tag).count(), 256);
    assert_eq!(fields.len() - 256, 1024);
    let (key, value) = ("k".repeat(300), "v".repeat(2000));
    let point = &points("network", &format!("m,{key}={value} {}=1i 1710321406", "f".repeat(300)))[0];
    for field in point["fields"].as_array().unwrap() {
        assert_eq!(field["key"].as_str().unwrap().len(), 256);
        assert!(field["is_tag"] != true || field["s"].as_str().unwrap().len() == 1024);
    }
}

#[test]
fn line_protocol_error_analysis() {
    let body = b"some1,t1=1,t2=v2 f1=1i,f2=3\nsome2,t1=1,t2 f1=1i,f2=3\n\
        some3,t1=1,t2=v3 f1=1i,f2=3\nsome2,t1=1,t2 f1=1i,f2=\n";
    let got = post("logging", body);
    assert_eq!((got.status, got.fed.points), (400, 0));
    let answer: Value = serde_json::from_slice(&got.body).unwrap();
    assert_eq!(answer["error_code"], "datakit.invalidLinePoint");
    assert_eq!(
        answer["message"],
        "invalid lineprotocol: unable to parse 'some2,t1=1,t2 f1=1i,f2=3'(pos: 29): missing tag value\n\
         unable to parse 'some2,t1=1,t2 f1=1i,f2='(pos: 82): missing tag value\n\
         with 2 point parse ok, 2 points failed. Origin data: \"some1,t1=1,t2=v2 f1=1i,f2=3\\n\
         some2,t1=1,t2 f1=1i,f2=3\\nsome3,t1=1,t2=v3 f1=1i,f2=3\\nsome2,t1=1,t2 f1=1i,f2=\\n\""
    );
}

#[test]
fn verifying_uploaded_data_shows_why_a_point_was_corrected() {
    let points = points("logging", "m some.field=1i,status=\"ok\" 1710321406");
    assert_eq!(
        points[0]["warns"],
        json!([{ "type": "dot_in_key", "message": "invalid field key `some.field': found `.'" }])
    );
    let strict = post("logging?strict=1", b"m some.field=1i,status=\"ok\" 1710321406");
    let answer: Value = serde_json::from_slice(&strict.body).unwrap();
    assert_eq!((strict.status, strict.fed.points), (400, 0));
    assert_eq!(answer["message"], "dot_in_key: invalid field key `some.field': found `.'");
}

#[test]
fn ping_tells_version_and_uptime() {
    let sent = Sent {
        method: "GET".to_owned(),
        target: "/v1/ping".to_owned(),
        headers: Vec::new(),
        body: Vec::new(),
    };
    let got = Gateway::new(Compat::Documented).send(&sent);
    let answer: Value = serde_json::from_slice(&got.body).unwrap();
    assert_eq!(got.status, 200);
    assert_eq!(answer["content"]["uptime"], "5s");
    assert_eq!(answer["content"]["version"], env!("CARGO_PKG_VERSION"));
    assert!(got.headers["x-datakit"].starts_with(env!("CARGO_PKG_VERSION")));
}
