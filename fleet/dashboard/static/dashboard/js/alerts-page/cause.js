/** What fired an alert, shown as its rule's kind asks for. */

import { ApiError } from "../api.js";
import { fill, h, icon } from "../dom.js";
import { at } from "../time.js";
import { report } from "../toast.js";
import { viewer } from "../viewer.js";
import { LogsCause } from "./cause-logs.js";
import { RevisionCause } from "./cause-revision.js";
import { GatewayCause, SilenceCause } from "./cause-silence.js";
import { ValuesCause } from "./cause-values.js";

// The service writes moments in texts so.
const UTC_MOMENT = /(\d{4}-\d\d-\d\d) (\d\d:\d\d:\d\d) UTC/;

/** @typedef {{show: (alert: any) => Promise<void>}} Shown */

/** What the service says of its bridges. */
class BridgesCause {
  /** @param {HTMLElement} place */
  constructor(place) {
    this.place = place;
  }

  /** @param {any} alert */
  async show({ detail, resolved_at }) {
    const words = detail || "Nothing was kept of what was wrong.";
    fill(
      this.place,
      h(
        "div",
        { class: "notice", "data-tone": resolved_at ? "info" : "bad" },
        icon("warning"),
        h("p", {}, resolved_at && "At the end: ", localTimes(words)),
      ),
      viewer.staff && h("p", { class: "small" }, h("a", { href: "/ingest/" }, "How ingest is now")),
    );
  }
}

/** @type {Record<string, {note: string, make: new (place: HTMLElement) => Shown}>} */
const CAUSES = {
  threshold: { note: "The episode is shaded, the limits are dashed.", make: ValuesCause },
  rate_of_change: { note: "The episode is shaded, the limits are dashed.", make: ValuesCause },
  staleness: { note: "When the sensor was heard", make: SilenceCause },
  gateway_silence: { note: "The gateway's silent sensors", make: GatewayCause },
  bridge_away: { note: "What is wrong with the bridges", make: BridgesCause },
  log_severity: { note: "The messages that count, newest first", make: LogsCause },
  configuration_failure: { note: "The revision that was not taken", make: RevisionCause },
};

/** What fired one alert; knows when there is nothing left to ask for. */
export class Cause {
  /**
   * @param {{section: HTMLElement, note: HTMLElement, place: HTMLElement}} parts of the page
   * @param {string} kind of the alert's rule
   */
  constructor({ section, note, place }, kind) {
    this.place = place;
    const known = CAUSES[kind];
    section.hidden = !known;
    note.textContent = known?.note ?? "";
    /** @type {Shown | null} */
    this.shown = known ? new known.make(place) : null;
  }

  /** @param {any} alert */
  async show(alert) {
    try {
      await this.shown?.show(alert);
    } catch (error) {
      if (!(error instanceof ApiError) || error.status !== 404) {
        report(error);
        return;
      }
      this.shown = null;
      fill(this.place, h("p", { class: "soft" }, "The sensor was deleted, and with it what it sent."));
    }
    this.place.removeAttribute("aria-busy");
  }
}

/**
 * Returns `text` with its moments in the reader's time zone.
 * @param {string} text
 */
function localTimes(text) {
  // With two groups, every third piece is text again.
  const pieces = text.split(UTC_MOMENT);
  return pieces.map((piece, index) => {
    if (index % 3 === 0) return piece;
    return index % 3 === 1 ? at(`${piece}T${pieces[index + 1]}Z`) : null;
  });
}
