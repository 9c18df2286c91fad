//! Recorded cases, and what they do not show: shapes of dates, clocks that are hours off, texts that are none.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;
use crate::pipeline::lib::testing::{Arg, Call, Case, Line, Step, Val, cases};

/// The time of every recorded point.
const POINT_TIME: Nanos = 1_704_164_645_678_901_234;
/// When the cases were recorded, about: they say nothing that depends on more than its century.
const NOW: Nanos = 1_784_000_000_000_000_000;

/// What the lines of a case have done so far.
struct Run {
    variables: BTreeMap<String, Val>,
    fields: BTreeMap<String, Val>,
    local: Zone,
}

/// What ends a run.
enum Stop {
    Error(String),
    /// A line of a kind that is not played here.
    Other,
}

fn key(arg: Option<&Arg>) -> Result<String, Stop> {
    match arg {
        Some(Arg::Path(path)) => match path.as_slice() {
            [Step::Name(name)] => Ok(name.clone()),
            _ => Err(Stop::Other),
        },
        Some(Arg::Literal(Val::Str(text))) => Ok(String::from_utf8(text.clone()).unwrap()),
        _ => Err(Stop::Other),
    }
}

fn literal(arg: Option<&Arg>) -> Result<Option<String>, Stop> {
    match arg {
        None => Ok(None),
        Some(Arg::Literal(Val::Str(text))) => Ok(Some(String::from_utf8(text.clone()).unwrap())),
        Some(_) => Err(Stop::Other),
    }
}

/// To text, as scripts do it; floats are not needed here.
fn text(value: &Val) -> String {
    match value {
        Val::Nil => String::new(),
        Val::Bool(value) => value.to_string(),
        Val::Int(value) => value.to_string(),
        Val::Float(value) => value.to_string(),
        Val::Str(bytes) => String::from_utf8_lossy(bytes).into_owned(),
    }
}

impl Run {
    fn play(case: &Case) -> Result<Run, (Run, Stop)> {
        let mut run = Run {
            variables: BTreeMap::new(),
            fields: BTreeMap::from([("message".to_owned(), Val::Str(case.message.clone()))]),
            local: Zone::named(&case.zone).unwrap(),
        };
        for line in case.lines.iter().flatten() {
            let done = match line {
                Line::Assign(name, arg) => match run.value(arg) {
                    Ok(value) => {
                        run.variables.insert(name.clone(), value);
                        Ok(())
                    }
                    Err(stop) => Err(stop),
                },
                Line::Call(call) => run.call(call),
            };
            if let Err(stop) = done {
                return Err((run, stop));
            }
        }
        Ok(run)
    }

    fn read(&self, key: &str) -> Option<Val> {
        self.variables.get(key).or_else(|| self.fields.get(key)).cloned()
    }

    fn value(&self, arg: &Arg) -> Result<Val, Stop> {
        match arg {
            Arg::Literal(value) => Ok(value.clone()),
            Arg::Path(_) => Ok(self.read(&key(Some(arg))?).unwrap_or(Val::Nil)),
            Arg::Call(_) => Err(Stop::Other),
        }
    }

    fn call(&mut self, call: &Call) -> Result<(), Stop> {
        let written = key(call.arg(0, "key"))?;
        let value = self.read(&written);
        let out = match (call.name.as_str(), value) {
            ("add_key", value) => match call.arg(1, "value") {
                Some(arg) => Some(self.value(arg)?),
                None => value,
            },
            ("default_time", Some(value)) => Some(self.default_time(&value, literal(call.arg(1, "tz"))?)),
            ("default_time_with_fmt", Some(value)) => {
                let layout = Layout::compile(&literal(call.arg(1, ""))?.ok_or(Stop::Other)?);
                let zone = literal(call.arg(2, ""))?
                    .map_or_else(|| Ok(self.local.clone()), |name| Zone::for_default_time(&name));
                zone.ok().and_then(|zone| time_by_layout(&text(&value), &layout, &zone)).map(Val::Int)
            }
            ("datetime", Some(value)) => {
                let precision = literal(call.arg(1, ""))?.ok_or(Stop::Other)?;
                let format = Format::compile(&literal(call.arg(2, ""))?.ok_or(Stop::Other)?);
                let zone = literal(call.arg(3, ""))?
                    .map_or_else(|| Ok(self.local.clone()), |name| Zone::for_datetime(&name));
                let stamp = match value {
                    Val::Int(value) => value,
                    Val::Float(value) => value as i64,
                    Val::Bool(value) => value.into(),
                    Val::Nil => 0,
                    Val::Str(_) => text(&value).parse().map_err(|_| Stop::Other)?,
                };
                Some(Val::text(datetime(stamp, &precision, &format, &zone.map_err(Stop::Error)?)))
            }
            ("parse_date", _) => Some(Val::Int(self.parse_date(call)?)),
            ("parse_duration", Some(value)) => match &value {
                Val::Str(_) => duration::parse(&text(&value)).map(Val::Int),
                _ => None,
            },
            ("duration_precision", Some(Val::Int(length))) => {
                let (from, to) = (literal(call.arg(1, ""))?, literal(call.arg(2, ""))?);
                duration::convert(length, &from.ok_or(Stop::Other)?, &to.ok_or(Stop::Other)?).map(Val::Int)
            }
            ("default_time" | "default_time_with_fmt" | "datetime" | "parse_duration", None) => None,
            _ => return Err(Stop::Other),
        };
        if let Some(out) = out {
            self.fields.insert(written, out);
        }
        Ok(())
    }

    fn default_time(&mut self, value: &Val, zone: Option<String>) -> Val {
        let zone = zone.map_or_else(|| Ok(self.local.clone()), |name| Zone::for_default_time(&name));
        match zone.and_then(|zone| default_time(&text(value), &zone, NOW)) {
            Ok(time) => Val::Int(time),
            Err(reason) => {
                self.fields.insert("pl_msg".to_owned(), Val::text(format!("time convert failed: {reason}")));
                Val::Int(POINT_TIME)
            }
        }
    }

    fn parse_date(&self, call: &Call) -> Result<Nanos, Stop> {
        let names = ["yy", "MM", "dd", "hh", "mm", "ss", "ms", "us", "ns", "zone"];
        let mut texts = Vec::new();
        for (index, name) in names.iter().enumerate() {
            let value = call.arg(index + 1, name).map(|arg| self.value(arg)).transpose()?;
            texts.push(match value {
                Some(Val::Str(text)) => Some(String::from_utf8(text).unwrap()),
                _ => None,
            });
        }
        let part = |index: usize| texts[index].as_deref();
        let parts = DateParts {
            year: part(0),
            month: part(1),
            day: part(2),
            hour: part(3),
            minute: part(4),
            second: part(5),
            milli: part(6),
            micro: part(7),
            nano: part(8),
            zone: part(9),
        };
        parse_date(&parts, NOW, &self.local).map_err(|error| Stop::Error(error.text))
    }

    /// What is left after a run without an error: a number in `time` becomes the point's.
    fn settle(&mut self) -> i64 {
        match self.fields.remove("time") {
            Some(Val::Int(time)) if time != 0 => time,
            _ => POINT_TIME,
        }
    }
}

/// Of a message about a failure, what is compared: the rest is the library's.
fn comparable(fields: &BTreeMap<String, Val>) -> BTreeMap<String, Val> {
    let cut = |value: &Val| match value {
        Val::Str(text) if text.starts_with(b"time convert failed: ") => Val::text("time convert failed: "),
        value => value.clone(),
    };
    fields.iter().map(|(name, value)| (name.clone(), cut(value))).collect()
}

#[test]
fn recorded_cases() {
    let (mut played, mut left) = (0, Vec::new());
    for case in cases("time") {
        let Some(expected) = case.fields.as_ref().filter(|_| case.lines.is_some() && !case.volatile) else {
            left.push(case.name);
            continue;
        };
        let (mut run, error) = match Run::play(&case) {
            Ok(run) => (run, None),
            Err((run, Stop::Error(error))) => (run, Some(error)),
            Err((_, Stop::Other)) => {
                left.push(case.name);
                continue;
            }
        };
        let time = if error.is_none() { run.settle() } else { POINT_TIME };
        assert_eq!(error, case.error, "{}", case.name);
        assert_eq!(comparable(&run.fields), comparable(expected), "{}", case.name);
        assert_eq!(time, case.time, "{}", case.name);
        played += 1;
    }
    // The others are about the language: checks of arguments, tags, the clock.
    assert!(played >= 293, "{played} played, left: {left:?}");
}

#[test]
fn shapes_of_dates() {
    let utc = |text: &str| default_time(text, &Zone::UTC, NOW).unwrap();
    for (texts, seconds) in [
        (
            &[
                "2021-7-4 5:6:7",
                "04:07:2021",
                "2021-07-04T05:06:07Z",
                "July 4th, 2021 at 5:06:07am",
                "4-Jul-21 05:06:07",
            ][..],
            1_625_375_167,
        ),
        (
            &["Sunday, 04-Jul-21 05:06:07 GMT", "Sun, 4 Jul 2021 05:06:07 +0000", "Sun 04 Jul 2021 05:06:07"],
            1_625_375_167,
        ),
        (
            &["2021-07-04 04:06:07 GMT-0100", "2021-07-04 08:06:07+03:00", "2021-07-04T08:06:07:000+0300"],
            1_625_375_167,
        ),
        (&["4/Jul/2021 05:06:07 +0000", "Jul 4 05:06:07 2021", "Jul 4 2021, 05:06:07", "sept. 4, 2021"], 0),
        (
            &[
                "2021-07-04",
                "2021/7/4",
                "7/4/21",
                "7.4.2021",
                "2021.07.04",
                "20210704",
                "2021-Jul-04",
                "4 July 2021",
            ],
            1_625_356_800,
        ),
    ] {
        for text in texts {
            let expected = match *text {
                "04:07:2021" => 1_617_753_600,
                "sept. 4, 2021" => 1_630_713_600,
                _ if seconds == 0 => 1_625_375_167,
                _ => seconds,
            };
            assert_eq!(utc(text) / civil::SECOND, expected, "{text}");
        }
    }
    for text in
        ["2021-07-04 25:00:00", "7/4", "99", "12345", "2021-07-04 10", "Foo 3, 2021", "Jul 4x, 2021", "３１"]
    {
        assert!(default_time(text, &Zone::UTC, NOW).is_err(), "{text}");
    }
}

#[test]
fn clocks_that_are_hours_off_are_moved_to_about_now() {
    for hours in [-9, -1, 0, 1, 8] {
        for minutes in [-57, -1, 0, 2] {
            let stamp = NOW + minutes * MINUTE + hours * HOUR;
            assert_eq!(adjust_timezone(stamp, NOW), NOW + minutes * MINUTE, "{hours} {minutes}");
        }
    }
    assert_eq!(adjust_timezone(NOW + 3 * MINUTE, NOW), NOW - 57 * MINUTE);
    for stamp in [i64::MIN, i64::MAX] {
        let moved = adjust_timezone(stamp, NOW);
        assert!(moved > NOW + 2 * MINUTE - HOUR && moved <= NOW + 2 * MINUTE);
    }
}

proptest! {
    #[test]
    fn the_short_way_gives_the_same(
        text in "(19|20)[0-9]{2}-[01][0-9]-[0-3][0-9][T ][0-2][0-9]:[0-5][0-9]:[0-6][0-9]([.,:][0-9]{1,10})?\
                 (Z|[+-][0-2][0-9](:?[0-6][0-9])?| UTC)?",
        log in "[0-3][0-9]/(Jan|feb|Mai|Dec|[A-Z][a-z]{2})/(19|20)[0-9]{2}:[0-2][0-9]:[0-5][0-9]:[0-6][0-9]\
                ( [+-][0-2][0-9][0-6][0-9])?",
    ) {
        let zone = Zone::named("America/New_York").unwrap();
        for text in [text, log] {
            if let Some(moment) = usual::moment(text.as_bytes(), &zone) {
                prop_assert_eq!(Ok(moment), guess::of_any_shape(&text, &zone, NOW), "{}", text);
            }
        }
    }

    #[test]
    fn no_date_makes_it_fall(text in "([0-9]{1,4}|jan|Tue|sept\\.|at|[ :.,/'+-]|GMT|MST|am|PM|Z|年|月|日|\\PC){0,14}") {
        let zone = Zone::named("America/New_York").unwrap();
        drop(default_time(&text, &zone, NOW));
    }

    #[test]
    fn mutations_of_good_dates(which in 0_usize..6, at in 0_usize..40, with in "\\PC{0,2}") {
        let good = [
            "May 8, 2009 5:57:51 PM", "Mon Aug 10 15:44:11 UTC+0100 2015", "2012-08-03 18:31:59.257000000 +0000 UTC",
            "24/Mar/2021:13:54:19 +0800", "2014年04月08日", "14 May 19:11:40.164",
        ][which];
        let mut chars: Vec<char> = good.chars().collect();
        let at = at.min(chars.len() - 1);
        chars.splice(at..=at, with.chars());
        drop(default_time(&chars.into_iter().collect::<String>(), &Zone::UTC, NOW));
    }
}
