//! Where a listener is: a port, or a socket in the file system.

use std::fmt;
use std::net::SocketAddr;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

/// What stands before a path, where an address is written as text.
const UNIX: &str = "unix:";

/// An address to listen on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum Address {
    Tcp(SocketAddr),
    /// Absolute. Whoever reaches it counts as this machine.
    Unix(PathBuf),
}

impl Address {
    pub fn tcp(&self) -> Option<SocketAddr> {
        match self {
            Address::Tcp(address) => Some(*address),
            Address::Unix(_) => None,
        }
    }

    /// Two listeners cannot both have it.
    pub fn is_one_s_own(&self) -> bool {
        // Port 0 is a free one, another each time.
        !matches!(self, Address::Tcp(address) if address.port() == 0)
    }

    /// For people: as a URL where it is one.
    pub fn url(&self, tls: bool) -> String {
        match self {
            Address::Tcp(address) => format!("{}://{address}", if tls { "https" } else { "http" }),
            Address::Unix(_) => self.to_string(),
        }
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Address::Tcp(address) => write!(f, "{address}"),
            Address::Unix(path) => write!(f, "{UNIX}{}", path.display()),
        }
    }
}

impl From<Address> for String {
    fn from(address: Address) -> String {
        address.to_string()
    }
}

impl TryFrom<String> for Address {
    type Error = std::net::AddrParseError;

    fn try_from(text: String) -> Result<Address, Self::Error> {
        match text.strip_prefix(UNIX) {
            Some(path) => Ok(Address::Unix(PathBuf::from(path))),
            None => text.parse().map(Address::Tcp),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_round_trip_as_text() {
        for text in ["127.0.0.1:9529", "[::]:80", "unix:/run/kitgate.sock"] {
            let address = Address::try_from(text.to_owned()).unwrap();
            assert_eq!(address.to_string(), text);
            // As an older process hands it over: plain text.
            assert_eq!(serde_json::to_string(&address).unwrap(), format!("{text:?}"));
        }
        assert!(Address::try_from("host:1".to_owned()).is_err());
        let free = Address::Tcp(([127, 0, 0, 1], 0).into());
        assert!(!free.is_one_s_own() && Address::Unix("/a".into()).is_one_s_own());
    }
}
