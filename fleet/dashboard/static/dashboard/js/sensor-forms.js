/** Dialogs that make, change and delete sensors. */

import { ApiError, getAll, patch, post, remove } from "./api.js";
import { codeBlock, publishLine } from "./connect-help.js";
import { askForWord, openDialog } from "./dialog.js";
import { h } from "./dom.js";
import { field, labelsOf, number, offer, text } from "./form.js";
import { networkField } from "./networks.js";
import { report } from "./toast.js";

const NO_GATEWAY = [{ value: "", text: "None" }];

/**
 * Asks for a new sensor, makes it, and shows how to connect it.
 * @param {{network?: string, then?: () => void}} [options] network: the slug that is chosen at first
 */
export async function addSensor({ network, then } = {}) {
  const gateway = field({ name: "gateway", label: "Gateway", kind: "select", choices: NO_GATEWAY });
  let identifier = "";
  const body = [
    field({
      name: "identifier",
      label: "Identifier",
      code: true,
      placeholder: "boiler-1",
      hint: "The last level of its MQTT topics: letters, digits, - and _. It never changes.",
    }),
    h("div", { class: "row" }, networkField({ chosen: network }), gateway),
    ...commonFields({ name: "", labels: {}, period_s: 60, grace_s: 30 }),
  ];
  const gatewaySelect = /** @type {HTMLSelectElement} */ (gateway.querySelector("select"));
  const networkSelect = /** @type {HTMLSelectElement} */ (body[1].querySelector("select"));
  networkSelect.addEventListener("change", () => void offerGateways(gatewaySelect, networkSelect.value));
  void offerGateways(gatewaySelect, networkSelect.value);
  const made = await openDialog({
    title: "Add a sensor",
    body,
    action: "Add sensor",
    submit: async (form) => {
      identifier = text(form, "identifier");
      await post("sensors/", {
        identifier,
        network: text(form, "network"),
        gateway: text(form, "gateway") || null,
        ...commonValues(form, {}),
      });
    },
  });
  if (!made) return;
  then?.();
  await showHowToConnect(identifier);
}

/** @param {string} identifier */
export function showHowToConnect(identifier) {
  return openDialog({
    title: `Connect ${identifier}`,
    wide: true,
    cancel: "Close",
    body: [
      h("p", {}, "Any MQTT client will do. This line sends one measurement; the page shows it at once:"),
      publishLine(identifier),
      h("p", {}, "The sensor gets its configuration, also an earlier one, by subscribing to:"),
      codeBlock(`configurations/${identifier}`),
      h(
        "p",
        {},
        "Where the broker asks for a login, it needs a credential, which operators issue on ",
        h("a", { href: `/sensors/${identifier}/` }, "the sensor's page"),
        ".",
      ),
    ],
  });
}

/**
 * Asks for changes of a sensor and makes them.
 * @param {any} sensor as the API shows it
 * @param {(sensor: any) => void} then
 */
export async function editSensor(sensor, then) {
  const gateway = field({ name: "gateway", label: "Gateway", kind: "select", choices: NO_GATEWAY });
  void offerGateways(
    /** @type {HTMLSelectElement} */ (gateway.querySelector("select")),
    sensor.network,
    sensor.gateway,
  );
  await openDialog({
    title: `Edit ${sensor.identifier}`,
    body: [...commonFields(sensor), gateway],
    action: "Save",
    submit: async (form) => {
      const changed = await patch(`sensors/${sensor.identifier}/`, {
        gateway: text(form, "gateway") || null,
        ...commonValues(form, sensor.labels),
      });
      then(changed);
    },
  });
}

/** @param {any} sensor */
export async function deleteSensor(sensor) {
  const done = await askForWord({
    title: `Delete ${sensor.identifier}?`,
    text:
      "Its configuration history goes at once and all that it measured and logged soon after. The broker forgets " +
      "its configuration. This cannot be undone.",
    word: sensor.identifier,
    action: "Delete sensor",
    work: () => remove(`sensors/${sensor.identifier}/`),
  });
  if (done) location.assign(`/?network=${sensor.network}`);
}

/** @param {{name: string, labels: Record<string, unknown>, period_s: number, grace_s: number}} sensor */
function commonFields(sensor) {
  return [
    field({ name: "name", label: "Name", value: sensor.name, hint: "What people call it; may be empty." }),
    field({
      name: "labels",
      label: "Labels",
      kind: "area",
      code: true,
      rows: 3,
      placeholder: "floor: 2\nbuilding: north",
      hint: "One key: value a line. Filters and rules can select by them.",
      value: Object.entries(sensor.labels)
        .map(([key, item]) => `${key}: ${item}`)
        .join("\n"),
    }),
    h(
      "div",
      { class: "row" },
      field({
        name: "period_s",
        label: "Expected every (s)",
        kind: "number",
        step: "1",
        value: sensor.period_s,
        hint: "Silent for longer: late.",
      }),
      field({
        name: "grace_s",
        label: "Grace (s)",
        kind: "number",
        step: "1",
        value: sensor.grace_s,
        hint: "Silent for longer than both: down.",
      }),
    ),
  ];
}

/**
 * @param {HTMLFormElement} form
 * @param {Record<string, unknown>} before labels that keep their type where their text is the same
 */
function commonValues(form, before) {
  let labels;
  try {
    labels = /** @type {Record<string, unknown>} */ (labelsOf(text(form, "labels")));
  } catch (error) {
    throw new ApiError(400, "", { labels: [/** @type {Error} */ (error).message] });
  }
  for (const [key, item] of Object.entries(labels)) {
    if (key in before && String(before[key]) === item) labels[key] = before[key];
  }
  return {
    name: text(form, "name"),
    labels,
    period_s: number(form, "period_s"),
    grace_s: number(form, "grace_s"),
  };
}

/**
 * @param {HTMLSelectElement} select
 * @param {string} network
 * @param {string | null} [chosen]
 */
async function offerGateways(select, network, chosen = null) {
  try {
    const gateways = network ? await getAll("gateways/", { network }) : [];
    offer(
      select,
      gateways.map(({ identifier, name }) => ({ value: identifier, text: name || identifier })),
      chosen ?? "",
    );
  } catch (error) {
    report(error);
  }
}
