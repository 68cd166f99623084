/** The colour scheme: the system's, or the one that the reader chose for this browser. */

import { fill, icon } from "./dom.js";

const KEY = "fleet.theme";
const ORDER = ["auto", "light", "dark"];
/** @type {Record<string, {icon: string, words: string}>} */
const SHOWN = {
  auto: { icon: "auto", words: "Colour scheme: as the system" },
  light: { icon: "sun", words: "Colour scheme: light" },
  dark: { icon: "moon", words: "Colour scheme: dark" },
};

/** @type {Set<() => void>} */
const listeners = new Set();

/**
 * Calls `listener` whenever colours change, for what is painted by hand.
 * @param {() => void} listener
 */
export function onThemeChange(listener) {
  listeners.add(listener);
}

function tell() {
  for (const listener of listeners) listener();
}

/** @param {HTMLElement} toggle a button; each press goes on to the next scheme */
export function bindTheme(toggle) {
  show(toggle, chosen());
  toggle.addEventListener("click", () => {
    const next = ORDER[(ORDER.indexOf(chosen()) + 1) % ORDER.length];
    if (next === "auto") delete document.documentElement.dataset.theme;
    else document.documentElement.dataset.theme = next;
    try {
      localStorage.setItem(KEY, next);
    } catch {
      // Without storage the choice lasts as long as the page.
    }
    show(toggle, next);
    tell();
  });
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", tell);
}

function chosen() {
  return document.documentElement.dataset.theme ?? "auto";
}

/** @param {HTMLElement} toggle @param {string} scheme */
function show(toggle, scheme) {
  fill(toggle, icon(SHOWN[scheme].icon));
  toggle.setAttribute("aria-label", SHOWN[scheme].words);
  toggle.title = SHOWN[scheme].words;
}
