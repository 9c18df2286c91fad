//! Both readers, on the edge cases by name.
