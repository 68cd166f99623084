/** Numbers, values and states as they are shown. */

import { h, icon } from "./dom.js";

const countFormat = new Intl.NumberFormat("en", { maximumFractionDigits: 0 });
const plainFormat = new Intl.NumberFormat("en", { maximumSignificantDigits: 6, useGrouping: false });

/** @param {number | null | undefined} number @returns {string} "12,345" */
export function count(number) {
  return number === null || number === undefined ? "–" : countFormat.format(number);
}

/** @param {number | null | undefined} rate per second @returns {string} */
export function rate(rate) {
  if (rate === null || rate === undefined) return "–";
  if (rate === 0) return "0";
  if (rate < 10) return rate.toFixed(1);
  return countFormat.format(rate);
}

/**
 * Returns a number with six significant digits; very large and very small ones with an exponent.
 * @param {number} number
 */
export function numeral(number) {
  const size = Math.abs(number);
  if (size !== 0 && (size >= 1e12 || size < 1e-6)) return number.toExponential(4);
  return plainFormat.format(number);
}

/** @param {unknown} value of a flat object @returns {string} */
export function value(value) {
  if (typeof value === "number") return numeral(value);
  if (value === null || value === undefined) return "null";
  return String(value);
}

/** @param {number} number @param {string} one @param {string} [many] @returns {string} "1 sensor", "2 sensors" */
export function quantity(number, one, many = `${one}s`) {
  return `${count(number)} ${number === 1 ? one : many}`;
}

/** @type {Record<string, {words: string, tone: string, icon: string, hint?: string}>} */
const PILLS = {
  new: { words: "new", tone: "", icon: "dashed", hint: "Never heard so far" },
  up: { words: "up", tone: "good", icon: "tick", hint: "Heard within its period" },
  late: { words: "late", tone: "warn", icon: "clock", hint: "Overdue, still within its grace" },
  down: { words: "down", tone: "bad", icon: "cross", hint: "Not heard for longer than period and grace" },
  pending: { words: "pending", tone: "", icon: "dashed" },
  published: { words: "published", tone: "info", icon: "sent", hint: "The broker holds it for the sensor" },
  acknowledged: { words: "acknowledged", tone: "good", icon: "tick", hint: "The sensor runs it" },
  failed: { words: "failed", tone: "bad", icon: "cross", hint: "The sensor could not apply it" },
  superseded: {
    words: "superseded",
    tone: "",
    icon: "dashed",
    hint: "A newer one came before the sensor answered",
  },
  firing: { words: "firing", tone: "bad", icon: "bell" },
  resolved: { words: "resolved", tone: "good", icon: "tick" },
  silenced: { words: "silenced", tone: "", icon: "silence", hint: "Nobody is notified of it" },
  flapping: { words: "flapping", tone: "warn", icon: "live", hint: "It fires and resolves again and again" },
  info: { words: "info", tone: "info", icon: "info" },
  warning: { words: "warning", tone: "warn", icon: "warning" },
  error: { words: "error", tone: "bad", icon: "cross" },
  critical: { words: "critical", tone: "bad", icon: "warning" },
  waiting: { words: "waiting", tone: "info", icon: "clock" },
  sent: { words: "sent", tone: "good", icon: "tick" },
  dropped: { words: "dropped", tone: "", icon: "dashed" },
  none: { words: "none", tone: "", icon: "dashed" },
  active: { words: "active", tone: "good", icon: "key" },
  missing: { words: "missing", tone: "bad", icon: "cross" },
  revoking: { words: "revoking", tone: "warn", icon: "clock" },
  revoked: { words: "revoked", tone: "", icon: "cross" },
  approved: { words: "admitted", tone: "good", icon: "tick" },
  collected: { words: "admitted", tone: "good", icon: "tick" },
  refused: { words: "refused", tone: "", icon: "cross" },
  open: { words: "open", tone: "info", icon: "clock" },
  accepted: { words: "accepted", tone: "good", icon: "tick" },
  expired: { words: "expired", tone: "", icon: "clock" },
  used_up: { words: "used up", tone: "", icon: "dashed", hint: "As many sensors as it is for were admitted" },
};

/**
 * Returns a status, state or severity as a coloured pill with an icon and the word itself.
 * @param {string} name
 * @param {string} [words] in place of the name
 * @param {string} [hint] in place of the usual one
 */
export function pill(name, words, hint) {
  const known = PILLS[name] ?? { words: name, tone: "", icon: "info" };
  return h(
    "span",
    { class: "pill", "data-tone": known.tone, "data-value": name, title: hint ?? known.hint },
    icon(known.icon),
    words ?? known.words,
  );
}

/** @param {Record<string, unknown> | null | undefined} labels */
export function labelChips(labels) {
  return Object.entries(labels ?? {}).map(([key, item]) =>
    h("span", { class: "chip" }, `${key}: ${value(item)}`),
  );
}

/**
 * Returns the first `most` values of a measurement beside their attributes, and how many more there are.
 * @param {Record<string, unknown> | null | undefined} values
 * @param {number} [most]
 */
export function valueList(values, most = 4) {
  const entries = Object.entries(values ?? {}).sort(([one], [other]) => one.localeCompare(other));
  const shown = entries
    .slice(0, most)
    .map(([key, item]) =>
      h("span", { class: "nowrap" }, h("span", { class: "key" }, key), " ", h("b", {}, short(value(item)))),
    );
  if (entries.length > most) shown.push(h("span", { class: "soft" }, `+${entries.length - most}`));
  return shown;
}

/** @param {string} text */
function short(text) {
  return text.length > 24 ? `${text.slice(0, 23)}…` : text;
}
