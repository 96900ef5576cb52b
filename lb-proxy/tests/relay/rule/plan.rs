//! The plan of a session: what both sides and the proxy do.

use proptest::prelude::*;

/// What one side does with its stream.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Act {
    Pause(u64),
    Urgent,
    Write(usize),
}

/// How one side ends its stream.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum End {
    Fin,
    Reset,
    /// Does not end it: the session's event does.
    Stay,
}

/// How one side reads.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Reader {
    Eager,
    /// In pieces, after the other side has done everything.
    Late,
    /// In pieces, with pauses.
    Slow,
    /// First so slowly that its kernel advertises no window space for longer than the idle time-out.
    Trickle,
}

#[derive(Clone, Debug)]
pub(crate) struct Plan {
    pub(crate) acts: Vec<Act>,
    pub(crate) end: End,
    pub(crate) reader: Reader,
}

/// What happens to the session from outside.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Event {
    /// The server aborts.
    Abort,
    /// The server drains and cuts its sessions one after the other.
    Drain,
    /// Neither side sends anything for the idle time-out.
    Idle,
    None,
    /// The backend is removed.
    Remove,
}

impl Case {
    /// Whether a side trickles.
    pub(crate) fn trickles(&self) -> bool {
        [&self.client, &self.server]
            .iter()
            .any(|plan| plan.reader == Reader::Trickle)
    }
}

#[derive(Clone, Debug)]
pub(crate) struct Case {
    pub(crate) splice: bool,
    pub(crate) client: Plan,
    pub(crate) server: Plan,
    pub(crate) event: Event,
    /// When the event happens.
    pub(crate) after: u64,
}

/// What a side writes that writes much.
const BULK: usize = 1 << 20;

pub(crate) fn plan() -> impl Strategy<Value = Plan> {
    let act = prop_oneof![
        1 => (0..20_u64).prop_map(Act::Pause),
        1 => Just(Act::Urgent),
        2 => (1..200_usize).prop_map(Act::Write),
        2 => (200..60_000_usize).prop_map(Act::Write),
    ];
    // Long enough to be spliced if there is a reader.
    let bulk = prop_oneof![3 => Just(None), 1 => Just(Some(Act::Write(BULK)))];
    let ends = prop_oneof![Just(End::Fin), Just(End::Reset), Just(End::Stay)];
    let readers = prop_oneof![
    3 => Just(Reader::Eager),
    3 => Just(Reader::Late),
    3 => Just(Reader::Slow),
    1 => Just(Reader::Trickle),
    ];
    let acts = (bulk, prop::collection::vec(act, 0..6));
    (acts, ends, readers).prop_map(|((bulk, acts), end, reader)| Plan {
        acts: bulk.into_iter().chain(acts).collect(),
        end,
        reader,
    })
}

pub(crate) fn case() -> impl Strategy<Value = Case> {
    let events = prop_oneof![
        3 => Just(Event::None),
        2 => Just(Event::Remove),
        1 => Just(Event::Abort),
        1 => Just(Event::Drain),
        1 => Just(Event::Idle),
    ];
    let plans = (plan(), plan());
    (any::<bool>(), plans, events, 0..60_u64).prop_map(
        |(splice, (mut client, mut server), event, after)| {
            for plan in [&mut client, &mut server] {
                if event == Event::Idle {
                    (plan.end, plan.reader) = (End::Stay, Reader::Eager);
                }
            }
            // A side that is still connected must not be silent for the idle time-out.
            let event = match (&mut client, &mut server) {
                (
                    Plan {
                        reader: Reader::Trickle,
                        ..
                    },
                    sender,
                )
                | (
                    sender,
                    Plan {
                        reader: Reader::Trickle,
                        ..
                    },
                ) => {
                    sender.end = End::Reset;
                    sender.acts.retain(|act| !matches!(act, Act::Write(BULK)));
                    Event::None
                }
                _ => event,
            };
            for plan in [&mut client, &mut server] {
                if event == Event::None && plan.end == End::Stay {
                    plan.end = End::Fin;
                }
            }
            Case {
                splice,
                client,
                server,
                event,
                after,
            }
        },
    )
}
