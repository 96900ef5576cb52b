// What is wrong, as plain sentences, the worst first.
//
// A sentence has no running time and no count that changes with each update: a screen reader would read it again each time.

import { clock, number, plural } from "./format.js";
import { labelOf } from "./state.js";

/** How many backends a sentence names. */
const NAMED = 3;

/** The share of the sessions that there are descriptors for, from which they are nearly spent. */
const NEARLY_SPENT = 0.9;

/** The problems: `key`, `text`, `severe`, and the key of the upstream that they are about. */
export function problemsOf(status, upstreamKeys) {
  const found = [...ofServer(status.server), ...ofReloads(status.reloads)];
  status.upstreams.forEach((upstream, i) => {
    const key = upstreamKeys[i];
    const of = [...ofUpstream(upstream), ...ofBackends(upstream), ...ofSources(upstream, status.time_ms)];
    for (const problem of of) {
      found.push({ ...problem, key: `${key}/${problem.key}`, upstream: key });
    }
  });
  const rank = (problem) => (problem.severe ? 0 : 1);
  return found.sort((a, b) => rank(a) - rank(b));
}

function* ofServer(server) {
  for (const reason of server.reasons) {
    // An upstream without membership says so itself.
    if (reason.ok || reason.check === "membership") continue;
    yield { key: `reason/${reason.check}/${reason.detail}`, severe: true, text: `Not ready: ${reason.detail}.` };
  }
  const room = server.descriptors.sessions;
  const active = server.totals.active ?? 0;
  if (room !== undefined && active >= room * NEARLY_SPENT) {
    const text = `The descriptors are nearly spent: there are enough for ${number(room)} sessions, and more than ${NEARLY_SPENT * 100} % of them are open.`;
    yield { key: "descriptors", severe: true, text };
  }
  const most = server.session_limit;
  if (most !== undefined && active >= most * NEARLY_SPENT) {
    const text = `More than ${NEARLY_SPENT * 100} % of the ${number(most)} sessions that the configuration allows are open. Further clients wait.`;
    yield { key: "session-limit", severe: true, text };
  }
}

function* ofReloads(reloads) {
  const last = reloads.at(-1);
  if (last !== undefined && !last.applied) {
    const text = `The reload at ${clock(last.time_ms)} failed: ${last.detail}. The configuration from before is in use.`;
    yield { key: "reload", severe: true, text };
  }
}

function* ofUpstream(upstream) {
  const { name, backends, queue } = upstream;
  const usable = upstream.tiers.some((tier) => tier.eligible > 0);
  if (!upstream.ready) {
    yield { key: "unready", severe: true, text: `Upstream ${name} waits for the first answer of its sources: its connections wait or fail.` };
  } else if (backends.length === 0) {
    yield { key: "empty", severe: true, text: `Upstream ${name} has no backends: new connections fail.` };
  } else if (!usable) {
    yield { key: "unusable", severe: true, text: `Upstream ${name} has no usable backend: new connections fail.` };
  }
  if (upstream.panic) {
    const text = `Upstream ${name} is in panic mode: so few of its backends are usable that health and ejection are ignored.`;
    yield { key: "panic", severe: true, text };
  }
  if (queue.capacity > 0 && queue.waiting >= queue.capacity) {
    yield { key: "queue", severe: true, text: `The wait queue of upstream ${name} is full: new connections are refused.` };
  } else if (queue.waiting > 0) {
    yield { key: "queue", severe: false, text: `Connections wait for a free backend of upstream ${name}.` };
  }
}

function* ofBackends(upstream) {
  const unhealthy = (backend) => backend.health === "unhealthy";
  const ejected = (backend) => backend.ejected_ms !== undefined && !unhealthy(backend);
  const unchecked = (backend) => backend.verdict === "unchecked";
  const full = (backend) => backend.verdict === "full";
  yield* sentence(upstream, "unhealthy", unhealthy, "unhealthy, its active check failed", "unhealthy, their active checks failed");
  yield* sentence(upstream, "unchecked", unchecked, "not used yet, it waits for its first check", "not used yet, they wait for their first check");
  yield* sentence(upstream, "ejected", ejected, "ejected, too many connections to it failed", "ejected, too many connections to them failed");
  yield* sentence(upstream, "full", full, "full", "full");
}

/** One sentence about all backends of an upstream to which something applies. */
function* sentence(upstream, key, applies, one, several) {
  const found = upstream.backends.filter(applies);
  if (found.length === 0) return;
  const named = found.slice(0, NAMED).map(labelOf).join(", ");
  if (found.length === 1) {
    yield { key, severe: false, text: `Backend ${named} of upstream ${upstream.name} is ${one}.` };
    return;
  }
  const more = found.length > NAMED ? `${named} and ${number(found.length - NAMED)} more` : named;
  const all = plural(upstream.backends.length, "backend");
  yield { key, severe: false, text: `${number(found.length)} of ${all} of upstream ${upstream.name} are ${several}: ${more}.` };
}

function* ofSources(upstream, now) {
  const names = upstream.sources.map((source) => source.name);
  for (const [i, source] of upstream.sources.entries()) {
    const key = `source/${names.indexOf(source.name) === i ? "" : i}${source.name}`;
    const of = `Source ${source.name} of upstream ${upstream.name}`;
    const error = source.last_error === undefined ? "" : `: ${source.last_error}`;
    if (source.expired) {
      yield { key, severe: true, text: `${of} has failed for so long that its backends were dropped${error}.` };
    } else if (source.stale_ms !== undefined) {
      const since = clock(Math.round((now - source.stale_ms) / 10_000) * 10_000);
      const kept = source.age_ms === undefined ? "It has not answered yet" : "Its last backends stay in use";
      yield { key, severe: source.age_ms === undefined, text: `${of} has failed since about ${since}${error}. ${kept}.` };
    } else if (source.last_error !== undefined) {
      yield { key, severe: false, text: `${of} answers that there are no backends${error}.` };
    }
  }
}
