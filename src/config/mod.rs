//! Configuration: what a user writes becomes [`Settings`], checked before anything starts.

pub mod secret;
mod settings;

pub use settings::{
    Ack, ArchiveSettings, Compat, Compression, DatawaySettings, Destination, Full, HttpSettings,
    LimitSettings, Listener, LogFormat, LogSettings, Settings, SpoolSettings,
};
