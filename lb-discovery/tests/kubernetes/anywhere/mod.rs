//! Checks against any API server: the in-process one, and a real one if `LB_TEST_KUBECONFIG` names a kubeconfig.

mod endpoint_slices;
mod node_port;
mod pods;

use std::panic::{AssertUnwindSafe, resume_unwind};

use futures::FutureExt;

use crate::place::Place;

/// Runs a check in a namespace of a real cluster, and always deletes the namespace.
async fn really(check: impl AsyncFnOnce(&Place)) {
    let Some(place) = Place::real().await else {
        return;
    };
    let done = AssertUnwindSafe(check(&place)).catch_unwind().await;
    if let Place::Real(real) = &place {
        real.close().await;
    }
    done.unwrap_or_else(|panic| resume_unwind(panic));
}

/// Two tests of each check.
macro_rules! anywhere {
    ($($check:ident)*) => {
        mod ours {
            $(#[tokio::test]
            async fn $check() {
                super::$check(&crate::place::Place::ours().await).await;
            })*
        }

        mod real {
            $(#[tokio::test]
            async fn $check() {
                crate::anywhere::really(super::$check).await;
            })*
        }
    };
}

use anywhere;
