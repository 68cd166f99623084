/** The audit log: who changed what, filtered, and written out with the same filters. */

import { address } from "../api.js";
import { fill, h, icon, part } from "../dom.js";
import { Filters } from "../filters.js";
import { offerNetworks } from "../networks.js";
import { startShell } from "../shell.js";
import { emptyState, Pages, Rows } from "../table.js";
import { at } from "../time.js";
import { report } from "../toast.js";
import { networksWith } from "../viewer.js";
import { changesCell } from "./changes.js";

const PAGE = 50;
/** @type {Record<string, string>} */
const DID = { create: "created", update: "changed", delete: "deleted" };

// Changes make no live events.
void startShell().watch({});
const form = /** @type {HTMLFormElement} */ (part("filters"));
// Of the others there are no entries for the reader.
offerNetworks(form, networksWith("owner"));
const rows = new Rows(part("entries"), {
  key: (/** @type {any} */ entry) => String(entry.id),
  columns: [
    { class: "nowrap", cell: (entry) => at(entry.at) },
    { cell: whoCell },
    { cell: (entry) => DID[entry.action] ?? entry.action },
    { class: "lead", cell: whatCell },
    { class: "wide", cell: changesCell },
  ],
});
const pages = new Pages(part("pager"), show);
const filters = new Filters(form, () => void open());
void open();

async function open() {
  const query = asked();
  showExports(query);
  await pages.open("audit-log/", { ...query, limit: PAGE }).catch(report);
}

/** Returns the filters as the API takes them: days begin and end in the reader's time zone. */
function asked() {
  const { start, end, ...query } = filters.values();
  return { ...query, start: midnight(start, 0), end: midnight(end, 1) };
}

/**
 * Returns when the day begins, or nothing for what is no day that the API knows.
 * @param {string} day
 * @param {number} later in days
 * @returns {string}
 */
function midnight(day, later) {
  const moment = new Date(`${day}T00:00`);
  moment.setDate(moment.getDate() + later);
  return moment.getFullYear() > 9999 || Number.isNaN(moment.getTime()) ? "" : moment.toISOString();
}

/** @param {Record<string, string>} query */
function showExports(query) {
  fill(
    part("page-actions"),
    ["csv", "ndjson"].map((format) =>
      h(
        "a",
        { class: "button", href: address("audit-log/export/", { ...query, format }) },
        icon("download"),
        `Export ${format.toUpperCase()}`,
      ),
    ),
  );
}

/** @param {any} entry */
function whoCell(entry) {
  const how = [entry.token && `token ${entry.token}`, entry.address && `from ${entry.address}`].filter(Boolean);
  return [entry.actor ?? "the service", how.length > 0 && h("span", { class: "sub break" }, how.join(", "))];
}

/** @param {any} entry */
function whatCell(entry) {
  const place = [entry.kind.replaceAll("-", " "), entry.network].filter(Boolean).join(" · ");
  return [h("span", { class: "break" }, entry.object), h("span", { class: "sub" }, place)];
}

/** @param {any[]} entries */
function show(entries) {
  rows.showOr(entries, part("entries-empty"), () =>
    filters.any
      ? emptyState({ icon: "search", title: "Nothing matches" })
      : emptyState({
          icon: "clock",
          title: "Nothing was changed so far",
          text: "Changes in networks that you own stand here, and those of your own account and tokens.",
        }),
  );
}
