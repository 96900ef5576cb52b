// What a backend's state is called. A symbol and a word say it, so that no state needs colour.

const STATES = {
  above_bound: ["✓", "busy", "above its bound: used when all others are, too"],
  draining: ["⏸", "draining", "gets no new connections"],
  ejected: ["✗", "ejected", "too many connections to it failed"],
  eligible: ["✓", "up", "may be picked"],
  full: ["■", "full", "as many connections as max_conns allows"],
  not_in_subset: ["–", "not in subset", "other replicas use it"],
  tried: ["✗", "tried", "this connection failed on it"],
  unchecked: ["…", "unchecked", "waits for its first check"],
  unhealthy: ["✗", "unhealthy", "its active check failed"],
  zero_weight: ["⏸", "weight 0", "gets no new connections"],
};

/** The symbol, the word, the reason, and whether new connections may go to the backend. */
export function stateOf(backend) {
  const standby = backend.verdict === "eligible" && backend.tier_percent === 0;
  if (standby) return { symbol: "○", word: "standby", reason: "its tier is not in use", usable: true };
  if (backend.verdict === "draining" && backend.source_admin === "drain") {
    // A list of addresses and DNS drain nothing by themselves: the configuration does.
    const word = /^(static|dns)\b/.test(backend.source ?? "static") ? "down" : "draining";
    return { symbol: "⏸", word, reason: word === "down" ? "configured as down" : "its source drains it", usable: false };
  }
  const [symbol, word, reason] = STATES[backend.verdict] ?? ["?", backend.verdict, ""];
  const usable = backend.verdict === "eligible" || backend.verdict === "above_bound";
  return { symbol, word, reason, usable };
}

/** The reason of a verdict as a sentence, for explanations. */
export function reasonOf(verdict) {
  const [symbol, word, reason] = STATES[verdict] ?? ["?", verdict, ""];
  return reason === "" ? `${symbol} ${word}` : `${symbol} ${word}: ${reason}`;
}

/** How a backend is called in a sentence: its address, and its name if there is one. */
export function labelOf(backend) {
  return backend.name === undefined ? backend.endpoint : `${backend.name} (${backend.endpoint})`;
}
