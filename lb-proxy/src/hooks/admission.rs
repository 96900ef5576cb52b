//! The decision of hooks about a connection.

use std::fmt;
use std::future::Future;
use std::pin::Pin;

use futures::future::try_join_all;

/// Whether a connection is served.
#[non_exhaustive]
pub enum Admission {
    /// It is served.
    Admit,
    /// A future decides.
    ///
    /// The future runs on the session's task, and is dropped when the client goes away or the server is shut down. It has no
    /// time-out but its own. Its output may be another future. A session without one pays nothing for it.
    Later(Pin<Box<dyn Future<Output = Self> + Send>>),
    /// It is closed without service.
    Refuse,
}

impl Admission {
    /// [`Later`](Self::Later) with this future.
    pub fn later(decision: impl Future<Output = Self> + Send + 'static) -> Self {
        Self::Later(Box::pin(decision))
    }

    /// Whether the connection is served, as soon as that is decided.
    pub(crate) async fn admits(mut self) -> bool {
        loop {
            match self {
                Self::Admit => return true,
                Self::Refuse => return false,
                Self::Later(decision) => self = decision.await,
            }
        }
    }

    /// Admits what all admit. Those that decide later decide at the same time.
    pub(super) fn all(decisions: impl IntoIterator<Item = Self>) -> Self {
        let mut later = Vec::new();
        let mut is_refused = false;
        for decision in decisions {
            match decision {
                Self::Admit => {}
                Self::Later(_) => later.push(decision),
                Self::Refuse => is_refused = true,
            }
        }
        match later.is_empty() {
            _ if is_refused => Self::Refuse,
            true => Self::Admit,
            false => Self::later(async {
                let admitted = later.into_iter().map(|decision| async {
                    let is_admitted = decision.admits().await;
                    is_admitted.then_some(()).ok_or(())
                });
                match try_join_all(admitted).await {
                    Ok(_) => Self::Admit,
                    Err(()) => Self::Refuse,
                }
            }),
        }
    }
}

impl fmt::Debug for Admission {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Admit => "Admit",
            Self::Later(_) => "Later",
            Self::Refuse => "Refuse",
        })
    }
}

#[cfg(test)]
mod tests {
    use std::future::{pending, ready};

    use futures::FutureExt;

    use super::*;

    fn is_admitted(decisions: Vec<Admission>) -> Option<bool> {
        Admission::all(decisions).admits().now_or_never()
    }

    #[test]
    fn all_have_to_admit_and_the_first_refusal_decides() {
        let admit = || Admission::later(ready(Admission::later(ready(Admission::Admit))));
        let refuse = || Admission::later(ready(Admission::Refuse));
        let never = || Admission::later(pending());
        assert_eq!(is_admitted(vec![]), Some(true));
        assert_eq!(is_admitted(vec![Admission::Admit, admit()]), Some(true));
        assert_eq!(is_admitted(vec![admit(), refuse()]), Some(false));
        assert_eq!(is_admitted(vec![never(), admit()]), None);
        assert_eq!(is_admitted(vec![never(), refuse()]), Some(false));
        let refused = Admission::all([never(), Admission::Refuse]);
        assert!(matches!(refused, Admission::Refuse));
    }
}
