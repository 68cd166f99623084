/** Limits of threshold rules as lines of a chart and as words. */

import { numeral } from "./format.js";

/** @type {Record<string, string>} */
const TONES = { info: "info", warning: "late", critical: "down" };

/**
 * Returns the limits of a rule, or of what an alert kept of its rule.
 * @param {{kind?: string, above?: number | null, below?: number | null, severity?: string}} rule
 * @returns {{value: number, text: string, tone: string}[]}
 */
export function limitsOfRule(rule) {
  if (rule.kind !== "threshold") return [];
  const tone = TONES[rule.severity ?? "warning"] ?? "late";
  const limits = [];
  if (typeof rule.above === "number")
    limits.push({ value: rule.above, text: `above ${numeral(rule.above)}`, tone });
  if (typeof rule.below === "number")
    limits.push({ value: rule.below, text: `below ${numeral(rule.below)}`, tone });
  return limits;
}
