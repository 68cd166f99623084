/** Times as people read them: in their own time zone, relative with the exact moment on hover. */

import { h } from "./dom.js";

const SECOND = 1_000;
const MINUTE = 60 * SECOND;
const HOUR = 60 * MINUTE;
const DAY = 24 * HOUR;
// A difference below this is latency; above it, the reader's clock is wrong.
const CLOCK_TOLERANCE_MS = 3 * SECOND;

const exactFormat = new Intl.DateTimeFormat("en-GB", {
  year: "numeric",
  month: "short",
  day: "numeric",
  hour: "2-digit",
  minute: "2-digit",
  second: "2-digit",
  timeZoneName: "short",
});
const dayFormat = new Intl.DateTimeFormat("en-GB", { day: "numeric", month: "short" });
const yearFormat = new Intl.DateTimeFormat("en-GB", { day: "numeric", month: "short", year: "numeric" });
const clockFormat = new Intl.DateTimeFormat("en-GB", { hour: "2-digit", minute: "2-digit" });
const secondsFormat = new Intl.DateTimeFormat("en-GB", {
  hour: "2-digit",
  minute: "2-digit",
  second: "2-digit",
});

/** How far the reader's clock is behind the server's, in milliseconds; 0 when they agree. */
const behind_ms = clockDifference();

function clockDifference() {
  const server_s = Number(document.documentElement.dataset.now);
  const [entry] = performance.getEntriesByType("navigation");
  const answered_ms = entry instanceof PerformanceNavigationTiming ? entry.responseStart : 0;
  if (!server_s || !answered_ms) return 0;
  const difference_ms = server_s * SECOND - (performance.timeOrigin + answered_ms);
  return Math.abs(difference_ms) > CLOCK_TOLERANCE_MS ? difference_ms : 0;
}

/** Returns the server's time in milliseconds since 1970, also where the reader's clock is wrong. */
export function now() {
  return Date.now() + behind_ms;
}

/**
 * Returns the exact local moment with its zone: "14 Jul 2026, 12:05:30 CEST".
 * @param {string | number | Date} moment
 */
export function exact(moment) {
  return exactFormat.format(new Date(moment));
}

/**
 * Returns the clock time, with the day in front unless it is today: "12:05:30", "14 Jul 12:05".
 * @param {string | number | Date} moment
 */
export function brief(moment) {
  const date = new Date(moment);
  const today = new Date(now());
  if (date.toDateString() === today.toDateString()) return secondsFormat.format(date);
  const day = date.getFullYear() === today.getFullYear() ? dayFormat : yearFormat;
  return `${day.format(date)} ${clockFormat.format(date)}`;
}

/**
 * Returns how long ago `moment` was: "12 s ago", "3 min ago", "5 h ago", "2 d ago", then the date.
 * @param {string | number | Date} moment
 */
export function relative(moment) {
  const date = new Date(moment);
  const age_ms = now() - date.getTime();
  if (age_ms < -MINUTE) return `in ${duration(-age_ms / SECOND)}`;
  if (age_ms < SECOND) return "now";
  if (age_ms > 30 * DAY) return yearFormat.format(date);
  return `${duration(age_ms / SECOND)} ago`;
}

/**
 * Returns a length of time in its largest fitting unit: "45 s", "3 min", "5 h", "2 d".
 * @param {number} seconds
 */
export function duration(seconds) {
  const ms = Math.max(0, seconds) * SECOND;
  if (ms < MINUTE) return `${Math.floor(ms / SECOND)} s`;
  if (ms < HOUR) return `${Math.floor(ms / MINUTE)} min`;
  if (ms < DAY) {
    const minutes = Math.floor((ms % HOUR) / MINUTE);
    return minutes && ms < 3 * HOUR
      ? `${Math.floor(ms / HOUR)} h ${minutes} min`
      : `${Math.floor(ms / HOUR)} h`;
  }
  return `${Math.floor(ms / DAY)} d`;
}

/**
 * Returns a <time> that says how long ago `moment` was, keeps saying it right, and is exact on hover.
 * @param {string | null | undefined} moment
 * @param {string} [missing] what to show without a moment
 * @returns {HTMLElement}
 */
export function ago(moment, missing = "never") {
  if (!moment) return h("span", { class: "soft" }, missing);
  return h("time", { datetime: moment, title: exact(moment), "data-ago": true }, relative(moment));
}

/**
 * Returns a <time> with the clock time, exact on hover.
 * @param {string} moment
 * @returns {HTMLElement}
 */
export function at(moment) {
  return h("time", { datetime: moment, title: exact(moment) }, brief(moment));
}

/**
 * Returns how long it takes until `moment`, a time of the server's: "in 12 s"; once it is over, "in a moment".
 * @param {string | number | Date} moment
 */
function ahead(moment) {
  const wait_ms = new Date(moment).getTime() - now();
  return wait_ms < SECOND ? "in a moment" : `in ${duration(wait_ms / SECOND)}`;
}

/**
 * Returns a <time> that says how long it takes until `moment`, keeps saying it right, and is exact on hover.
 * @param {string} moment
 * @returns {HTMLElement}
 */
export function until(moment) {
  return h("time", { datetime: moment, title: exact(moment), "data-until": true }, ahead(moment));
}

/** Keeps every <time> made by `ago` or `until` right, once a second. */
export function keepTimes() {
  setInterval(() => {
    if (document.hidden) return;
    for (const element of document.querySelectorAll("time[data-ago], time[data-until]")) {
      const { dateTime, dataset } = /** @type {HTMLTimeElement} */ (element);
      const text = dataset.until === undefined ? relative(dateTime) : ahead(dateTime);
      if (element.textContent !== text) element.textContent = text;
    }
  }, SECOND);
}

/** Returns the reader's time zone in words: "Europe/Berlin (GMT+2)". */
export function zone() {
  const name = Intl.DateTimeFormat().resolvedOptions().timeZone || "the browser's zone";
  const parts = new Intl.DateTimeFormat("en-GB", { timeZoneName: "shortOffset" }).formatToParts(new Date());
  const offset = parts.find((item) => item.type === "timeZoneName")?.value ?? "";
  return name === offset || !offset ? name : `${name} (${offset})`;
}

/**
 * Returns the texts below a time axis for `seconds`; the day stands in a second line where it changes.
 * @param {number[]} seconds moments on the axis
 * @param {number} step_s how far they are apart
 */
export function axisTexts(seconds, step_s) {
  let day = "";
  return seconds.map((second) => {
    const date = new Date(second * SECOND);
    if (step_s >= 86_400 * 27) return yearFormat.format(date);
    if (step_s >= 86_400) return dayFormat.format(date);
    const clock = (step_s < 60 ? secondsFormat : clockFormat).format(date);
    const today = dayFormat.format(date);
    if (today === day) return clock;
    day = today;
    return `${clock}\n${today}`;
  });
}

/**
 * Returns the value of a datetime-local field for `moment`, in the reader's zone.
 * @param {number} moment milliseconds since 1970
 */
export function fieldValue(moment) {
  const date = new Date(moment);
  return new Date(moment - date.getTimezoneOffset() * MINUTE).toISOString().slice(0, 19);
}
