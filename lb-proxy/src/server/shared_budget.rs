//! The budget of descriptors that all servers of the process share.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use super::budget::DescriptorBudget;
use crate::limits::session_limit::SessionLimit;

/// The budget of the process, while there is a server.
static PROCESS: Mutex<Weak<SharedBudget>> = Mutex::new(Weak::new());

#[derive(Debug)]
struct SharedBudget {
    /// The sessions of all servers.
    sessions: Arc<SessionLimit>,
    claims: Mutex<Claims>,
}

#[derive(Debug)]
struct Claims {
    servers: Vec<Claim>,
    next: u64,
    /// The listening sockets that the budget counts.
    listening: u64,
    budget: DescriptorBudget,
}

/// What one server needs besides its sessions.
#[derive(Debug)]
struct Claim {
    number: u64,
    listening: u64,
    reserve: u64,
}

/// The share of one server. Dropping it gives back what the server claims.
#[derive(Debug)]
pub(crate) struct BudgetShare {
    shared: Arc<SharedBudget>,
    number: u64,
}

impl BudgetShare {
    /// Claims descriptors for `listening` sockets, and keeps `reserve` for everything but sessions: the largest reserve of all
    /// servers counts. What is open is counted if there are no sessions.
    pub(crate) fn join(listening: u64, reserve: u64) -> Self {
        let shared = SharedBudget::of_process();
        let mut claims = shared.lock();
        let number = claims.next;
        claims.next += 1;
        claims.servers.push(Claim {
            number,
            listening,
            reserve,
        });
        let is_first = claims.servers.len() == 1;
        let budget = match is_first || shared.sessions.open() == 0 {
            true => DescriptorBudget::of_process(claims.all_listening(), claims.reserve()),
            false => claims.changed(),
        };
        claims.set(budget, &shared.sessions);
        drop(claims);
        Self { shared, number }
    }

    /// Claims descriptors for other numbers. Returns whether that changed the budget.
    pub(crate) fn change(&self, listening: u64, reserve: u64) -> bool {
        let mut claims = self.shared.lock();
        let number = self.number;
        let own = claims.servers.iter_mut().find(|one| one.number == number);
        let Some(own) = own else {
            return false;
        };
        (own.listening, own.reserve) = (listening, reserve);
        let budget = claims.changed();
        claims.set(budget, &self.shared.sessions)
    }

    /// Gives back what the server claims. Its open sessions count until they end.
    pub(crate) fn leave(&self) {
        let mut claims = self.shared.lock();
        claims.servers.retain(|one| one.number != self.number);
        if !claims.servers.is_empty() {
            let budget = claims.changed();
            claims.set(budget, &self.shared.sessions);
        }
    }

    /// The budget at present.
    pub(crate) fn budget(&self) -> DescriptorBudget {
        self.shared.lock().budget
    }

    /// The limit on the sessions of all servers.
    pub(crate) fn sessions(&self) -> &Arc<SessionLimit> {
        &self.shared.sessions
    }
}

impl Drop for BudgetShare {
    fn drop(&mut self) {
        self.leave();
    }
}

impl SharedBudget {
    /// That of the process. A new one if no server is left.
    fn of_process() -> Arc<Self> {
        let mut process = lock(&PROCESS);
        process.upgrade().unwrap_or_else(|| {
            let budget = DescriptorBudget::of_process(0, 0);
            let new = Arc::new(Self {
                sessions: Arc::new(SessionLimit::with_hysteresis(budget.sessions)),
                claims: Mutex::new(Claims {
                    servers: Vec::new(),
                    next: 0,
                    listening: 0,
                    budget,
                }),
            });
            *process = Arc::downgrade(&new);
            new
        })
    }

    fn lock(&self) -> MutexGuard<'_, Claims> {
        lock(&self.claims)
    }
}

impl Claims {
    fn all_listening(&self) -> u64 {
        self.servers.iter().map(|one| one.listening).sum()
    }

    fn reserve(&self) -> u64 {
        let reserves = self.servers.iter().map(|one| one.reserve);
        reserves.max().unwrap_or(0)
    }

    /// The budget with the present claims.
    fn changed(&self) -> DescriptorBudget {
        self.budget
            .changed(self.listening, self.all_listening(), self.reserve())
    }

    /// Returns whether it differs from the one before.
    fn set(&mut self, budget: DescriptorBudget, sessions: &SessionLimit) -> bool {
        self.listening = self.all_listening();
        let differs = budget != self.budget;
        if differs {
            self.budget = budget;
            sessions.adjust(&SessionLimit::with_hysteresis(budget.sessions));
        }
        differs
    }
}

/// No code that can panic runs under these locks.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
