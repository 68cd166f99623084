/** What the sensor said besides measurements: log messages, their summary, heartbeats, and what was rejected. */

import { post } from "../api.js";
import { button, fill, gathered, h, part } from "../dom.js";
import { count, pill } from "../format.js";
import { LOG_COLUMNS, LOG_HEADS, logKey } from "../log-rows.js";
import { emptyState, headRow, Pages, Rows } from "../table.js";
import { ago, at } from "../time.js";
import { report, toast } from "../toast.js";
import { may } from "../viewer.js";

const PAGE = 25;
// A stream of messages is shown about twice a second.
const HEARD_PAUSE_MS = 400;

/**
 * @typedef {object} Tab
 * @property {string} name
 * @property {string} words
 * @property {string} path
 * @property {import("../api.js").Query} [query]
 * @property {boolean} [severities] whether it can be filtered by severity
 * @property {[string, string][]} heads column titles and classes
 * @property {(item: any) => string} key
 * @property {import("../table.js").Column<any>[]} columns
 * @property {{title: string, text: string}} empty
 */

/**
 * @param {string} path
 * @param {string} identifier
 * @param {((item: any) => void) | null} takeAgain takes a rejected message in again; null for who may not
 * @returns {Tab[]}
 */
function tabs(path, identifier, takeAgain) {
  return [
    {
      name: "logs",
      words: "Log messages",
      path: `${path}log-messages/`,
      severities: true,
      heads: LOG_HEADS,
      key: logKey,
      columns: LOG_COLUMNS,
      empty: {
        title: "No log messages",
        text: "What the sensor publishes to its topic log-messages appears here.",
      },
    },
    {
      name: "summary",
      words: "Log summary",
      path: `${path}log-messages/summary/`,
      severities: true,
      heads: [
        ["Severity", ""],
        ["Subject", ""],
        ["Count", "number"],
        ["First", ""],
        ["Last", ""],
      ],
      key: (item) => `${item.severity} ${item.subject}`,
      columns: [
        { class: "aside", cell: (item) => pill(item.severity) },
        { class: "lead break", cell: (item) => item.subject },
        { class: "number", label: "count", cell: (item) => count(item.count) },
        { class: "nowrap", label: "first", cell: (item) => at(item.first) },
        { class: "nowrap", label: "last", cell: (item) => at(item.last) },
      ],
      empty: { title: "No log messages", text: "Here they are grouped by severity and subject." },
    },
    {
      name: "heartbeats",
      words: "Heartbeats",
      path: `${path}heartbeats/`,
      heads: [
        ["Time", ""],
        ["Received", ""],
        ["Revision", "number"],
        ["Applied", ""],
      ],
      key: (item) => `${item.measured_at} ${item.revision} ${item.success}`,
      columns: [
        { class: "nowrap", cell: (item) => at(item.measured_at) },
        { class: "nowrap", label: "received", cell: (item) => at(item.received_at) },
        { class: "number", label: "revision", cell: (item) => item.revision },
        {
          class: "aside",
          cell: (item) => (item.success ? pill("acknowledged", "yes") : pill("failed", "no")),
        },
      ],
      empty: {
        title: "No heartbeats",
        text: "With a heartbeat a sensor says which revision it runs and whether it could apply it.",
      },
    },
    {
      name: "rejected",
      words: "Rejected messages",
      path: "rejected-messages/",
      query: { sensor: identifier },
      heads: [
        ["Last", ""],
        ["Reason", ""],
        ["What was wrong", ""],
        ["Topic", ""],
        ["Count", "number"],
      ],
      key: (item) => String(item.id),
      columns: [
        { class: "nowrap", cell: (item) => ago(item.last_at) },
        { class: "aside", cell: (item) => h("span", { class: "chip" }, item.reason) },
        { class: "wide lead", cell: (item) => rejectedCell(item, takeAgain) },
        { class: "break mono small", cell: (item) => item.topic },
        { class: "number", label: "times", cell: (item) => count(item.count) },
      ],
      empty: { title: "Nothing was rejected", text: "What cannot be stored is kept here with its reason." },
    },
  ];
}

export class Messages {
  /** @param {string} path @param {string} identifier @param {string} network */
  constructor(path, identifier, network) {
    const takeAgain = may(network, "operator") ? (/** @type {any} */ item) => void this.takeAgain(item) : null;
    this.tabs = tabs(path, identifier, takeAgain);
    this.tab = this.tabs[0];
    this.severity = "";
    this.isFirstPage = true;
    /** @type {Rows<any> | null} */
    this.rows = null;
    this.pages = new Pages(h("nav"), () => {});
    this.refreshSoon = gathered(() => void this.pages.refresh().catch(report), HEARD_PAUSE_MS);
    this.buildTabs();
  }

  /** Asks again for what is shown, or for the first time. */
  async load() {
    if (this.rows) await this.pages.refresh();
    else await this.open(this.tab);
  }

  /** @param {any} item a rejected message */
  async takeAgain(item) {
    try {
      const { stored } = await post(`rejected-messages/${item.id}/reingest/`);
      toast(stored === 1 ? "Taken in: 1 new entry." : `Taken in: ${count(stored)} new entries.`);
    } catch (error) {
      report(error);
    }
    await this.pages.refresh().catch(report);
  }

  /** @param {"logs" | "heartbeats"} kind something of this kind came in */
  heard(kind) {
    const shown = this.tab.name === kind || (kind === "logs" && this.tab.name === "summary");
    // On a later page a new row would push the others along.
    if (shown && this.isFirstPage) this.refreshSoon();
  }

  buildTabs() {
    const list = part("tabs");
    const buttons = this.tabs.map((tab) =>
      h(
        "button",
        {
          type: "button",
          role: "tab",
          id: `tab-${tab.name}`,
          "aria-controls": "tab-panel",
          click: () => void this.open(tab).catch(report),
        },
        tab.words,
      ),
    );
    fill(list, buttons);
    part("tab-panel").id = "tab-panel";
    list.addEventListener("keydown", (event) => {
      const step = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
      if (!step) return;
      const next = (this.tabs.indexOf(this.tab) + step + this.tabs.length) % this.tabs.length;
      buttons[next].focus();
      void this.open(this.tabs[next]).catch(report);
    });
    this.mark();
  }

  mark() {
    for (const item of part("tabs").children) {
      const isOpen = item.id === `tab-${this.tab.name}`;
      item.setAttribute("aria-selected", String(isOpen));
      item.setAttribute("tabindex", isOpen ? "0" : "-1");
    }
    part("tab-panel").setAttribute("aria-labelledby", `tab-${this.tab.name}`);
  }

  /** @param {Tab} tab */
  async open(tab) {
    this.tab = tab;
    this.mark();
    this.showTools();
    const table = h(
      "table",
      { class: "table stacks", "aria-busy": "true" },
      h("thead", {}, headRow(tab.heads)),
      h("tbody"),
    );
    const empty = h("div", { hidden: true }, emptyState({ icon: "info", ...tab.empty }));
    const pager = h("nav", { class: "actions pager", "aria-label": `Pages of ${tab.words.toLowerCase()}` });
    const foot = h("div", { class: "card-foot", hidden: true }, pager);
    const rows = new Rows(table, { key: tab.key, columns: tab.columns });
    this.rows = rows;
    this.pages.running?.abort();
    this.pages = new Pages(pager, (items, page) => {
      this.isFirstPage = !page.previous;
      rows.show(items);
      table.hidden = !items.length;
      empty.hidden = items.length > 0;
      foot.hidden = !page.next && !page.previous;
    });
    fill(part("tab-panel"), h("div", { class: "table-wrap" }, table), empty, foot);
    await this.pages.open(tab.path, {
      ...tab.query,
      limit: PAGE,
      severity: tab.severities ? this.severity : "",
    });
  }

  showTools() {
    const tools = part("tab-tools");
    if (!this.tab.severities) {
      fill(tools);
      return;
    }
    const choices = ["", "info", "warning", "error"];
    const select = h(
      "select",
      {
        class: "select",
        "aria-label": "Severity",
        change: () => {
          this.severity = select.value;
          void this.open(this.tab).catch(report);
        },
      },
      choices.map((severity) =>
        h("option", { value: severity, selected: severity === this.severity }, severity || "Any severity"),
      ),
    );
    fill(tools, select);
  }
}

/** @param {any} item @param {((item: any) => void) | null} takeAgain */
function rejectedCell(item, takeAgain) {
  if (!item.kept) return h("span", { class: "break" }, item.detail);
  return h(
    "details",
    {},
    h("summary", { class: "break" }, item.detail),
    h("pre", { class: "log-details" }, item.payload),
    takeAgain && button("Take in again", { icon: "undo", press: () => takeAgain(item) }),
  );
}
