/** The form of a new token, and the token, which is shown once. */

import { post } from "../api.js";
import { codeBlock } from "../connect-help.js";
import { openDialog } from "../dialog.js";
import { h } from "../dom.js";
import { field, number, text } from "../form.js";
import { viewer } from "../viewer.js";

/** @type {Record<string, string>} */
export const SCOPES = {
  read: "read",
  operate: "read and operate",
  admin: "all that you may",
};
// Long enough to forget it, short enough that it is looked at again.
const DAYS = 365;

/** @param {() => unknown} then */
export async function addToken(then) {
  /** @type {any} */
  let made = null;
  const done = await openDialog({
    title: "New token",
    body: [
      field({ name: "name", label: "Name", placeholder: "Weather page", hint: "What it is for." }),
      field({
        name: "scope",
        label: "May",
        kind: "select",
        value: "read",
        choices: Object.entries(SCOPES).map(([value, words]) => ({ value, text: words })),
        hint: "Never more than you may yourself.",
      }),
      networksField(),
      field({
        name: "days",
        label: "Days until its end",
        kind: "number",
        step: "1",
        value: DAYS,
        hint: "Empty: it ends when somebody ends it.",
      }),
    ],
    action: "Make token",
    submit: async (form) => {
      const networks = new FormData(form).getAll("networks").map(String);
      made = await post("tokens/", {
        name: text(form, "name"),
        scope: text(form, "scope"),
        networks: networks.length ? networks : null,
        days: number(form, "days"),
      });
    },
  });
  if (!done) return;
  then();
  await showToken(made);
}

function networksField() {
  const boxes = viewer.networks.map(({ slug, name }) =>
    h(
      "label",
      { class: "check" },
      h("input", { type: "checkbox", name: "networks", value: slug }),
      h("span", { class: "break" }, name),
    ),
  );
  return h(
    "fieldset",
    { class: "field", "data-field": "networks" },
    h("legend", { class: "legend" }, "Only in"),
    h("div", { class: "checks" }, boxes),
    h("p", { class: "hint" }, "None: in all of your networks, those that you join later too."),
  );
}

/** @param {{name: string, token: string}} token */
function showToken({ name, token }) {
  const line = `curl -H "Authorization: Bearer ${token}" ${location.origin}/api/v1/me/`;
  return openDialog({
    title: `Token “${name}”`,
    wide: true,
    cancel: "Close",
    body: [
      h("p", {}, h("strong", {}, "It is shown now and never again."), " Give it to the program:"),
      codeBlock(token),
      h("p", {}, "This line asks who it is:"),
      codeBlock(line),
    ],
  });
}
