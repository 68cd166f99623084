/** Limits of threshold rules as lines of a chart and as words. */

import { numeral } from "./format.js";

/** @type {Record<string, string>} */
const TONES = { info: "info", warning: "late", critical: "down" };

/** @typedef {{kind?: string, above?: number | null, below?: number | null, severity?: string}} Limited */

/**
 * Returns the limits of a rule about values, or of what an alert kept of its rule.
 * @param {Limited} rule
 * @returns {{value: number, text: string, tone: string}[]}
 */
export function limitsOfRule(rule) {
  return rule.kind === "threshold" ? linesOf(rule) : [];
}

/**
 * Returns the limits of a rule about how values change, which are those of the change.
 * @param {Limited} rule
 */
export function limitsOfChange(rule) {
  return rule.kind === "rate_of_change" ? linesOf(rule) : [];
}

/** @param {Limited} rule */
function linesOf(rule) {
  const tone = TONES[rule.severity ?? "warning"] ?? "late";
  const limits = [];
  if (typeof rule.above === "number")
    limits.push({ value: rule.above, text: `above ${numeral(rule.above)}`, tone });
  if (typeof rule.below === "number")
    limits.push({ value: rule.below, text: `below ${numeral(rule.below)}`, tone });
  return limits;
}
