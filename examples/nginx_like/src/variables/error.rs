//! Errors in a text with variables, or in the name of a variable.

/// A variant without a comment is worded as in nginx.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub(crate) enum VariableError {
    #[error("the closing bracket in \"{name}\" variable is missing")]
    Bracket { name: String },
    #[error("the duplicate \"{name}\" variable")]
    Duplicate { name: String },
    #[error("invalid variable name")]
    InvalidName,
    #[error("invalid variable name \"{text}\"")]
    InvalidNameText { text: String },
    /// Ours.
    #[error("the \"{name}\" variable is not supported ({instead})")]
    NotSupported {
        name: String,
        /// What to do instead.
        instead: &'static str,
    },
    #[error("unknown \"{name}\" variable")]
    Unknown { name: String },
}
