/** The form of a notification target. Its address is written and never shown. */

import { patch, post } from "../api.js";
import { openDialog } from "../dialog.js";
import { h } from "../dom.js";
import { checked, field, number, text } from "../form.js";
import { networkField } from "../networks.js";
import { exact } from "../time.js";

/** @type {Record<string, string>} */
export const LEAST_SEVERITIES = {
  info: "everything",
  warning: "warning and critical",
  critical: "critical only",
};
const GROUP_WAIT_S = 10;
/** @type {{words: string, address: string, hint?: string}[]} */
const EXAMPLES = [
  {
    words: "Mail",
    address: "mailtos://USER:PASSWORD@mail.example.org?from=fleet@example.org&to=duty@example.org",
  },
  { words: "Slack", address: "slack://A/B/C", hint: "of https://hooks.slack.com/services/A/B/C" },
  {
    words: "Teams",
    address: "workflows://HOST/WORKFLOW/SIGNATURE",
    hint: "of https://HOST/workflows/WORKFLOW/…&sig=SIGNATURE",
  },
  {
    words: "Telegram",
    address: "tgram://BOT_ID:TOKEN/CHAT_ID",
    hint: "BOT_ID:TOKEN is what BotFather gives",
  },
  {
    words: "Discord",
    address: "discord://ID/TOKEN",
    hint: "of https://discord.com/api/webhooks/ID/TOKEN",
  },
  { words: "Matrix", address: "matrixs://USER:PASSWORD@matrix.example.org/#room" },
  { words: "ntfy", address: "ntfys://ntfy.example.org/TOPIC" },
  {
    words: "Webhook",
    address: "jsons://hooks.example.org/PATH?+Authorization=Bearer%20TOKEN",
    hint: "is sent JSON by POST",
  },
];

/**
 * Asks for a new target, or for changes of one.
 * @param {any} target null: a new one
 * @returns {Promise<any>} the target as it was saved, or null
 */
export async function editTarget(target) {
  /** @type {any} */
  let saved = null;
  const address = addressField(target);
  await openDialog({
    title: target ? `Edit “${target.name}”` : "Add a target",
    body: [
      h(
        "div",
        { class: "row" },
        field({ name: "name", label: "Name", value: target?.name ?? "", placeholder: "On duty" }),
        networkField({ kept: target?.network }),
      ),
      address,
      examples(/** @type {HTMLInputElement} */ (address.querySelector("input"))),
      field({
        name: "least_severity",
        label: "Is told of",
        kind: "select",
        value: target?.least_severity ?? "info",
        choices: Object.entries(LEAST_SEVERITIES).map(([value, words]) => ({ value, text: words })),
      }),
      field({
        name: "tell_resolved",
        label: "Is told when an alert ends, too",
        kind: "check",
        value: target?.tell_resolved ?? true,
      }),
      timeFields(target),
      field({
        name: "enabled",
        label: "Enabled",
        kind: "check",
        value: target?.enabled ?? true,
        hint: "Disabled, it is told nothing, also not later.",
      }),
    ],
    action: target ? "Save" : "Add target",
    submit: async (form) => {
      saved = target
        ? await patch(`notification-targets/${target.id}/`, changesOf(form))
        : await post("notification-targets/", {
            network: text(form, "network"),
            ...optionsOf(form),
            url: text(form, "url"),
          });
    },
  });
  return saved;
}

/** @param {any} target */
function addressField(target) {
  return field({
    name: "url",
    label: target ? "New address" : "Address",
    code: true,
    placeholder: target ? target.address : "mailtos://…",
    hint: target
      ? `Kept as it was set on ${exact(target.url_changed_at)}, unless a new one is written here. It is never shown.`
      : "Where to, with what it takes to get in. It is kept encrypted and never shown again.",
  });
}

/** @param {HTMLInputElement} input takes over the example that is chosen */
function examples(input) {
  const schemes = (document.getElementById("main")?.dataset.schemes ?? "").split(" ");
  const offered = EXAMPLES.filter(({ address }) => schemes.includes(address.split(":")[0]));
  const take = (/** @type {string} */ address) => {
    input.value = address;
    input.focus();
  };
  return h(
    "details",
    { class: "examples small" },
    h("summary", { class: "soft" }, "What addresses look like"),
    h(
      "ul",
      { class: "example-list" },
      offered.map(({ words, address, hint }) =>
        h(
          "li",
          {},
          h(
            "button",
            { class: "link", type: "button", title: "Begin with this one", click: () => take(address) },
            words,
          ),
          h("div", {}, h("code", {}, address), hint && h("span", { class: "sub" }, hint)),
        ),
      ),
    ),
    h(
      "p",
      { class: "soft" },
      h(
        "a",
        { href: "https://appriseit.com/services/", target: "_blank", rel: "noreferrer" },
        "All services of apprise",
      ),
      `, of which this server takes ${schemes.join(", ")}.`,
    ),
  );
}

/** @param {any} target */
function timeFields(target) {
  return h(
    "div",
    { class: "row" },
    field({
      name: "group_wait_s",
      label: "Gathers for (s)",
      kind: "number",
      step: "1",
      value: target?.group_wait_s ?? GROUP_WAIT_S,
      hint: "What fires within so long is one message.",
    }),
    field({
      name: "repeat_interval_s",
      label: "Repeats every (s)",
      kind: "number",
      step: "1",
      value: target?.repeat_interval_s,
      hint: "Until somebody acknowledges. Empty: never.",
    }),
    field({
      name: "escalate_after_s",
      label: "Only after (s)",
      kind: "number",
      step: "1",
      value: target?.escalate_after_s,
      hint: "Only what nobody acknowledged for so long: for a second line of people. Empty: at once.",
    }),
  );
}

/** @param {HTMLFormElement} form */
function optionsOf(form) {
  return {
    name: text(form, "name"),
    least_severity: text(form, "least_severity"),
    tell_resolved: checked(form, "tell_resolved"),
    group_wait_s: number(form, "group_wait_s") ?? GROUP_WAIT_S,
    repeat_interval_s: number(form, "repeat_interval_s"),
    escalate_after_s: number(form, "escalate_after_s"),
    enabled: checked(form, "enabled"),
  };
}

/** @param {HTMLFormElement} form */
function changesOf(form) {
  const url = text(form, "url");
  return { ...optionsOf(form), ...(url ? { url } : {}) };
}
