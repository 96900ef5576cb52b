// Numbers and times as short texts.

const UNITS = [
  [86400, "d"],
  [3600, "h"],
  [60, "min"],
];

/** Milliseconds as "12 s", "5 min" or "2 h". */
export function duration(ms) {
  const seconds = ms / 1000;
  if (ms < 1000) return `${Math.round(ms)} ms`;
  for (const [length, unit] of UNITS) {
    if (seconds >= 2 * length) return `${Math.floor(seconds / length)} ${unit}`;
  }
  return `${Math.floor(seconds)} s`;
}

/** Microseconds as "0.25 ms" or "1.5 s". */
export function shortTime(us) {
  if (us < 1000) return `${us} µs`;
  if (us < 1_000_000) return `${(us / 1000).toPrecision(3)} ms`;
  return `${(us / 1_000_000).toPrecision(3)} s`;
}

/** Bytes as "1.2 MiB". */
export function bytes(count) {
  const units = ["B", "KiB", "MiB", "GiB", "TiB", "PiB"];
  let value = count;
  let at = 0;
  while (value >= 1024 && at < units.length - 1) {
    value /= 1024;
    at += 1;
  }
  return at === 0 ? `${value} B` : `${value.toFixed(1)} ${units[at]}`;
}

const NUMBER = new Intl.NumberFormat("en");

export const number = (value) => NUMBER.format(value);

/** Milliseconds since 1970 as local time, with the date if it is not today. */
export function clock(ms) {
  const time = new Date(ms);
  const two = (value) => String(value).padStart(2, "0");
  const hours = `${two(time.getHours())}:${two(time.getMinutes())}:${two(time.getSeconds())}`;
  if (time.toDateString() === new Date().toDateString()) return hours;
  return `${time.getFullYear()}-${two(time.getMonth() + 1)}-${two(time.getDate())} ${hours}`;
}

/** "1 backend", "2 backends". */
export const plural = (count, noun, several = `${noun}s`) => `${number(count)} ${count === 1 ? noun : several}`;
