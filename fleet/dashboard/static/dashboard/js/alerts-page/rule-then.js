/** The rule as it was when an episode began, and what is different now. */

import { ApiError, get } from "../api.js";
import { fact, fill, h } from "../dom.js";
import { labelChips, numeral, pill } from "../format.js";
import { KINDS } from "../rules-page/words.js";
import { duration } from "../time.js";
import { report } from "../toast.js";

/** @typedef {import("../dom.js").Child | import("../dom.js").Child[]} Words */

const seconds = (/** @type {number} */ value) => duration(value);
/** What is shown of a rule, in this order. @type {{name: string, term: string, words: (value: any) => Words, empty?: string}[]} */
const FIELDS = [
  { name: "name", term: "Name", words: String },
  { name: "kind", term: "Watches", words: (kind) => KINDS[kind] ?? kind },
  { name: "severity", term: "Severity", words: (severity) => pill(severity) },
  { name: "scope", term: "Holds for", words: (scope) => SCOPES[scope] ?? scope },
  { name: "labels", term: "Labels", words: (labels) => h("span", { class: "chips" }, labelChips(labels)) },
  { name: "attribute", term: "Attribute", words: (name) => h("span", { class: "mono" }, name) },
  { name: "above", term: "Fires above", words: numeral, empty: "not set" },
  { name: "below", term: "Fires below", words: numeral, empty: "not set" },
  { name: "hysteresis", term: "Clears inside by", words: numeral },
  { name: "for_s", term: "Only after", words: seconds },
  { name: "keep_firing_s", term: "Keeps firing", words: seconds },
  { name: "share", term: "Share of sensors", words: (share) => `${numeral(share * 100)} %` },
  { name: "period_s", term: "Period", words: seconds, empty: "that of each sensor" },
  { name: "grace_s", term: "Grace", words: seconds, empty: "each sensor's own" },
  { name: "log_severity", term: "Messages of", words: (severity) => SEVERITIES[severity] ?? severity },
  { name: "count", term: "At least", words: numeral },
  { name: "window_s", term: "Within", words: seconds, empty: "any time" },
  { name: "timeout_s", term: "Time to acknowledge", words: seconds },
];
/** @type {Record<string, string>} */
const SCOPES = { network: "all sensors", labels: "sensors with labels", sensors: "listed sensors" };
/** @type {Record<string, string>} */
const SEVERITIES = { info: "any severity", warning: "warning or error", error: "error" };

/**
 * Shows the alert's rule in `place`, and in `note` what became of it since.
 * @param {HTMLElement} place
 * @param {HTMLElement} note
 * @param {any} alert
 */
export async function showRuleThen(place, note, alert) {
  const then = alert.rule_snapshot;
  const rule = await currentRule(alert.rule);
  const shown = FIELDS.filter(
    ({ name }) => name in then && !(name === "scope" && then.kind === "bridge_away"),
  );
  const changed = rule ? shown.filter(({ name }) => differs(then[name], rule[name])) : [];
  note.textContent = rule === undefined ? "" : noteOf(rule, changed.length > 0);
  fill(
    place,
    h(
      "dl",
      { class: "facts" },
      shown.map((field) => {
        const value = wordsOf(field, then[field.name]);
        if (!changed.includes(field)) return fact(field.term, value);
        return fact(field.term, [
          ...[value].flat(),
          h("span", { class: "sub" }, "now: ", wordsOf(field, rule[field.name])),
        ]);
      }),
    ),
  );
}

/** @param {number | null} id @returns {Promise<any>} null: it was deleted; undefined: nobody knows */
async function currentRule(id) {
  if (id === null) return null;
  try {
    return await get(`alert-rules/${id}/`);
  } catch (error) {
    if (error instanceof ApiError && error.status === 404) return null;
    report(error);
    return undefined;
  }
}

/** @param {any} rule null: it was deleted @param {boolean} isChanged */
function noteOf(rule, isChanged) {
  if (!rule) return "deleted since";
  if (isChanged) return rule.enabled ? "changed since" : "changed and disabled since";
  return rule.enabled ? "unchanged" : "disabled since";
}

/** @param {{words: (value: any) => Words, empty?: string}} field @param {unknown} value @returns {Words} */
function wordsOf({ words, empty = "none" }, value) {
  return value === null || value === undefined ? h("span", { class: "soft" }, empty) : words(value);
}

/** @param {unknown} one @param {unknown} other */
function differs(one, other) {
  return JSON.stringify(one ?? null) !== JSON.stringify(other ?? null);
}
