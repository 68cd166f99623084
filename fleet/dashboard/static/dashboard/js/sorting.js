/** Columns that sort the page of rows that is shown, by a button in their heading. */

import { fill, h, icon } from "./dom.js";

/** @typedef {(item: any) => string | number | null} Measure what a column sorts by; null stands last */

export class Sorting {
  /**
   * @param {HTMLElement} table whose headings carry data-sort
   * @param {Record<string, Measure>} measures by the name in data-sort
   * @param {() => void} changed
   */
  constructor(table, measures, changed) {
    this.measures = measures;
    this.changed = changed;
    /** @type {string | null} */
    this.by = null;
    this.descending = false;
    this.heads = [.../** @type {NodeListOf<HTMLElement>} */ (table.querySelectorAll("th[data-sort]"))];
    for (const head of this.heads) {
      const words = head.textContent ?? "";
      fill(head, h("button", { type: "button", click: () => this.press(head.dataset.sort ?? "") }, words));
    }
  }

  /**
   * First ascending, then descending, then as the server sent them.
   * @param {string} name
   */
  press(name) {
    if (this.by !== name) [this.by, this.descending] = [name, false];
    else if (!this.descending) this.descending = true;
    else [this.by, this.descending] = [null, false];
    for (const head of this.heads) this.mark(head);
    this.changed();
  }

  /** @param {HTMLElement} head */
  mark(head) {
    head.querySelector("svg")?.remove();
    head.removeAttribute("aria-sort");
    if (head.dataset.sort !== this.by) return;
    head.setAttribute("aria-sort", this.descending ? "descending" : "ascending");
    head.querySelector("button")?.append(icon(this.descending ? "descending" : "ascending"));
  }

  /**
   * @template Item
   * @param {Item[]} items
   * @returns {Item[]}
   */
  sorted(items) {
    const measure = this.by === null ? null : this.measures[this.by];
    if (!measure) return items;
    const sign = this.descending ? -1 : 1;
    return [...items].sort((one, other) => {
      const [left, right] = [measure(one), measure(other)];
      if (left === null || right === null) return Number(left === null) - Number(right === null);
      if (typeof left === "string") return sign * left.localeCompare(String(right));
      return sign * (left - Number(right));
    });
  }
}
