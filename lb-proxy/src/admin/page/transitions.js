// Changes of backends: those that the server keeps, and those that the page has seen since it was opened. The server keeps ejections
// and changes of health; that a backend joins, leaves or drains, and that an ejection ends, follows from two updates.

import { uniqueKeys } from "./dom.js";
import { labelOf } from "./state.js";

/** How many changes of its own the page keeps, and how many it shows. */
const KEPT = 200;

const KINDS = {
  ejected: "✗ was ejected",
  healthy: "✓ became healthy",
  unhealthy: "✗ became unhealthy",
};

/** What two updates are compared by. */
function standingOf(backend) {
  return {
    label: labelOf(backend),
    ejected: backend.ejected_ms !== undefined,
    draining: backend.admin === "drain",
  };
}

/** The changes from one standing of a backend to the next, as texts. */
function* changes(before, after) {
  if (before === undefined) {
    yield "+ joined";
    return;
  }
  if (before.ejected && !after.ejected) yield "✓ ejection ended";
  if (before.draining !== after.draining) yield after.draining ? "⏸ drains" : "✓ drains no more";
}

/** The changes that the server lists. */
function ofServer(status) {
  return status.upstreams.flatMap((upstream) =>
    (upstream.transitions ?? []).map((one) => ({
      time: one.time_ms,
      upstream: upstream.name,
      backend: labelOf({ endpoint: one.backend, name: one.name }),
      text: KINDS[one.change] ?? one.change,
    })),
  );
}

/** The changes that follow from the statuses that it is given one after the other. */
export class TransitionLog {
  constructor() {
    this.own = [];
    this.started = undefined;
    this.standings = undefined;
  }

  /** All changes, the newest first: `time` in milliseconds since 1970, `upstream`, `backend`, `text`. */
  observe(status) {
    const restarted = this.started !== undefined && this.started !== status.server.started_ms;
    const before = restarted ? undefined : this.standings;
    this.started = status.server.started_ms;
    this.standings = new Map();
    const add = (upstream, backend, text) => this.own.push({ time: status.time_ms, upstream, backend, text });
    if (restarted) add("all", "all", "the server was started anew");
    const keys = uniqueKeys(status.upstreams.map((upstream) => upstream.name));
    status.upstreams.forEach((upstream, i) => {
      const standings = new Map(upstream.backends.map((backend) => [backend.endpoint, standingOf(backend)]));
      this.standings.set(keys[i], standings);
      const known = before?.get(keys[i]);
      if (known !== undefined) compare(known, standings, (backend, text) => add(upstream.name, backend, text));
    });
    this.own = this.own.slice(-KEPT);
    return [...ofServer(status), ...this.own].sort((a, b) => b.time - a.time).slice(0, KEPT);
  }
}

/** Adds the changes from the standings of an upstream's backends to the next ones. */
function compare(known, standings, add) {
  for (const [endpoint, after] of standings) {
    for (const text of changes(known.get(endpoint), after)) add(after.label, text);
  }
  for (const [endpoint, { label }] of known) {
    if (!standings.has(endpoint)) add(label, "− left");
  }
}
