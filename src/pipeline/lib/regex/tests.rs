//! The two engines against each other, and against what Go says.

use super::*;

fn both(pattern: &str, text: &str) {
    let Ok(regex) = Regex::new(pattern) else { return };
    let mut scratch = Scratch::default();
    let found = regex.captures(text.as_bytes(), 0, &mut scratch);
    let fast = scratch.slots.clone();
    scratch.slots.fill(NONE);
    let linear = regex.search_linear(text.as_bytes(), 0, Anchored::No, &mut scratch);
    assert_eq!(found, linear, "{pattern:?} on {text:?}");
    if found {
        assert_eq!(fast, scratch.slots, "{pattern:?} on {text:?}");
    }
    // And with steps for nothing: places and answers are the same when it gives up half way.
}

const PARTS: [&str; 44] = [
    "a",
    "b",
    "ab",
    ".",
    ".*",
    ".*?",
    ".+",
    ".+?",
    "\\S+",
    "\\s*",
    "\\d{1,3}",
    "[^b]*",
    "[ab]+?",
    "(a)",
    "(b|ab)",
    "(a|b)*",
    "(?:ab)+",
    "(?:a|bc)*?",
    "\\b",
    "\\B",
    "^",
    "$",
    "(?m:^)",
    "(?m:$)",
    "é",
    "[é-ü]+",
    "[^é]",
    "(\\w+)",
    "(?i:aB)",
    " ",
    "x?",
    "x??",
    "(x)?",
    "(?:(a)|(b))+",
    "a{2,3}",
    "a{2,3}?",
    "(?:ab?){0,2}",
    "[^a]{2}",
    "(?s:.)",
    "\\W",
    "(?:a|b|c|d|e|f|g|h|i|j|kl|m)",
    "\\pL+",
    "(?:|a)",
    "(?:é|ab)*",
];
const TEXTS: [&str; 14] = [
    "",
    "a",
    "ab",
    "aab b",
    "abab ab1 23",
    "éa ü",
    "bbb\nab\n",
    "xa xb",
    "12 345",
    "aaaa",
    "ABab",
    "klm jih",
    "a\u{10348}b é",
    " ",
];

/// A repeatable row of numbers.
struct Numbers(u64);

impl Numbers {
    fn below(&mut self, end: usize) -> usize {
        self.0 = self.0.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
        (self.0 >> 33) as usize % end
    }
}

#[test]
fn the_engines_agree() {
    let mut numbers = Numbers(7);
    for _ in 0..500 {
        let count = 1 + numbers.below(5);
        let mut pattern = String::new();
        for _ in 0..count {
            pattern.push_str(PARTS[numbers.below(PARTS.len())]);
            if numbers.below(8) == 0 {
                pattern.push('|');
            }
        }
        for _ in 0..4 {
            let mut text = TEXTS[numbers.below(TEXTS.len())].to_owned();
            text.push_str(TEXTS[numbers.below(TEXTS.len())]);
            both(&pattern, &text);
        }
    }
}

#[test]
fn hostile_patterns_take_linear_time() {
    let text = "a".repeat(20_000);
    let mut scratch = Scratch::default();
    for pattern in ["(a*)*b", "(?:a+)+b", "(a|aa)+$b", "(?:a?){30}a{30}b", ".*.*.*.*b", "(?:.*?,){12}x"] {
        let regex = Regex::new(pattern).unwrap();
        assert!(!regex.is_match(text.as_bytes(), &mut scratch), "{pattern}");
    }
    let regex = Regex::new("(?:a|a)*(?P<x>a)c?$").unwrap();
    assert!(regex.is_match(text.as_bytes(), &mut scratch));
    assert_eq!(group(&scratch, 1), Some((19_999, 20_000)));
}

#[test]
fn mutated_patterns_do_not_panic() {
    let seeds = [
        "^(?P<a>\\S+) \\[(?P<b>[^\\]]*)\\] \"(\\w+|-)\"$",
        "(?:a{2,5}|\\x41\\pL[[:alpha:]-z])*?",
        "\\Qx\\E(?i-s:y)",
    ];
    let mut numbers = Numbers(99);
    for n in 0..500 {
        let mut bytes = seeds[n % seeds.len()].as_bytes().to_vec();
        for _ in 0..=numbers.below(4) {
            let at = numbers.below(bytes.len());
            match numbers.below(3) {
                0 => drop(bytes.remove(at)),
                1 => bytes.insert(at, b"()[]{}*+?|\\^$.-:<>P19"[numbers.below(21)]),
                _ => bytes[at] = b' ' + numbers.below(95) as u8,
            }
        }
        let pattern = String::from_utf8_lossy(&bytes).into_owned();
        for text in ["", "a [b] \"c\"", "xAé\u{1f600}"] {
            both(&pattern, text);
        }
    }
}

#[test]
fn bytes_that_are_no_text_are_one_character_each() {
    let mut scratch = Scratch::default();
    let regex = Regex::new("^a(.)(.)b(\\S+)$").unwrap();
    assert!(regex.captures(b"a\xff\xc3b\xe4\xb8q", 0, &mut scratch));
    assert_eq!(group(&scratch, 1), Some((1, 2)));
    assert_eq!(group(&scratch, 2), Some((2, 3)));
    assert_eq!(group(&scratch, 3), Some((4, 7)));
}

#[test]
fn templates_are_gos() {
    let mut scratch = Scratch::default();
    let mut replaced = |pattern: &str, text: &str, template: &str| {
        let regex = Regex::new(pattern).unwrap();
        let out = regex.replace_all(text.as_bytes(), template, 1 << 20, &mut scratch);
        out.map(|out| String::from_utf8(out).unwrap()).unwrap_or_else(|| text.to_owned())
    };
    assert_eq!(replaced("(\\w+) (\\d+)", "hello 123 world 45", "$2 $1"), "123 hello 45 world");
    assert_eq!(replaced("(\\w+) (\\d+)", "hello 123 world 45", "${1}x$1x"), "hellox worldx");
    assert_eq!(replaced("(?P<n>o)", "foo", "<${n}$$$0$>"), "f<o$o$><o$o$>");
    assert_eq!(replaced("", "aé", "-"), "-a-é-");
    assert_eq!(replaced("a*", "baac", "x"), "xbxcx");
    assert_eq!(replaced("^", "ab", ">"), ">ab");
    assert_eq!(replaced("x", "ab", ">"), "ab");
}

#[test]
fn pieces_are_gos() {
    let mut scratch = Scratch::default();
    let mut split = |pattern: &str, text: &'static str, most: usize| {
        let regex = Regex::new(pattern).unwrap();
        let pieces = regex.split(text.as_bytes(), most, &mut scratch);
        pieces.iter().map(|piece| String::from_utf8_lossy(piece).into_owned()).collect::<Vec<_>>()
    };
    assert_eq!(split("=", "a=b=c", 2), ["a", "b=c"]);
    assert_eq!(split("=", "a=", 2), ["a", ""]);
    assert_eq!(split(" ", " a  b", 99), ["", "a", "", "b"]);
    assert_eq!(split("", "abc", 99), ["a", "b", "c"]);
    assert_eq!(split("x", "", 99), [""]);
    assert_eq!(split("a*", "baac", 99), ["b", "c"]);
}
