// The parts of the page about the server as a whole.

import { byId, element, KeyedViews, setAttribute, setText, updateTable } from "./dom.js";
import { bytes, clock, duration, number, plural } from "./format.js";

/** A problem is a list item, with a link to its upstream if it is about one. */
class ProblemView {
  constructor(problem, focusUpstream) {
    this.text = element("span");
    this.node = element("li", {}, this.text);
    if (problem.upstream !== undefined) {
      const link = element("button", { type: "button", class: "link" }, "Show");
      link.setAttribute("aria-label", "Show the upstream of this problem");
      link.addEventListener("click", () => focusUpstream(problem.upstream));
      this.node.append(" ", link);
    }
  }

  update(problem) {
    setText(this.text, `${problem.severe ? "✗" : "▲"} ${problem.text}`);
    setAttribute(this.node, "class", problem.severe ? "problem" : "warning");
  }
}

export class Overview {
  constructor(focusUpstream) {
    this.problems = new KeyedViews(byId("problems"), (problem) => new ProblemView(problem, focusUpstream));
    this.totals = new KeyedViews(byId("totals"), () => new Total());
  }

  showProblems(problems, program) {
    this.problems.show(problems, (problem) => problem.key);
    setText(byId("no-problems"), problems.length === 0 ? "✓ None." : "");
    byId("no-problems").hidden = problems.length > 0;
    const title = problems.length === 0 ? program : `(${problems.length}) ${program}`;
    if (document.title !== title) document.title = title;
  }

  showServer({ server, upstreams, time_ms: now }) {
    setText(byId("program"), `${server.program} ${server.program_version}`);
    const phase = server.phase === "serving" ? "" : `, ${server.phase}`;
    setText(byId("ready"), (server.ready ? "✓ ready" : "✗ not ready") + phase);
    setText(byId("process"), `process ${server.pid}, started ${clock(server.started_ms)}`);
    const counters = Object.entries(server.totals);
    this.totals.show(totalsOf(server, upstreams, now), ([name]) => name);
    updateTable(byId("counters"), counters.map(([name, count]) => [name, number(count)]), "none");
    byId("log-level").hidden = server.log_level === undefined;
    setText(byId("log-level-now"), server.log_level ?? "");
    setText(byId("log-level-by"), server.log_level_by === undefined ? "" : `, set by ${server.log_level_by}`);
  }
}

class Total {
  constructor() {
    this.name = element("dt");
    this.value = element("dd");
    this.node = element("div", {}, this.name, this.value);
  }

  update([name, value]) {
    setText(this.name, name);
    setText(this.value, value);
  }
}

function totalsOf(server, upstreams, now) {
  const { totals, descriptors } = server;
  const total = (...names) => names.reduce((sum, name) => sum + (totals[name] ?? 0), 0);
  const most = Math.min(descriptors.sessions ?? Infinity, server.session_limit ?? Infinity);
  const room = most === Infinity ? "" : ` of ${number(most)}`;
  const backends = upstreams.reduce((sum, upstream) => sum + upstream.backends.length, 0);
  return [
    ["Running for", duration(now - server.started_ms)],
    ["Sessions open", number(total("active")) + room],
    ["Sessions accepted", number(total("accepted"))],
    ["Backends", `${number(backends)} in ${plural(upstreams.length, "upstream")}`],
    ["Failed connects", number(total("connect_failures", "connect_timeouts"))],
    ["Clients without a backend", number(total("no_backend", "queue_full", "queue_timeouts"))],
    ["Clients refused", number(total("access_denied", "client_rate", "client_sessions", "client_zone_full", "rate_refused", "sessions_refused", "hook_refused", "route_refused"))],
    ["Ejections", number(total("ejections"))],
    ["Bytes to backends", bytes(total("bytes_to_backends"))],
    ["Bytes to clients", bytes(total("bytes_to_clients"))],
  ];
}

export function showSources(upstreams) {
  const rows = upstreams.flatMap((upstream) =>
    upstream.sources.map((source) => [
      upstream.name,
      source.name,
      sourceState(source),
      source.age_ms === undefined ? "no answer yet" : duration(source.age_ms),
      number(source.backends),
      number(source.updates),
      number(source.failures),
      source.last_error ?? "–",
    ]),
  );
  updateTable(byId("sources"), rows, "none");
}

function sourceState(source) {
  if (source.expired) return "✗ expired";
  if (source.stale_ms !== undefined) return `▲ fails for ${duration(source.stale_ms)}${nextTry(source)}`;
  if (source.last_error !== undefined) return "▲ no backends";
  return source.age_ms === undefined ? "… waiting" : "✓ good";
}

/** When the server asks a source that fails again. */
function nextTry(source) {
  if (source.next_attempt_ms === undefined) return ", asked now";
  return `, next try in ${duration(source.next_attempt_ms)}`;
}

export function showListeners(listeners) {
  const rows = listeners.map(({ endpoint, upstream, counters }) => [
    endpoint,
    upstream,
    counters === undefined ? "–" : number(counters.active),
    counters === undefined ? "–" : number(counters.accepted),
    counters === undefined ? "–" : `${bytes(counters.bytes_to_backends)} / ${bytes(counters.bytes_to_clients)}`,
    counters === undefined ? "–" : endsOf(counters.ends),
  ]);
  updateTable(byId("listeners"), rows, "none");
}

/** The ends of sessions, the most frequent first. */
function endsOf(ends) {
  const sorted = Object.entries(ends).sort(([, a], [, b]) => b - a);
  return sorted.map(([reason, count]) => `${number(count)} ${reason.replaceAll("_", " ")}`).join(", ") || "none";
}

export function showReloads(reloads) {
  const rows = reloads.map((reload) => [clock(reload.time_ms), reload.applied ? "✓ applied" : "✗ failed", reload.detail]);
  updateTable(byId("reloads"), rows.reverse(), "none since the start");
}

export function showOverrides(overrides) {
  const rows = overrides.map((override) => [
    override.upstream,
    override.backend,
    override.setting,
    override.value,
    `${override.by} (${override.origin.replaceAll("_", " ")})`,
    clock(override.since_ms),
    override.in_force ? "yes" : "no, another origin takes precedence",
  ]);
  updateTable(byId("overrides"), rows, "none");
}

export function showActions(actions) {
  const rows = actions.map((action) => [
    clock(action.time_ms),
    action.action.replaceAll("_", " ") + (action.value === undefined ? "" : ` ${action.value}`),
    targetOf(action),
    resultOf(action),
    action.by,
  ]);
  updateTable(byId("actions"), rows.reverse(), "none since the start");
}

/** What an action was about, as a phrase. */
function targetOf({ upstream, backend, session }) {
  const parts = [];
  if (session !== undefined) parts.push(`session ${session}`);
  if (backend !== undefined) parts.push(`backend ${backend}`);
  if (upstream !== undefined) parts.push(`upstream ${upstream}`);
  return parts.join(" of ") || "the program";
}

/** What an action has changed, as a phrase. */
function resultOf({ changed, closed, reset, closing }) {
  if (closed !== undefined) {
    const atOnce = reset > 0 ? `, ${number(reset)} of them at once` : "";
    const already = closing > 0 ? `; ${number(closing)} were closing already` : "";
    return `closed ${plural(closed, "session")}${atOnce}${already}`;
  }
  if (changed === undefined) return "set";
  return changed === 0 ? "set already" : `changed in ${plural(changed, "upstream")}`;
}

export function showTransitions(transitions, opened) {
  const rows = transitions.map((entry) => [clock(entry.time), entry.upstream, entry.backend, entry.text]);
  setText(byId("transitions-since"), `The newest first. Ejections and changes of health as the server keeps them, the others since this page was opened at ${clock(opened)}.`);
  updateTable(byId("transitions"), rows, "none");
}
