//! The elements of an array one by one: a body of many is never one long tape.

use super::{Malformed, Tape, is_white};

/// Walks over an array.
#[derive(Clone, Debug)]
pub struct Elements<'b> {
    bytes: &'b [u8],
    at: usize,
    /// Where the element at hand begins.
    start: usize,
    begun: bool,
}

impl<'b> Elements<'b> {
    /// Of the array that `bytes` is, white space around it aside; `None` where it does not begin as one.
    pub fn new(bytes: &'b [u8]) -> Option<Elements<'b>> {
        let at = bytes.iter().position(|&byte| !is_white(byte))?;
        (bytes[at] == b'[').then_some(Elements { bytes, at: at + 1, start: at + 1, begun: false })
    }

    /// Reads the next element into `tape`; `false` at the end of the array, behind which nothing may stand.
    pub fn next(&mut self, tape: &mut Tape, depth_max: usize) -> Result<bool, Malformed> {
        let next = self.skip_white().ok_or(Malformed::Syntax)?;
        if next == b']' {
            self.at += 1;
            return if self.skip_white().is_none() { Ok(false) } else { Err(Malformed::Syntax) };
        }
        if self.begun {
            if next != b',' {
                return Err(Malformed::Syntax);
            }
            self.at += 1;
        }
        self.begun = true;
        self.skip_white().ok_or(Malformed::Syntax)?;
        self.start = self.at;
        self.at = tape.parse(self.bytes, self.at, depth_max)?;
        Ok(true)
    }

    /// The text of the element that was read last.
    pub fn text(&self) -> &'b [u8] {
        self.bytes.get(self.start..self.at).unwrap_or_default()
    }

    fn skip_white(&mut self) -> Option<u8> {
        let rest = self.bytes.get(self.at..)?;
        let white = rest.iter().position(|&byte| !is_white(byte))?;
        self.at += white;
        Some(rest[white])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn count(text: &str) -> Option<Result<usize, Malformed>> {
        let mut elements = Elements::new(text.as_bytes())?;
        let (mut tape, mut count) = (Tape::default(), 0);
        loop {
            match elements.next(&mut tape, 8) {
                Ok(true) => {
                    let read: serde_json::Value = serde_json::from_slice(elements.text()).unwrap();
                    assert_eq!(read.to_string().as_bytes(), elements.text());
                    count += 1;
                }
                Ok(false) => return Some(Ok(count)),
                Err(error) => return Some(Err(error)),
            }
        }
    }

    #[test]
    fn elements_are_what_stands_between_commas() {
        for (text, expected) in
            [("[]", 0), (" [ ] ", 0), ("[1]", 1), ("[1,[2,3],{\"a\":[]}]\n", 3), (" [ null , \"]\" ] ", 2)]
        {
            assert_eq!(count(text), Some(Ok(expected)), "{text}");
        }
        for text in ["[", "[1", "[1,", "[1,]", "[,1]", "[1 2]", "[]x", "[1]]", "[[[[[[[[[[1]]]]]]]]]]", "[x]"]
        {
            assert_eq!(count(text), Some(Err(Malformed::Syntax)), "{text}");
        }
        for text in ["", " ", "{}", "1"] {
            assert_eq!(count(text), None, "{text}");
        }
    }
}
