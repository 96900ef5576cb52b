//! Comparison of what a reload describes with what runs, where equality is not enough: functions and objects of the embedder are the
//! same only if they are one object.

use std::ptr;
use std::sync::Arc;

/// Whether two lists, or options, have the same items.
pub(crate) fn are_same<'a, T: 'a, C>(
    one: &'a C,
    other: &'a C,
    is_same: impl Fn(&T, &T) -> bool,
) -> bool
where
    &'a C: IntoIterator<Item = &'a T>,
{
    let (mut one, mut other) = (one.into_iter(), other.into_iter());
    loop {
        match (one.next(), other.next()) {
            (None, None) => return true,
            (Some(one), Some(other)) if is_same(one, other) => {}
            _ => return false,
        }
    }
}

/// Whether both are one object.
pub(crate) fn is_one<T: ?Sized>(one: &Arc<T>, other: &Arc<T>) -> bool {
    ptr::addr_eq(Arc::as_ptr(one), Arc::as_ptr(other))
}
