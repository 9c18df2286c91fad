//! A route: what, beside the category, keeps points apart on their way upstream.
//!
//! Points of one category and one route form a *lane*: they share blocks, frames and upload requests. The spool
//! stores a route as opaque bytes; sinks decode it and turn it into headers. The text form is `k=v` pairs joined
//! by `&`, values percent-encoded, keys sorted, so that it can grow without a new format version.

use percent_encoding::{AsciiSet, CONTROLS, NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};

use crate::config::secret::{Secret, TOKEN_SHOWN};

use super::Category;

/// Where points go besides their category's default place. The default route is empty.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Route {
    /// `?storage_index=`: logging only, uploaded as `X-Storage-Index-Name`.
    pub storage_index: Option<Box<str>>,
    /// `?token=`: the workspace, in place of the one of the configured token.
    pub token: Option<Secret>,
    /// The sinker's value, uploaded as `X-Global-Tags`, also where it is empty; none where the sinker is off.
    pub global_tags: Option<Box<str>>,
}

/// What of the sinker's values is escaped: the rest may be read by people.
const PLAIN: &AsciiSet = &CONTROLS.add(b'%').add(b'&').add(b' ');

/// A stored route that this version cannot read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RouteError;

impl Route {
    pub fn is_default(&self) -> bool {
        self.storage_index.is_none() && self.token.is_none() && self.global_tags.is_none()
    }

    /// Where points of a category go that came of a request with this route.
    pub fn of(&self, category: Category) -> Route {
        let storage_index = self.storage_index.clone().filter(|_| category == Category::Logging);
        Route { storage_index, ..self.clone() }
    }

    /// The stored form; empty for the default route. It holds the token: for the spool alone.
    pub fn encode(&self) -> String {
        let token = self
            .token
            .as_ref()
            .map(|token| utf8_percent_encode(token.expose(), NON_ALPHANUMERIC).to_string());
        self.text(token.as_deref())
    }

    /// The stored form as people may see it: with stars for the token.
    pub fn shown(&self) -> String {
        self.text(self.token.as_ref().map(|_| TOKEN_SHOWN))
    }

    fn text(&self, token: Option<&str>) -> String {
        let mut text = String::new();
        if let Some(global_tags) = &self.global_tags {
            text.push_str("global_tags=");
            text.extend(utf8_percent_encode(global_tags, PLAIN));
        }
        if let Some(index) = &self.storage_index {
            text.push_str(if text.is_empty() { "storage_index=" } else { "&storage_index=" });
            text.extend(utf8_percent_encode(index, NON_ALPHANUMERIC));
        }
        if let Some(token) = token {
            text.push_str(if text.is_empty() { "token=" } else { "&token=" });
            text.push_str(token);
        }
        text
    }

    pub fn decode(bytes: &[u8]) -> Result<Route, RouteError> {
        let text = std::str::from_utf8(bytes).map_err(|_| RouteError)?;
        let mut route = Route::default();
        for pair in text.split('&').filter(|pair| !pair.is_empty()) {
            let (key, value) = pair.split_once('=').ok_or(RouteError)?;
            let value = percent_decode_str(value).decode_utf8().map_err(|_| RouteError)?;
            match key {
                "global_tags" => route.global_tags = Some(value.into()),
                "storage_index" => route.storage_index = Some(value.into()),
                "token" => route.token = Some(Secret::new(value)),
                _ => return Err(RouteError),
            }
        }
        Ok(route)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn routes_round_trip() {
        for index in ["a", "with space", "a&b=c", "日志", "%41"] {
            for token in [None, Some(Secret::new("tkn_0123456789abcdef0123456789abcdef"))] {
                for global_tags in [None, Some(""), Some("host=a b,source=日志&100%,x=\n")] {
                    let (token, global_tags) = (token.clone(), global_tags.map(Into::into));
                    let route = Route { storage_index: Some(index.into()), token, global_tags };
                    assert_eq!(Route::decode(route.encode().as_bytes()), Ok(route));
                }
            }
        }
        let sunk = Route { global_tags: Some("host=web-1,a=b&c".into()), ..Route::default() };
        assert_eq!(sunk.encode(), "global_tags=host=web-1,a=b%26c");
        let empty = Route { global_tags: Some("".into()), ..Route::default() };
        assert_eq!((empty.encode().as_str(), empty.is_default()), ("global_tags=", false));
        assert_eq!(Route::decode(b"global_tags="), Ok(empty));
        // As stored before there were tokens.
        let old = Route { storage_index: Some("a b".into()), ..Route::default() };
        assert_eq!(Route::decode(b"storage_index=a%20b"), Ok(old));
        assert_eq!(Route::default().encode(), "");
        assert_eq!(Route::decode(b""), Ok(Route::default()));
        assert_eq!(Route::decode(b"unknown=1"), Err(RouteError));
    }

    #[test]
    fn a_token_is_stored_and_not_shown() {
        let token = Some(Secret::new("tkn_0123456789abcdef0123456789abcdef"));
        let route = Route { token: token.clone(), ..Route::default() };
        assert!(!route.is_default());
        assert_eq!(route.encode(), "token=tkn%5F0123456789abcdef0123456789abcdef");
        let both = Route { storage_index: Some("a".into()), token, ..Route::default() };
        assert_eq!(
            (route.shown(), both.shown()),
            ("token=tkn_***".to_owned(), "storage_index=a&token=tkn_***".to_owned())
        );
        assert!(!format!("{both:?}").contains("0123"), "{both:?}");
    }
}
