//! Trees of values, of whatever kind the caller keeps them in.

use std::borrow::Cow;

use super::{Kind, View};

/// Makes the caller's values.
pub trait Build {
    type Value;
    type Map;

    fn null(&mut self) -> Self::Value;
    fn boolean(&mut self, value: bool) -> Self::Value;
    fn number(&mut self, value: f64) -> Self::Value;
    fn text(&mut self, bytes: Cow<[u8]>) -> Self::Value;
    fn list(&mut self, items: Vec<Self::Value>) -> Self::Value;
    /// A map for about so many members.
    fn map(&mut self, members: usize) -> Self::Map;
    /// A later member replaces an earlier one of its name.
    fn insert(&mut self, map: &mut Self::Map, name: Cow<[u8]>, value: Self::Value);
    fn mapped(&mut self, map: Self::Map) -> Self::Value;
}

/// The tree of a value: what `load_json` gives. As deep as an index is, [`super::DEPTH_MAX`] at most.
pub fn build<B: Build>(value: View, with: &mut B) -> B::Value {
    match value.kind() {
        Kind::Null => with.null(),
        Kind::True => with.boolean(true),
        Kind::False => with.boolean(false),
        Kind::Number => with.number(value.number().unwrap_or_default()),
        Kind::Text | Kind::EscapedText => with.text(value.bytes().unwrap_or_default()),
        Kind::List => {
            let mut items = Vec::new();
            for item in value.items() {
                items.push(build(item, with));
            }
            with.list(items)
        }
        Kind::Map => {
            /// Storage for more than this is not set aside: values deeper inside are counted too.
            const MEMBERS_HINT_MAX: usize = 16;
            let mut map = with.map((value.len_hint() / 2).min(MEMBERS_HINT_MAX));
            for (name, member) in value.members() {
                let member = build(member, with);
                with.insert(&mut map, name.bytes().unwrap_or_default(), member);
            }
            with.mapped(map)
        }
    }
}
