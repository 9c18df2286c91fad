//! `${VAR}` and `${VAR:-default}` inside values. Expansion happens after parsing, string by string, so that no
//! variable can add a key, a line or a table. `$${` stands for a literal `${`.

/// Replaces every reference in `text`. `var` looks a variable up; the second part of the answer says whether
/// anything was replaced. An error names the variable and never its value.
pub fn expand(text: &str, var: &dyn Fn(&str) -> Option<String>) -> Result<(String, bool), String> {
    let mut out = String::with_capacity(text.len());
    let mut expanded = false;
    let mut rest = text;
    while let Some(at) = rest.find("${") {
        let before = &rest[..at];
        rest = &rest[at + 2..];
        if let Some(before) = before.strip_suffix('$') {
            out.push_str(before);
            out.push_str("${");
            continue;
        }
        out.push_str(before);
        let (reference, after) =
            rest.split_once('}').ok_or("a ${ is not closed; write $${ for a literal one")?;
        rest = after;
        let (name, default) = match reference.split_once(":-") {
            Some((name, default)) => (name, Some(default)),
            None => (reference, None),
        };
        if !is_name(name) {
            return Err(format!(
                "${{{reference}}} is not a variable; the forms are ${{VAR}} and ${{VAR:-default}}"
            ));
        }
        match (var(name), default) {
            (Some(value), None) => out.push_str(&value),
            (Some(value), Some(_)) if !value.is_empty() => out.push_str(&value),
            // As in a shell, the default also replaces an empty value.
            (_, Some(default)) => out.push_str(default),
            (None, None) => {
                return Err(format!(
                    "the variable {name} is not set; ${{{name}:-…}} would give it a default"
                ));
            }
        }
        expanded = true;
    }
    out.push_str(rest);
    Ok((out, expanded))
}

fn is_name(name: &str) -> bool {
    name.bytes().next().is_some_and(|byte| byte.is_ascii_alphabetic() || byte == b'_')
        && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn var(name: &str) -> Option<String> {
        match name {
            "A" => Some("one".to_owned()),
            "EMPTY" => Some(String::new()),
            "NESTED" => Some("${A}".to_owned()),
            _ => None,
        }
    }

    #[test]
    fn expands() {
        for (text, expected) in [
            ("plain $A", "plain $A"),
            ("${A}", "one"),
            ("<${A}${A}>", "<oneone>"),
            ("${A:-two}", "one"),
            ("${NONE:-two}", "two"),
            ("${NONE:-}", ""),
            ("${EMPTY}", ""),
            ("${EMPTY:-two}", "two"),
            ("${NESTED}", "${A}"), // once only
            ("$${A}", "${A}"),
            ("$datakit_hostname", "$datakit_hostname"),
            ("ü${A}ü", "üoneü"),
        ] {
            let (out, expanded) = expand(text, &var).unwrap();
            assert_eq!(out, expected, "{text}");
            assert_eq!(expanded, text.contains("${") && !text.contains("$${"), "{text}");
        }
    }

    #[test]
    fn refuses() {
        for text in ["${NONE}", "${", "${A", "${}", "${1A}", "${A B}", "${A:+x}"] {
            assert!(expand(text, &var).is_err(), "{text}");
        }
        assert!(expand("${NONE}", &var).unwrap_err().contains("NONE is not set"));
    }
}
