/** Short notes in the corner: what went wrong, what was done. */

import { ApiError } from "./api.js";
import { button, h, part } from "./dom.js";

const GOOD_STAYS_MS = 4_000;
const BAD_STAYS_MS = 12_000;
// More at once would cover the page; the oldest goes.
const MOST = 4;

/**
 * @param {string} message
 * @param {"good" | "bad"} [tone]
 */
export function toast(message, tone = "good") {
  const corner = part("toasts");
  const same = [...corner.children].find((item) => item.querySelector("p")?.textContent === message);
  same?.remove();
  const note = h("div", { class: "toast", "data-tone": tone }, h("p", {}, message));
  note.append(button("Close", { icon: "close", tone: "quiet", only: true, press: () => dismiss(note) }));
  corner.append(note);
  while (corner.childElementCount > MOST) corner.firstElementChild?.remove();
  // Shown anew, so that it lies above a dialog that was opened since.
  if (corner.matches(":popover-open")) corner.hidePopover();
  corner.showPopover();
  setTimeout(() => dismiss(note), tone === "bad" ? BAD_STAYS_MS : GOOD_STAYS_MS);
}

/** @param {Element} note */
function dismiss(note) {
  note.remove();
  const corner = part("toasts");
  if (!corner.childElementCount && corner.matches(":popover-open")) corner.hidePopover();
}

/**
 * Shows what went wrong, if it is worth showing: requests that the page itself gave up are not.
 * @param {unknown} error
 */
export function report(error) {
  if (error instanceof DOMException && error.name === "AbortError") return;
  if (error instanceof ApiError && error.status === 401) return;
  // The bar says already that the server is away.
  if (error instanceof ApiError && error.status === 0 && part("connection").dataset.state !== "live") return;
  toast(error instanceof ApiError ? error.message : "The page met an error of its own. Reload it.", "bad");
  if (!(error instanceof ApiError)) console.error(error);
}
