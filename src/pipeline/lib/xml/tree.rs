//! A document as nodes in one list, in document order: attributes behind their element, before its children.

/// Longest document.
const DOCUMENT_BYTES_MAX: usize = 1 << 20;
/// Deepest element.
const DEPTH_MAX: usize = 256;
/// Nodes of one document.
const NODES_MAX: usize = 200_000;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    Root,
    Element,
    Attribute,
    Text,
    Comment,
}

#[derive(Debug)]
pub struct Node {
    pub kind: Kind,
    /// With its prefix.
    pub name: String,
    pub value: String,
    pub parent: usize,
    /// Behind the last node that is inside of this one.
    pub end: usize,
}

#[derive(Debug)]
pub struct Tree {
    pub nodes: Vec<Node>,
}

impl Tree {
    pub fn parse(document: &str) -> Option<Tree> {
        if document.len() > DOCUMENT_BYTES_MAX {
            return None;
        }
        let root = Node { kind: Kind::Root, name: String::new(), value: String::new(), parent: 0, end: 0 };
        let mut tree = Tree { nodes: vec![root] };
        let mut open = vec![0_usize];
        let mut rest = document.trim_start_matches('\u{feff}');
        let mut any = false;
        while !rest.is_empty() {
            if tree.nodes.len() > NODES_MAX || open.len() > DEPTH_MAX {
                return None;
            }
            let parent = *open.last()?;
            if let Some(after) = rest.strip_prefix("<!--") {
                let (comment, after) = after.split_once("-->")?;
                tree.push(Kind::Comment, "", comment.to_owned(), parent);
                rest = after;
            } else if let Some(after) = rest.strip_prefix("<![CDATA[") {
                let (text, after) = after.split_once("]]>")?;
                tree.text_node(text.to_owned(), parent)?;
                rest = after;
            } else if let Some(after) = rest.strip_prefix("<?") {
                rest = after.split_once("?>")?.1;
            } else if let Some(after) = rest.strip_prefix("<!") {
                rest = declaration_end(after)?;
            } else if let Some(after) = rest.strip_prefix("</") {
                let (name, after) = after.split_once('>')?;
                let element = open.pop().filter(|element| *element != 0)?;
                if tree.nodes[element].name != name.trim_end() {
                    return None;
                }
                tree.nodes[element].end = tree.nodes.len();
                rest = after;
            } else if let Some(after) = rest.strip_prefix('<') {
                let (name, after) = name(after)?;
                let element = tree.push(Kind::Element, name, String::new(), parent);
                any = true;
                let (closed, after) = tree.attributes(after, element)?;
                if closed {
                    tree.nodes[element].end = tree.nodes.len();
                } else {
                    open.push(element);
                }
                rest = after;
            } else {
                let end = rest.find('<').unwrap_or(rest.len());
                let (text, after) = rest.split_at(end);
                tree.text_node(resolved(text)?, parent)?;
                rest = after;
            }
        }
        let whole = any && open.len() == 1;
        tree.nodes[0].end = tree.nodes.len();
        whole.then_some(tree)
    }

    fn push(&mut self, kind: Kind, name: &str, value: String, parent: usize) -> usize {
        let end = self.nodes.len() + 1;
        self.nodes.push(Node { kind, name: name.to_owned(), value, parent, end });
        end - 1
    }

    /// Outside of elements only white space may stand.
    fn text_node(&mut self, text: String, parent: usize) -> Option<()> {
        if parent == 0 {
            return text.trim().is_empty().then_some(());
        }
        self.push(Kind::Text, "", text, parent);
        Some(())
    }

    /// From behind an element's name to behind its `>`; whether it was closed there.
    fn attributes<'t>(&mut self, text: &'t str, element: usize) -> Option<(bool, &'t str)> {
        let mut rest = text.trim_start();
        loop {
            if let Some(after) = rest.strip_prefix("/>") {
                return Some((true, after));
            }
            if let Some(after) = rest.strip_prefix('>') {
                return Some((false, after));
            }
            let (name, after) = name(rest)?;
            let after = after.trim_start().strip_prefix('=')?.trim_start();
            let quote = after.chars().next().filter(|c| matches!(c, '"' | '\''))?;
            let (value, after) = after[1..].split_once(quote)?;
            if self.nodes.len() > NODES_MAX {
                return None;
            }
            self.push(Kind::Attribute, name, resolved(value)?, element);
            rest = after.trim_start();
        }
    }

    /// The text inside of a node.
    pub fn text(&self, node: usize) -> String {
        let Some(own) = self.nodes.get(node) else { return String::new() };
        if !matches!(own.kind, Kind::Root | Kind::Element) {
            return own.value.clone();
        }
        let inside = self.nodes.get(node..own.end).unwrap_or_default();
        inside.iter().filter(|node| node.kind == Kind::Text).map(|node| node.value.as_str()).collect()
    }
}

fn name(text: &str) -> Option<(&str, &str)> {
    let end = text.find(|c: char| c.is_whitespace() || matches!(c, '=' | '>' | '/' | '<' | '"' | '\''))?;
    (end > 0).then(|| text.split_at(end))
}

/// Behind `<!DOCTYPE … [ … ]>`.
fn declaration_end(text: &str) -> Option<&str> {
    let mut depth = 1_usize;
    for (at, byte) in text.bytes().enumerate() {
        match byte {
            b'<' => depth += 1,
            b'>' => depth -= 1,
            _ => {}
        }
        if depth == 0 {
            return text.get(at + 1..);
        }
    }
    None
}

/// With references put in; an unknown one spoils the document.
fn resolved(text: &str) -> Option<String> {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((plain, after)) = rest.split_once('&') {
        out.push_str(plain);
        let (name, after) = after.split_once(';')?;
        out.push(match name {
            "lt" => '<',
            "gt" => '>',
            "amp" => '&',
            "quot" => '"',
            "apos" => '\'',
            name => {
                let number = name.strip_prefix('#')?;
                let code = match number.strip_prefix('x') {
                    Some(hex) => u32::from_str_radix(hex, 16),
                    None => number.parse(),
                };
                char::from_u32(code.ok()?)?
            }
        });
        rest = after;
    }
    out.push_str(rest);
    Some(out)
}
