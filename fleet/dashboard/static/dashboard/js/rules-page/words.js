/** Rules in words. */

import { numeral } from "../format.js";
import { duration } from "../time.js";

/** @type {Record<string, string>} */
export const KINDS = {
  threshold: "Threshold",
  rate_of_change: "Rate of change",
  staleness: "Silent sensor",
  gateway_silence: "Silent gateway",
  bridge_away: "Absent bridge",
  log_severity: "Log messages",
  configuration_failure: "Configuration not taken",
};

const OWN = "its own period and grace";
const VALUE = { verb: "is", above: "above", below: "below", unit: "" };
const CHANGE = { verb: "changes by", above: "more than", below: "less than", unit: " per minute" };

/** @param {any} rule @returns {string} when it fires */
export function condition(rule) {
  if (rule.kind === "threshold") return limits(rule, VALUE);
  if (rule.kind === "rate_of_change") return limits(rule, CHANGE);
  if (rule.kind === "bridge_away") return `a bridge is away or behind for longer than ${duration(rule.period_s)}`;
  if (rule.kind === "log_severity") return messages(rule);
  if (rule.kind === "configuration_failure")
    return `a sensor refuses its configuration or does not acknowledge it in ${duration(rule.timeout_s)}`;
  const span =
    rule.period_s === null || rule.period_s === undefined
      ? OWN
      : `${duration(rule.period_s)}${rule.grace_s ? ` + ${duration(rule.grace_s)} grace` : ""}`;
  if (rule.kind === "staleness") return `a sensor is silent for longer than ${span}`;
  const all = span === OWN ? "their own period and grace" : span;
  const share = rule.share === 1 || rule.share === undefined ? "all" : `${numeral(rule.share * 100)} %`;
  const within = rule.window_s ? `, last heard within ${duration(rule.window_s)}` : "";
  return `${share} of a gateway's sensors are silent for longer than ${all}${within}`;
}

/** @param {any} rule */
function messages(rule) {
  const worse = rule.log_severity === "error" ? "error" : `${rule.log_severity} or worse`;
  if (rule.count === 1) return `a sensor logs ${worse}, until none came for ${duration(rule.window_s)}`;
  return `a sensor logs ${worse} ${numeral(rule.count)} times in ${duration(rule.window_s)}`;
}

/**
 * @param {any} rule
 * @param {{verb: string, above: string, below: string, unit: string}} words
 */
function limits(rule, words) {
  const beyond = [];
  if (rule.above !== null && rule.above !== undefined) beyond.push(`${words.above} ${numeral(rule.above)}`);
  if (rule.below !== null && rule.below !== undefined) beyond.push(`${words.below} ${numeral(rule.below)}`);
  const details = [];
  if (rule.for_s) details.push(`for ${duration(rule.for_s)}`);
  if (rule.hysteresis) details.push(`clears ${numeral(rule.hysteresis)} inside`);
  if (rule.keep_firing_s) details.push(`keeps firing ${duration(rule.keep_firing_s)}`);
  return [`${rule.attribute} ${words.verb} ${beyond.join(" or ")}${words.unit}`, ...details].join(", ");
}
