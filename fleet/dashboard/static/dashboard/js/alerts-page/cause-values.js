/** The values around an episode on a chart; of a rule about change also how much each one changed. */

import { get } from "../api.js";
import { SeriesChart } from "../chart.js";
import { fill, h } from "../dom.js";
import { count } from "../format.js";
import { limitsOfChange, limitsOfRule } from "../limits.js";
import { Series } from "../series.js";
import { now } from "../time.js";

// Before and after the episode as much again, at least and at most so much.
const LEAST_AROUND_S = 300;
const MOST_AROUND_S = 86_400;
const POINTS = 500;
// Changes are from one measurement to the next, so all of them are needed: what one page of the API holds.
const MOST_CHANGES = 1_000;

export class ValuesCause {
  /** @param {HTMLElement} place */
  constructor(place) {
    this.host = h("div", { class: "charts", "data-count": "1", "aria-busy": "true" });
    this.note = h("p", { class: "soft small", hidden: true });
    fill(place, this.host, this.note);
    /** @type {SeriesChart[]} */
    this.charts = [];
    this.asked = 0;
  }

  /** @param {any} alert */
  async show(alert) {
    this.asked += 1;
    const asked = this.asked;
    const span = spanAround(alert);
    const query = { start: iso(span.first_s), end: iso(span.last_s) };
    const { attribute, kind } = alert.rule_snapshot;
    const path = `sensors/${alert.sensor}/`;
    const series = new Series(
      attribute,
      await get(`${path}series/`, { attribute, points: POINTS, ...query }),
    );
    const all = [{ series, limits: limitsOfRule(alert.rule_snapshot) }];
    let note = "";
    if (kind === "rate_of_change") {
      const measured = series.counts.reduce((sum, number) => sum + number, 0);
      if (measured > MOST_CHANGES)
        note = `Changes are drawn for up to ${count(MOST_CHANGES)} measurements; these are ${count(measured)}.`;
      else {
        const { results } = await get(`${path}measurements/`, { limit: MOST_CHANGES, ...query });
        all.unshift({ series: changes(attribute, results), limits: limitsOfChange(alert.rule_snapshot) });
      }
    }
    if (asked !== this.asked) return;
    this.note.hidden = !note;
    this.note.textContent = note;
    this.draw(all, span, Boolean(alert.resolved_at));
    this.host.removeAttribute("aria-busy");
  }

  /**
   * @param {{series: Series, limits: {value: number, text: string, tone: string}[]}[]} all
   * @param {Span} span
   * @param {boolean} isOver
   */
  draw(all, { start_s, end_s, first_s, last_s }, isOver) {
    const episodes = [{ start_s, end_s: isOver ? end_s : null }];
    if (this.charts.length !== all.length) {
      for (const chart of this.charts) chart.destroy();
      this.host.dataset.count = String(all.length);
      this.charts = all.map(
        ({ series, limits }, index) =>
          new SeriesChart(this.host, series, { colour: index + 1, sync: "alert", limits, episodes }),
      );
    }
    this.charts.forEach((chart, index) => {
      chart.series = all[index].series;
      chart.options.episodes = episodes;
      chart.show(first_s, last_s);
    });
  }
}

/** @typedef {{start_s: number, end_s: number, first_s: number, last_s: number}} Span the episode, and what is drawn */

/** @param {any} alert @returns {Span} */
function spanAround(alert) {
  const now_s = now() / 1000;
  const start_s = Date.parse(alert.started_at) / 1000;
  // A sensor's clock may be ahead.
  const end_s = Math.max(alert.resolved_at ? Date.parse(alert.resolved_at) / 1000 : now_s, start_s);
  const around_s = Math.min(Math.max(end_s - start_s, LEAST_AROUND_S), MOST_AROUND_S);
  const last_s = Math.min(end_s + around_s, Math.max(now_s, end_s));
  return { start_s, end_s, first_s: start_s - around_s, last_s };
}

/**
 * Returns how much `attribute` changed per minute, at the later one's time of each two measurements.
 * @param {string} attribute
 * @param {any[]} measurements newest first
 */
function changes(attribute, measurements) {
  const points = [];
  /** @type {{at_ms: number, value: number} | null} */
  let before = null;
  for (const { measured_at, value } of [...measurements].reverse()) {
    if (typeof value[attribute] !== "number") continue;
    const sample = { at_ms: Date.parse(measured_at), value: value[attribute] };
    if (before && sample.at_ms > before.at_ms) {
      const change = ((sample.value - before.value) * 60_000) / (sample.at_ms - before.at_ms);
      points.push({ start: measured_at, count: 1, min: change, mean: change, max: change });
    }
    before = sample;
  }
  return new Series(`${attribute}, change per minute`, { bucket_s: 0, points });
}

/** @param {number} moment_s */
function iso(moment_s) {
  return new Date(moment_s * 1000).toISOString();
}
