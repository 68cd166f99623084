/** One attribute's chart by uPlot: the mean as a line, least to most as a band, limits of rules, episodes. */

import uPlot from "../vendor/uplot/uPlot.esm.js";

import { fill, h } from "./dom.js";
import { numeral } from "./format.js";
import { onThemeChange } from "./theme.js";
import { axisTexts, exact } from "./time.js";

const AXIS_FONT = "11px Inter, system-ui, sans-serif";
// All charts have the same room for the numbers, so that their times stand below one another.
const AXIS_WIDTH = 58;
// Single points are marked while they are far enough apart to be told.
const POINTS_SHOWN_BELOW = 80;

/** @type {Set<SeriesChart>} */
const charts = new Set();
onThemeChange(() => {
  for (const chart of charts) chart.redraw();
});

/**
 * @typedef {object} ChartOptions
 * @property {number} colour which series colour, 1 to 8
 * @property {string} [sync] charts of one name share their cursor
 * @property {{value: number, text: string, tone: string}[]} [limits] lines across
 * @property {{start_s: number, end_s: number | null}[]} [episodes] shaded spans; null: until the end
 * @property {(start_s: number, end_s: number) => void} [onZoom] the reader dragged over a range
 * @property {() => Node} [whenEmpty] what to offer where the range holds nothing
 */

export class SeriesChart {
  /**
   * @param {HTMLElement} host
   * @param {import("./series.js").Series} series
   * @param {ChartOptions} options
   */
  constructor(host, series, options) {
    this.series = series;
    this.options = options;
    /** @type {[number, number]} */
    this.window = [0, 1];
    this.reading = h("span", { class: "reading" });
    this.message = h("div", { class: "chart-message", hidden: true });
    this.canvas = h("div", {
      class: "chart-canvas",
      role: "img",
      "aria-label": `Chart of ${series.attribute}`,
    });
    this.root = h(
      "div",
      { class: "chart" },
      h(
        "div",
        { class: "chart-head" },
        h("span", { class: "swatch", "data-series": options.colour }),
        h("b", {}, series.attribute),
        this.reading,
      ),
      this.canvas,
      this.message,
    );
    host.append(this.root);
    this.plot = this.make();
    this.sizes = new ResizeObserver(() => this.resize());
    this.sizes.observe(this.canvas);
    charts.add(this);
  }

  make() {
    const colour = colourOf(`--series-${this.options.colour}`, this.canvas);
    const soft = colourOf("--text-soft", this.canvas);
    const line = colourOf("--line", this.canvas);
    const axis = { stroke: soft, font: AXIS_FONT, grid: { stroke: line, width: 1 }, ticks: { show: false } };
    return new uPlot(
      {
        ...this.size(),
        legend: { show: false },
        cursor: {
          y: false,
          drag: { x: true, y: false, setScale: false },
          sync: this.options.sync ? { key: this.options.sync, setSeries: false } : undefined,
          points: { size: 7 },
        },
        scales: {
          x: { time: true, range: () => this.window },
          y: { range: (_, least, most) => this.rangeOf(least, most) },
        },
        axes: [
          {
            ...axis,
            size: 42,
            gap: 6,
            space: 90,
            values: (_, splits, __, ___, step) => axisTexts(splits, step),
          },
          {
            ...axis,
            size: AXIS_WIDTH,
            gap: 6,
            space: 34,
            values: (_, splits) => splits.map((split) => numeral(split)),
          },
        ],
        series: [
          {},
          {
            stroke: colour,
            width: 1.75,
            points: { show: () => this.series.length < POINTS_SHOWN_BELOW, size: 5, fill: colour },
          },
          { stroke: "transparent", width: 0, points: { show: false } },
          { stroke: "transparent", width: 0, points: { show: false } },
        ],
        bands: [{ series: [3, 2], fill: translucent(colour) }],
        hooks: {
          drawAxes: [(plot) => this.drawEpisodes(plot)],
          draw: [(plot) => this.drawLimits(plot)],
          setCursor: [(plot) => this.read(plot)],
          setSelect: [(plot) => this.zoom(plot)],
        },
      },
      /** @type {any} */ (this.series.columns()),
      this.canvas,
    );
  }

  /** Makes the plot anew, with the colours as they are now. */
  redraw() {
    this.plot.destroy();
    this.plot = this.make();
  }

  destroy() {
    charts.delete(this);
    this.sizes.disconnect();
    this.plot.destroy();
    this.root.remove();
  }

  /**
   * Draws the series as it is now, in the span from `start_s` to `end_s`.
   * @param {number} start_s
   * @param {number} end_s
   */
  show(start_s, end_s) {
    this.window = [start_s, end_s];
    this.plot.setData(/** @type {any} */ (this.series.columns()));
    const isEmpty = !this.series.starts.some(
      (start) => start + this.series.bucket_s >= start_s && start <= end_s,
    );
    if (this.message.hidden === !isEmpty) return;
    this.message.hidden = !isEmpty;
    if (isEmpty) fill(this.message, h("p", {}, "No numbers in this range"), this.options.whenEmpty?.());
  }

  size() {
    return { width: Math.max(this.canvas.clientWidth, 100), height: Math.max(this.canvas.clientHeight, 80) };
  }

  resize() {
    const { width, height } = this.size();
    if (this.plot.width !== width || this.plot.height !== height) this.plot.setSize({ width, height });
  }

  /**
   * Returns the span of the y axis: the data with some room, and limits that are near enough to matter.
   * @param {number | null} least
   * @param {number | null} most
   * @returns {[number, number]}
   */
  rangeOf(least, most) {
    if (least === null || most === null || least === undefined || most === undefined) return [0, 1];
    const span = most - least || Math.abs(most) || 1;
    let [low, high] = [least, most];
    for (const { value } of this.options.limits ?? []) {
      // A far limit would press the curve flat.
      if (value >= least - span && value <= most + span)
        [low, high] = [Math.min(low, value), Math.max(high, value)];
    }
    const room = (high - low || Math.abs(high) || 1) * 0.08;
    return [low - room, high + room];
  }

  /** @param {any} plot */
  drawLimits(plot) {
    const { ctx, bbox } = plot;
    for (const { value, text, tone } of this.options.limits ?? []) {
      const { min, max } = plot.scales.y;
      if (value < min || value > max) continue;
      const y = Math.round(plot.valToPos(value, "y", true));
      ctx.save();
      ctx.strokeStyle = ctx.fillStyle = colourOf(`--${tone}`, this.canvas);
      ctx.lineWidth = devicePixelRatio;
      ctx.setLineDash([6 * devicePixelRatio, 4 * devicePixelRatio]);
      ctx.beginPath();
      ctx.moveTo(bbox.left, y);
      ctx.lineTo(bbox.left + bbox.width, y);
      ctx.stroke();
      ctx.font = `${11 * devicePixelRatio}px Inter, system-ui, sans-serif`;
      ctx.textAlign = "right";
      const above = y - bbox.top > 16 * devicePixelRatio;
      ctx.textBaseline = above ? "bottom" : "top";
      ctx.fillText(
        text,
        bbox.left + bbox.width - 4 * devicePixelRatio,
        y + (above ? -3 : 3) * devicePixelRatio,
      );
      ctx.restore();
    }
  }

  /** @param {any} plot */
  drawEpisodes(plot) {
    const { ctx, bbox } = plot;
    const [first, last] = this.window;
    ctx.save();
    ctx.fillStyle = translucent(colourOf("--down", this.canvas));
    for (const { start_s, end_s } of this.options.episodes ?? []) {
      const left = plot.valToPos(Math.max(start_s, first), "x", true);
      const right = plot.valToPos(Math.min(end_s ?? last, last), "x", true);
      ctx.fillRect(left, bbox.top, Math.max(right - left, devicePixelRatio), bbox.height);
    }
    ctx.restore();
  }

  /** @param {any} plot shows what is under the cursor */
  read(plot) {
    const { left } = plot.cursor;
    if (left === undefined || left < 0 || !this.series.length) {
      fill(this.reading);
      return;
    }
    const { starts, counts, means, least, most } = this.series;
    const index = this.series.nearest(plot.posToVal(left, "x"));
    const several = counts[index] > 1;
    const words = several
      ? `mean ${numeral(means[index])} (${numeral(least[index])} to ${numeral(most[index])})`
      : numeral(means[index]);
    fill(this.reading, h("b", {}, words), ` · ${exact(starts[index] * 1000)}`);
  }

  /** @param {any} plot */
  zoom(plot) {
    const { left, width } = plot.select;
    if (width < 4) return;
    plot.setSelect({ left: 0, top: 0, width: 0, height: 0 }, false);
    this.options.onZoom?.(plot.posToVal(left, "x"), plot.posToVal(left + width, "x"));
  }
}

/**
 * Returns a colour token as a colour that a canvas takes: tokens differ by scheme, only an element resolves them.
 * @param {string} token
 * @param {HTMLElement} place
 */
export function colourOf(token, place) {
  const probe = h("span", { hidden: true });
  probe.style.color = `var(${token})`;
  place.append(probe);
  const { color } = getComputedStyle(probe);
  probe.remove();
  return color;
}

/** @param {string} colour rgb(…) */
export function translucent(colour) {
  return colour.replace(/^rgba?\(([^,]+),([^,]+),([^,)]+).*$/, "rgba($1,$2,$3,0.16)");
}
