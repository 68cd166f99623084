/** One's own account: times in the reader's zone, and questions before sessions end. */

import { openDialog } from "../dialog.js";
import { h } from "../dom.js";
import { startShell } from "../shell.js";
import { exact, relative } from "../time.js";

startShell().watch({});

for (const element of document.querySelectorAll("time[data-ago]")) {
  const time = /** @type {HTMLTimeElement} */ (element);
  time.title = exact(time.dateTime);
  time.textContent = relative(time.dateTime);
}

for (const form of document.querySelectorAll("form[data-ask]")) form.addEventListener("submit", askFirst);

/** @param {Event} event */
async function askFirst(event) {
  event.preventDefault();
  const form = /** @type {HTMLFormElement} */ (event.currentTarget);
  const { ask = "", text = "", action = "" } = form.dataset;
  const agreed = await openDialog({
    title: ask,
    body: [h("p", {}, text)],
    action,
    tone: "danger primary",
    submit: async () => {},
  });
  // As it was meant, without asking again.
  if (agreed) form.submit();
}
