//! When a test counts as passed: rules on texts and on numbers, and what they say where they do not hold.
//!
//! The texts are DataKit's, its slips of the pen included: dashboards and alerts know them.

use std::time::Instant;

use super::json::show_number;
use super::pattern::{Pattern, TooCostly};
use super::task::{SuccessOption, ValueSuccess};

/// Bytes of a value that a reason repeats: as much as is shown of a response's body.
const VALUE_BYTES_SHOWN_MAX: usize = 10_240;

/// Bytes of all reasons together; those past it are counted.
const REASONS_BYTES_MAX: usize = 128 << 10;

/// Compiles the patterns of some options, to refuse those that are none. Past the deadline nothing is looked at any
/// more: the request is answered as one that took too long.
pub fn validate<'a>(
    options: impl IntoIterator<Item = &'a SuccessOption>,
    deadline: Instant,
) -> Result<(), String> {
    for option in options {
        for pattern in [&option.match_regex, &option.not_match_regex] {
            if !pattern.is_empty() && Instant::now() < deadline {
                Pattern::new(pattern)?;
            }
        }
    }
    Ok(())
}

/// Gathers what rules say.
#[derive(Debug)]
pub struct Judge {
    deadline: Instant,
    reasons: Vec<String>,
    reasons_bytes: usize,
    left_out: usize,
    passed: bool,
}

impl Judge {
    pub fn new(deadline: Instant) -> Judge {
        Judge { deadline, reasons: Vec::new(), reasons_bytes: 0, left_out: 0, passed: false }
    }

    pub fn pass(&mut self) {
        self.passed = true;
    }

    pub fn fail(&mut self, reason: String) {
        if self.reasons_bytes + reason.len() > REASONS_BYTES_MAX {
            self.left_out += 1;
            return;
        }
        self.reasons_bytes += reason.len();
        self.reasons.push(reason);
    }

    pub fn settle(&mut self, result: Result<(), String>) {
        match result {
            Ok(()) => self.pass(),
            Err(reason) => self.fail(reason),
        }
    }

    /// A rule on a text.
    pub fn text(&mut self, option: &SuccessOption, value: &str, prompt: &str) {
        if Instant::now() < self.deadline {
            self.settle(check_text(option, value, prompt));
        }
    }

    /// A rule on a number; `name` stands before what it says.
    pub fn number(&mut self, rule: &ValueSuccess, value: f64, name: &str) {
        self.settle(check_number(rule, value).map_err(|reason| format!("{name} check failed: {reason}")));
    }

    /// The sum: `Err` holds the reasons, those of the rules first, then what went wrong on the way.
    pub fn verdict(mut self, logic: &str, trouble: &str) -> Result<(), String> {
        let held = match logic {
            "or" => self.passed,
            _ => self.reasons.is_empty() && self.left_out == 0,
        };
        if held && trouble.is_empty() {
            return Ok(());
        }
        if self.left_out > 0 {
            self.reasons.push(format!("and {} more", self.left_out));
        }
        if !trouble.is_empty() {
            self.reasons.push(trouble.to_owned());
        }
        Err(self.reasons.join(";"))
    }
}

/// `is` and `is_not` stand alone; the others must all hold.
fn check_text(option: &SuccessOption, value: &str, prompt: &str) -> Result<(), String> {
    let shown = || shown(value);
    if !option.is.is_empty() {
        return match option.is == value {
            true => Ok(()),
            false => Err(format!("{prompt}: expect to be `{}', got `{}'", option.is, shown())),
        };
    }
    if !option.is_not.is_empty() {
        return match option.is_not == value {
            true => Err(format!("{prompt}: shoud not be {}", option.is_not)),
            false => Ok(()),
        };
    }
    let matches = |pattern: &str| {
        Pattern::new(pattern)?.is_in(value).map_err(|TooCostly| {
            format!("{prompt}: regex `{pattern}' takes too long on {} bytes", value.len())
        })
    };
    if !option.match_regex.is_empty() && !matches(&option.match_regex)? {
        return Err(format!("{prompt}: regex `{}' match `{}' failed", option.match_regex, shown()));
    }
    if !option.not_match_regex.is_empty() && matches(&option.not_match_regex)? {
        return Err(format!("{prompt}: regex `{}' should not match `{}'", option.not_match_regex, shown()));
    }
    if !option.contains.is_empty() && !value.contains(&option.contains) {
        return Err(format!("{prompt}: do not contains `{}', got `{}'", option.contains, shown()));
    }
    if !option.not_contains.is_empty() && value.contains(&option.not_contains) {
        return Err(format!("{prompt}: should not contains `{}', got `{}'", option.not_contains, shown()));
    }
    Ok(())
}

/// The beginning of a value, for people.
pub fn shown(value: &str) -> String {
    if value.len() <= VALUE_BYTES_SHOWN_MAX {
        return value.to_owned();
    }
    let mut end = VALUE_BYTES_SHOWN_MAX;
    while !value.is_char_boundary(end) {
        end -= 1;
    }
    format!("{}...", &value[..end])
}

/// A comparison that is not known holds.
pub fn check_number(rule: &ValueSuccess, value: f64) -> Result<(), String> {
    let target = rule.target;
    let (fails, words) = match rule.op.as_str() {
        "eq" => (value != target, "not equal to"),
        "lt" => (value >= target, "greater equal than"),
        "leq" => (value > target, "greater than"),
        "gt" => (value <= target, "less than"),
        "geq" => (value < target, "less equal than"),
        _ => (false, ""),
    };
    match fails {
        true => Err(format!("{} is {words} target {}", show_number(value), show_number(target))),
        false => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::super::decode::{Decoder, Go};
    use super::super::json::Json;
    use super::*;

    fn option<T: Go>(text: &str) -> T {
        Decoder::read(&Json::parse(text.as_bytes()).unwrap()).0
    }

    #[test]
    fn rules_on_texts_say_what_datakit_says() {
        for (rule, value, reason) in [
            (r#"{}"#, "x", ""),
            (r#"{"is":"200"}"#, "200", ""),
            (r#"{"is":"404"}"#, "200", "P: expect to be `404', got `200'"),
            // The first of the two stands alone.
            (r#"{"is":"200","is_not":"200","contains":"x"}"#, "200", ""),
            (r#"{"is_not":"200","contains":"x"}"#, "201", ""),
            (r#"{"is_not":"200"}"#, "200", "P: shoud not be 200"),
            (r#"{"match_regex":"^2..$"}"#, "200", ""),
            (r#"{"match_regex":"^3"}"#, "200", "P: regex `^3' match `200' failed"),
            (r#"{"not_match_regex":"^2"}"#, "200", "P: regex `^2' should not match `200'"),
            (r#"{"contains":"b"}"#, "abc", ""),
            (r#"{"contains":"x"}"#, "abc", "P: do not contains `x', got `abc'"),
            (r#"{"not_contains":"b"}"#, "abc", "P: should not contains `b', got `abc'"),
            (
                r#"{"match_regex":"a","contains":"x","not_contains":"b"}"#,
                "abc",
                "P: do not contains `x', got `abc'",
            ),
        ] {
            let expected = if reason.is_empty() { Ok(()) } else { Err(reason.to_owned()) };
            assert_eq!(check_text(&option(rule), value, "P"), expected, "{rule}");
        }
    }

    #[test]
    fn rules_on_numbers_say_what_datakit_says() {
        for (rule, value, reason) in [
            (r#"{"op":"eq","target":3}"#, 3.0, ""),
            (r#"{"op":"eq","target":3}"#, 2.5, "2.5 is not equal to target 3"),
            (r#"{"op":"lt","target":3}"#, 3.0, "3 is greater equal than target 3"),
            (r#"{"op":"leq","target":3}"#, 4.0, "4 is greater than target 3"),
            (r#"{"op":"gt","target":3}"#, 3.0, "3 is less than target 3"),
            (r#"{"op":"geq","target":3}"#, 2.0, "2 is less equal than target 3"),
            (r#"{"op":"geq","target":3}"#, 3.0, ""),
            (r#"{"op":"between"}"#, 2.0, ""),
            (r#"{"op":"lt"}"#, 1e21, "1e+21 is greater equal than target 0"),
        ] {
            let expected = if reason.is_empty() { Ok(()) } else { Err(reason.to_owned()) };
            assert_eq!(check_number(&option(rule), value), expected, "{rule}");
        }
    }

    #[test]
    fn the_logic_is_and_unless_it_is_or() {
        let later = Instant::now() + Duration::from_secs(60);
        let judge = |results: &[Result<(), &str>]| {
            let mut judge = Judge::new(later);
            for result in results {
                judge.settle(result.map_err(str::to_owned));
            }
            judge
        };
        let mixed = [Ok(()), Err("a"), Err("b")];
        assert_eq!(judge(&mixed).verdict("", ""), Err("a;b".to_owned()));
        assert_eq!(judge(&mixed).verdict("and", "broken"), Err("a;b;broken".to_owned()));
        assert_eq!(judge(&mixed).verdict("or", ""), Ok(()));
        assert_eq!(judge(&mixed).verdict("or", "broken"), Err("a;b;broken".to_owned()));
        assert_eq!(judge(&[Err("a")]).verdict("or", ""), Err("a".to_owned()));
        assert_eq!(judge(&[]).verdict("and", ""), Ok(()));
        // Nothing held, and nothing failed: as recorded, a failure without a reason.
        assert_eq!(judge(&[]).verdict("or", ""), Err(String::new()));
    }

    #[test]
    fn what_is_said_is_bounded() {
        let body = "é".repeat(20_000);
        let reason = check_text(&option(r#"{"is":"x"}"#), &body, "response body").unwrap_err();
        assert!(reason.len() < 11_000 && reason.ends_with("é...'"), "{}", reason.len());
        let mut judge = Judge::new(Instant::now() + Duration::from_secs(60));
        for _ in 0..1_000 {
            judge.text(&option(r#"{"is":"x"}"#), &body, "response body");
        }
        let all = judge.verdict("", "").unwrap_err();
        assert!(all.len() < REASONS_BYTES_MAX + 1_000 && all.ends_with("more"), "{}", all.len());
    }

    #[test]
    fn patterns_are_refused_before_anything_is_dialled() {
        let later = Instant::now() + Duration::from_secs(60);
        let bad: SuccessOption = option(r#"{"match_regex":"("}"#);
        assert_eq!(validate([&bad], later), Err("error parsing regexp: missing closing ): `(`".to_owned()));
        assert_eq!(validate([&bad], Instant::now()), Ok(()));
    }
}
