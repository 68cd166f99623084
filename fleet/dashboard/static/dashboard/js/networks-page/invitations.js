/** Links by which people join a network: made, listed, withdrawn. Owners see them. */

import { ApiError, getAll, post, remove } from "../api.js";
import { codeBlock } from "../connect-help.js";
import { ask, openDialog } from "../dialog.js";
import { button, fill, h } from "../dom.js";
import { clearErrors, field, number, showErrors, text } from "../form.js";
import { pill } from "../format.js";
import { exact, until } from "../time.js";
import { report, toast } from "../toast.js";

/** @param {any} network @param {{value: string, text: string}[]} roles */
export async function manageInvitations(network, roles) {
  const path = `networks/${network.slug}/invitations/`;
  const list = h("div", { class: "stack" }, h("span", { class: "skeleton" }));
  const made = h("div", { class: "stack", role: "status" });
  void load();
  await openDialog({
    title: `Invitations to ${network.name}`,
    wide: true,
    body: [
      h(
        "p",
        { class: "soft" },
        "Whoever opens the link joins with this role: it works once, with an account or without one yet.",
      ),
      inviteForm(roles, invite),
      made,
      h("h3", {}, "Invitations"),
      list,
    ],
    cancel: "Close",
  });

  /** @param {any} values */
  async function invite(values) {
    const invitation = await post(path, values);
    fill(
      made,
      h(
        "p",
        {},
        h("strong", {}, "The link is shown now and never again. "),
        invitation.mailed ? `It is on its way to ${invitation.email}, too.` : "Give it to whom it is for:",
      ),
      codeBlock(invitation.url),
    );
    void load();
  }

  async function load() {
    try {
      const invitations = await getAll(path);
      fill(
        list,
        invitations.length
          ? invitations.map((invitation) => row(invitation))
          : h("p", { class: "soft" }, "None yet."),
      );
    } catch (error) {
      report(error);
    }
  }

  /** @param {any} invitation */
  function row(invitation) {
    const { id, role, email, state, created_by, accepted_by, accepted_at, created_at } = invitation;
    const by = created_by ? `by ${created_by}` : "made in a shell";
    const about =
      state === "accepted"
        ? h("span", { title: exact(accepted_at) }, `by ${accepted_by ?? "somebody who is gone"}`)
        : state === "open" && h("span", {}, "ends ", until(invitation.expires_at));
    return h(
      "div",
      { class: "invitation" },
      h(
        "div",
        {},
        h("b", { class: "break" }, email || `A new ${role}`),
        h("span", { class: "sub soft small", title: exact(created_at) }, `${role}, ${by}`),
      ),
      h("div", { class: "small" }, pill(state), " ", about),
      state === "open" &&
        button("Withdraw", {
          icon: "trash",
          tone: "quiet",
          only: true,
          label: `Withdraw the invitation of ${email || `a new ${role}`}`,
          press: () => void withdraw(id),
        }),
    );
  }

  /** @param {number} id */
  async function withdraw(id) {
    const done = await ask({
      title: "Withdraw this invitation?",
      text: "Its link lets nobody in any more.",
      action: "Withdraw",
      tone: "danger primary",
      work: () => remove(`${path}${id}/`),
    });
    if (!done) return;
    toast("The invitation is withdrawn.");
    await load();
  }
}

/**
 * Returns the fields that make an invitation; they stand inside the dialog's form and have no form of their own.
 * @param {{value: string, text: string}[]} roles
 * @param {(values: any) => Promise<void>} invite
 */
function inviteForm(roles, invite) {
  const row = h(
    "div",
    { class: "stack" },
    h(
      "div",
      { class: "row" },
      field({ name: "role", label: "Role", kind: "select", value: "viewer", choices: roles }),
      field({ name: "days", label: "Good for (days)", kind: "number", step: "1", value: 7 }),
    ),
    field({ name: "email", label: "E-mail address", hint: "Optional: the link is sent there, where there is mail." }),
  );
  const send = async () => {
    const form = /** @type {HTMLFormElement} */ (row.closest("form"));
    clearErrors(form);
    try {
      await invite({ role: text(form, "role"), days: number(form, "days") ?? 7, email: text(form, "email") });
      /** @type {HTMLInputElement} */ (form.elements.namedItem("email")).value = "";
    } catch (error) {
      if (error instanceof ApiError) showErrors(form, error);
      else report(error);
    }
  };
  row.append(h("div", { class: "actions" }, button("Make a link", { icon: "plus", press: () => void send() })));
  row.addEventListener("keydown", (event) => {
    if (event.key !== "Enter" || !(event.target instanceof HTMLInputElement)) return;
    event.preventDefault();
    void send();
  });
  return row;
}
