//! Names of reasons, outcomes, phases and states: the same in fields, logs, metrics and JSON.

/// Gives an enum without data its names: `ALL`, `as_str`, `Display` and, with the feature `serde`, `Serialize`.
macro_rules! names {
    ($type:ident { $($variant:ident = $text:literal,)* }) => {
        $crate::names::list!($type { $($variant = $text,)* });
        $crate::names::text!($type);
    };
}

/// Gives an enum without data `ALL` and `as_str`.
macro_rules! list {
    ($type:ident { $($variant:ident = $text:literal,)* }) => {
        impl $type {
            /// All of them, in the order of their definition.
            pub const ALL: &'static [Self] = &[$(Self::$variant,)*];

            /// The name in logs, metrics and JSON, in snake case. Never changes.
            pub const fn as_str(self) -> &'static str {
                match self {
                    $(Self::$variant => $text,)*
                }
            }
        }
    };
}

/// Gives an enum with `ALL` and `as_str` the way back from a name.
macro_rules! from_name {
    ($type:ident) => {
        impl $type {
            /// The one with this name.
            pub fn from_name(name: &str) -> Option<Self> {
                let mut all = Self::ALL.iter().copied();
                all.find(|one| one.as_str() == name)
            }
        }
    };
}

/// Displays and serializes a type as its `as_str`.
macro_rules! text {
    ($type:ident) => {
        impl std::fmt::Display for $type {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.pad(self.as_str())
            }
        }

        $crate::names::serialize!($type);
    };
}

/// Serializes a type as its `as_str`.
macro_rules! serialize {
    ($type:ident) => {
        #[cfg(feature = "serde")]
        impl serde::Serialize for $type {
            fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.serialize_str(self.as_str())
            }
        }
    };
}

pub(crate) use {from_name, list, names, serialize, text};
