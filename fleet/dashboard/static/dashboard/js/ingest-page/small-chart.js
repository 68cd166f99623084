/** A small chart of one or two lines over the last minutes; it begins at zero and moves on with the clock. */

import uPlot from "../../vendor/uplot/uPlot.esm.js";

import { colourOf, translucent } from "../chart.js";
import { fill, h } from "../dom.js";
import { onThemeChange } from "../theme.js";
import { axisTexts, brief } from "../time.js";

const AXIS_FONT = "11px Inter, system-ui, sans-serif";
const WINDOW_S = 300;

/**
 * @typedef {object} Line
 * @property {string} name
 * @property {number} colour which series colour, 1 to 8
 * @property {number} field which field of a sample
 */

export class SmallChart {
  /**
   * @param {string} title
   * @param {Line[]} lines
   * @param {{axis: (value: number) => string, value: (value: number | null) => string, least: number}} options
   * axis and value: as text, on the axis and in the legend; least: the axis reaches at least so far
   */
  constructor(title, lines, options) {
    this.lines = lines;
    this.options = options;
    /** @type {(number | null)[][]} */
    this.columns = [[], ...lines.map(() => [])];
    this.end_s = 0;
    this.legend = h("span", { class: "reading" });
    this.canvas = h("div", { class: "chart-canvas", role: "img", "aria-label": `Chart of ${title}` });
    this.root = h(
      "div",
      { class: "chart" },
      h("div", { class: "chart-head" }, h("b", {}, title), this.legend),
      this.canvas,
    );
    /** @type {any} */
    this.plot = null;
    new ResizeObserver(() => this.resize()).observe(this.canvas);
    onThemeChange(() => this.make());
  }

  /**
   * @param {(number | null)[][]} samples as of `ingest/`
   * @param {number} end_s where the axis ends
   */
  show(samples, end_s) {
    this.end_s = end_s;
    this.columns = [0, ...this.lines.map((line) => line.field)].map((field) =>
      samples.map((sample) => sample[field]),
    );
    if (this.plot) this.plot.setData(this.columns);
    else this.make();
    this.read();
  }

  make() {
    if (!this.canvas.isConnected) return;
    this.plot?.destroy();
    const soft = colourOf("--text-soft", this.canvas);
    const grid = { stroke: colourOf("--line", this.canvas), width: 1 };
    const axis = { stroke: soft, font: AXIS_FONT, grid, ticks: { show: false }, gap: 6 };
    const colours = this.lines.map((line) => colourOf(`--series-${line.colour}`, this.canvas));
    this.plot = new uPlot(
      {
        width: Math.max(this.canvas.clientWidth, 100),
        height: Math.max(this.canvas.clientHeight, 80),
        legend: { show: false },
        cursor: {
          y: false,
          drag: { x: false, y: false },
          points: { size: 6 },
          sync: { key: "ingest", setSeries: false },
        },
        scales: {
          x: { time: true, range: () => [this.end_s - WINDOW_S, this.end_s] },
          y: { range: (_, __, most) => [0, Math.max((most ?? 0) * 1.08, this.options.least)] },
        },
        axes: [
          {
            ...axis,
            size: 24,
            space: 60,
            values: (_, splits) => axisTexts(splits, 60).map((text) => text.split("\n")[0]),
          },
          {
            ...axis,
            size: 52,
            space: 30,
            values: (_, splits) => splits.map((split) => this.options.axis(split)),
          },
        ],
        series: [
          {},
          ...colours.map((colour, index) => ({
            stroke: colour,
            width: 1.5,
            fill: index === 0 ? translucent(colour) : undefined,
            points: { show: false },
            spanGaps: false,
          })),
        ],
        hooks: { setCursor: [() => this.read()] },
      },
      /** @type {any} */ (this.columns),
      this.canvas,
    );
  }

  resize() {
    const { clientWidth: width, clientHeight: height } = this.canvas;
    if (this.plot && width && (this.plot.width !== width || this.plot.height !== height))
      this.plot.setSize({ width, height });
  }

  /** Shows the values under the cursor with their time, else the newest. */
  read() {
    const pointed = this.plot?.cursor.idx;
    const times = this.columns[0];
    const index = pointed ?? times.length - 1;
    const time = pointed === null || pointed === undefined ? null : times[index];
    fill(
      this.legend,
      this.lines.map((line, number) =>
        h(
          "span",
          { class: "legend-item" },
          h("i", { class: "swatch", "data-series": line.colour }),
          `${line.name} `,
          h("b", {}, this.options.value(this.columns[number + 1][index] ?? null)),
        ),
      ),
      time && ` ${brief(time * 1000)}`,
    );
  }
}
