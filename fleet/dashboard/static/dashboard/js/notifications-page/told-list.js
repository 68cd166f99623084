/** The list of what was told lately, with its filters. */

import { part } from "../dom.js";
import { Filters } from "../filters.js";
import { offer } from "../form.js";
import { showSegments } from "../segments.js";
import { emptyState, Pages, Rows } from "../table.js";
import { report } from "../toast.js";
import { alertCell, EVENTS, eventCell, stateCell, timeCell } from "../told.js";

const PAGE = 50;
const STATES = [
  { name: "", words: "All" },
  { name: "waiting", words: "Waiting" },
  { name: "sent", words: "Sent" },
  { name: "failed", words: "Failed" },
  { name: "dropped", words: "Dropped" },
];

export class ToldList {
  /** @param {() => import("../api.js").Query} others what is filtered by elsewhere on the page */
  constructor(others) {
    this.others = others;
    const form = /** @type {HTMLFormElement} */ (part("told-filters"));
    offer(
      /** @type {HTMLSelectElement} */ (form.elements.namedItem("event")),
      Object.entries(EVENTS).map(([value, text]) => ({ value, text })),
    );
    this.targetSelect = /** @type {HTMLSelectElement} */ (form.elements.namedItem("target"));
    this.rows = new Rows(part("told"), {
      key: (/** @type {any} */ notification) => String(notification.id),
      columns: [
        { class: "nowrap aside", cell: timeCell },
        { class: "lead", cell: eventCell },
        { class: "wide", cell: alertCell },
        { label: "to", cell: (notification) => notification.target_name },
        { class: "wide", cell: stateCell },
      ],
    });
    this.pages = new Pages(part("told-pager"), (notifications) => this.show(notifications));
    this.filters = new Filters(form, () => void this.open(), { state: "" });
  }

  async open() {
    const values = this.filters.values();
    showSegments(part("states"), STATES, values.state, (state) => this.filters.set({ state }));
    await this.pages.open("notifications/", { ...this.others(), ...values, limit: PAGE }).catch(report);
  }

  async refresh() {
    await this.pages.refresh().catch(report);
  }

  /** @param {number} id of the target of which everything is shown */
  showTarget(id) {
    this.filters.set({ target: String(id), event: "", state: "" });
    part("told-card").scrollIntoView({ block: "start" });
  }

  /** @param {number} id of a target that is not there any more */
  forget(id) {
    if (this.filters.values().target === String(id)) this.filters.set({ target: "" });
  }

  /** @param {any[]} notifications */
  show(notifications) {
    const filtered = this.filters.any || this.others().network;
    this.rows.showOr(notifications, part("told-empty"), () =>
      filtered
        ? emptyState({ icon: "search", title: "Nothing matches" })
        : emptyState({
            icon: "sent",
            title: "Nothing was told so far",
            text: "What targets are told of alerts stands here, with what became of it.",
          }),
    );
  }
}
