/** What notification targets were told of one alert. */

import { h, part } from "../dom.js";
import { emptyState, Pages, Rows } from "../table.js";
import { eventCell, stateCell, timeCell } from "../told.js";

const PAGE = 25;

export class AlertTold {
  /** @param {string} alert its id */
  constructor(alert) {
    this.alert = alert;
    /** @type {any} */
    this.shown = null;
    this.rows = new Rows(part("told"), {
      key: (/** @type {any} */ notification) => String(notification.id),
      columns: [
        { class: "nowrap aside", cell: timeCell },
        { class: "lead", cell: eventCell },
        { label: "to", cell: targetCell },
        { class: "wide", cell: stateCell },
      ],
    });
    this.pages = new Pages(part("told-pager"), (notifications) => this.show(notifications));
    this.isOpen = false;
  }

  /** Asks for what was told, or asks again. @param {any} alert as it is now */
  async load(alert) {
    this.shown = alert;
    if (this.isOpen) await this.pages.refresh();
    else await this.pages.open("notifications/", { alert: this.alert, limit: PAGE });
    this.isOpen = true;
  }

  /** @param {any[]} notifications */
  show(notifications) {
    this.rows.showOr(notifications, part("told-empty"), () =>
      emptyState({
        icon: "sent",
        title: "Nobody was told of it",
        text: this.reason(),
        actions: [h("a", { class: "button", href: "/notifications/" }, "To the targets")],
      }),
    );
  }

  reason() {
    const { state, flapping, fired_at } = this.shown;
    if (state === "pending") return "It has not fired yet.";
    if (!fired_at) return "It never fired.";
    if (flapping) return "While it flaps nobody is told that it fires.";
    return "When it fired, no enabled target of its network was to be told of this severity.";
  }
}

/** @param {any} notification */
function targetCell({ target, target_name }) {
  return h("a", { href: `/notifications/?target=${target}` }, target_name);
}
