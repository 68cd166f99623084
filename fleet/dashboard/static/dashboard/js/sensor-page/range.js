/** Which span of time the charts show: one that follows the clock, all, or a fixed one; with a way back. */

import { ApiError } from "../api.js";
import { button, fill, h, part, renew } from "../dom.js";
import { field, showErrors, clearErrors, text } from "../form.js";
import { fieldValue, now } from "../time.js";

const PRESETS = [
  { name: "15m", words: "15 min", seconds: 900 },
  { name: "1h", words: "1 h", seconds: 3_600 },
  { name: "24h", words: "24 h", seconds: 86_400 },
  { name: "7d", words: "7 d", seconds: 604_800 },
  { name: "30d", words: "30 d", seconds: 2_592_000 },
];
const DEFAULT = "1h";
// Zooming in further shows single points and nothing else.
const SHORTEST_S = 5;

/**
 * @typedef {{kind: "last", name: string, seconds: number} | {kind: "all"} | {kind: "span", start_s: number, end_s: number}} Range
 */

export class RangePicker {
  /** @param {() => void} changed */
  constructor(changed) {
    this.changed = changed;
    /** @type {Range[]} */
    this.before = [];
    /** @type {Range} */
    this.range = fromAddress();
    this.form = /** @type {HTMLFormElement} */ (part("range-form"));
    this.earlier = button("Earlier", { icon: "left", only: true, press: () => this.move(-0.5) });
    this.later = button("Later", { icon: "right", only: true, press: () => this.move(0.5) });
    this.back = button("Zoom out", { icon: "zoom-out", only: true, press: () => this.goBack() });
    this.segments = h("div", { class: "segments", role: "group", "aria-label": "Range" });
    fill(part("chart-tools"), this.earlier, this.later, this.back, this.segments);
    this.buildForm();
    this.showTools();
  }

  /** Whether the range moves on with the clock. */
  get follows() {
    return this.range.kind === "last";
  }

  /** Whether what is measured now belongs to the range. */
  get open() {
    return this.range.kind !== "span" || this.range.end_s > now() / 1000;
  }

  /** @returns {{start?: string, end?: string}} the range as the API takes it */
  query() {
    if (this.range.kind === "all") return {};
    const [start_s, end_s] = this.window([]);
    return { start: new Date(start_s * 1000).toISOString(), end: new Date(end_s * 1000).toISOString() };
  }

  /**
   * Returns the span that is drawn, in seconds since 1970.
   * @param {import("../series.js").Series[]} all what is drawn; gives the span when the range is all there is
   * @returns {[number, number]}
   */
  window(all) {
    const now_s = now() / 1000;
    if (this.range.kind === "last") return [now_s - this.range.seconds, now_s];
    if (this.range.kind === "span") return [this.range.start_s, this.range.end_s];
    const filled = all.filter((series) => series.length);
    if (!filled.length) return [now_s - 86_400, now_s];
    const first = Math.min(...filled.map((series) => series.starts[0]));
    const last = Math.max(...filled.map((series) => series.starts[series.length - 1] + series.bucket_s));
    return [first, last];
  }

  /**
   * Widens a range that nobody chose until it holds the newest measurement: a page that opens shows something.
   * @param {string | undefined} measured_at
   */
  reach(measured_at) {
    const chosen = ["range", "start"].some((name) => new URLSearchParams(location.search).has(name));
    if (chosen || !measured_at || this.range.kind !== "last") return;
    const age_s = (now() - Date.parse(measured_at)) / 1000;
    if (age_s <= this.range.seconds) return;
    const preset = PRESETS.find(({ seconds }) => age_s <= seconds);
    this.range = preset ? { kind: "last", name: preset.name, seconds: preset.seconds } : { kind: "all" };
    this.showTools();
  }

  /** @param {number} start_s @param {number} end_s */
  zoom(start_s, end_s) {
    const middle_s = (start_s + end_s) / 2;
    const half_s = Math.max(end_s - start_s, SHORTEST_S) / 2;
    this.set({ kind: "span", start_s: middle_s - half_s, end_s: middle_s + half_s });
  }

  /** @param {number} share of the span by which it moves; negative is earlier */
  move(share) {
    const [start_s, end_s] = this.shown();
    const by_s = (end_s - start_s) * share;
    this.set({ kind: "span", start_s: start_s + by_s, end_s: end_s + by_s });
  }

  /** The span that is drawn, or a day where all is drawn and nothing is known of it here. */
  shown() {
    return this.window([]);
  }

  goBack() {
    const range = this.before.pop();
    if (!range) return;
    this.range = range;
    this.tell();
  }

  /** @param {Range} range */
  set(range) {
    this.before.push(this.range);
    this.range = range;
    this.tell();
  }

  tell() {
    const parameters = new URLSearchParams(location.search);
    for (const name of ["range", "start", "end"]) parameters.delete(name);
    if (this.range.kind === "span") {
      parameters.set("start", new Date(this.range.start_s * 1000).toISOString());
      parameters.set("end", new Date(this.range.end_s * 1000).toISOString());
    } else parameters.set("range", this.range.kind === "all" ? "all" : this.range.name);
    history.replaceState(null, "", `?${parameters}`);
    this.showTools();
    this.changed();
  }

  showTools() {
    const { range } = this;
    this.back.disabled = !this.before.length;
    this.earlier.disabled = range.kind === "all";
    this.later.disabled = range.kind !== "span";
    renew(
      this.segments,
      PRESETS.map(({ name, words, seconds }) =>
        this.segment(words, { kind: "last", name, seconds }, range.kind === "last" && range.name === name),
      ),
      this.segment("All", { kind: "all" }, range.kind === "all"),
      h(
        "button",
        {
          type: "button",
          "aria-pressed": String(range.kind === "span"),
          "aria-expanded": String(!this.form.hidden),
          click: () => this.toggleForm(),
        },
        "Custom",
      ),
    );
  }

  /** @param {string} words @param {Range} to @param {boolean} pressed */
  segment(words, to, pressed) {
    return h(
      "button",
      { type: "button", "aria-pressed": String(pressed), click: () => this.preset(to) },
      words,
    );
  }

  showAll() {
    this.set({ kind: "all" });
  }

  /** @param {Range} range */
  preset(range) {
    this.form.hidden = true;
    this.before = [];
    this.range = range;
    this.tell();
  }

  toggleForm() {
    this.form.hidden = !this.form.hidden;
    if (!this.form.hidden) {
      const [start_s, end_s] = this.shown();
      for (const [name, second] of /** @type {[string, number][]} */ ([
        ["start", start_s],
        ["end", end_s],
      ])) {
        /** @type {HTMLInputElement} */ (this.form.elements.namedItem(name)).value = fieldValue(
          second * 1000,
        );
      }
    }
    this.showTools();
  }

  buildForm() {
    fill(
      this.form,
      field({ name: "start", label: "From", kind: "datetime-local", step: "1" }),
      field({ name: "end", label: "To", kind: "datetime-local", step: "1" }),
      button("Show", { tone: "primary", type: "submit" }),
    );
    this.form.addEventListener("submit", (event) => {
      event.preventDefault();
      clearErrors(this.form);
      const start_s = Date.parse(text(this.form, "start")) / 1000;
      const end_s = Date.parse(text(this.form, "end")) / 1000;
      if (start_s < end_s) this.set({ kind: "span", start_s, end_s });
      else showErrors(this.form, new ApiError(400, "", { end: ["This must come after the start."] }));
    });
  }
}

/** @returns {Range} */
function fromAddress() {
  const parameters = new URLSearchParams(location.search);
  const start_s = Date.parse(parameters.get("start") ?? "") / 1000;
  const end_s = Date.parse(parameters.get("end") ?? "") / 1000;
  if (start_s < end_s) return { kind: "span", start_s, end_s };
  if (parameters.get("range") === "all") return { kind: "all" };
  const preset = PRESETS.find(({ name }) => name === (parameters.get("range") ?? DEFAULT)) ?? PRESETS[1];
  return { kind: "last", name: preset.name, seconds: preset.seconds };
}
