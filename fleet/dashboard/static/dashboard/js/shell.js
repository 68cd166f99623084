/** What every page has: the bar with connection, theme and menu, ticking times, the badge of open alerts. */

import { part } from "./dom.js";
import { count } from "./format.js";
import { Live } from "./live.js";
import { askSoon, followStats, onStats } from "./stats.js";
import { bindTheme } from "./theme.js";
import { keepTimes, zone } from "./time.js";

const STATS_EVERY_MS = 30_000;

/** @type {Record<import("./live.js").LiveState, string>} */
const WORDS = {
  connecting: "Connecting",
  live: "Live",
  reconnecting: "Reconnecting",
  offline: "Offline",
  crowded: "Not live",
};
const CROWDED = "You have as many live pages open as one person may have. Close some; this one asks again by itself.";

/**
 * Brings the frame of the page to life and returns its live connection, which connects when the page
 * first says what to watch.
 * @param {{statsEvery_ms?: number}} [options]
 * @returns {Live}
 */
export function startShell({ statsEvery_ms = STATS_EVERY_MS } = {}) {
  bindTheme(part("theme"));
  bindMenu(/** @type {HTMLDetailsElement} */ (part("user-menu")));
  part("zone").textContent = zone();
  keepTimes();
  const connection = part("connection");
  const live = new Live((state) => {
    connection.dataset.state = state;
    connection.textContent = WORDS[state];
    connection.title = state === "crowded" ? CROWDED : "";
  });
  onStats((stats) => showAlertCount(stats.alerts?.firing));
  onStats((stats) => showClaimCount(stats.claims_waiting));
  live.on("alert", askSoon);
  live.on("refresh", askSoon);
  followStats(statsEvery_ms);
  return live;
}

/** @param {number | undefined} firing */
function showAlertCount(firing) {
  const badge = part("alert-count");
  badge.hidden = !firing;
  badge.textContent = firing ? count(firing) : "";
  badge.title = firing ? "firing" : "";
}

/** @param {number | undefined} waiting devices that somebody may admit */
function showClaimCount(waiting) {
  for (const badge of document.querySelectorAll("[data-part=claim-count]")) {
    /** @type {HTMLElement} */ (badge).hidden = !waiting;
    // A flood of them must not push the bar aside.
    badge.textContent = waiting && waiting > 99 ? "99+" : String(waiting || "");
    /** @type {HTMLElement} */ (badge).title = waiting ? `${count(waiting)} claims wait` : "";
  }
}

/** @param {HTMLDetailsElement} menu closes when the reader goes elsewhere */
function bindMenu(menu) {
  document.addEventListener("click", (event) => {
    if (!menu.contains(/** @type {Node} */ (event.target))) menu.open = false;
  });
  menu.addEventListener("keydown", (event) => {
    if (event.key !== "Escape" || !menu.open) return;
    menu.open = false;
    menu.querySelector("summary")?.focus();
  });
}
