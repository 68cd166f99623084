/** The limits of the rules that hold for this sensor, by attribute. */

import { getAll } from "../api.js";
import { limitsOfRule } from "../limits.js";
import { report } from "../toast.js";

// Lines of more rules than this could not be told apart anyway.
const MOST_RULES = 1_000;

/** @typedef {Map<string, {value: number, text: string, tone: string}[]>} Limits */

/**
 * @param {any} sensor as the API shows it
 * @returns {Promise<Limits>}
 */
export async function limitsOf(sensor) {
  /** @type {Limits} */
  const limits = new Map();
  try {
    const query = { network: sensor.network, kind: "threshold", enabled: true };
    for (const rule of await getAll("alert-rules/", query, MOST_RULES)) {
      if (!holdsFor(rule, sensor)) continue;
      limits.set(rule.attribute, [...(limits.get(rule.attribute) ?? []), ...limitsOfRule(rule)]);
    }
  } catch (error) {
    report(error);
  }
  return limits;
}

/** @param {any} rule @param {any} sensor */
function holdsFor(rule, sensor) {
  if (rule.scope === "sensors") return rule.sensors.includes(sensor.identifier);
  if (rule.scope === "labels")
    return Object.entries(rule.labels).every(([key, item]) => sensor.labels[key] === item);
  return true;
}
