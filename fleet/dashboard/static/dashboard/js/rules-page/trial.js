/** Trying a rule on the past before it is saved: how often it would have fired, and when, on a chart. */

import { ApiError, get, post } from "../api.js";
import { SeriesChart } from "../chart.js";
import { button, fill, h } from "../dom.js";
import { clearErrors, field, showErrors, text } from "../form.js";
import { count, quantity } from "../format.js";
import { limitsOfRule } from "../limits.js";
import { Series } from "../series.js";
import { at, duration, now } from "../time.js";
import { report } from "../toast.js";

const DAY_S = 86_400;
// Before everything that is stored.
const FIRST_S = Date.UTC(2000, 0, 1) / 1000;
const RANGES = [
  ...[1, 7, 30, 90, 365].map((days) => ({
    value: String(days),
    text: days === 1 ? "the last day" : `the last ${days} days`,
  })),
  { value: "", text: "all that is stored" },
];
const POINTS = 600;
const EPISODES_LISTED = 5;

/**
 * Returns the part of a rule's form that tries the rule.
 * @param {(form: HTMLFormElement) => Record<string, unknown>} ruleOf what would be sent to save it
 */
export function trialPart(ruleOf) {
  const range = field({
    name: "trial_days",
    label: "Try it on",
    kind: "select",
    value: "30",
    choices: RANGES,
  });
  const words = h("div", { class: "trial-words", role: "status" });
  const sensors = /** @type {HTMLSelectElement} */ (
    h("select", { class: "select", "aria-label": "Sensor of the chart", hidden: true })
  );
  const charts = h("div", { class: "charts trial-chart", hidden: true });
  const start = button("Try it", {
    press: () => void run(/** @type {HTMLFormElement} */ (root.closest("form"))),
  });
  const root = h(
    "section",
    { class: "trial", "aria-label": "Try it on the past" },
    h("div", { class: "row trial-start" }, range, start),
    words,
    sensors,
    charts,
  );
  /** @type {SeriesChart | null} */
  let chart = null;

  /** @param {HTMLFormElement} form */
  async function run(form) {
    clearErrors(form);
    start.disabled = true;
    fill(words, h("p", { class: "soft" }, "Looking at what was measured …"));
    try {
      const end_s = now() / 1000;
      const days = text(form, "trial_days");
      const start_s = days ? end_s - Number(days) * DAY_S : FIRST_S;
      const rule = ruleOf(form);
      const found = await post("alert-rules/backtest/", {
        ...rule,
        start: new Date(start_s * 1000).toISOString(),
        end: new Date(end_s * 1000).toISOString(),
      });
      fill(words, ...summary(found));
      await showCharts(found, rule);
      root.scrollIntoView({ block: "end" });
    } catch (error) {
      fill(words);
      if (error instanceof ApiError) showErrors(form, error);
      else report(error);
    } finally {
      start.disabled = false;
    }
  }

  /** @param {any} found @param {any} rule */
  async function showCharts(found, rule) {
    const names = busiest(found.episodes);
    fill(
      sensors,
      names.map(([name, number]) => h("option", { value: name }, `${name}: ${quantity(number, "alert")}`)),
    );
    sensors.hidden = names.length < 2;
    charts.hidden = !names.length;
    const draw = () => drawChart(sensors.value, found, rule).catch(report);
    sensors.onchange = () => void draw();
    if (names.length) await draw();
  }

  /** @param {string} name @param {any} found @param {any} rule */
  async function drawChart(name, found, rule) {
    // Without a start the series begins with what is stored.
    const start = Date.parse(found.start) / 1000 > FIRST_S ? found.start : undefined;
    const query = { attribute: rule.attribute, start, end: start && found.end, points: POINTS };
    const series = new Series(rule.attribute, await get(`sensors/${name}/series/`, query));
    chart?.destroy();
    chart = new SeriesChart(charts, series, {
      colour: 1,
      limits: limitsOfRule(rule),
      episodes: found.episodes
        .filter((/** @type {any} */ episode) => episode.sensor === name)
        .map((/** @type {any} */ episode) => ({
          start_s: Date.parse(episode.started_at) / 1000,
          end_s: episode.resolved_at ? Date.parse(episode.resolved_at) / 1000 : null,
        })),
    });
    if (start) chart.show(Date.parse(start) / 1000, Date.parse(found.end) / 1000);
    else chart.show(series.starts[0], series.starts[series.length - 1] + series.bucket_s);
  }

  return root;
}

/** @param {any} found @returns {Node[]} */
function summary(found) {
  if (!found.samples) return [h("p", {}, "Nothing was measured in this time that the rule looks at.")];
  const looked = `${quantity(found.samples, "value")} of ${quantity(found.sensors, "sensor")} looked at.`;
  const early = found.cleared_early
    ? ` ${quantity(found.cleared_early, "violation")} cleared before ${found.cleared_early === 1 ? "it" : "they"} fired.`
    : "";
  if (!found.fired) return [h("p", {}, h("b", {}, "It would never have fired."), `${early} ${looked}`)];
  const listed = found.episodes.slice(0, EPISODES_LISTED);
  return [
    h(
      "p",
      {},
      h("b", {}, `${quantity(found.fired, "alert")} would have fired`),
      `, for ${duration(found.firing_s)} in all.${early} ${looked}`,
    ),
    h(
      "ul",
      { class: "trial-list small" },
      ...listed.map((/** @type {any} */ episode) =>
        h("li", {}, `${episode.sensor}, `, at(episode.started_at), ", ", lengthOf(episode, found.end)),
      ),
      found.fired > listed.length &&
        h("li", { class: "soft" }, `and ${count(found.fired - listed.length)} more`),
    ),
  ];
}

/** @param {any} episode @param {string} end */
function lengthOf(episode, end) {
  const until = Date.parse(episode.resolved_at ?? end);
  const words = duration((until - Date.parse(episode.started_at)) / 1000);
  return episode.resolved_at ? `for ${words}` : `for ${words}, and still`;
}

/** @param {any[]} episodes @returns {[string, number][]} sensors by how many they have, most first */
function busiest(episodes) {
  /** @type {Map<string, number>} */
  const numbers = new Map();
  for (const { sensor } of episodes) numbers.set(sensor, (numbers.get(sensor) ?? 0) + 1);
  return [...numbers].sort(([, one], [, other]) => other - one);
}
