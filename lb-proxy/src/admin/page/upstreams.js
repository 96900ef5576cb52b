// The upstreams, each with a table of its backends.

import { BackendView, COLUMNS, viewOf } from "./backends.js";
import { byId, element, KeyedViews, setText } from "./dom.js";
import { bytes, number, plural } from "./format.js";
import { Series, Sparkline } from "./sparkline.js";

let created = 0;

class UpstreamView {
  constructor(upstream) {
    created += 1;
    this.heading = element("h3", { id: `upstream-${created}` });
    this.summary = element("span", { class: "note" });
    this.notes = element("p", { class: "note" });
    this.body = element("tbody", { role: "rowgroup" });
    const headings = COLUMNS.map((text) => element("th", { scope: "col", role: "columnheader" }, text));
    const head = element("thead", { role: "rowgroup" }, element("tr", { role: "row" }, ...headings));
    const table = element("table", { class: "backends", role: "table", "aria-labelledby": this.heading.id }, head, this.body);
    const scroll = element("div", { class: "scroll", role: "region", "aria-labelledby": this.heading.id, tabindex: "0" }, table);
    this.inFlight = new Series();
    this.line = new Sparkline();
    const summary = element("summary", {}, this.heading, " ", this.summary, " ", this.line.node);
    this.node = element("details", { open: "" }, summary, this.notes, scroll);
    this.backends = new KeyedViews(this.body, () => new BackendView(upstream.name));
  }

  update(upstream) {
    const usable = upstream.tiers.reduce((sum, tier) => sum + tier.eligible, 0);
    const symbol = usable === 0 ? "✗" : usable < upstream.backends.length ? "▲" : "✓";
    const all = plural(upstream.backends.length, "backend");
    setText(this.heading, `${symbol} ${upstream.name}`);
    setText(this.summary, `${number(usable)} of ${all} usable, ${number(upstream.in_flight)} in flight`);
    this.inFlight.add(upstream.in_flight);
    this.line.draw(this.inFlight);
    setText(this.notes, notesOf(upstream));
    this.backends.show(upstream.backends, (backend) => backend.endpoint);
  }

  /** Returns how many backends are shown. */
  filter(by) {
    let shown = 0;
    for (const view of this.backends.views.values()) {
      if (view.filter(by)) shown += 1;
    }
    const hidden = shown === 0 && (by.text !== "" || by.problemsOnly);
    if (this.node.hidden !== hidden) this.node.hidden = hidden;
    return shown;
  }

  removed() {
    for (const view of this.backends.views.values()) view.removed();
  }
}

function notesOf(upstream) {
  const settings = Object.entries(upstream.policy_settings ?? {}).map(([name, value]) => `${name} ${value}`);
  const parts = [`policy ${upstream.policy}${settings.length === 0 ? "" : ` (${settings.join(", ")})`}`];
  if (upstream.counters !== undefined) {
    const { sessions, retries, bytes_to_backends: sent, bytes_to_clients: received } = upstream.counters;
    parts.push(`${plural(sessions, "session")}, ${plural(retries, "retry", "retries")}, ${bytes(sent)} to backends, ${bytes(received)} to clients`);
  }
  if (upstream.panic) parts.push("▲ panic mode");
  if (upstream.queue.capacity > 0) {
    parts.push(`${number(upstream.queue.waiting)} of ${number(upstream.queue.capacity)} places of the queue in use`);
  }
  for (const tier of upstream.tiers) {
    const digest = tier.digest === undefined ? "" : `, digest ${tier.digest}`;
    if (upstream.tiers.length > 1 || digest !== "") {
      parts.push(`priority ${tier.priority}: ${number(tier.eligible)} of ${number(tier.backends)} usable${digest}`);
    }
  }
  return parts.join(" · ");
}

export class Upstreams {
  /** `act(action, upstream, backend)` is called for a click on an action of a backend. */
  constructor(act) {
    this.views = new KeyedViews(byId("upstreams"), (upstream) => new UpstreamView(upstream));
    byId("upstreams").addEventListener("click", (event) => {
      const action = event.target.dataset.action;
      if (action === undefined) return;
      const view = viewOf(event.target.closest("tr"));
      act(action, view.upstream, view.backend);
    });
    byId("filter").addEventListener("submit", (event) => event.preventDefault());
    byId("filter").addEventListener("input", () => this.filter());
  }

  show(upstreams, keys) {
    const keyOf = new Map(upstreams.map((upstream, i) => [upstream, keys[i]]));
    this.views.show(upstreams, (upstream) => keyOf.get(upstream));
    this.count = upstreams.reduce((sum, upstream) => sum + upstream.backends.length, 0);
    this.filter();
  }

  filter() {
    const by = { text: byId("filter-text").value.trim().toLowerCase(), problemsOnly: byId("filter-problems").checked };
    let shown = 0;
    for (const view of this.views.views.values()) shown += view.filter(by);
    setText(byId("filter-count"), shown === this.count ? "" : `${number(shown)} of ${plural(this.count, "backend")}`);
  }

  /** Opens an upstream, shows all of its backends and moves the focus to it. */
  focus(key) {
    const view = this.views.views.get(key);
    if (view === undefined) return;
    byId("filter").reset();
    this.filter();
    view.node.open = true;
    const summary = view.node.querySelector("summary");
    summary.focus();
    summary.scrollIntoView({ block: "start" });
  }
}

