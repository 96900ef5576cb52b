//! A policy of one's own: `own_policy LISTEN BACKEND...`.
//!
//! It fills one backend after another, so that those at the end of the list stay idle and can be switched off.

use std::error::Error;
use std::future::pending;

use lb_proxy::lb_core::{BackendIndex, PickContext, Picker, Policy, Snapshot, Tier};
use lb_proxy::lb_discovery::Static;
use lb_proxy::{Proxy, Upstream};

/// The first backend with fewer connections than its weight times `each`, or else the least filled one.
#[derive(Clone, Debug)]
struct Pack {
    each: u32,
}

impl Policy for Pack {
    fn name(&self) -> &'static str {
        "pack"
    }

    // Called once for each update, not for a pick: here a policy builds its tables.
    fn compile(&self, tier: &Tier) -> Box<dyn Picker> {
        Box::new(PackPicker(self.each, tier.indices().collect()))
    }
}

#[derive(Debug)]
struct PackPicker(u32, Vec<BackendIndex>);

impl Picker for PackPicker {
    fn pick(&self, cx: &mut PickContext<'_>) -> Option<BackendIndex> {
        let room = |i: BackendIndex| u32::from(cx.weight(i)) * self.0;
        let eligible = self.1.iter().copied().filter(|&i| cx.is_eligible(i));
        let free = eligible.clone().find(|&i| cx.in_flight(i) < room(i));
        free.or_else(|| eligible.min_by_key(|&i| cx.in_flight(i) / room(i).max(1)))
    }
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1);
    let listen = arguments.next().ok_or("own_policy LISTEN BACKEND...")?;
    let nodes = Upstream::builder("nodes")
        .discovery(Static::new(Snapshot::try_from_backends(arguments)?))
        .policy(Pack { each: 2 })
        .build()?;
    let proxy = Proxy::builder().listen(listen.parse()?, &nodes).build()?;
    let server = proxy.bind().await?;
    eprintln!("listening on {}", server.local_addrs()[0]);
    server.run(pending()).await;
    Ok(())
}
