//! A route: what, beside the category, keeps points apart on their way upstream.
//!
//! Points of one category and one route form a *lane*: they share blocks, frames and upload requests. The spool
//! stores a route as opaque bytes; sinks decode it and turn it into headers. The text form is `k=v` pairs joined
//! by `&`, values percent-encoded, keys sorted, so that it can grow without a new format version.

use percent_encoding::{NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};

/// Where points go besides their category's default place. The default route is empty.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Route {
    /// `?storage_index=`: logging only, uploaded as `X-Storage-Index-Name`.
    pub storage_index: Option<Box<str>>,
}

/// A stored route that this version cannot read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RouteError;

impl Route {
    pub fn is_default(&self) -> bool {
        self.storage_index.is_none()
    }

    /// The stored form; empty for the default route.
    pub fn encode(&self) -> String {
        match &self.storage_index {
            Some(index) => format!("storage_index={}", utf8_percent_encode(index, NON_ALPHANUMERIC)),
            None => String::new(),
        }
    }

    pub fn decode(bytes: &[u8]) -> Result<Route, RouteError> {
        let text = std::str::from_utf8(bytes).map_err(|_| RouteError)?;
        let mut route = Route::default();
        for pair in text.split('&').filter(|pair| !pair.is_empty()) {
            let (key, value) = pair.split_once('=').ok_or(RouteError)?;
            let value = percent_decode_str(value).decode_utf8().map_err(|_| RouteError)?;
            match key {
                "storage_index" => route.storage_index = Some(value.into()),
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
            let route = Route { storage_index: Some(index.into()) };
            assert_eq!(Route::decode(route.encode().as_bytes()), Ok(route));
        }
        assert_eq!(Route::default().encode(), "");
        assert_eq!(Route::decode(b""), Ok(Route::default()));
        assert_eq!(Route::decode(b"unknown=1"), Err(RouteError));
    }
}
