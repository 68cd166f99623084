/** Rules in words. */

import { numeral } from "../format.js";
import { duration } from "../time.js";

/** @type {Record<string, string>} */
export const KINDS = {
  threshold: "Threshold",
  staleness: "Silent sensor",
  gateway_silence: "Silent gateway",
};

/** @param {any} rule @returns {string} when it fires */
export function condition(rule) {
  if (rule.kind === "threshold") return threshold(rule);
  const span =
    rule.period_s === null || rule.period_s === undefined
      ? "its own period and grace"
      : `${duration(rule.period_s)}${rule.grace_s ? ` + ${duration(rule.grace_s)} grace` : ""}`;
  if (rule.kind === "staleness") return `a sensor is silent for longer than ${span}`;
  const all = span === "its own period and grace" ? "their own period and grace" : span;
  const share = rule.share === 1 || rule.share === undefined ? "all" : `${numeral(rule.share * 100)} %`;
  return `${share} of a gateway's sensors are silent for longer than ${all}`;
}

/** @param {any} rule */
function threshold(rule) {
  const limits = [];
  if (rule.above !== null && rule.above !== undefined) limits.push(`above ${numeral(rule.above)}`);
  if (rule.below !== null && rule.below !== undefined) limits.push(`below ${numeral(rule.below)}`);
  const details = [];
  if (rule.for_s) details.push(`for ${duration(rule.for_s)}`);
  if (rule.hysteresis) details.push(`clears ${numeral(rule.hysteresis)} inside`);
  if (rule.keep_firing_s) details.push(`keeps firing ${duration(rule.keep_firing_s)}`);
  return [`${rule.attribute} is ${limits.join(" or ")}`, ...details].join(", ");
}
