/** The charts of the chosen attributes over a range of time that may follow the clock. */

import { address, get } from "../api.js";
import { SeriesChart } from "../chart.js";
import { publishLine } from "../connect-help.js";
import { button, fill, gathered, h, icon, oncePerFrame, part } from "../dom.js";
import { numeral } from "../format.js";
import { Series } from "../series.js";
import { emptyState } from "../table.js";
import { exact } from "../time.js";
import { report } from "../toast.js";
import { RangePicker } from "./range.js";
import { limitsOf } from "./limits.js";

// About one bucket for every second pixel: more cannot be seen.
const PIXELS_PER_POINT = 2;
const MOST_POINTS = 1_000;
// How often a range that follows the clock moves on.
const MOVE_EVERY_MS = 1_000;
// Measurements that came late are fetched again so long after the first of them.
const LATE_PAUSE_MS = 3_000;
const TABLE_ROWS = 200;

export class ChartPanel {
  /**
   * @param {string} path of the sensor in the API
   * @param {import("./attributes.js").AttributeList} attributes
   */
  constructor(path, attributes) {
    this.path = path;
    this.attributes = attributes;
    this.host = part("charts");
    /** @type {Map<string, SeriesChart>} */
    this.charts = new Map();
    /** @type {AbortController | null} */
    this.running = null;
    this.range = new RangePicker(() => void this.load());
    this.paint = oncePerFrame(() => this.show());
    this.loadLate = gathered(() => void this.load(), LATE_PAUSE_MS);
    part("chart-data").addEventListener("toggle", () => this.showTable());
    setInterval(() => {
      if (!document.hidden && this.range.follows) this.paint();
    }, MOVE_EVERY_MS);
  }

  /** @param {any} sensor as the API shows it */
  async start(sensor) {
    this.identifier = sensor.identifier;
    this.range.reach(sensor.latest?.measured_at);
    this.limits = await limitsOf(sensor);
    await this.load();
  }

  /** @param {string[]} chosen */
  async choose(chosen) {
    const parameters = new URLSearchParams(location.search);
    parameters.delete("attribute");
    for (const name of chosen) parameters.append("attribute", name);
    history.replaceState(null, "", `?${parameters}`);
    await this.load();
  }

  async load() {
    this.running?.abort();
    const running = new AbortController();
    this.running = running;
    const chosen = this.attributes.drawn();
    this.host.setAttribute("aria-busy", "true");
    const points = Math.min(MOST_POINTS, Math.max(60, Math.round(this.host.clientWidth / PIXELS_PER_POINT)));
    const query = this.range.query();
    try {
      const answers = await Promise.all(
        chosen.map((attribute) =>
          get(`${this.path}series/`, { attribute, points, ...query }, running.signal),
        ),
      );
      if (running.signal.aborted) return;
      this.draw(answers.map((answer) => new Series(answer.attribute, answer)));
      this.showExports(query);
    } catch (error) {
      if (!running.signal.aborted) report(error);
    } finally {
      if (this.running === running) this.host.removeAttribute("aria-busy");
    }
  }

  /** @param {Series[]} all */
  draw(all) {
    for (const chart of this.charts.values()) chart.destroy();
    this.charts.clear();
    fill(this.host);
    this.host.dataset.count = String(all.length || 1);
    for (const series of all) {
      const chart = new SeriesChart(this.host, series, {
        colour: this.attributes.colour(series.attribute),
        sync: "sensor",
        limits: this.limits?.get(series.attribute),
        onZoom: (start_s, end_s) => this.range.zoom(start_s, end_s),
        whenEmpty: () => button("Show all there is", { press: () => this.range.showAll() }),
      });
      this.charts.set(series.attribute, chart);
    }
    if (!all.length) fill(this.host, this.nothing());
    this.show();
    this.showTable();
  }

  nothing() {
    if (this.attributes.numeric.size) {
      return emptyState({
        icon: "live",
        title: "Nothing is drawn",
        text: "Check a number in the list of values to draw it.",
      });
    }
    const state = emptyState({
      icon: "live",
      title: "No measurements yet",
      text: "They appear here by themselves. To send one by hand:",
    });
    state.append(publishLine(this.identifier ?? ""));
    return state;
  }

  show() {
    const all = [...this.charts.values()];
    const [start_s, end_s] = this.range.window(all.map((chart) => chart.series));
    for (const chart of all) {
      if (this.range.follows) chart.series.forget(start_s);
      chart.show(start_s, end_s);
    }
  }

  /** @param {any} measurement */
  hear(measurement) {
    if (!this.range.open) return;
    const measured_s = Date.parse(measurement.measured_at) / 1000;
    const [start_s] = this.range.window([]);
    if (this.range.follows && measured_s < start_s) return;
    for (const [attribute, chart] of this.charts) {
      const item = measurement.value[attribute];
      if (typeof item === "number" && !chart.series.add(measured_s, item)) this.loadLate();
    }
    this.paint();
  }

  /** @param {import("../api.js").Query} query */
  showExports({ start, end }) {
    const link = (/** @type {string} */ format) =>
      h(
        "a",
        {
          class: "button quiet",
          href: address(`${this.path}measurements/export/`, { format, start, end }),
          download: true,
        },
        icon("download"),
        format === "csv" ? "CSV" : "NDJSON",
      );
    fill(
      part("export"),
      h("span", { class: "soft small" }, "Export this range"),
      link("csv"),
      link("ndjson"),
    );
  }

  /** The same numbers for who cannot see the charts. */
  showTable() {
    const details = /** @type {HTMLDetailsElement} */ (part("chart-data"));
    const wrap = /** @type {HTMLElement} */ (details.querySelector(".table-wrap"));
    const all = [...this.charts.values()].map((chart) => chart.series);
    if (!details.open || !all.length) {
      fill(wrap);
      return;
    }
    const moments = [...new Set(all.flatMap((series) => series.starts))].sort((one, other) => other - one);
    const places = all.map((series) => new Map(series.starts.map((start, index) => [start, index])));
    fill(
      wrap,
      h(
        "table",
        { class: "table" },
        h("caption", { class: "spoken" }, "Mean, least and most of each span of time"),
        h(
          "thead",
          {},
          h(
            "tr",
            {},
            h("th", { scope: "col" }, "From"),
            all.map((series) => h("th", { scope: "col", class: "number" }, series.attribute)),
          ),
        ),
        h(
          "tbody",
          {},
          moments.slice(0, TABLE_ROWS).map((moment) =>
            h(
              "tr",
              {},
              h("td", {}, exact(moment * 1000)),
              all.map((series, index) =>
                h("td", { class: "number" }, wordsOf(series, places[index].get(moment))),
              ),
            ),
          ),
        ),
      ),
      moments.length > TABLE_ROWS &&
        h("p", { class: "soft" }, `The newest ${TABLE_ROWS} of ${moments.length}; the export has all.`),
    );
  }
}

/** @param {Series} series @param {number | undefined} index */
function wordsOf(series, index) {
  if (index === undefined) return "";
  const mean = numeral(series.means[index]);
  return series.counts[index] === 1
    ? mean
    : `${mean} (${numeral(series.least[index])} to ${numeral(series.most[index])})`;
}
