// Asks for the status again and again, and shows it.

import { wireActions } from "./actions.js";
import { byId, setText, uniqueKeys } from "./dom.js";
import { clock } from "./format.js";
import { Overview, showActions, showListeners, showOverrides, showReloads, showSources, showTransitions } from "./overview.js";
import { problemsOf } from "./problems.js";
import { offerUpstreams, wireQueries } from "./queries.js";
import { TransitionLog } from "./transitions.js";
import { Upstreams } from "./upstreams.js";

/** Milliseconds between two requests. Each failure doubles them, up to the longest. */
const INTERVAL = 2000;
const LONGEST_INTERVAL = 30_000;
/** After this time a request has failed. */
const TIMEOUT = 10_000;

const opened = Date.now();
const log = new TransitionLog();
const upstreams = new Upstreams(wireActions(() => poll()));
const overview = new Overview((key) => upstreams.focus(key));

let updatedAt;
let failures = 0;
let timer;
let running = false;
let again = false;

async function fetchStatus() {
  const response = await fetch("status.json", { cache: "no-store", signal: AbortSignal.timeout(TIMEOUT) });
  if (!response.ok) throw new Error(`the server answered with status ${response.status}`);
  return response.json();
}

function show(status) {
  const begun = performance.now();
  const keys = uniqueKeys(status.upstreams.map((upstream) => upstream.name));
  overview.showProblems(problemsOf(status, keys), status.server.program);
  overview.showServer(status);
  upstreams.show(status.upstreams, keys);
  showTransitions(log.observe(status), opened);
  showSources(status.upstreams);
  showListeners(status.listeners);
  showReloads(status.reloads);
  showOverrides(status.overrides);
  showActions(status.actions ?? []);
  offerUpstreams(status.upstreams.map((upstream) => upstream.name));
  performance.clearMeasures("update");
  performance.measure("update", { start: begun, end: performance.now() });
}

/** Asks once, and starts the timer for the next time. A call while a request runs asks again when that one has ended. */
async function poll() {
  if (running) {
    again = true;
    return;
  }
  clearTimeout(timer);
  running = true;
  again = false;
  let status;
  try {
    status = await fetchStatus();
    failures = 0;
    updatedAt = Date.now();
    byId("connection").hidden = true;
  } catch (error) {
    failures += 1;
    showFailure(error);
  }
  running = false;
  schedule();
  showAge();
  if (status !== undefined) show(status);
}

function schedule() {
  if (again) {
    timer = setTimeout(poll, 0);
  } else if (!document.hidden) {
    timer = setTimeout(poll, Math.min(INTERVAL * 2 ** failures, LONGEST_INTERVAL));
  }
}

function showFailure(error) {
  const since = updatedAt === undefined ? "there was no answer yet" : `what is below is from ${clock(updatedAt)}`;
  setText(byId("connection"), `✗ Connection lost (${error.message}): ${since}. The page keeps trying.`);
  byId("connection").hidden = false;
}

function showAge() {
  if (updatedAt === undefined) return;
  const lost = failures > 0 ? "✗ connection lost, " : "";
  setText(byId("age"), `${lost}updated ${Math.max(0, Math.floor((Date.now() - updatedAt) / 1000))} s ago`);
}

document.addEventListener("visibilitychange", () => {
  clearTimeout(timer);
  if (!document.hidden) poll();
});
setInterval(showAge, 1000);
wireQueries();
poll();
