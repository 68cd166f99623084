/** Dialogs that make, change and delete networks and gateways. */

import { patch, post, remove } from "../api.js";
import { ask, askForWord, openDialog } from "../dialog.js";
import { button, h } from "../dom.js";
import { field, number, text } from "../form.js";
import { toast } from "../toast.js";

const RETENTION_HINT = "In days; empty: as the server is set, by default for ever.";
const ROLLUP_HINT =
  "For charts of long ranges. In days, no fewer than telemetry; empty: for ever.";
const NEW_SENSORS = [
  { value: "ignore", text: "Not watched" },
  { value: "alert", text: "Silent after a time" },
];

/** @param {any} network */
function silenceFields(network) {
  return [
    h(
      "div",
      { class: "row" },
      field({
        name: "interval_attribute",
        label: "Interval in configurations",
        code: true,
        value: network.interval_attribute,
        hint: "The key that says how often a sensor measures, in seconds; empty: none does.",
      }),
      field({
        name: "interval_factor",
        label: "Intervals in a period",
        kind: "number",
        value: network.interval_factor,
        hint: "So long a sensor may be silent, besides its grace.",
      }),
    ),
    h(
      "div",
      { class: "row" },
      field({
        name: "new_sensors",
        label: "Never heard",
        kind: "select",
        value: network.new_sensors,
        choices: NEW_SENSORS,
        hint: "What rules about silence make of sensors that were registered only.",
      }),
      field({
        name: "new_after_s",
        label: "Silent after (s)",
        kind: "number",
        step: "1",
        value: network.new_after_s,
        hint: "Since its registration.",
      }),
    ),
  ];
}

export function addNetwork() {
  return openDialog({
    title: "Create a network",
    body: [
      field({
        name: "slug",
        label: "Short name",
        code: true,
        placeholder: "plant",
        hint: "Lower-case letters, digits and hyphens. It never changes.",
      }),
      field({
        name: "name",
        label: "Name",
        placeholder: "Plant in the north",
        hint: "Empty: the short name.",
      }),
      field({
        name: "retention_days",
        label: "Keep telemetry",
        kind: "number",
        step: "1",
        hint: RETENTION_HINT,
      }),
      field({
        name: "rollup_retention_days",
        label: "Keep summaries",
        kind: "number",
        step: "1",
        hint: ROLLUP_HINT,
      }),
    ],
    action: "Create network",
    submit: (form) =>
      post("networks/", {
        slug: text(form, "slug"),
        name: text(form, "name") || text(form, "slug"),
        retention_days: number(form, "retention_days"),
        rollup_retention_days: number(form, "rollup_retention_days"),
      }),
  });
}

/** @param {any} network @param {() => void} then */
export async function editNetwork(network, then) {
  const done = await openDialog({
    title: `Edit ${network.slug}`,
    body: [
      field({ name: "name", label: "Name", value: network.name }),
      field({
        name: "retention_days",
        label: "Keep telemetry",
        kind: "number",
        step: "1",
        value: network.retention_days,
        hint: RETENTION_HINT,
      }),
      field({
        name: "rollup_retention_days",
        label: "Keep summaries",
        kind: "number",
        step: "1",
        value: network.rollup_retention_days,
        hint: ROLLUP_HINT,
      }),
      ...silenceFields(network),
    ],
    action: "Save",
    submit: (form) =>
      patch(`networks/${network.slug}/`, {
        name: text(form, "name"),
        retention_days: number(form, "retention_days"),
        rollup_retention_days: number(form, "rollup_retention_days"),
        interval_attribute: text(form, "interval_attribute"),
        interval_factor: number(form, "interval_factor"),
        new_sensors: text(form, "new_sensors"),
        new_after_s: number(form, "new_after_s"),
      }),
  });
  if (done) then();
}

/** @param {any} network */
export async function deleteNetwork(network) {
  const done = await askForWord({
    title: `Delete ${network.name}?`,
    text: "All of its sensors, their configurations and telemetry, its gateways, rules and alerts go with it. This cannot be undone.",
    word: network.slug,
    action: "Delete network",
    work: () => remove(`networks/${network.slug}/`),
  });
  if (done) location.reload();
}

/** @param {string} network @param {() => void} then */
export async function addGateway(network, then) {
  const done = await openDialog({
    title: "Add a gateway",
    body: [
      h(
        "p",
        { class: "soft" },
        "A gateway is a box through which several sensors reach the broker. It sends nothing itself; sensors name it.",
      ),
      field({
        name: "identifier",
        label: "Identifier",
        code: true,
        placeholder: "hall-2",
        hint: "Letters, digits, - and _. It never changes.",
      }),
      field({ name: "name", label: "Name" }),
    ],
    action: "Add gateway",
    submit: (form) =>
      post("gateways/", { network, identifier: text(form, "identifier"), name: text(form, "name") }),
  });
  if (done) then();
}

/** @param {any} gateway @param {() => void} then */
export async function editGateway(gateway, then) {
  const path = `gateways/${gateway.identifier}/`;
  const erase = button("Delete this gateway", {
    tone: "danger",
    icon: "trash",
    press: async () => {
      erase.closest("dialog")?.close();
      const done = await ask({
        title: `Delete gateway ${gateway.identifier}?`,
        text: "Its sensors stay, without a gateway.",
        action: "Delete gateway",
        tone: "danger primary",
        work: () => remove(path),
      });
      if (done) then();
    },
  });
  const done = await openDialog({
    title: `Gateway ${gateway.identifier}`,
    body: [
      field({ name: "name", label: "Name", value: gateway.name }),
      h("p", {}, h("a", { href: `/?gateway=${gateway.identifier}` }, "Its sensors")),
      h("div", { class: "actions" }, erase),
    ],
    action: "Save",
    submit: (form) => patch(path, { name: text(form, "name") }),
  });
  if (!done) return;
  toast("The gateway was changed.");
  then();
}
