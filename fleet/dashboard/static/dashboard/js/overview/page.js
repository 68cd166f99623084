/** The overview: counts, networks, and the table of sensors, all of them live. */

import { get, getAll } from "../api.js";
import { button, part } from "../dom.js";
import { Filters } from "../filters.js";
import { offer } from "../form.js";
import { offerNetworks } from "../networks.js";
import { addSensor } from "../sensor-forms.js";
import { startShell } from "../shell.js";
import { askSoon, onStats } from "../stats.js";
import { report } from "../toast.js";
import { networksWith, viewer } from "../viewer.js";
import { showFigures, showNetworks } from "./figures.js";
import { SensorTable } from "./sensor-table.js";

// Counting an hour of a large fleet takes up to a second.
const STATS_EVERY_MS = 10_000;

const live = startShell({ statsEvery_ms: STATS_EVERY_MS });
const table = new SensorTable(live, {
  clear: () => filters.set({ search: "", network: "", gateway: "", status: "", label: "" }),
});
const form = /** @type {HTMLFormElement} */ (part("filters"));
const select = (/** @type {string} */ name) =>
  /** @type {HTMLSelectElement} */ (form.elements.namedItem(name));
const filters = new Filters(form, apply);
/** @type {any} */
let stats = null;
/** @type {any[]} */
let networks = [];

onStats((fresh) => {
  stats = fresh;
  showStats();
  if (viewer.networks.length > 1) void askNetworks();
});
live.on("status", askSoon);

offerNetworks(form);
void offerGateways();
if (networksWith("operator").length) {
  part("page-actions").append(
    button("Add sensor", { icon: "plus", press: () => void addSensor({ then: () => void table.refresh() }) }),
  );
}
part("clear-filters").addEventListener("click", () => table.clear());
apply(filters.values());

/** @param {Record<string, string>} values */
function apply(values) {
  part("clear-filters").hidden = !filters.any;
  showStats();
  void table.open(values, filters.any);
}

function showStats() {
  if (!stats) return;
  showFigures(stats, filters.values(), toggle);
  showNetworks(networks, filters.values(), toggle);
  table.showCount(stats, filters.any);
}

async function askNetworks() {
  try {
    networks = (await get("stats/networks/")).results;
    showNetworks(networks, filters.values(), toggle);
  } catch (error) {
    report(error);
  }
}

/**
 * Filters by `value`, or no longer when it is the one already.
 * @param {string} name
 * @param {string} value
 */
function toggle(name, value) {
  filters.set({ [name]: filters.values()[name] === value ? "" : value });
}

async function offerGateways() {
  try {
    const gateways = await getAll("gateways/", {}, 2_000);
    const choices = gateways.map(({ identifier, name }) => ({ value: identifier, text: name || identifier }));
    offer(select("gateway"), choices);
  } catch (error) {
    report(error);
  }
}
