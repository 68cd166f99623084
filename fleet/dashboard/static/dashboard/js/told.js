/** What notification targets were told: the cells of its rows, for all alerts and for one. */

import { subjectOf } from "./alert-actions.js";
import { h } from "./dom.js";
import { pill, quantity } from "./format.js";
import { ago, at, now, until } from "./time.js";

/** By name: what a notification says of its alert. @type {Record<string, string>} */
export const EVENTS = {
  firing: "Fires",
  resolved: "Ended",
  repeat: "Still fires",
  escalation: "Nobody acknowledged",
};

/** @type {Record<string, string>} */
const HINTS = {
  waiting: "For its moment, for the end of a silence, or to be tried again",
  sent: "The target's server has taken the message",
  failed: "Given up, a day after it was due",
  dropped: "There was nothing left to tell",
};

/** @param {any} notification */
export function timeCell({ state, due_at, sent_at }) {
  if (state !== "waiting") return at(sent_at ?? due_at);
  return Date.parse(due_at) > now() ? until(due_at) : h("span", {}, "due ", ago(due_at));
}

/** @param {any} notification */
export function eventCell({ event, number }) {
  const words = EVENTS[event] ?? event;
  return h("span", { class: "name" }, number ? `${words}, reminder ${number}` : words);
}

/** @param {any} notification */
export function alertCell(notification) {
  return [
    h("a", { class: "name", href: `/alerts/${notification.alert}/` }, notification.rule_name),
    h("span", { class: "sub" }, subjectOf(notification)),
  ];
}

/** @param {any} notification */
export function stateCell({ state, attempts, last_error }) {
  const counted = attempts > 1 && `${quantity(attempts, "attempt")}.`;
  const words = [last_error, counted].filter(Boolean).join(" ");
  return [pill(state, undefined, HINTS[state]), words && h("span", { class: "sub" }, words)];
}
