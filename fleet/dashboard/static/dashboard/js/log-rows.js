/** Log messages as rows: on the sensor's page, and around an alert. */

import { h } from "./dom.js";
import { pill } from "./format.js";
import { at } from "./time.js";

/** Column titles and classes. @type {[string, string][]} */
export const LOG_HEADS = [
  ["Time", ""],
  ["Severity", ""],
  ["Message", ""],
  ["Revision", "number"],
];

/** @type {import("./table.js").Column<any>[]} */
export const LOG_COLUMNS = [
  { class: "nowrap", cell: (message) => at(message.measured_at) },
  { class: "aside", cell: (message) => pill(message.severity) },
  { class: "wide lead", cell: messageCell },
  { class: "number", label: "revision", cell: (message) => message.revision },
];

/** @param {any} message */
export function logKey({ measured_at, revision, severity, subject, details }) {
  return `${measured_at} ${revision} ${severity} ${subject} ${details}`;
}

/** @param {any} message */
function messageCell(message) {
  if (!message.details) return h("span", { class: "break" }, message.subject);
  return h(
    "details",
    {},
    h("summary", { class: "break" }, message.subject),
    h("pre", { class: "log-details" }, message.details),
  );
}
