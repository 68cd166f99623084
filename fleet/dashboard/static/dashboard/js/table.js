/** Tables whose rows are kept by key, pages of lists, and what stands in place of no rows. */

import { get, getPage } from "./api.js";
import { button, fill, h, icon } from "./dom.js";

/**
 * @template Item
 * @typedef {object} Column
 * @property {(item: Item) => import("./dom.js").Child | import("./dom.js").Child[]} cell
 * @property {string} [class]
 * @property {string} [label] said before the value where rows are stacked
 */

/**
 * A table body that keeps one row per key. A refetch or an event changes only the cells that look different, so
 * that nothing is taken away from under a pointer or the keyboard.
 * @template Item
 */
export class Rows {
  /**
   * @param {HTMLElement} table
   * @param {{key: (item: Item) => string, columns: Column<Item>[]}} how
   *   handlers inside cells look their item up by key when they run: it may have changed since
   */
  constructor(table, { key, columns }) {
    this.table = table;
    this.body = /** @type {HTMLTableSectionElement} */ (table.querySelector("tbody"));
    this.key = key;
    this.columns = columns;
    /** @type {Map<string, Item>} */
    this.items = new Map();
    /** @type {Map<string, HTMLTableRowElement>} */
    this.rows = new Map();
  }

  /** @param {Item[]} items in the order in which they are shown */
  show(items) {
    const before = this.rows;
    this.items = new Map(items.map((item) => [this.key(item), item]));
    this.rows = new Map(
      [...this.items].map(([key, item]) => {
        const kept = before.get(key);
        if (kept) this.refresh(kept, item);
        return [key, kept ?? this.make(item)];
      }),
    );
    for (const row of [...this.body.rows]) if (![...this.rows.values()].includes(row)) row.remove();
    let place = this.body.firstElementChild;
    for (const row of this.rows.values()) {
      if (row === place) place = place.nextElementSibling;
      else this.body.insertBefore(row, place);
    }
    this.table.removeAttribute("aria-busy");
  }

  /**
   * Shows `items`, or in the place of none what `nothing` returns.
   * @param {Item[]} items
   * @param {HTMLElement} empty its place, beside the table
   * @param {() => Node} nothing
   */
  showOr(items, empty, nothing) {
    this.show(items);
    this.table.hidden = !items.length;
    empty.hidden = items.length > 0;
    if (!items.length) fill(empty, nothing());
  }

  /**
   * Shows `item` in its row; null if it is not on this page.
   * @param {Item} item
   * @returns {HTMLTableRowElement | null}
   */
  update(item) {
    const key = this.key(item);
    const row = this.rows.get(key);
    if (!row) return null;
    this.items.set(key, item);
    this.refresh(row, item);
    return row;
  }

  /** @param {Item} item @returns {HTMLTableRowElement} */
  make(item) {
    return h(
      "tr",
      { "data-key": this.key(item) },
      this.columns.map((column) => makeCell(column, item)),
    );
  }

  /** @param {HTMLTableRowElement} row @param {Item} item */
  refresh(row, item) {
    this.columns.forEach((column, index) => {
      const fresh = makeCell(column, item);
      if (!looksLike(row.cells[index], fresh)) row.cells[index].replaceChildren(...fresh.childNodes);
    });
  }
}

/**
 * Returns whether both hold the same; details that the reader opened stay open.
 * @param {HTMLElement} shown
 * @param {HTMLElement} fresh
 */
function looksLike(shown, fresh) {
  if (!shown.querySelector("details[open]")) return shown.isEqualNode(fresh);
  const closed = /** @type {HTMLElement} */ (shown.cloneNode(true));
  for (const details of closed.querySelectorAll("details")) details.open = false;
  return closed.isEqualNode(fresh);
}

/**
 * @template Item
 * @param {Column<Item>} column
 * @param {Item} item
 */
function makeCell(column, item) {
  return h("td", { class: column.class, "data-label": column.label }, column.cell(item));
}

/**
 * Returns the row of a table's headings.
 * @param {[string, string][]} heads words and class of each
 */
export function headRow(heads) {
  return h(
    "tr",
    {},
    heads.map(([words, name]) => h("th", { scope: "col", class: name }, words)),
  );
}

/** One list of the API, page by page: knows which page is shown, and asks again for the same one. */
export class Pages {
  /**
   * @param {HTMLElement} pager the place for its buttons
   * @param {(results: any[], page: import("./api.js").Page) => void} show
   */
  constructor(pager, show) {
    this.pager = pager;
    this.show = show;
    /** @type {AbortController | null} */
    this.running = null;
  }

  /** Whether an answer is still to come. */
  get isAsking() {
    return this.running !== null;
  }

  /** @param {string} path @param {import("./api.js").Query} query */
  open(path, query) {
    this.first = (/** @type {AbortSignal} */ signal) => get(path, query, signal);
    return this.load(this.first);
  }

  /** Asks for the same page again. */
  refresh() {
    return this.load(this.asked);
  }

  /** @type {(signal: AbortSignal) => Promise<import("./api.js").Page>} */
  asked = () => Promise.resolve({ next: null, previous: null, results: [] });

  /** Asks for the first page. */
  first = this.asked;

  /** @param {(signal: AbortSignal) => Promise<import("./api.js").Page>} ask */
  async load(ask) {
    this.running?.abort();
    const running = new AbortController();
    this.running = running;
    this.asked = ask;
    let page;
    try {
      page = await ask(running.signal);
    } finally {
      if (this.running === running) this.running = null;
    }
    if (running.signal.aborted) return;
    // All rows of a later page are gone, and an empty one knows no neighbours: those before it may be there.
    if (!page.results.length && ask !== this.first) return this.load(this.first);
    this.show(page.results, page);
    this.showPager(page);
  }

  /** @param {import("./api.js").Page} page */
  showPager(page) {
    const { next, previous } = page;
    const more = Boolean(next || previous);
    /** @param {string | null} url */
    const turn = (url) => async () => {
      if (!url) return;
      await this.load((signal) => getPage(url, signal));
      this.pager.closest(".card")?.scrollIntoView({ block: "start" });
    };
    const back = button("Previous", { icon: "left", press: turn(previous) });
    const on = button("Next", { press: turn(next) });
    on.append(icon("right"));
    back.disabled = !previous;
    on.disabled = !next;
    fill(this.pager, more && [back, on]);
  }
}

/**
 * Returns what stands in place of no rows: what it means and what to do next.
 * @param {{icon: string, title: string, text?: string, actions?: Node[]}} options
 */
export function emptyState({ icon: name, title, text = "", actions = [] }) {
  return h(
    "div",
    { class: "empty" },
    icon(name),
    h("h3", {}, title),
    text && h("p", {}, text),
    actions.length > 0 && h("div", { class: "actions" }, actions),
  );
}
