/** The course of an alert: when it began, fired, was acknowledged and ended, and by whom. */

import { h, icon } from "../dom.js";
import { at } from "../time.js";

/** By kind of rule: what it means that an alert has begun. @type {Record<string, string>} */
const BEGINNINGS = {
  threshold: "Violated for the first time, on the sensor's clock",
  rate_of_change: "Violated for the first time, on the sensor's clock",
  staleness: "Overdue: period and grace were over",
  gateway_silence: "Overdue: period and grace were over for enough of its sensors",
  bridge_away: "Behind for as long as the rule allows",
  log_severity: "Enough messages, on the sensor's clock",
  configuration_failure: "Refused, or not acknowledged in time",
};

/** @type {Record<string, string>} */
const RESOLUTIONS = {
  cleared: "the violation is over",
  heard: "heard again",
  applied: "the sensor acknowledged the revision",
  superseded: "a newer revision came",
  by_hand: "by hand",
  rule_edited: "the rule was changed",
  rule_disabled: "the rule was disabled",
  rule_deleted: "the rule was deleted",
  sensor_edited: "the sensor's period or grace was changed",
  sensor_deleted: "the sensor was deleted",
  gateway_deleted: "the gateway was deleted",
  out_of_scope: "the rule does not cover it any more",
};

/** @typedef {{name: string, moment: string | null, words: string, more?: string}} Step */

/**
 * Returns the steps of the alert's course, oldest first.
 * @param {any} alert
 */
export function courseSteps(alert) {
  const { acknowledgement, fired_at, state } = alert;
  /** @type {Step[]} */
  const moments = [
    {
      name: "dashed",
      moment: alert.started_at,
      words: BEGINNINGS[alert.rule_snapshot.kind] ?? "Began",
      more: fired_at ? "" : state === "pending" ? "pending: not yet for long enough" : "it never fired",
    },
    {
      name: "bell",
      moment: fired_at,
      words: "Fired",
      more: alert.backfilled ? "known only from data that came late" : "",
    },
    {
      name: "check",
      moment: alert.acknowledged_at,
      words: `Acknowledged by ${alert.acknowledged_by ?? "a deleted user"}`,
      more: acknowledgement && `“${acknowledgement}”`,
    },
    { name: "tick", moment: alert.resolved_at, words: resolvedWords(alert) },
  ];
  const steps = moments
    .filter(({ moment }) => moment)
    .sort((one, other) => Date.parse(one.moment ?? "") - Date.parse(other.moment ?? ""))
    .map(stepOf);
  if (alert.flapping)
    steps.push(
      stepOf({
        name: "live",
        moment: null,
        words: "Flapping: it fires and resolves again and again",
        more: "until it is calm, nobody is told that it fires",
      }),
    );
  return steps;
}

/** @param {any} alert */
function resolvedWords({ resolved_by, resolution }) {
  if (resolved_by) return `Resolved by ${resolved_by}`;
  return resolution ? `Resolved: ${RESOLUTIONS[resolution] ?? resolution}` : "Resolved";
}

/** @param {Step} step */
function stepOf({ name, moment, words, more }) {
  return h(
    "li",
    {},
    icon(name),
    h(
      "div",
      { class: "break" },
      words,
      h("span", { class: "sub" }, moment && at(moment), moment && more && " · ", more),
    ),
  );
}
