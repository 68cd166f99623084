/** Open alerts of this sensor, above its charts. */

import { acknowledge, canAcknowledge, valueWords } from "../alert-actions.js";
import { get } from "../api.js";
import { button, fill, h, icon, part } from "../dom.js";
import { ago } from "../time.js";
import { report } from "../toast.js";

// A sensor with more open alerts than this has one problem, not many.
const MOST = 5;

/** @param {string} identifier */
export async function showOpenAlerts(identifier) {
  try {
    const page = await get("alerts/", { sensor: identifier, state: ["firing", "pending"], limit: MOST });
    show(page.results, identifier, Boolean(page.next));
  } catch (error) {
    report(error);
  }
}

/** @param {any[]} alerts @param {string} identifier @param {boolean} more */
function show(alerts, identifier, more) {
  const place = part("open-alerts");
  place.hidden = !alerts.length;
  fill(
    place,
    h(
      "div",
      { class: "stack" },
      alerts.map((alert) => notice(alert, identifier)),
      more && h("a", { href: `/alerts/?sensor=${identifier}` }, "All alerts of this sensor"),
    ),
  );
}

/** @param {any} alert @param {string} identifier */
function notice(alert, identifier) {
  const tone = alert.severity === "critical" ? "bad" : alert.severity === "warning" ? "warn" : "info";
  const words = [alert.state === "pending" ? "pending" : "", valueWords(alert)].filter(Boolean).join(", ");
  return h(
    "div",
    { class: "notice", "data-tone": tone },
    icon("bell"),
    h(
      "p",
      {},
      h("a", { href: `/alerts/${alert.id}/` }, alert.rule_name),
      words && ` · ${words}`,
      " · since ",
      ago(alert.started_at),
      alert.acknowledged_at && ` · acknowledged by ${alert.acknowledged_by ?? "a deleted user"}`,
    ),
    canAcknowledge(alert) &&
      h(
        "div",
        { class: "actions" },
        button("Acknowledge", {
          press: () => void acknowledge(alert, () => void showOpenAlerts(identifier)),
        }),
      ),
  );
}
