//! Requests that are answered *aside*, on a thread that is no shard's: they ask another host, read files, or take long.
//!
//! The route looks at the head and gives an [`AsidePlan`]; once the body has come, the plan and the body cross to such a
//! thread, and the answer comes back. What the thread does is in `crate::aside`.

use super::reply::Cors;

/// Bodies of these requests, but for archives of source maps: queries, labels and tasks are written by people or by small
/// programs.
pub const BODY_BYTES_MAX: usize = 8 << 20;

/// The same of scripts that are tried: data of 32 MiB in base64, and some scripts.
pub const TRIAL_BODY_BYTES_MAX: usize = 64 << 20;

/// What is asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum What {
    /// `GET /metrics`: in gzip where the client reads it.
    Metrics { gzip: bool },
    /// `POST /v1/query/raw`
    Query,
    /// `POST /v1/object/labels`
    SetLabels,
    /// `DELETE /v1/object/labels`
    UnsetLabels,
    /// `GET /v1/workspace`
    Workspace,
    /// `GET /v1/env_variable`
    EnvVariable,
    /// `POST /v1/lasterror`
    LastError,
    /// `PUT | DELETE /v1/sourcemap`, `GET /v1/sourcemap/check`
    SourceMap(SourceMap),
    /// `POST /v1/dialtesting/debug`
    DialTest,
    /// `POST /v1/pipeline/debug`
    Pipeline,
    /// `POST | DELETE /v1/global/{host,election}/tags`
    Tags(TagSet, TagChange),
}

/// What is done about an archive of source maps.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SourceMap {
    Put,
    Delete,
    Check,
}

/// Which global tags.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TagSet {
    Host,
    Election,
}

/// What becomes of them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TagChange {
    /// These are added, or get these values.
    Set(Vec<(String, String)>),
    Remove(Vec<String>),
}

/// What the head of such a request says.
#[derive(Clone, Debug)]
pub struct AsidePlan {
    pub what: What,
    /// As it came, without `?`.
    pub query: String,
    pub content_type: String,
    pub cors: Cors,
    /// The label in metrics.
    pub api: usize,
}
