/** What an entry of the audit log changed, before and after. */

import { h } from "../dom.js";

// Of an entry that made or deleted something all fields are listed, which few want to read.
const SHOWN = 3;

/** @param {any} entry */
export function changesCell(entry) {
  const lines = entry.changes.map(changeLine);
  if (entry.action === "update" && lines.length <= SHOWN) return lines;
  return lines.length > 0 && h("details", {}, h("summary", {}, `${lines.length} fields`), lines);
}

/** @param {{field: string, before: any, after: any}} change */
function changeLine({ field, before, after }) {
  return h("div", { class: "break" }, h("b", {}, field), `: ${words(before)} → ${words(after)}`);
}

/** @param {any} value */
function words(value) {
  if (value === null || value === "") return "—";
  if (Array.isArray(value)) return value.join(", ");
  return typeof value === "object" ? JSON.stringify(value) : String(value);
}
