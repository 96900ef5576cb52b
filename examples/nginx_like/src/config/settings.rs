//! `settings!`: groups of directives that set one value each.

/// Declares a group of directives that set one value each, in a `server` block or, as a default, in the `stream` block.
///
/// A line is a directive: field, type, default, name, arity, and how the value is read. The macro generates
///
/// - the group's values, complete ([`ProxySettings`](super::proxy::ProxySettings));
/// - the values as written in one block ([`ProxyDraft`](super::proxy::ProxyDraft)), and `merge`, which adds the
///   values of the outer block and then the defaults, as nginx's `merge_srv_conf`;
/// - the table of the directives, for every block that has the draft.
macro_rules! settings {
    (
        $(#[$group_doc:meta])*
        $settings:ident, $draft:ident, $table:ident {
            $(
                $(#[$doc:meta])*
                $field:ident: $type:ty = $default:expr,
                $name:literal $args:expr => $read:expr;
            )*
        }
        $(without_effect { $($ignored:literal $ignored_args:expr;)* })?
    ) => {
        $(#[$group_doc])*
        #[derive(Clone, Debug)]
        pub(crate) struct $settings {
            $($(#[$doc])* pub(crate) $field: $type,)*
        }

        /// The values as written in one block.
        #[derive(Clone, Debug, Default)]
        pub(crate) struct $draft {
            $($field: Option<$type>,)*
        }

        impl $draft {
            /// The complete values: from this block, else from the block around it, else the defaults.
            pub(crate) fn merge(self, outer: &Self) -> $settings {
                $settings {
                    $($field: self.$field.or_else(|| outer.$field.clone()).unwrap_or($default),)*
                }
            }
        }

        impl<B: $crate::syntax::directive::Has<$draft>> $crate::syntax::directive::Directive<B> {
            pub(crate) const $table: &'static [Self] = &[
                $(Self::simple($name, $args, |block, statement, reader| {
                    // Names the types of the closure's arguments.
                    let read: fn(
                        &$crate::syntax::statement::Statement,
                        &mut $crate::syntax::reader::Reader<'_>,
                    ) -> Result<$type, $crate::syntax::error::ConfigError> = $read;
                    statement.once(&mut block.part().$field, |statement| read(statement, reader))
                }),)*
                $($(Self::without_effect($ignored, $ignored_args),)*)?
            ];
        }
    };
}

pub(crate) use settings;
