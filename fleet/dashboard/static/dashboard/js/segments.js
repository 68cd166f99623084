/** A row of choices of which one is pressed. */

import { h, renew } from "./dom.js";

/**
 * Shows `choices` in `place`; what has the keyboard's focus stays.
 * @param {HTMLElement} place
 * @param {{name: string, words: string}[]} choices
 * @param {string} pressed the name of one of them
 * @param {(name: string) => void} choose
 */
export function showSegments(place, choices, pressed, choose) {
  renew(
    place,
    choices.map(({ name, words }) =>
      h(
        "button",
        { type: "button", "aria-pressed": String(name === pressed), click: () => choose(name) },
        words,
      ),
    ),
  );
}
