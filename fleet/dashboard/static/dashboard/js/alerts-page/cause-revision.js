/** The revision that a sensor refused or did not acknowledge, and what it would have changed. */

import { get } from "../api.js";
import { fill, h } from "../dom.js";
import { pill } from "../format.js";
import { diffTable, revisionAddress, revisionCourse } from "../sensor-page/revision.js";

export class RevisionCause {
  /** @param {HTMLElement} place */
  constructor(place) {
    this.place = place;
  }

  /** @param {any} alert whose value is the revision's number */
  async show({ sensor, value: number }) {
    const path = `sensors/${sensor}/configurations/${number}/`;
    const [revision, diff] = await Promise.all([
      get(path),
      get(`${path}diff/`, { against: number ? number - 1 : null }),
    ]);
    fill(
      this.place,
      h(
        "div",
        { class: "sensor-title" },
        h("h3", {}, h("a", { href: revisionAddress(sensor, number) }, `Revision ${number}`)),
        pill(revision.state),
        revision.comment && h("span", { class: "break" }, `“${revision.comment}”`),
      ),
      revisionCourse(revision),
      h("div", { class: "table-wrap" }, diffTable(revision.configuration, diff)),
    );
  }
}
