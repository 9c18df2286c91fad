//! A JSON text that is shared by those who hold values of it: what `load_json` gives as long as nobody changes it.
//!
//! Building a tree of a log line costs several times what its index costs, and scripts look at a few members. A [`Document`]
//! is a value of such a text, as cheap to clone as a pointer; its members are documents of the same text. Who wants to change
//! something has it [built](super::build()) first.

use std::rc::Rc;

use super::{Index, View};

/// A value in a shared text.
#[derive(Clone, Debug)]
pub struct Document {
    index: Rc<Index>,
    at: usize,
}

impl Document {
    /// A text's value, or None if it is no JSON.
    pub fn read(text: &[u8]) -> Option<Document> {
        let mut index = Index::new();
        index.of(text)?;
        Some(Document { index: Rc::new(index), at: 0 })
    }

    pub fn view(&self) -> View<'_> {
        self.index.view(self.at)
    }

    /// The member of a name.
    pub fn get(&self, name: &[u8]) -> Option<Document> {
        self.view().get(name).map(|member| self.part(&member))
    }

    /// The item at an index; from the end if it is negative.
    pub fn item(&self, index: i64) -> Option<Document> {
        self.view().item(index).map(|item| self.part(&item))
    }

    /// A value that a view of this text shows, to be kept.
    fn part(&self, view: &View) -> Document {
        Document { index: Rc::clone(&self.index), at: view.place() }
    }

    /// Items of a list.
    pub fn items(&self) -> impl Iterator<Item = Document> + '_ {
        self.view().items().map(|item| self.part(&item))
    }
}
