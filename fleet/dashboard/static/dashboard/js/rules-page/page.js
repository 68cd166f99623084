/** The list of rules, and what operators do to them. */

import { patch, post, remove } from "../api.js";
import { ask } from "../dialog.js";
import { button, fill, h, part } from "../dom.js";
import { Filters } from "../filters.js";
import { labelChips, pill, quantity } from "../format.js";
import { offerNetworks } from "../networks.js";
import { enabledSwitch, rowActions } from "../row-actions.js";
import { startShell } from "../shell.js";
import { emptyState, Pages, Rows } from "../table.js";
import { report, toast } from "../toast.js";
import { may, networkName, networksWith } from "../viewer.js";
import { editRule } from "./form.js";
import { condition, KINDS } from "./words.js";

const MATCHES_AT_ONCE = 4;
/** How many sensors each rule holds for, by its id. @type {Map<number, number>} */
const matched = new Map();

startShell().watch({});
const form = /** @type {HTMLFormElement} */ (part("filters"));
offerNetworks(form);
const rows = new Rows(part("rules"), {
  key: (/** @type {any} */ rule) => String(rule.id),
  columns: [
    {
      class: "lead",
      cell: (rule) => [
        h("span", { class: "name" }, rule.name),
        h("span", { class: "sub" }, KINDS[rule.kind] ?? rule.kind),
      ],
    },
    { class: "wide", cell: (rule) => condition(rule) },
    { class: "wide", cell: scopeCell },
    { class: "aside top", cell: (rule) => pill(rule.severity) },
    { cell: enabledCell },
    { class: "aside end", cell: actionsCell },
  ],
});
const pages = new Pages(part("pager"), show);
const filters = new Filters(form, () => void open());
const mayAdd = networksWith("operator").length > 0;
if (mayAdd) part("page-actions").append(addButton());
void open();

async function open() {
  try {
    await pages.open("alert-rules/", filters.values());
  } catch (error) {
    report(error);
  }
}

function addButton() {
  return button("Add rule", { icon: "plus", tone: "primary", press: () => void edit(null) });
}

/** @param {any[]} rules */
function show(rules) {
  rows.show(rules);
  rows.table.hidden = !rules.length;
  const empty = part("rules-empty");
  empty.hidden = rules.length > 0;
  if (rules.length) {
    void countMatches(rules);
    return;
  }
  fill(
    empty,
    emptyState({
      icon: "rules",
      title: filters.any ? "No rule matches" : "No rules yet",
      text: "A rule watches values or silence and opens an alert when it is violated, say temperature above 50.",
      actions: mayAdd ? [addButton()] : [],
    }),
  );
}

/**
 * Asks for how many sensors each rule holds, a few at a time; only operators may.
 * @param {any[]} rules
 */
async function countMatches(rules) {
  const waiting = rules.filter((rule) => rule.kind !== "bridge_away" && may(rule.network, "operator"));
  const work = async () => {
    for (let rule = waiting.shift(); rule; rule = waiting.shift()) {
      const { id, kind, network, labels, sensors } = rule;
      const found = await post("alert-rules/match/", { kind, network, labels, sensors }).catch(() => null);
      if (!found) continue;
      matched.set(id, found.sensors);
      const current = rows.items.get(String(id));
      if (current) rows.update(current);
    }
  };
  await Promise.all(Array.from({ length: MATCHES_AT_ONCE }, work));
}

/** @param {any} rule null: a new one */
async function edit(rule) {
  const saved = await editRule(rule);
  if (!saved) return;
  toast(rule ? "The rule was changed." : "The rule was added.");
  await pages.refresh().catch(report);
}

/** @param {any} rule */
function scopeCell(rule) {
  // The service's own, which serve all networks; the rule's network is told.
  if (rule.kind === "bridge_away")
    return [h("span", {}, "the bridges"), h("span", { class: "sub" }, networkName(rule.network))];
  const labels =
    Object.keys(rule.labels ?? {}).length > 0 && h("span", { class: "chips" }, labelChips(rule.labels));
  const listed = rule.sensors?.length > 0 && quantity(rule.sensors.length, "listed sensor");
  return [
    h("span", {}, labels || listed || "all sensors"),
    h(
      "span",
      { class: "sub" },
      networkName(rule.network),
      matched.has(rule.id) && ` · ${quantity(matched.get(rule.id) ?? 0, "sensor")}`,
    ),
  ];
}

/** @param {any} rule */
function enabledCell(rule) {
  return enabledSwitch(rule, async (enabled) => {
    rows.update(await patch(`alert-rules/${rule.id}/`, { enabled }));
    toast(enabled ? "The rule is enabled." : "The rule is disabled; its open alerts were resolved.");
  });
}

/** @param {any} rule */
function actionsCell(rule) {
  const current = () => rows.items.get(String(rule.id)) ?? rule;
  return rowActions(rule, { edit: () => void edit(current()), erase: () => void erase(current()) });
}

/** @param {any} rule */
async function erase(rule) {
  const done = await ask({
    title: `Delete “${rule.name}”?`,
    text: "Nothing is watched by it any more and its open alerts are resolved. The alerts that it raised stay in the list.",
    action: "Delete rule",
    tone: "danger primary",
    work: () => remove(`alert-rules/${rule.id}/`),
  });
  if (done) await pages.refresh().catch(report);
}
