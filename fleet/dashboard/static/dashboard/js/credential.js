/** With what a sensor logs in at the broker: how far it is, issued, rotated, revoked. */

import { get, post, remove } from "./api.js";
import { codeBlock, publishLine } from "./connect-help.js";
import { ask, openDialog } from "./dialog.js";
import { button, fact, h } from "./dom.js";
import { pill } from "./format.js";
import { ago } from "./time.js";
import { toast } from "./toast.js";

/** What each state means to who looks. @type {Record<string, string>} */
const MEANINGS = {
  none: "It has none. A broker that asks for a login does not let the sensor in.",
  waiting: "The broker does not have it yet. It takes it within seconds while the bridge runs.",
  active: "The broker has it, and lets the sensor in.",
  missing: "The broker lost it. Only a new one helps, or its operator, who can make its accounts anew.",
  revoking: "It is being taken from the broker.",
  revoked: "It was revoked and lets nobody in.",
};

/**
 * Shows how far the sensor's credential is, and what can be done.
 * @param {string} identifier
 * @param {{mayChange: boolean}} options
 */
export async function showCredential(identifier, { mayChange }) {
  const path = `sensors/${identifier}/credential/`;
  const credential = await get(path);
  const isThere = !["none", "revoked", "revoking"].includes(credential.state);
  const revoke = () =>
    ask({
      title: `Revoke the credential of ${identifier}?`,
      text: "The broker closes its connection and does not let it in again until it has a new one.",
      action: "Revoke",
      tone: "danger primary",
      work: async () => {
        await remove(path);
        toast(`The credential of ${identifier} is revoked.`);
      },
    });
  /** @type {any} */
  let login = null;
  await openDialog({
    title: `Credential of ${identifier}`,
    cancel: "Close",
    body: [
      h(
        "dl",
        { class: "facts" },
        fact("State", pill(credential.state)),
        credential.changed_at && fact("Since", ago(credential.changed_at)),
        credential.changed_by && fact("By", credential.changed_by),
      ),
      h("p", {}, MEANINGS[credential.state] ?? ""),
      ...(mayChange && isThere
        ? [
            h("p", {}, "A new one ends this one, and the connection of whoever uses it."),
            h("p", {}, button("Revoke", { tone: "danger", press: (event) => void closeThen(event, revoke) })),
          ]
        : []),
    ],
    action: mayChange ? (isThere ? "Issue a new one" : "Issue a credential") : "",
    submit: async () => {
      login = await post(path);
    },
  });
  if (login) await showLogin(login);
}

/**
 * Shows a new login, this once.
 * @param {{username: string, client_id: string, password: string}} login
 */
function showLogin({ username, client_id, password }) {
  return openDialog({
    title: `New credential of ${username}`,
    wide: true,
    cancel: "Close",
    body: [
      h("p", {}, h("strong", {}, "The password is shown now and never again. "), "Give it to the sensor:"),
      codeBlock(`username   ${username}\nclient id  ${client_id}\npassword   ${password}`),
      h("p", {}, "It connects with this client id and no other. This line sends one measurement:"),
      publishLine(username, password),
    ],
  });
}

/** @param {MouseEvent} event @param {() => unknown} then */
function closeThen(event, then) {
  /** @type {HTMLElement} */ (event.currentTarget).closest("dialog")?.close();
  then();
}
