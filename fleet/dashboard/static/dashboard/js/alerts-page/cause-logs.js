/** The log messages around an episode: those that the rule counts. */

import { fill, h } from "../dom.js";
import { LOG_COLUMNS, LOG_HEADS, logKey } from "../log-rows.js";
import { emptyState, headRow, Pages, Rows } from "../table.js";

const PAGE = 25;
// Mildest first, as rules count them.
const SEVERITIES = ["info", "warning", "error"];

export class LogsCause {
  /** @param {HTMLElement} place */
  constructor(place) {
    const table = h(
      "table",
      { class: "table stacks", "aria-busy": "true" },
      h("caption", { class: "spoken" }, "Log messages around the episode"),
      h("thead", {}, headRow(LOG_HEADS)),
      h("tbody"),
    );
    const empty = h(
      "div",
      { hidden: true },
      emptyState({
        icon: "info",
        title: "No such messages",
        text: "They are not kept any more.",
      }),
    );
    const pager = h("nav", { class: "actions pager", "aria-label": "Pages of log messages" });
    const foot = h("div", { class: "card-foot", hidden: true }, pager);
    fill(place, h("div", { class: "table-wrap" }, table), empty, foot);
    place.classList.remove("card-body");
    const rows = new Rows(table, { key: logKey, columns: LOG_COLUMNS });
    this.pages = new Pages(pager, (messages, page) => {
      rows.show(messages);
      table.hidden = !messages.length;
      empty.hidden = messages.length > 0;
      foot.hidden = !page.next && !page.previous;
    });
    /** What is shown. */
    this.asked = "";
  }

  /** @param {any} alert */
  async show(alert) {
    const { log_severity, window_s } = alert.rule_snapshot;
    const query = {
      severity: SEVERITIES.slice(SEVERITIES.indexOf(log_severity)),
      start: new Date(Date.parse(alert.started_at) - window_s * 1000).toISOString(),
      end: alert.resolved_at,
      limit: PAGE,
    };
    const asked = JSON.stringify(query);
    if (asked === this.asked) await this.pages.refresh();
    else await this.pages.open(`sensors/${alert.sensor}/log-messages/`, query);
    this.asked = asked;
  }
}
