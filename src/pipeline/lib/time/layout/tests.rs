//! Layouts against what Go makes of the same.

use proptest::prelude::*;

use super::*;
use crate::pipeline::lib::time::Zone;

fn seconds(layout: &str, text: &str, zone: &str) -> Result<i64, String> {
    let layout = Layout::compile(layout);
    Ok(layout.parse(text)?.seconds(&Zone::named(zone).unwrap()))
}

#[test]
fn texts_are_read_as_go_reads_them() {
    for (layout, text, zone, expected) in [
        ("2006-01-02 15:04:05", "2021-07-20 10:20:30", "", 1_626_776_430),
        ("2006-01-02 15:04:05", "2021-07-20   10:20:30.25", "Asia/Shanghai", 1_626_747_630),
        ("2006-1-2 3:04pm", "2021-7-20 1:20pm", "", 1_626_787_200),
        ("2006-002", "2021-045", "", 1_613_260_800),
        ("2006-__2", "2021- 45", "", 1_613_260_800),
        ("02 Jan 06 15:04 MST", "20 jul 21 10:20 CST", "Asia/Shanghai", 1_626_747_600),
        ("02 Jan 06 15:04 MST", "20 JUL 21 10:20 CST", "", 1_626_776_400),
        ("02 Jan 06 15:04 MST", "20 JUL 21 10:20 GMT+3", "", 1_626_765_600),
        ("2006-01-02T15:04:05Z07:00", "2021-07-20T10:20:30Z", "Asia/Shanghai", 1_626_776_430),
        ("2006-01-02T15:04:05Z07:00", "2021-07-20T10:20:30+08:00", "", 1_626_747_630),
        ("2006年01月02日", "2014年04月08日", "", 1_396_915_200),
        ("_2 Jan 2006", " 7 Oct 1970", "", 24_105_600),
        ("Mon Jane 2006", "Tue Jane 2021", "", 1_609_459_200),
    ] {
        assert_eq!(seconds(layout, text, zone), Ok(expected), "{layout} {text}");
    }
}

#[test]
fn what_does_not_fit_is_said_in_gos_words() {
    for (layout, text, error) in [
        ("2006-01-02", "2021-13-01", "parsing time \"2021-13-01\": month out of range"),
        ("2006-01-02", "2021-02-29", "parsing time \"2021-02-29\": day out of range"),
        ("2006-01-02", "bad", "parsing time \"bad\" as \"2006-01-02\": cannot parse \"bad\" as \"2006\""),
        ("2006", "2021 x", "parsing time \"2021 x\": extra text: \" x\""),
        ("2006-01", "2021/01", "parsing time \"2021/01\" as \"2006-01\": cannot parse \"/01\" as \"-\""),
        (
            "15:04:05.000",
            "10:20:30",
            "parsing time \"10:20:30\" as \"15:04:05.000\": cannot parse \"\" as \".000\"",
        ),
    ] {
        assert_eq!(seconds(layout, text, ""), Err(error.to_owned()));
    }
}

#[test]
fn moments_are_written_as_go_writes_them() {
    let zone = Zone::named("Asia/Shanghai").unwrap();
    for (layout, expected) in [
        ("2006-01-02T15:04:05.999Z07:00", "2021-07-20T18:20:30.12+08:00"),
        ("Monday Jan _2 3:04:05pm MST -070000", "Tuesday Jul 20 6:20:30pm CST +080000"),
        ("06 1 __2 002 15h,000000", "21 7 201 201 18h,120000"),
        ("Z07 -07 .00 _2006 Junk", "+08 +08 .12 _2021 Junk"),
    ] {
        assert_eq!(Layout::compile(layout).format(1_626_776_430, 120_000_000, &zone), expected, "{layout}");
    }
}

proptest! {
    #[test]
    fn no_text_and_no_layout_makes_it_fall(
        layout in "(2006|01|02|Jan|Mon|MST|-07:00|Z0700|\\.000|,999|PM|_2|__2|002|15|3|[ -~]|年){0,12}",
        text in "([0-9]{1,4}|jan|Tue|[ :.,+-]|GMT|UTC|AM|Z|年|\\PC){0,14}",
        moment in any::<i64>(),
    ) {
        let layout = Layout::compile(&layout);
        let zone = Zone::named("Europe/Kiev").unwrap();
        if let Ok(parsed) = layout.parse(&text) {
            parsed.nanos(&zone);
        }
        layout.format(moment, 5, &zone);
    }

    #[test]
    fn what_is_written_reads_back(moment in -2_000_000_000_i64..8_000_000_000) {
        let layout = Layout::named("RFC3339Nano").unwrap();
        let zone = Zone::named("America/New_York").unwrap();
        let text = layout.format(moment, 70, &zone);
        prop_assert_eq!(layout.parse(&text).unwrap().seconds(&Zone::UTC), moment, "{}", text);
    }
}
