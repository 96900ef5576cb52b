// A row of a backend. It is created once, and updated in place.

import { element, setAttribute, setText } from "./dom.js";
import { bytes, duration, number, plural, shortTime } from "./format.js";
import { Series, Sparkline } from "./sparkline.js";
import { labelOf, stateOf } from "./state.js";

export const COLUMNS = ["Backend", "State", "In flight", "Connect time", "Weight", "Health", "Ejection", "Actions"];

/** Sparklines of rows that cannot be seen are not drawn. */
const visibility = new IntersectionObserver((entries) => {
  for (const entry of entries) {
    const view = viewOf(entry.target);
    view.visible = entry.isIntersecting;
    if (view.visible) view.drawSparklines();
  }
});

const views = new WeakMap();

/** The view of a row. */
export const viewOf = (row) => views.get(row);

export class BackendView {
  constructor(upstream) {
    this.upstream = upstream;
    this.visible = false;
    this.sessions = new Series();
    this.connectTime = new Series();
    this.build();
    views.set(this.node, this);
    visibility.observe(this.node);
  }

  build() {
    this.node = element("tr", { role: "row" });
    const cell = (at, ...children) => {
      const [tag, role] = at === 0 ? ["th", "rowheader"] : ["td", "cell"];
      const node = element(tag, { role, "data-label": COLUMNS[at] }, ...children);
      if (at === 0) node.setAttribute("scope", "row");
      this.node.append(node);
      return node;
    };
    const span = (name) => element("span", { class: name });
    this.name = span("name");
    this.detail = span("detail");
    cell(0, this.name, this.detail);
    this.state = span("state");
    this.reason = span("detail");
    cell(1, this.state, this.reason);
    this.inFlight = span("figure");
    this.sessionLine = new Sparkline();
    this.counters = span("detail");
    cell(2, this.inFlight, this.sessionLine.node, this.counters);
    this.connect = span("figure");
    this.connectLine = new Sparkline();
    cell(3, this.connect, this.connectLine.node);
    this.weight = cell(4);
    this.health = span("health");
    this.probe = span("detail");
    cell(5, this.health, this.probe);
    this.ejection = cell(6);
    this.drain = element("button", { type: "button", "data-action": "drain" });
    this.more = element("button", { type: "button", "data-action": "more" }, "More…");
    cell(7, this.drain, " ", this.more);
  }

  update(backend) {
    this.backend = backend;
    const state = stateOf(backend);
    this.usable = state.usable;
    setText(this.name, backend.name ?? backend.endpoint);
    setText(this.detail, detailOf(backend));
    setText(this.state, `${state.symbol} ${state.word}`);
    setText(this.reason, reasonFor(backend, state.word === "up" ? { reason: "" } : state));
    setAttribute(this.node, "class", state.usable ? "usable" : "unusable");
    const limit = backend.max_conns === undefined ? "" : ` of ${number(backend.max_conns)}`;
    setText(this.inFlight, number(backend.in_flight) + limit);
    setText(this.counters, countersOf(backend));
    // It decays to 0 without sessions.
    const connectTime = backend.connect_time_peak_ewma_us || undefined;
    setText(this.connect, connectTime === undefined ? "–" : shortTime(connectTime));
    setAttribute(this.connect, "title", "Peak of the times that sessions took to connect, decaying within seconds");
    setText(this.weight, weightOf(backend));
    setText(this.health, healthOf(backend));
    setText(this.probe, probeTimeOf(backend));
    setText(this.ejection, ejectionOf(backend));
    this.updateActions(backend);
    this.sessions.add(backend.in_flight);
    this.connectTime.add(connectTime);
    if (this.visible) this.drawSparklines();
  }

  updateActions(backend) {
    const draining = backend.admin === "drain";
    const label = labelOf(backend);
    setText(this.drain, draining ? "Undrain" : "Drain");
    setAttribute(this.drain, "data-action", draining ? "undrain" : "drain");
    setAttribute(this.drain, "aria-label", `${draining ? "Undrain" : "Drain"} ${label}`);
    setAttribute(this.more, "aria-label", `More actions for ${label}`);
    this.searched = `${this.upstream} ${label} ${detailOf(backend)} ${this.state.textContent}`.toLowerCase();
  }

  drawSparklines() {
    this.sessionLine.draw(this.sessions);
    this.connectLine.draw(this.connectTime);
  }

  /** Hides the row if it does not match. Returns whether it is shown. */
  filter({ text, problemsOnly }) {
    const shown = this.searched.includes(text) && !(problemsOnly && this.usable);
    if (this.node.hidden === shown) this.node.hidden = !shown;
    return shown;
  }

  removed() {
    visibility.unobserve(this.node);
  }
}

function detailOf(backend) {
  const parts = [];
  if (backend.name !== undefined) parts.push(backend.endpoint);
  if (backend.zone !== undefined) parts.push(`zone ${backend.zone}`);
  if (backend.node !== undefined && backend.node !== backend.name) parts.push(`node ${backend.node}`);
  if (backend.priority > 0) parts.push(`priority ${backend.priority}`);
  if (backend.overridden) parts.push("overridden");
  return parts.join(" · ");
}

/** What the server has counted of the backend, if it counts. */
function countersOf({ counters }) {
  if (counters === undefined) return "";
  const failures = Object.entries(counters.failures).map(([outcome, count]) => `${number(count)} ${outcome}`);
  if (counters.resets > 0) failures.push(plural(counters.resets, "reset"));
  const moved = bytes(counters.bytes_to_backend + counters.bytes_to_client);
  return [`${plural(counters.sessions, "session")}, ${moved}`, ...failures].join(", ");
}

/** How long the last probe took, of several checks the slowest one. */
function probeTimeOf(backend) {
  const times = (backend.checks ?? []).map((check) => check.duration_us).filter((time) => time !== undefined);
  return times.length === 0 ? "" : `last probe ${shortTime(Math.max(...times))}`;
}

function healthOf(backend) {
  const checks = backend.checks ?? [];
  if (checks.length === 0 && backend.health === "healthy") return "unchecked";
  if (backend.health === "unchecked" || checks.some((check) => check.state === "unchecked")) return "… waiting";
  return backend.health === "healthy" ? "✓ healthy" : `✗ ${backend.health}`;
}

/** Why the backend is in this state: what a failed check found, if that is why. */
function reasonFor(backend, state) {
  const checks = backend.checks ?? [];
  const failed = checks.find((check) => check.state === "down");
  const silent = checks.find((check) => check.outcome === "inconclusive");
  const found = failed === undefined ? silent?.text : (failed.reason ?? failed.text);
  const name = (failed ?? silent)?.check;
  if (backend.verdict === "unhealthy" && found) return `${name}: ${found}`;
  // Another verdict does not hide that a check fails.
  const health = backend.health === "unhealthy" && backend.verdict !== "unhealthy" ? "unhealthy" : "";
  const probe = found ? `${name}: ${found}` : "";
  return [state.reason, health, probe].filter((part) => part !== "").join("; ");
}

function weightOf(backend) {
  let text = String(backend.weight);
  if (backend.weight !== backend.source_weight) text += ` (source: ${backend.source_weight})`;
  if (backend.slow_start_percent !== undefined) text += `, slow start ${backend.slow_start_percent} %`;
  return text;
}

function ejectionOf(backend) {
  const fails = backend.fails === 0 ? "" : `${number(backend.fails)} failed`;
  if (backend.ejected_ms === undefined) return fails || "–";
  return `✗ for ${duration(backend.ejected_ms)}${fails && `, ${fails}`}`;
}
