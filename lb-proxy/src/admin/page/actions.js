// Requests that change state, and the token that they need.

import { byId, setText } from "./dom.js";
import { plural } from "./format.js";

/**
 * The session storage of the tab holds the token: it outlives a reload of the page, no other tab and no other origin can read
 * it, and it is gone when the tab closes. Only this server's scripts run here, by the page's Content-Security-Policy.
 */
const STORED_AS = "lb-admin-token";

/** Sends a change. Returns the answer; `undefined` if the user gave no token. Throws an Error with the server's text. */
export async function change(path, parameters) {
  let reason = "Changes need the token of the server.";
  for (;;) {
    const token = sessionStorage.getItem(STORED_AS) ?? (await askForToken(reason));
    if (token === undefined) return undefined;
    const response = await fetch(path, {
      method: "POST",
      headers: { Authorization: `Bearer ${token}`, "X-Lb-Admin": "page" },
      body: new URLSearchParams(parameters),
    });
    const answer = await response.json();
    if (response.ok) {
      sessionStorage.setItem(STORED_AS, token);
      return answer;
    }
    if (response.status !== 401) throw new Error(answer.error);
    sessionStorage.removeItem(STORED_AS);
    reason = "✗ The server refused this token.";
  }
}

/** The token that the user enters; `undefined` if the dialog is cancelled. */
function askForToken(reason) {
  const dialog = byId("token-dialog");
  setText(byId("token-reason"), reason);
  byId("token").value = "";
  dialog.returnValue = "";
  dialog.showModal();
  return new Promise((resolve) => {
    const closed = () => {
      const token = byId("token").value.trim();
      byId("token").value = "";
      resolve(dialog.returnValue === "ok" && token !== "" ? token : undefined);
    };
    dialog.addEventListener("close", closed, { once: true });
  });
}

/** Sends a change and says in `place` how it went. */
async function report(place, path, parameters, done, refresh) {
  setText(place, "…");
  try {
    const answer = await change(path, parameters);
    setText(place, answer === undefined ? "Cancelled: no token." : `✓ ${done(answer)}`);
    if (answer !== undefined) refresh();
  } catch (error) {
    setText(place, `✗ Failed: ${error.message}`);
  }
}

/** Wires the dialogs and the form of the log level. Returns the function that a click on an action of a backend calls. */
export function wireActions(refresh) {
  for (const button of document.querySelectorAll("dialog [data-close]")) {
    button.addEventListener("click", () => button.closest("dialog").close());
  }
  let target = {};
  const onSubmit = (form, act) =>
    byId(form).addEventListener("submit", (event) => {
      event.preventDefault();
      act();
    });
  const inDialog = (form, path, more, done) =>
    onSubmit(form, () => report(byId("backend-feedback"), path, { ...target, ...more() }, done, refresh));
  inDialog("weight-form", "weight", () => ({ weight: byId("weight").value.trim() }), () => "The weight is set.");
  inDialog("max-conns-form", "max_conns", () => ({ max_conns: byId("max-conns").value.trim() }), () => "The limit is set.");
  const force = () => (byId("close-force").checked ? { force: "1" } : {});
  inDialog("close-form", "close", force, ({ closed, closing }) => {
    const already = closing > 0 ? ` ${closing} more were closing already.` : "";
    return `Closed ${plural(closed, "session")}.${already}`;
  });
  onSubmit("log-level", () => {
    const level = byId("log-level-value").value.trim();
    report(byId("feedback"), "log_level", { level }, (answer) => `The log level is ${answer.level}.`, refresh);
  });
  return (action, upstream, backend) => {
    target = { upstream, backend: backend.endpoint };
    if (action !== "more") {
      const done = () => `Backend ${backend.endpoint} of upstream ${upstream}: ${action} is set.`;
      report(byId("feedback"), action, target, done, refresh);
      return;
    }
    setText(byId("backend-heading"), `${backend.name ?? backend.endpoint} of ${upstream}`);
    setText(byId("backend-feedback"), "");
    byId("close-force").checked = false;
    byId("weight").value = String(backend.weight);
    byId("max-conns").value = backend.max_conns === undefined ? "unlimited" : String(backend.max_conns);
    byId("backend-dialog").showModal();
  };
}
