//! The errors of a pattern.

/// Why a pattern cannot be inserted.
#[non_exhaustive]
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum ServerNameError {
    /// An earlier pattern decides the same names.
    #[error("server name \"{pattern}\" conflicts with an earlier one")]
    Conflict {
        /// The pattern.
        pattern: Box<str>,
    },
    /// Not a host name, or a wildcard that is not a whole label at the beginning or end.
    #[error(
        "\"{pattern}\" is not a server name: write www.example.com, *.example.com, .example.com or www.example.*"
    )]
    Invalid {
        /// The pattern.
        pattern: Box<str>,
    },
}
