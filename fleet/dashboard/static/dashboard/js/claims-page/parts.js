/** Buttons of claims: of one row, and of all that are chosen. */

import { button, h, renew } from "../dom.js";
import { quantity } from "../format.js";

/**
 * Returns the buttons of a claim that waits.
 * @param {{identifier: string}} claim
 * @param {{admit: () => void, otherwise: () => void, refuse: () => void}} actions
 */
export function claimActions({ identifier }, { admit, otherwise, refuse }) {
  return h(
    "div",
    { class: "actions" },
    button("Admit", { icon: "check", tone: "primary", label: `Admit ${identifier}`, press: admit }),
    button("Admit with another name, gateway or labels", {
      icon: "edit",
      tone: "quiet",
      only: true,
      label: `Admit ${identifier} with another name, gateway or labels`,
      press: otherwise,
    }),
    button("Refuse", {
      icon: "close",
      tone: "quiet",
      only: true,
      label: `Refuse ${identifier}`,
      press: refuse,
    }),
  );
}

/**
 * Shows how many are chosen and what can be done with them; what has the keyboard's focus stays.
 * @param {HTMLElement} place
 * @param {{number: number, all: number, choose: (every: boolean) => void, admit: () => void, refuse: () => void}} state
 */
export function chosenBar(place, { number, all, choose, admit, refuse }) {
  place.hidden = all === 0;
  const every = number === all && all > 0;
  renew(
    place,
    button(every ? "Choose none" : `Choose all ${all}`, { tone: "quiet", press: () => choose(!every) }),
    h("span", { class: "soft", role: "status" }, number ? `${quantity(number, "device")} chosen` : ""),
    number > 0 && button(`Admit ${number}`, { icon: "check", tone: "primary", press: admit }),
    number > 0 && button(`Refuse ${number}`, { icon: "close", press: refuse }),
  );
}
