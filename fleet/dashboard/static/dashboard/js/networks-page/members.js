/** Who may do what in a network; owners change it. */

import { ApiError, getAll, patch, post, remove } from "../api.js";
import { ask, openDialog } from "../dialog.js";
import { button, fill, h } from "../dom.js";
import { clearErrors, field, showErrors, text } from "../form.js";
import { report } from "../toast.js";
import { viewer } from "../viewer.js";
import { manageInvitations } from "./invitations.js";

const ROLES = ["viewer", "operator", "owner"].map((role) => ({ value: role, text: role }));

/** @param {any} network */
export async function manageMembers(network) {
  const isOwner = network.role === "owner";
  // Staff act as owners of networks of which they are no members.
  let owns = false;
  const path = `networks/${network.slug}/members/`;
  const list = h("div", { class: "stack" }, h("span", { class: "skeleton" }));
  const add = isOwner ? addForm(path, () => void load()) : null;
  void load();
  await openDialog({
    title: `Members of ${network.name}`,
    body: [
      h(
        "p",
        { class: "soft" },
        "Viewers read; operators also configure, handle alerts and manage sensors; owners also manage members and may delete the network.",
      ),
      list,
      ...(add ? [h("h3", {}, "Add a member"), add, inviteInstead()] : []),
    ],
    cancel: "Close",
  });

  async function load() {
    try {
      const members = await getAll(path);
      owns = members.some(({ user, role }) => user === viewer.username && role === "owner");
      fill(
        list,
        members.length ? members.map((member) => row(member)) : h("p", { class: "soft" }, "No members yet."),
      );
    } catch (error) {
      report(error);
    }
  }

  function inviteInstead() {
    const open = button("Invite by a link", {
      icon: "sent",
      press: () => {
        open.closest("dialog")?.close();
        void manageInvitations(network, ROLES);
      },
    });
    return h("div", { class: "actions" }, h("span", { class: "soft" }, "They have no account yet?"), open);
  }

  /** @param {string} user @returns {string} what handing the network over does */
  function handingOver(user) {
    const becomes = `${user} becomes an owner`;
    if (!owns) return `${becomes}. Nothing changes for you: staff act as owners of every network.`;
    if (viewer.staff) return `${becomes}, and you an operator; as staff you go on acting as an owner.`;
    return `${becomes}, and you an operator: you will not be able to take it back yourself.`;
  }

  /** @param {string} user */
  async function handOver(user) {
    const done = await ask({
      title: `Hand ${network.name} over to ${user}?`,
      text: handingOver(user),
      action: "Hand over",
      tone: "danger primary",
      work: () => post(`networks/${network.slug}/hand-over/`, { user }),
    });
    // What the reader may do is in the page.
    if (done) location.reload();
  }

  /** @param {string} own the address of the reader's membership */
  async function leave(own) {
    const done = await ask({
      title: `Leave ${network.name}?`,
      text: viewer.staff
        ? "You are no member of it any more; as staff you go on acting as an owner."
        : "You see nothing of it any more, until one of its owners lets you in again.",
      action: "Leave",
      tone: "danger primary",
      work: () => remove(own),
    });
    // Which networks the reader has is in the page.
    if (done) location.reload();
  }

  /** @param {any} member */
  function row(member) {
    const own = `${path}${encodeURIComponent(member.user)}/`;
    const change = async (/** @type {() => Promise<unknown>} */ work) => {
      try {
        await work();
      } catch (error) {
        report(error);
      }
      await load();
    };
    const select = h(
      "select",
      {
        class: "select",
        "aria-label": `Role of ${member.user}`,
        change: () => void change(() => patch(own, { role: select.value })),
      },
      ROLES.map((role) =>
        h("option", { value: role.value, selected: role.value === member.role }, role.text),
      ),
    );
    const isSelf = member.user === viewer.username;
    return h(
      "div",
      { class: "member" },
      h("b", { class: "break" }, member.user, isSelf && h("span", { class: "soft" }, " (you)")),
      isOwner ? select : h("span", {}, member.role),
      isOwner && !isSelf
        ? button("Hand over", {
            icon: "key",
            tone: "quiet",
            only: true,
            label: `Hand the network over to ${member.user}`,
            press: () => void handOver(member.user),
          })
        : h("span"),
      (isOwner || isSelf) &&
        button(isSelf ? "Leave" : "Remove", {
          icon: "trash",
          tone: "quiet",
          only: true,
          label: isSelf ? "Leave this network" : `Remove ${member.user}`,
          press: () => void (isSelf ? leave(own) : change(() => remove(own))),
        }),
    );
  }
}

/**
 * Returns the row of fields that adds a member; it stands inside the dialog's form and has no form of its own.
 * @param {string} path
 * @param {() => void} then
 */
function addForm(path, then) {
  const row = h(
    "div",
    { class: "member-add" },
    field({ name: "user", label: "Username" }),
    field({ name: "role", label: "Role", kind: "select", value: "viewer", choices: ROLES }),
  );
  const send = async () => {
    const form = /** @type {HTMLFormElement} */ (row.closest("form"));
    clearErrors(form);
    try {
      await post(path, { user: text(form, "user"), role: text(form, "role") });
      /** @type {HTMLInputElement} */ (form.elements.namedItem("user")).value = "";
      then();
    } catch (error) {
      if (error instanceof ApiError) showErrors(form, error);
      else report(error);
    }
  };
  row.append(button("Add", { icon: "plus", press: () => void send() }));
  row.addEventListener("keydown", (event) => {
    if (event.key !== "Enter" || !(event.target instanceof HTMLInputElement)) return;
    event.preventDefault();
    void send();
  });
  return row;
}
