//! What is said between a run and the world outside the process.

/// Where an address is, in names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    pub country: Box<str>,
    pub province: Box<str>,
    pub city: Box<str>,
    pub isp: Box<str>,
}

/// A request over HTTP.
#[derive(Clone, Debug)]
pub struct HttpRequest<'a> {
    pub method: &'a [u8],
    pub url: &'a [u8],
    pub headers: Vec<(&'a [u8], &'a [u8])>,
    pub body: Option<&'a [u8]>,
}

/// Its answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HttpResponse {
    pub status: u16,
    pub body: Vec<u8>,
}
