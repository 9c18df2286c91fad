//! From words to a rule: by descent, each level a function, as deep as [`DEPTH_MAX`].

use regex::bytes::Regex;

use super::eval::{Items, Literal, Node, Viewed, compare_nil};
use super::lexer::{Compare, Lexer, Token};
use super::pattern::go_pattern;

/// A rule's text. What a person clicks together has some hundred bytes; one with a long list has some thousands.
pub const RULE_BYTES_MAX: usize = 64 << 10;

/// Parentheses in parentheses: reading and asking descend with them.
const DEPTH_MAX: usize = 32;

/// Patterns of one rule: each may take a quarter of a megabyte once it is compiled.
const PATTERNS_MAX: usize = 128;

/// Why a text is no rule, for people.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault(pub(super) String);

impl std::fmt::Display for Fault {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Fault {}

/// A rule, ready to be asked.
#[derive(Debug)]
pub struct Rule {
    pub(super) root: Node,
    /// What in it will never be true of anything, though the language has it.
    pub notes: Vec<String>,
    /// How many patterns it holds.
    pub patterns: usize,
}

impl Rule {
    /// Reads a rule.
    pub fn parse(text: &str) -> Result<Rule, Fault> {
        if text.len() > RULE_BYTES_MAX {
            return Err(Fault(format!("longer than {RULE_BYTES_MAX} bytes")));
        }
        let mut lexer = Lexer::new(text);
        let (at, token) = (lexer.at(), lexer.next()?);
        let mut parser = Parser { lexer, at, token, depth: 0, notes: Vec::new(), patterns: 0 };
        let root = parser.rule()?;
        Ok(Rule { root, notes: parser.notes, patterns: parser.patterns })
    }
}

struct Parser<'a> {
    lexer: Lexer<'a>,
    /// The word at hand, and where it was looked for.
    at: usize,
    token: Token,
    depth: usize,
    notes: Vec<String>,
    patterns: usize,
}

/// What stands beside a comparison.
enum Operand {
    Name(Box<[u8]>),
    /// `a.b`, which names nothing: a name that holds a dot stands in backquotes.
    Dotted,
    Literal(Literal),
    Pattern(Option<Regex>),
}

impl Parser<'_> {
    fn fault(&self, what: &str) -> Fault {
        self.lexer.fault(self.at, what)
    }

    /// Gives the word at hand and reads the next.
    fn take(&mut self) -> Result<Token, Fault> {
        self.at = self.lexer.at();
        let next = self.lexer.next()?;
        Ok(std::mem::replace(&mut self.token, next))
    }

    fn takes(&mut self, wanted: &Token) -> Result<bool, Fault> {
        let there = self.token == *wanted;
        if there {
            self.take()?;
        }
        Ok(there)
    }

    fn expect(&mut self, wanted: &Token, what: &str) -> Result<(), Fault> {
        if self.takes(wanted)? { Ok(()) } else { Err(self.fault(what)) }
    }

    /// Braces with semicolons between, before and behind them.
    fn rule(&mut self) -> Result<Node, Fault> {
        let mut braces = Vec::new();
        loop {
            if self.token == Token::LeftBrace {
                braces.push(self.brace()?);
            }
            if self.takes(&Token::End)? {
                return Ok(Node::Any(braces));
            }
            self.expect(&Token::Semicolon, "conditions stand in braces, with ; between two of them")?;
        }
    }

    /// Conditions with commas between, and before and behind them too.
    fn brace(&mut self) -> Result<Node, Fault> {
        self.expect(&Token::LeftBrace, "{ is missing")?;
        let mut all = Vec::new();
        loop {
            while self.takes(&Token::Comma)? {}
            if self.takes(&Token::RightBrace)? {
                return Ok(Node::All(all));
            }
            all.push(self.any()?);
            if !matches!(self.token, Token::Comma | Token::RightBrace) {
                return Err(self.fault("and, or, a comma or } is missing"));
            }
        }
    }

    fn any(&mut self) -> Result<Node, Fault> {
        let mut nodes = vec![self.all()?];
        while self.takes(&Token::Or)? {
            nodes.push(self.all()?);
        }
        Ok(single(nodes, Node::Any))
    }

    fn all(&mut self) -> Result<Node, Fault> {
        let mut nodes = vec![self.condition()?];
        while self.takes(&Token::And)? {
            nodes.push(self.condition()?);
        }
        Ok(single(nodes, Node::All))
    }

    fn condition(&mut self) -> Result<Node, Fault> {
        if self.token != Token::LeftParen {
            return self.comparison();
        }
        if self.depth == DEPTH_MAX {
            return Err(self.fault("parentheses are nested too deeply"));
        }
        self.depth += 1;
        self.take()?;
        let node = self.any()?;
        self.expect(&Token::RightParen, ") is missing")?;
        self.depth -= 1;
        Ok(node)
    }

    fn comparison(&mut self) -> Result<Node, Fault> {
        let left = self.operand()?;
        let list = match self.token {
            Token::In | Token::NotIn => Some(false),
            Token::Match | Token::NotMatch => Some(true),
            _ => None,
        };
        if let Some(of_patterns) = list {
            let negated = matches!(self.token, Token::NotIn | Token::NotMatch);
            let name = match left {
                Operand::Name(name) => Some(name),
                Operand::Dotted => None,
                _ => return Err(self.fault("only a name can be in a list or match one")),
            };
            self.take()?;
            return if of_patterns { self.matches(name, negated) } else { self.contained(name, negated) };
        }
        let Token::Compare(compare) = self.token else {
            return Err(self.fault("a comparison is missing"));
        };
        self.take()?;
        if matches!(self.token, Token::Compare(_)) {
            return Err(self.fault("a value is missing (equal is = and not ==)"));
        }
        let right = self.operand()?;
        if matches!(self.token, Token::Compare(_)) {
            return Err(self.fault("a comparison cannot be compared"));
        }
        if matches!(right, Operand::Pattern(_)) && compare != Compare::Eq {
            return Err(self.fault("a pattern stands only behind =; for its opposite there is notmatch"));
        }
        Ok(match (left, right) {
            (Operand::Pattern(_), _) => return Err(self.fault("a pattern stands only behind =")),
            (Operand::Dotted, _) => self.never(DOTTED),
            (_, Operand::Name(_) | Operand::Dotted) => self.never(NAMES),
            (Operand::Name(name), Operand::Literal(literal)) => Node::Compare { name, compare, literal },
            (Operand::Name(name), Operand::Pattern(pattern)) => {
                Node::Match { name, patterns: pattern.into_iter().collect(), negated: false }
            }
            (Operand::Literal(Literal::Text(text)), Operand::Pattern(pattern)) => {
                Node::Constant(pattern.is_some_and(|pattern| pattern.is_match(&text)))
            }
            (Operand::Literal(_), Operand::Pattern(_)) => Node::Constant(false),
            (Operand::Literal(left), Operand::Literal(right)) => {
                Node::Constant(match Viewed::of_literal(&left) {
                    Some(value) => value.compare(compare, &right),
                    None => right == Literal::Nil && compare_nil(compare, &right),
                })
            }
        })
    }

    fn never(&mut self, why: &str) -> Node {
        self.notes.push(why.to_owned());
        Node::Constant(false)
    }

    fn operand(&mut self) -> Result<Operand, Fault> {
        let at = self.at;
        Ok(match self.take()? {
            Token::Name(name) | Token::Raw(name) => self.dotted(name)?,
            Token::Identifier => {
                self.expect(&Token::LeftParen, "( is missing")?;
                let Token::Text(name) = self.take()? else {
                    return Err(self.lexer.fault(at, "identifier(…) takes a text"));
                };
                self.expect(&Token::RightParen, ") is missing")?;
                self.dotted(name)?
            }
            Token::Re => {
                self.expect(&Token::LeftParen, "( is missing")?;
                let (Token::Text(text) | Token::Raw(text)) = self.take()? else {
                    return Err(self.lexer.fault(at, "re(…) takes a text"));
                };
                self.expect(&Token::RightParen, ") is missing")?;
                Operand::Pattern(self.pattern(&text)?)
            }
            token => match self.literal(token)? {
                Some(literal) => Operand::Literal(literal),
                None => return Err(self.lexer.fault(at, "a name or a value is missing")),
            },
        })
    }

    fn dotted(&mut self, name: Box<[u8]>) -> Result<Operand, Fault> {
        let mut operand = Operand::Name(name);
        while self.takes(&Token::Dot)? {
            if !matches!(self.take()?, Token::Name(_) | Token::Raw(_)) {
                return Err(self.fault("a name is missing"));
            }
            operand = Operand::Dotted;
        }
        Ok(operand)
    }

    fn literal(&mut self, token: Token) -> Result<Option<Literal>, Fault> {
        Ok(Some(match token {
            Token::Nil => Literal::Nil,
            Token::Bool(value) => Literal::Bool(value),
            Token::Int(value) => Literal::Int(value),
            Token::Float(value) => Literal::Float(value),
            Token::Text(text) => Literal::Text(text),
            Token::Plus | Token::Minus => {
                let sign = token == Token::Minus;
                match self.take()? {
                    Token::Int(value) => Literal::Int(if sign { -value } else { value }),
                    Token::Float(value) => Literal::Float(if sign { -value } else { value }),
                    _ => return Err(self.fault("a number is missing")),
                }
            }
            _ => return Ok(None),
        }))
    }

    fn contained(&mut self, name: Option<Box<[u8]>>, negated: bool) -> Result<Node, Fault> {
        let items = self.list()?;
        let Some(name) = name else { return Ok(self.never(DOTTED)) };
        let before = items.len();
        // Neither can be found there, nor does DataKit look at them.
        let known: Vec<Literal> = items
            .into_iter()
            .filter_map(|item| match item {
                Operand::Literal(Literal::Bool(_)) | Operand::Name(_) | Operand::Dotted => None,
                Operand::Literal(literal) => Some(literal),
                Operand::Pattern(_) => None,
            })
            .collect();
        if known.len() < before {
            self.notes.push("a list holds names, true or false, which are passed over".to_owned());
        }
        Ok(Node::In { name, items: Items::new(known), negated })
    }

    fn matches(&mut self, name: Option<Box<[u8]>>, negated: bool) -> Result<Node, Fault> {
        let at = self.at;
        let mut patterns = Vec::new();
        for item in self.list()? {
            let Operand::Literal(Literal::Text(text)) = item else {
                return Err(self.lexer.fault(at, "a list of patterns holds texts alone"));
            };
            patterns.extend(self.pattern(&text)?);
        }
        match name {
            Some(name) => Ok(Node::Match { name, patterns, negated }),
            None => Ok(self.never(DOTTED)),
        }
    }

    /// `[a, b]`, with commas as in braces.
    fn list(&mut self) -> Result<Vec<Operand>, Fault> {
        self.expect(&Token::LeftBracket, "a list is missing")?;
        let mut items = Vec::new();
        loop {
            while self.takes(&Token::Comma)? {}
            if self.takes(&Token::RightBracket)? {
                return Ok(items);
            }
            if self.token == Token::Re {
                return Err(self.fault("re(…) does not stand in a list"));
            }
            items.push(self.operand()?);
            if !matches!(self.token, Token::Comma | Token::RightBracket) {
                return Err(self.fault("a comma or ] is missing"));
            }
        }
    }

    /// A pattern; `None` for what is none, which is noted.
    fn pattern(&mut self, text: &[u8]) -> Result<Option<Regex>, Fault> {
        if self.patterns == PATTERNS_MAX {
            return Err(self.fault(&format!("more than {PATTERNS_MAX} patterns")));
        }
        self.patterns += 1;
        let compiled = match std::str::from_utf8(text) {
            Ok(text) => go_pattern(text),
            Err(_) => Err("it is no UTF-8".to_owned()),
        };
        match compiled {
            Ok(pattern) => Ok(Some(pattern)),
            Err(error) => {
                let shown: String = String::from_utf8_lossy(text).chars().take(SHOWN_CHARS).collect();
                self.notes.push(format!("{shown:?} is no pattern and matches nothing: {error}"));
                Ok(None)
            }
        }
    }
}

const DOTTED: &str = "a name with a dot is found only in backquotes";
const NAMES: &str = "a name on the right side is compared with nothing";

/// Of a pattern that is none, in a note.
const SHOWN_CHARS: usize = 64;

fn single(mut nodes: Vec<Node>, join: fn(Vec<Node>) -> Node) -> Node {
    match (nodes.len(), nodes.pop()) {
        (1, Some(node)) => node,
        (_, last) => {
            nodes.extend(last);
            join(nodes)
        }
    }
}
