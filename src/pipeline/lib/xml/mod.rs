//! `xml()`: the first node that an XPath 1.0 expression finds in a small document.

mod eval;
mod tree;
mod xpath;

pub use xpath::XPath;

/// The inner text of the first node of the expression's set. `None` where the document cannot be read, where nothing
/// matches, and where the expression gives something else than nodes.
pub fn first_text(document: &str, path: &XPath) -> Option<String> {
    first_text_counting(document, path).0
}

/// The same, and how many nodes were looked at.
pub fn first_text_counting(document: &str, path: &XPath) -> (Option<String>, usize) {
    let Some(tree) = tree::Tree::parse(document) else { return (None, 0) };
    let (found, work) = eval::first(&tree, path);
    (found.map(|node| tree.text(node)), work)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pipeline::lib::golden_tests::{cases, literal};

    #[test]
    fn recorded_answers() {
        let mut covered = 0;
        for case in cases("xml") {
            let Some((path, rest)) = case.script.strip_prefix("xml(_, ").and_then(literal) else { continue };
            let key = rest.trim_start_matches(", ").trim_end_matches(')').trim_matches('"');
            if case.refused().is_some() {
                continue;
            }
            covered += 1;
            let found = XPath::parse(&path).and_then(|path| first_text(&case.message, &path));
            assert_eq!(found.as_deref(), case.text(key), "{}", case.name);
        }
        assert!(covered >= 12, "{covered}");
    }

    #[test]
    fn expressions() {
        let document = "<r xmlns:n='u'><a id='1'>x</a><b><a id='2'>y<!-- c --></a><n:c/></b><?p q?>\
                        <a id='3'> z </a></r>";
        for (path, expected) in [
            ("//a[@id=2]", Some("y")),
            ("/r/a[last()]/@id", Some("3")),
            ("//b/following-sibling::a", Some(" z ")),
            ("//a[contains(text(), 'y')]/../a/@id", Some("2")),
            ("//a[not(@id='1') and position()=2]/@id", Some("3")),
            ("//a[@id > 1 + 1]/@id", Some("3")),
            ("//*[local-name()='c']/parent::b/a", Some("y")),
            ("//zz | //b/a", Some("y")),
            ("(//a)[2]", Some("y")),
            ("//a[normalize-space(.)='z']/@id", Some("3")),
            ("//a[starts-with(@id, '3') or string-length(@id) = 9]", Some(" z ")),
            ("string(//a)", None),
            ("//q", None),
            ("//a[", None),
            ("", None),
        ] {
            let found = XPath::parse(path).and_then(|path| first_text(document, &path));
            assert_eq!(found.as_deref(), expected, "{path}");
        }
        for wrong in ["<a>", "<a></b>", "<a", "x", "<a>&nope;</a>", "<a b></a>", "", "</a>"] {
            assert_eq!(first_text(wrong, &XPath::parse("//a").unwrap()), None, "{wrong}");
        }
    }

    #[test]
    fn rubbish_is_survived() {
        let document = "<?xml version='1.0'?><a b=\"&lt;\"><![CDATA[é]]>&#x41;</a>";
        let path = "//a[@b = 'x' or (1 div 0)]/self::node()|/*[count(b) >= -1.5]";
        for cut in 0..path.len() {
            for with in ["(", "]", "/", "'", "é", "::", "*", "@", "-"] {
                if path.is_char_boundary(cut)
                    && let Some(path) = XPath::parse(&format!("{}{with}{}", &path[..cut], &path[cut..]))
                {
                    first_text(document, &path);
                }
                if document.is_char_boundary(cut) {
                    let text = format!("{}{with}{}", &document[..cut], &document[cut..]);
                    first_text(&text, &XPath::parse("//a").unwrap());
                }
            }
        }
        assert!(XPath::parse(&"(".repeat(10_000)).is_none());
        assert!(XPath::parse(&"-".repeat(10_000)).is_none());
        assert_eq!(first_text(&"<a>".repeat(10_000), &XPath::parse("//a").unwrap()), None);
        let wide = format!("<r>{}</r>", "<a/>".repeat(20_000));
        first_text(&wide, &XPath::parse("//a[count(//a[count(//a) > 1]) > 1]").unwrap());
    }
}
