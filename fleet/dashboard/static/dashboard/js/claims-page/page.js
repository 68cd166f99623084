/** Devices that ask for a place in a network, and what operators decide; beside them the codes. */

import { h, part } from "../dom.js";
import { Filters } from "../filters.js";
import { labelChips, pill, quantity } from "../format.js";
import { offerNetworks } from "../networks.js";
import { showSegments } from "../segments.js";
import { startShell } from "../shell.js";
import { askSoon } from "../stats.js";
import { emptyState, Pages, Rows } from "../table.js";
import { ago } from "../time.js";
import { report } from "../toast.js";
import { may, networkName } from "../viewer.js";
import { CodeList } from "./codes.js";
import { admit, admitMany, admitOtherwise, refuse, refuseMany } from "./decide.js";
import { claimActions, chosenBar } from "./parts.js";

// Claims make no live events.
const AGAIN_EVERY_MS = 5_000;
/** The states of the API behind each choice. @type {Record<string, string[]>} */
const STATES = {
  waiting: ["waiting"],
  admitted: ["approved", "collected"],
  refused: ["refused"],
  all: [],
};
const CHOICES = [
  { name: "waiting", words: "Waiting" },
  { name: "admitted", words: "Admitted" },
  { name: "refused", words: "Refused" },
  { name: "all", words: "All" },
];
/** What else may be said of who waits. @type {Record<string, string>} */
const HINTS = {
  approved: "It fetches its login when it asks next",
  collected: "It has fetched its login",
};

/** Ids of the rows that are chosen. @type {Set<number>} */
const chosen = new Set();
/** Ids of those that are being decided one by one. @type {Set<number>} */
const deciding = new Set();

startShell().watch({});
const form = /** @type {HTMLFormElement} */ (part("filters"));
offerNetworks(form);
const rows = new Rows(part("claims"), {
  key: (/** @type {any} */ claim) => String(claim.id),
  columns: [
    { class: "choice", cell: choiceCell },
    { class: "lead", cell: deviceCell },
    { class: "wide", cell: networkCell },
    { label: "from", class: "mono nowrap", cell: (claim) => claim.address || "–" },
    { label: "asked", class: "wide nowrap", cell: askedCell },
    { class: "wide end", cell: actionsCell },
  ],
});
const pages = new Pages(part("claims-pager"), show);
const filters = new Filters(form, () => void open(), { state: "waiting" });
const codes = new CodeList({ network: () => filters.values().network, then: () => void refresh() });
void open();
setInterval(() => {
  // Asking again gives up what is under way: answers that take longer than this would never come.
  if (!document.hidden && !pages.isAsking && !codes.pages.isAsking) void refresh();
}, AGAIN_EVERY_MS);

async function open() {
  const { state, ...values } = filters.values();
  const picked = state in STATES ? state : "waiting";
  chosen.clear();
  showSegments(part("states"), CHOICES, picked, (name) => filters.set({ state: name }));
  await Promise.all([
    pages.open("claims/", { ...values, state: STATES[picked] }).catch(report),
    codes.open(),
  ]);
}

async function refresh() {
  await Promise.all([pages.refresh().catch(report), codes.refresh()]);
}

/** Shows what a decision changed, here and in the bar. */
async function changed() {
  askSoon();
  await refresh();
}

/**
 * Decides on one; a second press before its row is gone does nothing. Its buttons are not disabled for that: they
 * would lose the keyboard's focus.
 * @param {any} claim
 * @param {(claim: any) => Promise<boolean>} decision
 */
async function decide(claim, decision) {
  const { id } = claim;
  if (deciding.has(id)) return;
  deciding.add(id);
  try {
    if (await decision(rows.items.get(String(id)) ?? claim)) await changed();
  } finally {
    deciding.delete(id);
  }
}

/** @param {any[]} claims */
function show(claims) {
  const open = new Set(claims.filter(isMine).map((claim) => claim.id));
  for (const id of chosen) if (!open.has(id)) chosen.delete(id);
  keepingFocus(() => rows.showOr(claims, part("claims-empty"), nothing));
  showChosen();
}

/**
 * Draws the rows; if the one that had the keyboard's focus is gone, since it was decided, the next one has it.
 * @param {() => void} draw
 */
function keepingFocus(draw) {
  const row = document.activeElement?.closest("tr");
  const index = row ? [...rows.body.rows].indexOf(row) : -1;
  draw();
  if (index < 0 || row?.isConnected) return;
  const next = rows.body.rows[Math.min(index, rows.body.rows.length - 1)];
  /** @type {HTMLElement | null | undefined} */ (next?.querySelector(".actions button, a"))?.focus();
}

function nothing() {
  if (filters.any) {
    return emptyState({ icon: "search", title: "No claim matches" });
  }
  return emptyState({
    icon: "sensor",
    title: "No device waits",
    text: "A device that knows a claim code of a network asks for its place there, and waits here until somebody admits it.",
  });
}

/** @param {any} claim @returns {boolean} whether the reader decides on it */
function isMine(claim) {
  return claim.state === "waiting" && may(claim.network, "operator");
}

/** @returns {any[]} the claims that can be chosen */
function choosable() {
  return [...rows.items.values()].filter(isMine);
}

/** @returns {any[]} */
function chosenClaims() {
  return choosable().filter((claim) => chosen.has(claim.id));
}

// The bar's buttons stay while they look the same, so what they do looks up which claims there are when they are pressed.
function showChosen() {
  chosenBar(part("chosen"), {
    number: chosenClaims().length,
    all: choosable().length,
    choose: (every) => {
      chosen.clear();
      if (every) for (const claim of choosable()) chosen.add(claim.id);
      for (const box of rows.table.querySelectorAll("input[type=checkbox]")) {
        /** @type {HTMLInputElement} */ (box).checked = every;
        box.toggleAttribute("checked", every);
      }
      showChosen();
    },
    admit: () => void admitMany(chosenClaims()).then((done) => done && changed()),
    refuse: () => void refuseMany(chosenClaims()).then((done) => done && changed()),
  });
}

/** @param {any} claim */
function choiceCell(claim) {
  if (!isMine(claim)) return null;
  const box = h("input", {
    type: "checkbox",
    checked: chosen.has(claim.id),
    "aria-label": `Choose ${claim.identifier}`,
    change: () => {
      // As an attribute too, so that a row that is drawn again looks the same and stays.
      box.toggleAttribute("checked", box.checked);
      if (box.checked) chosen.add(claim.id);
      else chosen.delete(claim.id);
      showChosen();
    },
  });
  return box;
}

/** @param {any} claim */
function deviceCell({ identifier, name, labels, state, is_known, rivals }) {
  const isThere = state === "approved" || state === "collected";
  const warnings = [
    is_known && pill("warning", "exists already", "The network has a sensor of this identifier"),
    rivals > 0 &&
      pill("warning", `${quantity(rivals + 1, "device")} ask`, "Others wait for the same identifier"),
  ].filter(Boolean);
  return [
    h("span", { class: "name mono" }, isThere ? h("a", { href: `/sensors/${identifier}/` }, identifier) : identifier),
    name && h("span", { class: "sub" }, name),
    Object.keys(labels).length > 0 && h("span", { class: "chips" }, labelChips(labels)),
    warnings.length > 0 && h("span", { class: "chips" }, warnings),
  ];
}

/** @param {any} claim */
function networkCell({ network, code }) {
  return [networkName(network), h("span", { class: "sub" }, `by “${code}”`)];
}

/** @param {any} claim */
function askedCell({ first_asked_at, last_asked_at }) {
  return [ago(first_asked_at), h("span", { class: "sub" }, "last ", ago(last_asked_at))];
}

/** @param {any} claim */
function actionsCell(claim) {
  if (isMine(claim)) {
    return claimActions(claim, {
      admit: () => void decide(claim, admit),
      otherwise: () => void decide(claim, admitOtherwise),
      refuse: () => void decide(claim, refuse),
    });
  }
  const { state, decided_at, decided_by } = claim;
  return [
    pill(state, undefined, HINTS[state]),
    decided_at && h("span", { class: "sub" }, ago(decided_at), decided_by && ` by ${decided_by}`),
  ];
}
