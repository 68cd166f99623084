/** The newest values of the sensor; those that are checked are drawn. */

import { fill, h, oncePerFrame, part } from "../dom.js";
import { value } from "../format.js";
import { ago, exact } from "../time.js";

const COLOURS = 8;
// Drawn at first: enough to see what the sensor is about without scrolling.
const CHOSEN_AT_FIRST = 3;

export class AttributeList {
  /**
   * @param {HTMLElement} host
   * @param {(chosen: string[]) => void} choose
   */
  constructor(host, choose) {
    this.host = host;
    this.choose = choose;
    /** Whether each attribute was ever a number. @type {Map<string, boolean>} */
    this.numeric = new Map();
    /** @type {Map<string, HTMLElement>} */
    this.outputs = new Map();
    /** @type {string[] | null} */
    this.chosen = null;
    /** The newest measurement. @type {any} */
    this.latest = null;
    /** The newest value of each attribute: sensors may send theirs in turns. @type {Map<string, {value: unknown, measured_at: string}>} */
    this.values = new Map();
    this.paintSoon = oncePerFrame(() => this.paint());
  }

  /**
   * @param {{name: string, kinds: string[]}[]} names
   * @param {any[]} measurements the newest ones
   */
  show(names, measurements) {
    for (const { name, kinds } of names) this.numeric.set(name, kinds.includes("number"));
    for (const measurement of measurements) this.take(measurement);
    this.build();
  }

  /** @param {any} measurement */
  take(measurement) {
    const { measured_at } = measurement;
    if (!this.latest || measured_at >= this.latest.measured_at) this.latest = measurement;
    for (const [name, item] of Object.entries(measurement.value)) {
      const known = this.values.get(name);
      if (!known || measured_at >= known.measured_at) this.values.set(name, { value: item, measured_at });
    }
  }

  /** @returns {string[]} attributes that are drawn, in the order of the list */
  drawn() {
    const numeric = [...this.numeric].filter(([, isNumber]) => isNumber).map(([name]) => name);
    const fromAddress = new URLSearchParams(location.search).getAll("attribute");
    this.chosen ??= fromAddress.length ? fromAddress : numeric.slice(0, CHOSEN_AT_FIRST);
    return numeric.filter((name) => this.chosen?.includes(name));
  }

  /** @param {string} name @returns {number} 1 to 8, the same wherever the attribute is shown */
  colour(name) {
    const index = [...this.numeric.keys()].indexOf(name);
    return (Math.max(index, 0) % COLOURS) + 1;
  }

  /** @param {any} measurement */
  hear(measurement) {
    this.take(measurement);
    let isNew = false;
    for (const [name, item] of Object.entries(measurement.value)) {
      const isNumber = typeof item === "number";
      if (!this.numeric.has(name) || (isNumber && !this.numeric.get(name))) {
        this.numeric.set(name, isNumber);
        isNew = true;
      }
    }
    if (isNew) {
      // The first numbers that ever came are drawn.
      if (!this.chosen?.length) this.chosen = null;
      this.build();
      this.choose(this.drawn());
    } else this.paintSoon();
  }

  build() {
    this.numeric = new Map([...this.numeric].sort(([one], [other]) => one.localeCompare(other)));
    const drawn = new Set(this.drawn());
    this.outputs.clear();
    fill(
      this.host,
      [...this.numeric].map(([name, isNumber]) => this.row(name, isNumber, drawn.has(name))),
    );
    if (!this.numeric.size) fill(this.host, h("p", { class: "attribute soft" }, "No values yet"));
    this.paint();
  }

  /** @param {string} name @param {boolean} isNumber @param {boolean} checked */
  row(name, isNumber, checked) {
    const output = h("span", { class: "value" });
    this.outputs.set(name, output);
    if (!isNumber) return h("div", { class: "attribute" }, h("span", { class: "key" }, name), output);
    const box = h("input", {
      type: "checkbox",
      checked,
      change: () => {
        const chosen = new Set(this.drawn());
        if (box.checked) chosen.add(name);
        else chosen.delete(name);
        this.chosen = [...chosen];
        this.choose(this.drawn());
      },
    });
    const swatch = h("span", { class: "swatch", "data-series": this.colour(name) });
    return h("label", { class: "attribute" }, box, swatch, h("span", { class: "key" }, name), output);
  }

  paint() {
    for (const [name, output] of this.outputs) {
      const known = this.values.get(name);
      const text = known ? value(known.value) : "–";
      if (output.textContent !== text) output.textContent = text;
      output.classList.toggle("soft", known?.measured_at !== this.latest?.measured_at);
      output.title = known ? exact(known.measured_at) : "";
    }
    fill(
      part("latest-time"),
      ...(this.latest
        ? ["Measured ", ago(this.latest.measured_at), ` with revision ${this.latest.revision}`]
        : []),
    );
  }
}
