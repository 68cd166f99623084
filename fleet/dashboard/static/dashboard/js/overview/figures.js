/** The strip of figures and the tiles of networks above the sensors. */

import { fill, h, icon, part, renew } from "../dom.js";
import { count, quantity, rate } from "../format.js";
import { ago } from "../time.js";
import { networkName } from "../viewer.js";

export const STATUSES = ["up", "late", "down", "new"];
const SEVERITIES = ["critical", "warning", "info"];
// More tiles than this say less than the filter of networks does.
const MOST_TILES = 12;
// A bridge at work is at most a second or two behind.
const DELAY_SHOWN_FROM_S = 15;

/**
 * @param {any} stats as of `stats/`
 * @param {Record<string, string>} filters
 * @param {(name: string, value: string) => void} toggle
 */
export function showFigures(stats, filters, toggle) {
  renew(
    part("status-figures"),
    h("div", { class: "figure" }, h("b", {}, count(stats.sensors.total)), h("span", {}, "total")),
    STATUSES.map((status) =>
      h(
        "button",
        {
          class: "figure",
          type: "button",
          "aria-pressed": String(filters.status === status),
          click: () => toggle("status", status),
        },
        h("b", {}, count(stats.sensors[status])),
        h("span", {}, h("i", { class: "dot", "data-status": status }), status),
      ),
    ),
  );
  showBar(part("status-bar"), stats.sensors);
  const open = stats.alerts ?? {};
  renew(
    part("alert-figures"),
    SEVERITIES.map((severity) =>
      h(
        "a",
        { class: "figure", href: `/alerts/?severity=${severity}` },
        h("b", {}, count(open[severity])),
        h("span", {}, h("i", { class: "dot", "data-status": severity }), severity),
      ),
    ),
  );
  const { last_minute: lastMinute } = stats.measurements;
  renew(
    part("ingest-figures"),
    h(
      "div",
      { class: "figure", title: "Measured within the last minute" },
      h("b", {}, rate(lastMinute === null ? null : lastMinute / 60)),
      h("span", {}, "measurements/s"),
    ),
    h(
      "div",
      { class: "figure", title: "Different messages of the last 24 hours that could not be stored" },
      h("b", {}, count(stats.rejected_last_day)),
      h("span", {}, "rejected in 24 h"),
    ),
  );
  part("figures").removeAttribute("aria-busy");
  showDelay(stats);
}

/**
 * Says that nobody is judged silent while the bridge is away.
 * @param {any} stats
 */
function showDelay(stats) {
  const behind_s = (Date.parse(stats.at) - Date.parse(stats.judged_at)) / 1000;
  const place = part("delay");
  place.hidden = behind_s < DELAY_SHOWN_FROM_S;
  if (place.hidden) return;
  const since =
    Date.parse(stats.judged_at) > 0 ? ["It has stored everything up to ", ago(stats.judged_at), "."] : [];
  fill(
    place,
    icon("warning"),
    h(
      "p",
      {},
      h("b", {}, "The bridge is away or behind. "),
      ...since,
      " Until it has caught up, no sensor counts as newly silent.",
    ),
  );
}

/**
 * Shows a tile for each network, those with silent sensors first.
 * @param {any[]} networks as of `stats/networks/`
 * @param {Record<string, string>} filters
 * @param {(name: string, value: string) => void} toggle
 */
export function showNetworks(networks, filters, toggle) {
  const strip = part("networks");
  // With one network the figures above say it all.
  strip.hidden = networks.length < 2;
  if (strip.hidden) return;
  const shown = [...networks].sort(
    (one, other) => other.down + other.late - one.down - one.late || other.total - one.total,
  );
  renew(
    strip,
    shown.slice(0, MOST_TILES).map((network) => {
      const bar = h("span", { class: "share-bar", "aria-hidden": "true" });
      showBar(bar, network);
      return h(
        "button",
        {
          class: "network-tile",
          type: "button",
          "aria-pressed": String(filters.network === network.network),
          click: () => toggle("network", network.network),
        },
        h(
          "span",
          { class: "top" },
          h("b", {}, networkName(network.network)),
          h("span", { class: "figures" }, count(network.total)),
        ),
        h("span", { class: "sub" }, wordsOf(network)),
        bar,
      );
    }),
    shown.length > MOST_TILES &&
      h(
        "p",
        { class: "soft small" },
        `${quantity(shown.length - MOST_TILES, "more network")} in the filter below`,
      ),
  );
}

/** @param {any} counts */
function wordsOf(counts) {
  const words = STATUSES.filter((status) => counts[status]).map(
    (status) => `${count(counts[status])} ${status}`,
  );
  return words.join(" · ") || "no sensors";
}

/**
 * Shows the shares of the statuses as one bar.
 * @param {HTMLElement} bar
 * @param {any} counts
 */
function showBar(bar, counts) {
  fill(
    bar,
    STATUSES.filter((status) => counts[status]).map((status) => {
      const share = h("i", { "data-status": status });
      share.style.flexGrow = String(counts[status]);
      return share;
    }),
  );
}
