/** What is done about an alert, the same in the list, on its own page and on the sensor's. */

import { post } from "./api.js";
import { ask, openDialog } from "./dialog.js";
import { h } from "./dom.js";
import { field, text } from "./form.js";
import { numeral, quantity, value } from "./format.js";
import { now } from "./time.js";
import { may } from "./viewer.js";

/** @param {any} alert */
export function isOpen(alert) {
  return alert.state !== "resolved";
}

/** @param {any} alert @returns {boolean} whether the reader may handle it and there is something left to do */
export function canAcknowledge(alert) {
  return isOpen(alert) && !alert.acknowledged_at && may(alert.network, "operator");
}

/** @param {any} alert */
export function canResolve(alert) {
  return isOpen(alert) && may(alert.network, "operator");
}

/** @param {any} alert @returns {string} what it is about: "boiler-1", "gateway hall" or "bridges" */
export function subjectOf(alert) {
  return alert.sensor ?? (alert.gateway ? `gateway ${alert.gateway}` : "bridges");
}

/** @param {any} alert */
export function subjectLink(alert) {
  if (alert.sensor) return h("a", { class: "name", href: `/sensors/${alert.sensor}/` }, alert.sensor);
  if (!alert.gateway) return h("span", { class: "name" }, subjectOf(alert));
  return h("a", { class: "name", href: `/?gateway=${alert.gateway}` }, `gateway ${alert.gateway}`);
}

/** @param {any} alert @returns {string} the newest violating value in words, or nothing */
export function valueWords(alert) {
  if (alert.value === null || alert.value === undefined) return "";
  const kind = alert.rule_snapshot?.kind;
  if (kind === "log_severity") return quantity(alert.value, "message");
  if (kind === "configuration_failure") return `revision ${alert.value}`;
  if (kind === "rate_of_change") return `changes by ${numeral(alert.value)} per minute`;
  return `value ${typeof alert.value === "number" ? numeral(alert.value) : value(alert.value)}`;
}

/**
 * Asks for a comment and acknowledges.
 * @param {any} alert
 * @param {(alert: any) => void} then
 */
export function acknowledge(alert, then) {
  return openDialog({
    title: `Acknowledge “${alert.rule_name}”`,
    body: [
      h("p", {}, `You take care of it: ${subjectOf(alert)}. The alert stays open until the violation ends.`),
      field({ name: "comment", label: "Comment", placeholder: "What is being done about it?" }),
    ],
    action: "Acknowledge",
    submit: async (form) =>
      then(await post(`alerts/${alert.id}/acknowledge/`, { comment: text(form, "comment") })),
  });
}

/**
 * Asks and resolves by hand.
 * @param {any} alert
 * @param {(alert: any) => void} then
 */
export function resolve(alert, then) {
  return ask({
    title: `Resolve “${alert.rule_name}”?`,
    text: `The episode of ${subjectOf(alert)} ends now. If the rule is violated again, a new alert opens.`,
    action: "Resolve",
    work: async () => then(await post(`alerts/${alert.id}/resolve/`)),
  });
}

const SILENCE_LENGTHS = [
  { value: "3600", text: "1 hour" },
  { value: "14400", text: "4 hours" },
  { value: "86400", text: "1 day" },
  { value: "604800", text: "1 week" },
];

/**
 * Asks how long, and silences this rule for this sensor.
 * @param {any} alert
 * @param {() => void} then
 */
export function silence(alert, then) {
  const subject = alert.sensor ? { sensor: alert.sensor } : { network: alert.network };
  return openDialog({
    title: `Silence “${alert.rule_name}”`,
    body: [
      h(
        "p",
        {},
        `Alerts of this rule ${alert.sensor ? `about ${alert.sensor}` : "in this network"} are still recorded, but notify nobody.`,
      ),
      field({ name: "length", label: "For", kind: "select", value: "3600", choices: SILENCE_LENGTHS }),
      field({ name: "comment", label: "Comment", placeholder: "Why?" }),
    ],
    action: "Silence",
    submit: async (form) => {
      const ends_at = new Date(now() + Number(text(form, "length")) * 1000).toISOString();
      const rule = alert.rule === null ? {} : { rule: alert.rule };
      await post("silences/", { matchers: { ...subject, ...rule }, ends_at, comment: text(form, "comment") });
      then();
    },
  });
}
