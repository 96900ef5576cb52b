//! Requests to an API server.

pub(crate) mod answer;
pub(crate) mod api_client;
pub(crate) mod authenticated_client;
mod http_stack;
