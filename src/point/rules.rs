//! What each category asks of its points, under both `compat` values, in one table.
//!
//! Sources: the constraints of the public document ("DataKit Data Structure Constraints", items 2 to 5), and for
//! `datakit-1.84` the recorded answers. Keys that a category refuses are not mentioned by the document, so the
//! recorded ones hold under both.

use super::{Category, Compat};

/// What a category asks of a point beyond the limits that hold for all of them.
#[derive(Debug, PartialEq, Eq)]
pub struct CategoryRules {
    /// `.` in tag and field keys becomes `_`.
    pub dots_replaced: bool,
    /// Fields that hold a string or bytes are dropped. Arrays of strings stay.
    pub strings_dropped: bool,
    /// Keys that are dropped, be they tags or fields.
    pub disabled_keys: &'static [&'static str],
    /// A key that must be there, and the string field that is added where it is not.
    pub required: Option<RequiredKey>,
}

/// A key every point of a category carries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RequiredKey {
    pub key: &'static str,
    pub default: &'static str,
}

const PLAIN: CategoryRules =
    CategoryRules { dots_replaced: false, strings_dropped: false, disabled_keys: &[], required: None };

/// `CategoryRules` without dots.
const UNDERSCORED: CategoryRules =
    CategoryRules { dots_replaced: true, strings_dropped: false, disabled_keys: &[], required: None };

const METRIC: CategoryRules =
    CategoryRules { dots_replaced: false, strings_dropped: true, disabled_keys: &[], required: None };

/// In logging the measurement is what the platform shows as `source`.
const LOGGING_DISABLED: &[&str] = &["source", "date"];
/// In objects the measurement is what the platform shows as `class`.
const OBJECT_DISABLED: &[&str] = &["class", "date"];

const NAME: Option<RequiredKey> = Some(RequiredKey { key: "name", default: "default" });

const LOGGING_DOCUMENTED: CategoryRules = CategoryRules {
    disabled_keys: LOGGING_DISABLED,
    required: Some(RequiredKey { key: "status", default: "unknown" }),
    ..UNDERSCORED
};

const LOGGING_184: CategoryRules = CategoryRules {
    disabled_keys: LOGGING_DISABLED,
    required: Some(RequiredKey { key: "status", default: "info" }),
    ..UNDERSCORED
};

const OBJECT: CategoryRules = CategoryRules { disabled_keys: OBJECT_DISABLED, required: NAME, ..UNDERSCORED };

const CUSTOM_OBJECT_DOCUMENTED: CategoryRules = CategoryRules { required: NAME, ..UNDERSCORED };

/// The table: category, documented, datakit-1.84.
static TABLE: [(Category, CategoryRules, CategoryRules); super::CATEGORY_COUNT] = [
    (Category::Metric, METRIC, METRIC),
    (Category::Network, UNDERSCORED, PLAIN),
    (Category::Keyevent, UNDERSCORED, PLAIN),
    (Category::Object, OBJECT, OBJECT),
    (Category::CustomObject, CUSTOM_OBJECT_DOCUMENTED, PLAIN),
    (Category::Logging, LOGGING_DOCUMENTED, LOGGING_184),
    (Category::Tracing, UNDERSCORED, PLAIN),
    (Category::Rum, UNDERSCORED, PLAIN),
    (Category::Security, UNDERSCORED, PLAIN),
    // 1.84.1 does not take this category at all; the row keeps the table square.
    (Category::Profiling, UNDERSCORED, PLAIN),
    // Holds no points; this row, too, keeps the table square.
    (Category::SessionReplay, UNDERSCORED, PLAIN),
];

/// The rules of `category` under `compat`.
pub fn rules(category: Category, compat: Compat) -> &'static CategoryRules {
    let (_, documented, datakit_184) = &TABLE[category.index()];
    match compat {
        Compat::Documented => documented,
        Compat::Datakit184 => datakit_184,
    }
}

/// The rules that hold for every category and add nothing: what DataKit's first pass checks with.
pub static LIMITS_ONLY: CategoryRules = PLAIN;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_is_in_the_order_of_the_categories() {
        for (index, (category, ..)) in TABLE.iter().enumerate() {
            assert_eq!(category.index(), index);
        }
    }

    #[test]
    fn the_documents_and_the_recording_differ_where_the_design_says() {
        for category in Category::ALL {
            let documented = rules(category, Compat::Documented);
            let recorded = rules(category, Compat::Datakit184);
            assert_eq!(documented.dots_replaced, category != Category::Metric, "{category:?}");
            assert_eq!(
                recorded.dots_replaced,
                matches!(category, Category::Logging | Category::Object),
                "{category:?}"
            );
            assert_eq!(documented.disabled_keys, recorded.disabled_keys, "{category:?}");
        }
        assert_eq!(rules(Category::Logging, Compat::Documented).required.unwrap().default, "unknown");
        assert_eq!(rules(Category::Logging, Compat::Datakit184).required.unwrap().default, "info");
        assert_eq!(rules(Category::CustomObject, Compat::Documented).required.unwrap().key, "name");
        assert_eq!(rules(Category::CustomObject, Compat::Datakit184).required, None);
    }
}
