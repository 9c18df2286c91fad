//! The categories of data that scripts are kept for. They are not those of [`crate::point`]: dial tests and changes of
//! objects
//! have scripts as well.

/// A category of points, as scripts know them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Category {
    Metric,
    Network,
    Keyevent,
    Object,
    ObjectChange,
    CustomObject,
    Logging,
    Tracing,
    Rum,
    Security,
    Profiling,
    Dialtesting,
}

impl Category {
    pub const ALL: [Category; 12] = [
        Category::Metric,
        Category::Network,
        Category::Keyevent,
        Category::Object,
        Category::ObjectChange,
        Category::CustomObject,
        Category::Logging,
        Category::Tracing,
        Category::Rum,
        Category::Security,
        Category::Profiling,
        Category::Dialtesting,
    ];

    /// The name of its folder of scripts.
    pub const fn name(self) -> &'static str {
        self.names().0
    }

    /// As `create_point` takes it, too.
    pub const fn short_name(self) -> &'static str {
        self.names().1
    }

    pub fn named(name: &str) -> Option<Category> {
        Category::ALL.into_iter().find(|category| category.name() == name)
    }

    const fn names(self) -> (&'static str, &'static str) {
        match self {
            Category::Metric => ("metric", "M"),
            Category::Network => ("network", "N"),
            Category::Keyevent => ("keyevent", "E"),
            Category::Object => ("object", "O"),
            Category::ObjectChange => ("object_change", "OC"),
            Category::CustomObject => ("custom_object", "CO"),
            Category::Logging => ("logging", "L"),
            Category::Tracing => ("tracing", "T"),
            Category::Rum => ("rum", "R"),
            Category::Security => ("security", "S"),
            Category::Profiling => ("profiling", "P"),
            Category::Dialtesting => ("dialtesting", "DT"),
        }
    }
}
