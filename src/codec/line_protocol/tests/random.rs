//! The vector reader against the plain one, on bodies nobody wrote.

use proptest::prelude::*;

use crate::codec::line_protocol::fuzz::fuzz_differential;

/// Bytes with a meaning, and a few without.
const ALPHABET: &[u8] = b",,==  \n\n\"\"\\[]#\t\0amti1509.-efub\r\xff";

/// Pieces of lines, good and bad.
const TOKENS: &[&str] = &[
    ",",
    "=",
    " ",
    "\n",
    "\"",
    "\\",
    "\\\"",
    "\\\\",
    "[",
    "]",
    "#",
    "\t",
    "\0",
    "m",
    "cpu",
    "host",
    "a",
    "f",
    "=1i",
    "=1",
    "=-1.5",
    "=0.30000000000000004",
    "=1e5",
    "=t",
    "=False",
    "=\"s\"",
    "=\"a b,c=d\"",
    "=\"a\\\"b\\\\\"",
    "=5u",
    "=[1i,2i]",
    "=[\"a,b\",\"c\"]",
    "=\"YQ==\"b",
    " 1700000000000000000",
    " 17000",
    ",k=v",
    ",k2=v2",
    " f=1i",
    " f=",
    "\nm f=1i",
    "\nm,a=b f=1i,g=2 5\n",
    "m,a=b f=\"x\ny\" 5\n",
    "\r\n",
    "\\ ",
    "\\,",
    "\\=",
    "日志",
    "# c\n",
    "  ",
    "999999999999999999",
    "9223372036854775808i",
    "18446744073709551615u",
    "12345678901234567890123456",
];

fn key() -> impl Strategy<Value = String> {
    prop_oneof![
        8 => "[a-z_]{1,12}",
        1 => prop::sample::select(vec!["a", "b", "host"]).prop_map(String::from),
        1 => "[a-z]{1,3}\\\\[ ,=]{1}[a-z]{0,3}",
    ]
}

fn field() -> impl Strategy<Value = String> {
    prop_oneof![
        4 => "-?[0-9]{1,19}i",
        4 => "-?[0-9]{1,12}(\\.[0-9]{1,10})?",
        1 => "-?[0-9]{1,3}e-?[0-9]{1,3}",
        1 => "[0-9]{1,19}u",
        1 => prop::sample::select(vec!["t", "T", "true", "f", "FALSE"]).prop_map(String::from),
        3 => "\"([a-zA-Z0-9 ,=\n#日志\\[\\]]|\\\\\"|\\\\\\\\|\\\\n){0,80}\"",
        1 => "\\[[0-9]{1,3}i(,[0-9]{1,3}i){0,3}\\]",
    ]
}

fn line() -> impl Strategy<Value = String> {
    let tags = prop::collection::vec((key(), "[a-zA-Z0-9.-]{1,10}|[a-z]{1,3}\\\\ [a-z]{1,3}"), 0..5);
    let fields = prop::collection::vec((key(), field()), 1..6);
    let time =
        prop_oneof![4 => " 1[0-9]{18}", 1 => " [0-9]{1,18}", 1 => Just(String::new()), 1 => "  [0-9]{10} "];
    (key(), tags, fields, time).prop_map(|(name, tags, fields, time)| {
        let tags: String = tags.iter().map(|(key, value)| format!(",{key}={value}")).collect();
        let fields: Vec<String> = fields.iter().map(|(key, value)| format!("{key}={value}")).collect();
        format!("{name}{tags} {}{time}", fields.join(","))
    })
}

fn body() -> impl Strategy<Value = Vec<u8>> {
    let line = prop_oneof![12 => line(), 1 => Just(String::new()), 1 => Just("# a \"comment\" ".into())];
    (prop::collection::vec(line, 1..20), any::<bool>()).prop_map(|(lines, ended)| {
        let mut body = lines.join("\n");
        if ended {
            body.push('\n');
        }
        body.into_bytes()
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn on_lines_that_are_mostly_good(body in body()) {
        fuzz_differential(&body);
    }

    #[test]
    fn on_good_lines_with_one_change(body in body(), at in any::<prop::sample::Index>(), byte in prop::sample::select(ALPHABET)) {
        let mut body = body;
        body.push(b' ');
        let at = at.index(body.len());
        body[at] = byte;
        fuzz_differential(&body);
    }

    #[test]
    fn on_structural_noise(body in prop::collection::vec(prop::sample::select(ALPHABET), 0..200)) {
        fuzz_differential(&body);
    }

    #[test]
    fn on_shuffled_tokens(tokens in prop::collection::vec(prop::sample::select(TOKENS), 0..60)) {
        fuzz_differential(tokens.concat().as_bytes());
    }
}

/// A small generator of numbers, so that rounds can be repeated from their seed.
struct Xorshift(u64);

impl Xorshift {
    fn below(&mut self, n: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 11) as usize % n.max(1)
    }
}

/// Changes a body in one or a few places: bytes, tokens, cuts, doubled pieces.
fn mutate(rng: &mut Xorshift, body: &mut Vec<u8>) {
    let changes = [1, 1, 1, 2, 5][rng.below(5)];
    for _ in 0..changes {
        let at = rng.below(body.len() + 1);
        let end = (at + rng.below(12)).min(body.len());
        match rng.below(6) {
            0 if at < body.len() => body[at] = ALPHABET[rng.below(ALPHABET.len())],
            1 | 2 => drop(body.splice(at..at, TOKENS[rng.below(TOKENS.len())].bytes())),
            3 => drop(body.drain(at..end)),
            4 => {
                let piece = body[at..end].to_vec();
                let to = rng.below(body.len() + 1);
                drop(body.splice(to..to, piece));
            }
            _ if at < body.len() => body[at] ^= 1 << rng.below(8),
            _ => {}
        }
    }
}

/// A body to mutate: lines out of `good`, few or enough for several windows.
fn assemble(rng: &mut Xorshift, good: &[&[u8]]) -> Vec<u8> {
    let lines = if rng.below(50) == 0 { rng.below(800) } else { 1 + rng.below(5) };
    let mut body = Vec::new();
    for _ in 0..lines {
        body.extend_from_slice(good[rng.below(good.len())]);
        body.push(b'\n');
    }
    body
}

/// A line with everything the vector reader takes.
const ORDINARY: &[u8] = b"cpu,host=web-1,os=Ubuntu\\ 22.04 usage=12.5,n=-7i,s=\"a \\\"b\\\" c\\\\\",ok=t,l=\"x\ny\" 1700000000000000001";

/// Rounds of the loop below when nothing else is asked for by `KITGATE_FUZZ_ROUNDS`.
const ROUNDS: u64 = 4_000;

#[test]
fn on_mutated_bodies() {
    let number = |name: &str| std::env::var(name).ok().and_then(|text| text.parse::<u64>().ok());
    let rounds = number("KITGATE_FUZZ_ROUNDS").unwrap_or(ROUNDS);
    let seed = number("KITGATE_FUZZ_SEED").unwrap_or(1);
    let recorded = super::cases::RECORDED.iter().filter(|(_, shown)| !shown.starts_with('!'));
    let mut good: Vec<&[u8]> = recorded.map(|(body, _)| *body).collect();
    // A third of the lines are ordinary ones.
    good.extend(std::iter::repeat_n(ORDINARY, good.len() / 2));
    let mut rng = Xorshift(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1);
    let mut accepted = 0u64;
    for _ in 0..rounds {
        let mut body = assemble(&mut rng, &good);
        mutate(&mut rng, &mut body);
        accepted += u64::from(fuzz_differential(&body));
    }
    println!("{rounds} bodies, {accepted} accepted");
    assert!(accepted > rounds / 5, "{accepted} of {rounds} bodies accepted: the mutations prove nothing");
}
