//! The categories of points, and the ring, spool log and URL that belong to each.

/// How many categories there are; arrays indexed by [`Category::index`] have this length.
pub const CATEGORY_COUNT: usize = 11;

/// A kind of data. The discriminant is written into spool frames: never renumber.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[repr(u8)]
pub enum Category {
    Metric = 0,
    Network = 1,
    Keyevent = 2,
    Object = 3,
    CustomObject = 4,
    Logging = 5,
    Tracing = 6,
    Rum = 7,
    Security = 8,
    Profiling = 9,
    /// Not points: raw packages of session replays, each counted as one point.
    SessionReplay = 10,
}

impl Category {
    pub const ALL: [Category; CATEGORY_COUNT] = [
        Category::Metric,
        Category::Network,
        Category::Keyevent,
        Category::Object,
        Category::CustomObject,
        Category::Logging,
        Category::Tracing,
        Category::Rum,
        Category::Security,
        Category::Profiling,
        Category::SessionReplay,
    ];

    /// The word in `/v1/write/<word>`, inbound and upstream, and in metrics and folder names.
    pub const fn name(self) -> &'static str {
        match self {
            Category::Metric => "metric",
            Category::Network => "network",
            Category::Keyevent => "keyevent",
            Category::Object => "object",
            Category::CustomObject => "custom_object",
            Category::Logging => "logging",
            Category::Tracing => "tracing",
            Category::Rum => "rum",
            Category::Security => "security",
            Category::Profiling => "profiling",
            Category::SessionReplay => "session_replay",
        }
    }

    pub const fn index(self) -> usize {
        self as usize
    }

    /// Whether it holds points, which have a `/v1/write/<name>`, and not only raw packages.
    pub const fn has_points(self) -> bool {
        !matches!(self, Category::SessionReplay)
    }

    pub fn from_name(name: &str) -> Option<Category> {
        Category::ALL.into_iter().find(|category| category.name() == name)
    }

    pub fn from_index(index: u8) -> Option<Category> {
        Category::ALL.get(usize::from(index)).copied()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_indices_round_trip() {
        for (index, category) in Category::ALL.into_iter().enumerate() {
            assert_eq!(category.index(), index);
            assert_eq!(Category::from_index(index as u8), Some(category));
            assert_eq!(Category::from_name(category.name()), Some(category));
        }
        assert_eq!(Category::from_index(CATEGORY_COUNT as u8), None);
        assert_eq!(Category::from_name("metrics"), None);
    }
}
