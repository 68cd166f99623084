/** What operators do to one row of a list: switch it on and off, change it, delete it. */

import { button, h } from "./dom.js";
import { report } from "./toast.js";
import { may } from "./viewer.js";

/**
 * Returns the switch of a row, or the word for who only reads.
 * @param {{name: string, network: string, enabled: boolean}} row
 * @param {(enabled: boolean) => Promise<unknown>} change tells the API; when it throws, the switch goes back
 */
export function enabledSwitch(row, change) {
  if (!may(row.network, "operator")) {
    return row.enabled ? h("span", {}, "enabled") : h("span", { class: "soft" }, "disabled");
  }
  const box = h("input", {
    type: "checkbox",
    role: "switch",
    class: "switch",
    checked: row.enabled,
    "aria-label": `${row.name} is enabled`,
    change: async () => {
      try {
        await change(box.checked);
      } catch (error) {
        box.checked = !box.checked;
        report(error);
      }
    },
  });
  return h(
    "label",
    { class: "check nowrap" },
    box,
    h("span", { class: "sub" }, row.enabled ? "enabled" : "disabled"),
  );
}

/**
 * Returns the buttons of a row, or nothing for who only reads.
 * @param {{name: string, network: string}} row
 * @param {{edit: () => void, erase: () => void}} actions
 * @param {...HTMLElement} others buttons that stand before these
 */
export function rowActions(row, { edit, erase }, ...others) {
  if (!may(row.network, "operator")) return null;
  return h(
    "div",
    { class: "actions" },
    others,
    rowButton("Edit", { icon: "edit", name: row.name, press: edit }),
    rowButton("Delete", { icon: "trash", name: row.name, press: erase }),
  );
}

/**
 * Returns a button of a row that is an icon alone, and says of which row it is.
 * @param {string} words
 * @param {{icon: string, name: string, press: () => void}} options
 */
function rowButton(words, { icon, name, press }) {
  return button(words, { tone: "quiet", icon, only: true, label: `${words} ${name}`, press });
}
