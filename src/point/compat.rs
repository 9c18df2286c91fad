//! Which reference decides where the public documents and the recorded DataKit 1.84.1 contradict each other.

/// The switch of the configuration key `compat`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Compat {
    /// The public API documents win.
    #[default]
    Documented,
    /// The recorded behaviour of DataKit 1.84.1 wins.
    Datakit184,
}
