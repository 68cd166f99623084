/** The reader's tokens for programs: made, listed, ended. */

import { remove } from "../api.js";
import { ask } from "../dialog.js";
import { button, h, part } from "../dom.js";
import { startShell } from "../shell.js";
import { emptyState, Pages, Rows } from "../table.js";
import { ago, at, now } from "../time.js";
import { report, toast } from "../toast.js";
import { networkName } from "../viewer.js";
import { addToken, SCOPES } from "./form.js";

startShell().watch({});
const rows = new Rows(part("tokens"), {
  key: (/** @type {any} */ token) => token.handle,
  columns: [
    { class: "lead", cell: nameCell },
    { cell: (token) => SCOPES[token.scope] },
    { cell: networksCell },
    { class: "nowrap", label: "used", cell: (token) => (token.last_used_at ? ago(token.last_used_at) : "never") },
    { class: "nowrap", label: "ends", cell: endCell },
    { class: "end", cell: actionsCell },
  ],
});
const pages = new Pages(part("pager"), show);
part("page-actions").append(addButton());
void again();

function again() {
  return pages.open("tokens/", {}).catch(report);
}

function addButton() {
  return button("New token", { icon: "plus", tone: "primary", press: () => void addToken(again) });
}

/** @param {any} token */
function nameCell(token) {
  return [h("span", { class: "break" }, token.name || "without a name"), h("span", { class: "sub" }, "made ", ago(token.created_at))];
}

/** @param {{networks: string[] | null}} token */
function networksCell({ networks }) {
  if (networks === null) return "all of your networks";
  return networks.map(networkName).join(", ") || h("span", { class: "soft" }, "none that is left");
}

/** @param {any} token */
function endCell(token) {
  if (!token.expires_at) return "never";
  return new Date(token.expires_at).getTime() < now()
    ? h("span", { class: "soft" }, "ended ", ago(token.expires_at))
    : at(token.expires_at);
}

/** @param {any} token */
function actionsCell(token) {
  const name = token.name || "this token";
  return button("End", {
    tone: "quiet",
    icon: "trash",
    only: true,
    label: `End ${name}`,
    press: async () => {
      const done = await ask({
        title: `End ${name}?`,
        text: "The program that has it is let in no more, from now on.",
        action: "End token",
        tone: "danger primary",
        work: () => remove(`tokens/${token.handle}/`),
      });
      if (!done) return;
      toast(`${name} has ended.`);
      void again();
    },
  });
}

/** @param {any[]} tokens */
function show(tokens) {
  rows.showOr(tokens, part("tokens-empty"), () =>
    emptyState({
      icon: "key",
      title: "No tokens yet",
      text: "A program that reads measurements or makes configurations needs one.",
      actions: [addButton()],
    }),
  );
}
