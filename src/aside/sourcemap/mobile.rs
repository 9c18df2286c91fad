//! Stacks of Android and iOS, as far as they can be handled without the programs that know the symbols: what is asked of
//! those, and how their answers are put into the stack.

use std::collections::BTreeMap;
use std::sync::OnceLock;

use regex::bytes::Regex;

/// The architectures a native crash may name: folders of the archive.
const ABIS: [&str; 4] = ["armeabi-v7a", "arm64-v8a", "x86", "x86_64"];

/// How many lines of a mapping tell by what it was written.
const MAPPING_HEAD_LINES: usize = 10;

/// What ProGuard's program says before it reads anything.
const RETRACE_PROMPT: &[u8] = b"Waiting for stack-trace input...";

/// Addresses of one stack that are asked about. A crash report lists some hundred.
const ADDRESSES_MAX: usize = 4096;

fn regex(slot: &'static OnceLock<Regex>, pattern: &str) -> &'static Regex {
    slot.get_or_init(|| Regex::new(pattern).expect("BUG: the pattern is well-formed"))
}

/// Who wrote a `mapping.txt`, and so who can read it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shrinker {
    R8,
    Proguard,
}

/// Tells it from the beginning of a mapping.
pub fn shrinker(head: &[u8]) -> Shrinker {
    let says = |line: &[u8], text: &str| memchr::memmem::find(line, text.as_bytes()).is_some();
    let is_r8 = head.split(|byte| *byte == b'\n').take(MAPPING_HEAD_LINES).any(|line| {
        line.starts_with(b"#") && (says(line, "compiler: R8") || says(line, "com.android.tools.r8.mapping"))
    });
    if is_r8 { Shrinker::R8 } else { Shrinker::Proguard }
}

/// What of a retracing program's output is the stack.
pub fn retraced(output: &[u8]) -> Vec<u8> {
    let stack = output.strip_prefix(RETRACE_PROMPT).unwrap_or(output);
    let begin = stack.iter().position(|byte| !matches!(byte, b'\r' | b'\n')).unwrap_or(stack.len());
    stack[begin..].to_vec()
}

/// The architecture of a native crash.
pub fn abi(stack: &[u8]) -> Option<&'static str> {
    ["ABI list:", "ABI:"].into_iter().find_map(|name| {
        let rest = &stack[memchr::memmem::find(stack, name.as_bytes())? + name.len()..];
        let line = &rest[..rest.iter().position(|byte| matches!(byte, b'\r' | b'\n'))?];
        let line = String::from_utf8_lossy(line);
        let named = line.trim().trim_matches('\'');
        named.split(',').find_map(|name| ABIS.into_iter().find(|abi| *abi == name))
    })
}

/// A native crash with what `ndk-stack` printed in place of its backtrace.
pub fn with_native_trace(stack: &[u8], output: &[u8]) -> Vec<u8> {
    static FIRST: OnceLock<Regex> = OnceLock::new();
    static TRACE: OnceLock<Regex> = OnceLock::new();
    let begin = regex(&FIRST, r"(?-u)\s#00\s+").find(output).map_or(0, |found| found.start());
    let output = replaced(&output[begin..], b"Crash dump is completed", b"");
    match regex(&TRACE, r"(?s-u)backtrace:.+?logcat:").find(stack) {
        None => output,
        Some(found) => replaced(stack, found.as_bytes(), &[b"backtrace:\n", &*output, b"logcat:"].concat()),
    }
}

/// `text` with every `old` replaced; `old` is not empty.
fn replaced(text: &[u8], old: &[u8], new: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(text.len());
    let mut copied = 0;
    for at in memchr::memmem::find_iter(text, old) {
        out.extend_from_slice(&text[copied..at]);
        out.extend_from_slice(new);
        copied = at + old.len();
    }
    out.extend_from_slice(&text[copied..]);
    out
}

/// An address of a crash on iOS.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Address {
    pub address: String,
    /// What stands in the stack for it.
    pub text: Vec<u8>,
}

/// By module, by where the module was loaded.
pub type Addresses = BTreeMap<String, BTreeMap<String, Vec<Address>>>;

/// The addresses of a crash on iOS.
///
/// ```text
/// 4   App     0x0000000104fd0728 0x104f30000 + 657192
///     module  address            load address: these two are what is replaced
/// ```
pub fn addresses(stack: &[u8]) -> Addresses {
    static ADDRESS: OnceLock<Regex> = OnceLock::new();
    let pattern = r"(?-u)(\S+)\s+(0x[0-9a-fA-F]+)\s+((0x[0-9a-fA-F]+)\s*\+\s*(?:0x[0-9a-fA-F]+|\d+))";
    let mut found = Addresses::new();
    for captures in regex(&ADDRESS, pattern).captures_iter(stack).take(ADDRESSES_MAX) {
        let (_, [module, address, text, load]) = captures.extract();
        // A module names a file: what is not text names none.
        let (Ok(module), Ok(address), Ok(load)) =
            (std::str::from_utf8(module), std::str::from_utf8(address), std::str::from_utf8(load))
        else {
            continue;
        };
        let of_module = found.entry(module.to_owned()).or_default();
        let address = Address { address: address.to_owned(), text: text.to_vec() };
        of_module.entry(load.to_owned()).or_default().push(address);
    }
    found
}

/// A crash on iOS with symbols in place of their addresses.
pub fn with_symbols(stack: &[u8], symbols: &[(Address, Vec<u8>)]) -> Vec<u8> {
    // Longer texts first: one may be the beginning of another.
    let mut symbols: Vec<&(Address, Vec<u8>)> = symbols.iter().collect();
    symbols.sort_by_key(|(address, _)| std::cmp::Reverse(address.text.len()));
    symbols.dedup_by(|a, b| a.0.text == b.0.text);
    let mut stack = stack.to_vec();
    for (address, symbol) in symbols {
        stack = replaced(&stack, &address.text, symbol);
    }
    stack
}

/// The lines a program printed: one symbol each.
pub fn lines(output: &[u8]) -> Vec<Vec<u8>> {
    let text = replaced(output, b"\r\n", b"\n");
    let text: Vec<u8> = text.into_iter().map(|byte| if byte == b'\r' { b'\n' } else { byte }).collect();
    let begin = text.iter().position(|byte| *byte != b'\n').unwrap_or(text.len());
    let end = text.iter().rposition(|byte| *byte != b'\n').map_or(begin, |at| at + 1);
    if begin == end {
        return Vec::new();
    }
    text[begin..end].split(|byte| *byte == b'\n').map(<[u8]>::to_vec).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn r8_says_so_in_the_first_lines() {
        assert_eq!(shrinker(b"# compiler: R8\n# compiler_version: 8.2\n"), Shrinker::R8);
        assert_eq!(
            shrinker(b"# {\"id\":\"com.android.tools.r8.mapping\",\"version\":\"2.2\"}\n"),
            Shrinker::R8
        );
        assert_eq!(shrinker(b"a.b -> c:\n    # compiler: R8\n"), Shrinker::Proguard);
        let late = format!("{}# compiler: R8\n", "# x\n".repeat(10));
        assert_eq!(shrinker(late.as_bytes()), Shrinker::Proguard);
        assert_eq!(shrinker(b""), Shrinker::Proguard);
    }

    #[test]
    fn the_prompt_is_no_part_of_the_stack() {
        assert_eq!(retraced(b"Waiting for stack-trace input...\r\n\njava.lang.X: a\n"), b"java.lang.X: a\n");
        // Only the prompt goes, not every letter that is in it.
        assert_eq!(retraced(b"org.example.Failure\n"), b"org.example.Failure\n");
        assert_eq!(retraced(b"\n\r\n"), b"");
    }

    #[test]
    fn architectures() {
        for (stack, expected) in [
            ("ABI: 'arm64'\nABI list: 'arm64-v8a,armeabi'\n", Some("arm64-v8a")),
            ("ABI: 'arm64-v8a'\n", Some("arm64-v8a")),
            ("x\nABI list: mips,x86_64\r\n", Some("x86_64")),
            ("ABI list: mips\nABI: 'x86'\n", Some("x86")),
            ("ABI: 'x86'", None),
            ("ABI: '../x86'\n", None),
            ("", None),
        ] {
            assert_eq!(abi(stack.as_bytes()), expected, "{stack}");
        }
    }

    #[test]
    fn native_traces_take_the_place_of_the_backtrace() {
        let stack = b"head\nbacktrace:\n  #00 pc 1\n  #01 pc 2\nlogcat: tail";
        let output = b"********** Crash dump: **********\nBuild: x\n #00 f.cpp:1\n #01 g.cpp:2\nCrash dump is completed\n";
        assert_eq!(
            String::from_utf8(with_native_trace(stack, output)).unwrap(),
            "head\nbacktrace:\n #00 f.cpp:1\n #01 g.cpp:2\n\nlogcat: tail"
        );
        assert_eq!(with_native_trace(b"no trace", b"x #00 y"), b" #00 y");
        assert_eq!(with_native_trace(b"no trace", b""), b"");
    }

    const CRASH: &[u8] = b"Thread 0:\n0   App   0x0000000104fd0728 0x104f30000 + 657192\n\
        1   App   0x0000000104fd0730 0x104f30000 + 65719\n2   UIKit 0x1a 0x10 + 0xa\n3 App 0x1 base + 1\n";

    #[test]
    fn addresses_of_a_crash() {
        let found = addresses(CRASH);
        let address = |address: &str, text: &str| Address { address: address.to_owned(), text: text.into() };
        assert_eq!(found.len(), 2);
        assert_eq!(
            found["App"]["0x104f30000"],
            [
                address("0x0000000104fd0728", "0x104f30000 + 657192"),
                address("0x0000000104fd0730", "0x104f30000 + 65719")
            ]
        );
        assert_eq!(found["UIKit"]["0x10"], [address("0x1a", "0x10 + 0xa")]);
        assert!(addresses(b"x y z").is_empty());
        let many = b"A 0x1 0x2 + 3\n".repeat(ADDRESSES_MAX + 5);
        assert_eq!(addresses(&many)["A"]["0x2"].len(), ADDRESSES_MAX);
    }

    #[test]
    fn symbols_take_the_place_of_addresses() {
        let found = addresses(CRASH);
        let symbols: Vec<_> = found["App"]["0x104f30000"]
            .iter()
            .enumerate()
            .map(|(index, address)| (address.clone(), format!("f{index} (in App)").into_bytes()))
            .collect();
        let text = String::from_utf8(with_symbols(CRASH, &symbols)).unwrap();
        assert!(text.contains("0x0000000104fd0728 f0 (in App)\n"), "{text}");
        assert!(text.contains("0x0000000104fd0730 f1 (in App)\n"), "{text}");
        assert!(text.contains("UIKit 0x1a 0x10 + 0xa\n"), "{text}");
    }

    #[test]
    fn lines_of_any_system() {
        assert_eq!(lines(b"\na\r\nb\rc\n\n"), [b"a", b"b", b"c"]);
        assert_eq!(lines(b"a\n\nb"), [&b"a"[..], b"", b"b"]);
        assert!(lines(b"").is_empty() && lines(b"\n\r\n").is_empty());
    }
}
