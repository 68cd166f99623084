/** Notification targets, what operators do to them, and what was told lately. */

import { getAll, patch, remove } from "../api.js";
import { ask } from "../dialog.js";
import { button, h, part } from "../dom.js";
import { Filters } from "../filters.js";
import { offer } from "../form.js";
import { pill } from "../format.js";
import { offerNetworks } from "../networks.js";
import { enabledSwitch, rowActions } from "../row-actions.js";
import { startShell } from "../shell.js";
import { emptyState, Pages, Rows } from "../table.js";
import { ago, duration, until } from "../time.js";
import { report, toast } from "../toast.js";
import { networkName, networksWith, viewer } from "../viewer.js";
import { editTarget, LEAST_SEVERITIES } from "./form.js";
import { ToldList } from "./told-list.js";
import { tryTarget } from "./try-target.js";

// Deliveries make no live events.
const AGAIN_EVERY_MS = 10_000;
// Targets that the list of what was told can be filtered by.
const MOST_CHOICES = 1_000;

startShell().watch({});
const form = /** @type {HTMLFormElement} */ (part("filters"));
offerNetworks(form);
const rows = new Rows(part("targets"), {
  key: (/** @type {any} */ target) => String(target.id),
  columns: [
    { class: "lead", cell: nameCell },
    { class: "mono nowrap aside top", cell: (target) => target.address },
    { class: "wide", label: "told", cell: toldCell },
    { class: "wide", cell: lastCell },
    { cell: enabledCell },
    { class: "aside end", cell: actionsCell },
  ],
});
const pages = new Pages(part("targets-pager"), show);
const filters = new Filters(form, () => void open());
const told = new ToldList(() => ({ network: filters.values().network }));
const mayAdd = networksWith("operator").length > 0;
if (mayAdd) part("page-actions").append(addButton());
void open();
void offerTargets();
setInterval(() => {
  if (!document.hidden) void refresh();
}, AGAIN_EVERY_MS);

async function open() {
  await Promise.all([pages.open("notification-targets/", filters.values()).catch(report), told.open()]);
}

async function refresh() {
  await Promise.all([pages.refresh().catch(report), told.refresh()]);
}

async function offerTargets() {
  try {
    const targets = await getAll("notification-targets/", {}, MOST_CHOICES);
    const several = viewer.networks.length > 1;
    offer(
      told.targetSelect,
      targets.map(({ id, name, network }) => ({
        value: String(id),
        text: several ? `${name} (${networkName(network)})` : name,
      })),
    );
  } catch (error) {
    report(error);
  }
}

function addButton() {
  return button("Add target", { icon: "plus", tone: "primary", press: () => void add() });
}

/** @param {any[]} targets */
function show(targets) {
  rows.showOr(targets, part("targets-empty"), nothing);
}

function nothing() {
  if (filters.any) {
    const clear = () => filters.set({ search: "", network: "", enabled: "" });
    return emptyState({
      icon: "search",
      title: "No target matches",
      actions: [button("Clear filters", { press: clear })],
    });
  }
  return emptyState({
    icon: "sent",
    title: "Nobody is told of alerts yet",
    text: mayAdd
      ? "A target is a mailbox, a chat or a webhook that is told when alerts of a network fire and end."
      : "A target is a mailbox, a chat or a webhook. An operator of the network can add one.",
    actions: mayAdd ? [addButton()] : [],
  });
}

async function add() {
  const made = await editTarget(null);
  if (!made) return;
  toast("The target was added.");
  await Promise.all([refresh(), offerTargets()]);
  await tryTarget(made, { then: () => void refresh(), cancel: "Not now" });
}

/** @param {any} target */
async function edit(target) {
  if (!(await editTarget(target))) return;
  toast("The target was changed.");
  await Promise.all([refresh(), offerTargets()]);
}

/** @param {any} target */
async function erase(target) {
  const done = await ask({
    title: `Delete “${target.name}”?`,
    text: "Nothing is sent to it any more, not even the end of alerts of which it was told. What it was told goes with it.",
    action: "Delete target",
    tone: "danger primary",
    work: () => remove(`notification-targets/${target.id}/`),
  });
  if (!done) return;
  toast("The target was deleted.");
  told.forget(target.id);
  await Promise.all([refresh(), offerTargets()]);
}

/** @param {any} target */
function nameCell(target) {
  return [
    h("span", { class: "name" }, target.name),
    h("span", { class: "sub" }, networkName(target.network)),
  ];
}

/** @param {any} target */
function toldCell({ least_severity, tell_resolved, repeat_interval_s, escalate_after_s }) {
  const details = [
    escalate_after_s && `what nobody acknowledged for ${duration(escalate_after_s)}`,
    repeat_interval_s && `again every ${duration(repeat_interval_s)}`,
    !tell_resolved && "not of the end",
  ].filter(Boolean);
  return [
    h("span", {}, LEAST_SEVERITIES[least_severity] ?? least_severity),
    details.length > 0 && h("span", { class: "sub" }, details.join(" · ")),
  ];
}

/** @param {any} target */
function lastCell(target) {
  const { id, enabled, last_sent_at, last_failed_at, last_error, retry_at } = target;
  if (!last_sent_at && !last_failed_at) return h("span", { class: "soft" }, "nothing sent so far");
  const list = h(
    "button",
    { class: "link", type: "button", click: () => told.showTarget(id) },
    "What it was told",
  );
  if (!last_error) return [pill("sent"), h("span", { class: "sub" }, ago(last_sent_at), " · ", list)];
  return [
    pill("failed", undefined, "The last message was not taken"),
    h("span", { class: "sub" }, last_error),
    h(
      "span",
      { class: "sub" },
      ago(last_failed_at),
      enabled && retry_at && [" · tried again ", until(retry_at)],
      last_sent_at && [" · last sent ", ago(last_sent_at)],
      " · ",
      list,
    ),
  ];
}

/** @param {any} target */
function enabledCell(target) {
  return enabledSwitch(target, async (enabled) => {
    rows.update(await patch(`notification-targets/${target.id}/`, { enabled }));
    toast(
      enabled ? "The target is enabled." : "The target is disabled; what waited for it is not told any more.",
    );
    await told.refresh();
  });
}

/** @param {any} target */
function actionsCell(target) {
  const current = () => rows.items.get(String(target.id)) ?? target;
  return rowActions(
    target,
    { edit: () => void edit(current()), erase: () => void erase(current()) },
    button("Test", {
      tone: "quiet",
      icon: "sent",
      label: `Send a test to ${target.name}`,
      press: () => void tryTarget(current(), { then: () => void refresh() }),
    }),
  );
}
