/** The form of a rule: only the fields of its kind and scope are there. */

import { ApiError, patch, post } from "../api.js";
import { openDialog } from "../dialog.js";
import { afterPause, h } from "../dom.js";
import { checked, field, labelsOf, number, text } from "../form.js";
import { quantity } from "../format.js";
import { networkField } from "../networks.js";
import { trialPart } from "./trial.js";
import { KINDS } from "./words.js";

// Kinds that look at the values of an attribute.
const VALUE_KINDS = ["threshold", "rate_of_change"];
const MATCH_PAUSE_MS = 400;
const SEVERITIES = ["info", "warning", "critical"];
const LOG_SEVERITIES = [
  { value: "error", text: "error" },
  { value: "warning", text: "warning or error" },
  { value: "info", text: "any" },
];
const SCOPES = [
  { value: "network", text: "All sensors of the network" },
  { value: "labels", text: "Sensors with labels" },
  { value: "sensors", text: "Listed sensors" },
];
/** @type {Record<string, string[]>} */
const NUMBERS = {
  threshold: ["above", "below", "hysteresis", "for_s", "keep_firing_s"],
  rate_of_change: ["above", "below", "hysteresis", "for_s", "keep_firing_s"],
  staleness: ["period_s", "grace_s"],
  gateway_silence: ["share", "window_s", "period_s", "grace_s"],
  bridge_away: ["period_s"],
  log_severity: ["count", "window_s"],
  configuration_failure: ["timeout_s"],
};
// Empty is not "no limit" for these: they have a number of their own.
/** @type {Record<string, number>} */
const WHEN_EMPTY = { hysteresis: 0, for_s: 0, keep_firing_s: 0, share: 1 };

/**
 * Asks for a new rule, or for changes of one; true once it was saved.
 * @param {any} rule null: a new one
 * @returns {Promise<boolean>}
 */
export function editRule(rule) {
  const kind = field({
    name: "kind",
    label: "Watches",
    kind: "select",
    value: rule?.kind ?? "threshold",
    disabled: Boolean(rule),
    choices: Object.entries(KINDS).map(([value, words]) => ({ value, text: words })),
  });
  const scope = field({
    name: "scope",
    label: "Holds for",
    kind: "select",
    value: scopeOf(rule),
    choices: SCOPES,
  });
  const kindSelect = /** @type {HTMLSelectElement} */ (kind.querySelector("select"));
  const scopeSelect = /** @type {HTMLSelectElement} */ (scope.querySelector("select"));
  /** @type {Record<string, Node[]>} */
  const byKind = {
    threshold: limitFields(rule, "threshold", ""),
    rate_of_change: limitFields(rule, "rate_of_change", "Change per minute."),
    staleness: [spanFields(rule, "staleness")],
    gateway_silence: [
      field({
        name: "share",
        label: "Share of sensors",
        kind: "number",
        value: rule?.share ?? 1,
        hint: "1: all of a gateway's sensors are silent; 0.5: half of them.",
      }),
      field({
        name: "window_s",
        label: "Within (s)",
        kind: "number",
        step: "1",
        value: rule?.window_s,
        hint: "Only sensors count together that were last heard within so long. Empty: all.",
      }),
      spanFields(rule, "gateway_silence"),
    ],
    bridge_away: [
      field({
        name: "period_s",
        label: "Longer than (s)",
        kind: "number",
        step: "1",
        value: rule?.kind === "bridge_away" ? rule.period_s : 60,
        hint: "What the sensors send may wait at the broker for so long.",
      }),
    ],
    log_severity: messageFields(rule),
    configuration_failure: [
      field({
        name: "timeout_s",
        label: "Time to acknowledge (s)",
        kind: "number",
        step: "1",
        value: rule?.timeout_s ?? 300,
        hint: "A refusal fires at once.",
      }),
    ],
  };
  /** @type {Record<string, Node[]>} */
  const byScope = {
    network: [],
    labels: [
      field({
        name: "labels",
        label: "Labels",
        kind: "area",
        code: true,
        placeholder: "floor: 2",
        hint: "One key: value a line; a sensor must carry all of them.",
        value: Object.entries(rule?.labels ?? {})
          .map(([key, item]) => `${key}: ${item}`)
          .join("\n"),
      }),
    ],
    sensors: [
      field({
        name: "sensors",
        label: "Sensors",
        kind: "area",
        code: true,
        hint: "One identifier a line.",
        value: (rule?.sensors ?? []).join("\n"),
      }),
    ],
  };
  const bodyOf = (/** @type {HTMLFormElement} */ form) => ({
    kind: kindSelect.value,
    network: rule?.network ?? text(form, "network"),
    ...valuesOf(form, kindSelect.value, scopeSelect.value, rule),
  });
  const trial = trialPart((form) => {
    const { name, enabled, severity, ...tried } = /** @type {Record<string, unknown>} */ (bodyOf(form));
    return tried;
  });
  const kindPlace = h("div", { class: "form" });
  const scopePlace = h("div", { class: "form" });
  const matches = h("p", { class: "soft small", role: "status" });
  const choose = () => {
    kindPlace.replaceChildren(...byKind[kindSelect.value]);
    trial.hidden = !VALUE_KINDS.includes(kindSelect.value);
    // The bridges serve all sensors, and there is none to choose.
    const isAboutBridges = kindSelect.value === "bridge_away";
    if (isAboutBridges) scopeSelect.value = "network";
    scope.hidden = isAboutBridges;
    matches.hidden = isAboutBridges;
    scopePlace.replaceChildren(...byScope[scopeSelect.value]);
  };
  kindSelect.addEventListener("change", choose);
  scopeSelect.addEventListener("change", choose);
  choose();

  return openDialog({
    title: rule ? `Edit “${rule.name}”` : "Add a rule",
    body: [
      field({ name: "name", label: "Name", value: rule?.name ?? "", placeholder: "Too hot" }),
      h("div", { class: "row" }, networkField({ kept: rule?.network }), severityField(rule)),
      h("div", { class: "row" }, kind, scope),
      scopePlace,
      matches,
      kindPlace,
      field({ name: "enabled", label: "Enabled", kind: "check", value: rule?.enabled ?? true }),
      trial,
    ],
    action: rule ? "Save" : "Add rule",
    submit: (form) =>
      rule
        ? patch(`alert-rules/${rule.id}/`, valuesOf(form, kindSelect.value, scopeSelect.value, rule))
        : post("alert-rules/", bodyOf(form)),
    opened: (form) => followMatches(form, matches, rule),
  });
}

/**
 * Keeps saying how many sensors the rule would hold for.
 * @param {HTMLFormElement} form
 * @param {HTMLElement} place
 * @param {any} rule
 */
function followMatches(form, place, rule) {
  const ask = async () => {
    const network = rule?.network ?? text(form, "network");
    const kind = rule?.kind ?? text(form, "kind");
    try {
      const found = await post("alert-rules/match/", {
        kind,
        network,
        ...scopeValues(form, text(form, "scope")),
      });
      place.textContent = found.sensors
        ? `Holds for ${quantity(found.sensors, "sensor")} now.`
        : "Holds for no sensor now.";
    } catch {
      // Half-typed labels and identifiers are no news; saving says what is wrong with them.
      place.textContent = "";
    }
  };
  const soon = afterPause(() => void ask(), MATCH_PAUSE_MS);
  form.addEventListener("input", soon);
  form.addEventListener("change", soon);
  void ask();
}

/** @param {any} rule */
function scopeOf(rule) {
  if (rule?.scope) return rule.scope;
  if (Object.keys(rule?.labels ?? {}).length) return "labels";
  return rule?.sensors?.length ? "sensors" : "network";
}

/** @param {any} rule */
function severityField(rule) {
  const choices = SEVERITIES.map((severity) => ({ value: severity, text: severity }));
  return field({
    name: "severity",
    label: "Severity",
    kind: "select",
    value: rule?.severity ?? "warning",
    choices,
  });
}

/** @param {any} rule @param {string} kind @param {string} hint what the limits mean */
function limitFields(rule, kind, hint) {
  const own = rule?.kind === kind || !rule?.kind ? rule : null;
  return [
    field({
      name: "attribute",
      label: "Attribute",
      code: true,
      value: own?.attribute ?? "",
      placeholder: "temperature",
    }),
    h(
      "div",
      { class: "row" },
      field({ name: "above", label: "Fires above", kind: "number", value: own?.above, hint }),
      field({ name: "below", label: "Fires below", kind: "number", value: own?.below, hint }),
      field({ name: "hysteresis", label: "Clears inside by", kind: "number", value: own?.hysteresis ?? 0 }),
    ),
    h(
      "div",
      { class: "row" },
      field({
        name: "for_s",
        label: "Only after (s)",
        kind: "number",
        step: "1",
        value: own?.for_s ?? 0,
        hint: "How long it must be violated.",
      }),
      field({
        name: "keep_firing_s",
        label: "Keeps firing (s)",
        kind: "number",
        step: "1",
        value: own?.keep_firing_s ?? 0,
        hint: "How long it must be inside to clear.",
      }),
    ),
  ];
}

/** @param {any} rule */
function messageFields(rule) {
  return [
    field({
      name: "log_severity",
      label: "Messages of severity",
      kind: "select",
      value: rule?.log_severity ?? "error",
      choices: LOG_SEVERITIES,
    }),
    h(
      "div",
      { class: "row" },
      field({
        name: "count",
        label: "At least",
        kind: "number",
        step: "1",
        value: rule?.count ?? 1,
        hint: "How many messages.",
      }),
      field({
        name: "window_s",
        label: "Within (s)",
        kind: "number",
        step: "1",
        value: rule?.window_s ?? 300,
        hint: "Clears when so long no further ones came.",
      }),
    ),
  ];
}

/** @param {any} rule @param {string} kind */
function spanFields(rule, kind) {
  const own = rule?.kind === kind ? rule : null;
  return h(
    "div",
    { class: "row" },
    field({
      name: "period_s",
      label: "Period (s)",
      kind: "number",
      step: "1",
      value: own?.period_s,
      hint: "Empty: that of each sensor's configuration, else its own.",
    }),
    field({
      name: "grace_s",
      label: "Grace (s)",
      kind: "number",
      step: "1",
      value: own?.grace_s,
      hint: "Empty: each sensor's own.",
    }),
  );
}

/** @param {HTMLFormElement} form @param {string} kind @param {string} scope @param {any} rule */
function valuesOf(form, kind, scope, rule) {
  /** @type {Record<string, unknown>} */
  const values = {
    name: text(form, "name"),
    severity: text(form, "severity"),
    enabled: checked(form, "enabled"),
  };
  if (VALUE_KINDS.includes(kind)) values.attribute = text(form, "attribute");
  if (kind === "log_severity") values.log_severity = text(form, "log_severity");
  for (const name of NUMBERS[kind]) values[name] = number(form, name) ?? WHEN_EMPTY[name] ?? null;
  Object.assign(values, scopeValues(form, scope));
  if (rule && scope === "network") values.network = rule.network;
  return values;
}

/** @param {HTMLFormElement} form @param {string} scope @returns {Record<string, unknown>} */
function scopeValues(form, scope) {
  if (scope === "sensors")
    return {
      sensors: text(form, "sensors")
        .split(/[\s,]+/)
        .filter(Boolean),
    };
  if (scope !== "labels") return {};
  try {
    return { labels: labelsOf(text(form, "labels")) };
  } catch (error) {
    throw new ApiError(400, "", { labels: [/** @type {Error} */ (error).message] });
  }
}
