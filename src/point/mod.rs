//! The point data model: categories, lanes, checks, and the encoded batch that travels from here on.
//!
//! - [`Category`], [`Route`]: what keeps points apart; a lane is one of each
//! - [`rules`]: what each category asks of its points, under both [`Compat`] values, in one table
//! - [`check`]: the rules, one function each; [`time`]: precision and times; [`GlobalTags`]
//! - [`filter`]: conditions by which points are dropped
//! - [`sinker`]: points in groups, by what the destination chooses workspaces by
//! - [`encode`]: from a tape to protobuf bytes, straight for ordinary points, by way of a [`draft`] for the rest
//! - [`Batch`]: the bytes; [`pb`] reads them back, [`echo`] writes them as text; [`wire`] has the field numbers

mod batch;
mod category;
pub mod check;
pub mod draft;
pub mod echo;
pub mod encode;
pub mod filter;
mod global_tags;
pub mod pb;
mod quote;
mod route;
mod rules;
pub mod sinker;
pub mod time;
pub mod wire;

pub use crate::config::Compat;
pub use batch::{Batch, Mark};
pub use category::{CATEGORY_COUNT, Category};
pub use global_tags::{GLOBAL_TAGS_MAX, GlobalTag, GlobalTags, OWN_TAGS_MAX, TooManyGlobalTags};
pub use quote::quote;
pub use route::{Route, RouteError};
pub use rules::{CategoryRules, LIMITS_ONLY, RequiredKey, rules};
pub use time::Precision;
