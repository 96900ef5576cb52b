//! The load index: which of many backends has the least load, in O(log n).
//!
//! A policy asks for one by [`Tracking`](tracking::Tracking). Then each lease updates the index when it begins and when it ends.

pub(crate) mod index;
pub(crate) mod position;
pub(crate) mod tracking;
pub(crate) mod tree;
