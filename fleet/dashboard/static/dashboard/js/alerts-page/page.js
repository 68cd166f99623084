/** The list of alerts: open ones first, filtered, live. */

import {
  acknowledge,
  canAcknowledge,
  canResolve,
  resolve,
  silence,
  subjectLink,
  valueWords,
} from "../alert-actions.js";
import { button, gathered, h, part } from "../dom.js";
import { Filters } from "../filters.js";
import { count, pill } from "../format.js";
import { offerNetworks } from "../networks.js";
import { showSegments } from "../segments.js";
import { startShell } from "../shell.js";
import { onStats } from "../stats.js";
import { emptyState, Pages, Rows } from "../table.js";
import { ago, at, duration } from "../time.js";
import { report, toast } from "../toast.js";
import { networkName, viewer } from "../viewer.js";
import { showSilences } from "./silences.js";

// Up to so many sensors a page can listen to everything that they say; beyond that it asks.
const LISTEN_UP_TO = 2_000;
const STATS_EVERY_MS = 10_000;
const HEARD_PAUSE_MS = 300;

/** @type {{name: string, words: string, states: string[]}[]} */
const VIEWS = [
  { name: "", words: "Open", states: ["firing", "pending"] },
  { name: "firing", words: "Firing", states: ["firing"] },
  { name: "pending", words: "Pending", states: ["pending"] },
  { name: "resolved", words: "Resolved", states: ["resolved"] },
  { name: "all", words: "All", states: [] },
];

const live = startShell({ statsEvery_ms: STATS_EVERY_MS });
const form = /** @type {HTMLFormElement} */ (part("filters"));
offerNetworks(form);
const rows = new Rows(part("alerts"), {
  key: (/** @type {any} */ alert) => String(alert.id),
  columns: [
    { class: "aside", cell: (alert) => pill(alert.severity) },
    { class: "lead", cell: nameCell },
    { cell: (alert) => [subjectLink(alert), h("span", { class: "sub" }, networkName(alert.network))] },
    { class: "aside", cell: stateCell },
    { class: "nowrap", label: "since", cell: sinceCell },
    { class: "wide", cell: acknowledgedCell },
    { class: "wide end", cell: actionsCell },
  ],
});
const pages = new Pages(part("pager"), show);
const filters = new Filters(form, () => void open(), { state: "" });
const refreshSoon = gathered(() => void pages.refresh().catch(report), HEARD_PAUSE_MS);
let open_counts = "";

void showSilences(refreshSoon);
live.on("alert", refreshSoon);
live.on("refresh", refreshSoon);
onStats(({ sensors, alerts }) => {
  const networks = sensors.total <= LISTEN_UP_TO ? viewer.networks.map(({ slug }) => slug) : [];
  void live.watch({ networks });
  // Counts that change say that something happened, also where nothing is heard.
  const counts = JSON.stringify(alerts);
  if (open_counts && counts !== open_counts) refreshSoon();
  open_counts = counts;
});
void open();

function silenced() {
  refreshSoon();
  void showSilences(refreshSoon);
  toast("Silenced.");
}

async function open() {
  showViews();
  const { state, ...query } = filters.values();
  rows.table.setAttribute("aria-busy", "true");
  try {
    await pages.open("alerts/", { ...query, state: viewOf(state).states });
  } catch (error) {
    report(error);
  }
}

/** @param {string} name */
function viewOf(name) {
  return VIEWS.find((view) => view.name === name) ?? VIEWS[0];
}

function showViews() {
  const current = viewOf(filters.values().state);
  showSegments(part("states"), VIEWS, current.name, (state) => filters.set({ state }));
}

/** @param {any[]} alerts @param {import("../api.js").Page} page */
function show(alerts, page) {
  rows.showOr(alerts, part("alerts-empty"), nothing);
  part("count").textContent = alerts.length ? `${count(alerts.length)}${page.next ? "+" : ""}` : "";
}

function nothing() {
  if (filters.any) {
    return emptyState({
      icon: "search",
      title: "No alert matches",
      actions: [
        button("Show open alerts", {
          press: () => filters.set({ state: "", sensor: "", network: "", severity: "" }),
        }),
      ],
    });
  }
  return emptyState({
    icon: "tick",
    title: "Nothing is open",
    text: "No rule is violated at the moment. Rules say what to watch.",
    actions: [h("a", { class: "button", href: "/rules/" }, "To the rules")],
  });
}

/** @param {any} alert */
function nameCell(alert) {
  return [
    h("a", { class: "name", href: `/alerts/${alert.id}/` }, alert.rule_name),
    h(
      "span",
      { class: "sub" },
      [valueWords(alert), alert.backfilled && "from data that came late"].filter(Boolean).join(" · "),
    ),
  ];
}

/** @param {any} alert */
function stateCell(alert) {
  return [pill(alert.state), alert.flapping && pill("flapping"), alert.silenced && pill("silenced")];
}

/** @param {any} alert */
function sinceCell(alert) {
  if (!alert.resolved_at) return ago(alert.started_at);
  const length_s = (Date.parse(alert.resolved_at) - Date.parse(alert.started_at)) / 1000;
  return [at(alert.started_at), h("span", { class: "sub" }, `for ${duration(length_s)}`)];
}

/** @param {any} alert */
function acknowledgedCell(alert) {
  if (!alert.acknowledged_at) return null;
  return [
    h("span", {}, `by ${alert.acknowledged_by ?? "a deleted user"} `, ago(alert.acknowledged_at)),
    alert.acknowledgement && h("span", { class: "sub" }, `“${alert.acknowledgement}”`),
  ];
}

/** @param {any} alert */
function actionsCell(alert) {
  const current = () => rows.items.get(String(alert.id)) ?? alert;
  const changed = (/** @type {string} */ words) => (/** @type {any} */ fresh) => {
    rows.update(fresh);
    refreshSoon();
    toast(words);
  };
  return h(
    "div",
    { class: "actions" },
    canAcknowledge(alert) &&
      button("Acknowledge", {
        icon: "check",
        press: () => void acknowledge(current(), changed("Acknowledged.")),
      }),
    canResolve(alert) &&
      button("Silence", {
        icon: "silence",
        tone: "quiet",
        only: true,
        press: () => void silence(current(), () => silenced()),
      }),
    canResolve(alert) &&
      button("Resolve", { tone: "quiet", press: () => void resolve(current(), changed("Resolved.")) }),
  );
}
