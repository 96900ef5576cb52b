// What the page asks for on request only: live sessions and the explanation of a pick.

import { byId, element, fillTable, setText } from "./dom.js";
import { bytes, duration, number, plural } from "./format.js";
import { reasonOf } from "./state.js";

/** Fetches JSON. Throws an Error with the server's text. */
async function ask(path, parameters) {
  const given = Object.entries(parameters).filter(([, value]) => value !== "");
  const response = await fetch(`${path}?${new URLSearchParams(given)}`, { cache: "no-store" });
  const answer = await response.json();
  if (!response.ok) throw new Error(answer.error);
  return answer;
}

/** Calls `show` with the answer when a form is sent; `note` is the element that says how it went. */
function onSubmit(form, note, show) {
  byId(form).addEventListener("submit", async (event) => {
    event.preventDefault();
    try {
      setText(byId(note), await show());
    } catch (error) {
      setText(byId(note), `✗ Failed: ${error.message}`);
    }
  });
}

function fill(table, rows, empty) {
  fillTable(byId(table), rows, empty);
  byId(table).parentElement.hidden = false;
}

async function showSessions() {
  const answer = await ask("sessions", {
    upstream: byId("sessions-upstream").value,
    client: byId("sessions-client").value.trim(),
    order: byId("sessions-order").value,
  });
  const rows = answer.sessions.map((session) => [
    String(session.id),
    session.client,
    session.listener,
    session.upstream ?? "–",
    session.backend ?? "–",
    session.server_name ?? "–",
    session.phase,
    duration(session.age_ms),
    bytes(session.bytes_to_backend),
    bytes(session.bytes_to_client),
  ]);
  fill("sessions", rows, "none");
  if (!answer.tracked) return "The server does not track its sessions.";
  return `${plural(answer.matched, "session")} matched, ${number(rows.length)} shown.`;
}

async function showExplanation() {
  const answer = await ask("explain", {
    upstream: byId("explain-upstream").value,
    client: byId("explain-client").value.trim(),
    sni: byId("explain-sni").value.trim(),
  });
  const rows = answer.backends.map((backend) => [
    backend.name ? `${backend.name} (${backend.endpoint})` : backend.endpoint,
    backend.chosen ? "→ picked" : "",
    reasonOf(backend.verdict) + (backend.panic ? "; panic mode" : ""),
    String(backend.priority),
    `${backend.tier_percent} %`,
    String(backend.weight),
    number(backend.in_flight),
    backend.source ?? "–",
  ]);
  fill("explanation", rows, "no backends");
  const chosen = answer.chosen === null ? "No backend can be picked" : `${answer.chosen} is picked`;
  const waits = answer.queued === 0 ? "" : ` ${plural(answer.queued, "connection")} wait before it.`;
  return `${chosen} by ${answer.policy}.${waits}`;
}

/** Wires both forms. */
export function wireQueries() {
  onSubmit("sessions-form", "sessions-note", showSessions);
  onSubmit("explain-form", "explain-note", showExplanation);
}

/** Offers the upstreams in both forms. Keeps what is selected. */
export function offerUpstreams(names) {
  offer(byId("sessions-upstream"), ["", ...names]);
  offer(byId("explain-upstream"), names);
}

function offer(select, names) {
  const offered = [...select.options].map((option) => option.value);
  if (offered.length === names.length && offered.every((name, i) => name === names[i])) return;
  const selected = select.value;
  select.replaceChildren(...names.map((name) => element("option", { value: name }, name === "" ? "all" : name)));
  if (names.includes(selected)) select.value = selected;
}
