/** One revision: how far it is, and its values against those of any other revision. */

import { get } from "../api.js";
import { button, fill, h, part } from "../dom.js";
import { pill } from "../format.js";
import { at } from "../time.js";
import { report } from "../toast.js";

export class RevisionView {
  /**
   * @param {string} path of the sensor's revisions in the API
   * @param {{restore: ((revision: any) => void) | null, edit: ((revision: any) => void) | null}} actions
   */
  constructor(path, actions) {
    this.path = path;
    this.actions = actions;
    /** @type {number | null} */
    this.shown = null;
    /** What to compare with; null: the one before. @type {number | null} */
    this.against = null;
    this.asked = 0;
  }

  /** @param {any} revision @param {number | null} newest */
  async show(revision, newest) {
    if (this.shown !== revision.revision) this.against = null;
    this.shown = revision.revision;
    const number = revision.revision;
    const against = this.against ?? (number ? number - 1 : null);
    this.asked += 1;
    const asked = this.asked;
    try {
      const diff = await get(`${this.path}${number}/diff/`, { against });
      if (asked === this.asked) this.fill(revision, newest, diff);
    } catch (error) {
      report(error);
    }
  }

  /** @param {any} revision @param {number | null} newest @param {any} diff */
  fill(revision, newest, diff) {
    const place = part("revision");
    const hadFocus = place.contains(document.activeElement) && document.activeElement?.tagName === "INPUT";
    const isNewest = revision.revision === newest;
    const { restore, edit } = this.actions;
    const compare = newest !== null && newest > 0 ? this.compareField(revision, newest, diff.against) : null;
    fill(
      place,
      h(
        "div",
        { class: "page-head" },
        h("h3", {}, `Revision ${revision.revision}`),
        pill(revision.state),
        h(
          "div",
          { class: "actions" },
          !isNewest && restore && button("Restore", { icon: "undo", press: () => restore(revision) }),
          edit &&
            button("Edit", {
              icon: "edit",
              press: () => edit(revision),
              label: `Edit a copy of revision ${revision.revision}`,
            }),
        ),
      ),
      revisionCourse(revision),
      compare,
      diffTable(revision.configuration, diff),
    );
    if (hadFocus) place.querySelector("input")?.focus();
  }

  /** @param {any} revision @param {number} newest @param {number | null} against */
  compareField(revision, newest, against) {
    const input = h("input", {
      class: "input",
      type: "number",
      min: "0",
      max: String(newest),
      value: against === null ? "" : String(against),
      placeholder: "–",
      change: () => {
        const number = Number(input.value);
        if (input.value === "" || !Number.isInteger(number) || number < 0 || number > newest) return;
        this.against = number;
        void this.show(revision, newest);
      },
    });
    return h("label", { class: "compare" }, "Compared with revision", input);
  }
}

/** Returns what became of a revision, step by step. @param {any} revision */
export function revisionCourse(revision) {
  const steps = /** @type {[string, string | null][]} */ ([
    [`created by ${revision.created_by ?? "a command or a deleted user"}`, revision.created_at],
    ["published", revision.published_at],
    ["failed", revision.failed_at],
    ["acknowledged", revision.acknowledged_at],
    ["superseded", revision.superseded_at],
  ]);
  return h(
    "ul",
    { class: "steps" },
    steps
      .filter(([, moment]) => moment)
      .map(([words, moment]) => h("li", {}, `${words} `, at(/** @type {string} */ (moment)))),
  );
}

/** Returns where one revision of a sensor is shown. @param {string} sensor @param {number} number */
export function revisionAddress(sensor, number) {
  return `/sensors/${sensor}/?revision=${number}#configuration-heading`;
}

/**
 * Returns all values as a table in which what differs is marked, in words and in colour.
 * @param {Record<string, unknown>} values
 * @param {{added: Record<string, unknown>, removed: Record<string, unknown>, changed: Record<string, {from: unknown, to: unknown}>}} diff
 */
export function diffTable(values, diff) {
  const keys = [...new Set([...Object.keys(values), ...Object.keys(diff.removed)])].sort((one, other) =>
    one.localeCompare(other),
  );
  if (!keys.length) return h("p", { class: "soft" }, "Empty: the sensor uses its own defaults.");
  return h(
    "table",
    { class: "diff" },
    h(
      "thead",
      {},
      h(
        "tr",
        {},
        h("th", { scope: "col" }, "Key"),
        h("th", { scope: "col" }, "Value"),
        h("th", { scope: "col" }, "Change"),
      ),
    ),
    h(
      "tbody",
      {},
      keys.map((key) => {
        const change = changeOf(key, diff);
        return h(
          "tr",
          { "data-change": change },
          h("td", {}, key),
          h("td", {}, JSON.stringify(change === "removed" ? diff.removed[key] : values[key])),
          h("td", {}, change === "changed" ? `was ${JSON.stringify(diff.changed[key].from)}` : change),
        );
      }),
    ),
  );
}

/** @param {string} key @param {any} diff */
function changeOf(key, diff) {
  if (key in diff.added) return "added";
  if (key in diff.removed) return "removed";
  if (key in diff.changed) return "changed";
  return null;
}
