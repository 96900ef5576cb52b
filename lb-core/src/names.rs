//! Names of states, effects and reasons: the same in fields, settings, logs and JSON.

/// Gives an enum without data its names: `ALL`, `as_str` and `Display`.
macro_rules! names {
    ($type:ident { $($variant:ident = $text:literal,)* }) => {
        $crate::names::list!($type { $($variant = $text,)* });

        impl std::fmt::Display for $type {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.pad(self.as_str())
            }
        }
    };
}

/// Gives an enum without data `ALL` and `as_str`.
macro_rules! list {
    ($type:ident { $($variant:ident = $text:literal,)* }) => {
        impl $type {
            /// All of them, in the order of their definition.
            pub const ALL: [Self; [$($text),*].len()] = [$(Self::$variant,)*];

            /// The name in settings, logs and JSON, in snake case. Never changes.
            pub const fn as_str(self) -> &'static str {
                match self {
                    $(Self::$variant => $text,)*
                }
            }
        }
    };
}

pub(crate) use {list, names};
