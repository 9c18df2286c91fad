//! The point data model: categories, lanes, checks, and the encoded batch that travels from here on.

mod batch;
mod category;
mod route;

pub use batch::{Batch, Mark};
pub use category::{CATEGORY_COUNT, Category};
pub use route::{Route, RouteError};
