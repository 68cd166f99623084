/** Sending a test to a target, with what became of it. */

import { ApiError, post } from "../api.js";
import { openDialog } from "../dialog.js";
import { h } from "../dom.js";
import { toast } from "../toast.js";

// A delivery takes half a minute at most.
const ANSWER_WITHIN_MS = 45_000;

/**
 * Asks and sends; stays open with the reason when the message was not taken.
 * @param {any} target
 * @param {{then: () => void, cancel?: string}} options then: called when the target may look different
 */
export function tryTarget(target, { then, cancel = "Cancel" }) {
  const progress = h("p", { class: "soft", role: "status" });
  return openDialog({
    title: `Send a test to “${target.name}”?`,
    body: [
      h("p", {}, `One message that says what it is goes to ${target.address} at once. It tells of no alert.`),
      progress,
    ],
    action: "Send a test",
    cancel,
    submit: async () => {
      progress.textContent = "Sending, which takes up to half a minute …";
      try {
        const { sent, error } = await post(
          `notification-targets/${target.id}/test/`,
          {},
          { timeout_ms: ANSWER_WITHIN_MS },
        );
        if (!sent) throw new ApiError(200, `The test was not taken. ${error}`);
        toast(`The test was taken by the server of “${target.name}”.`);
      } finally {
        progress.textContent = "";
        then();
      }
    },
  });
}
