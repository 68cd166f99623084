/** One alert's page: its facts, what fired it, its course, its rule as it was, and who was told; live. */

import {
  acknowledge,
  canAcknowledge,
  canResolve,
  isOpen,
  resolve,
  silence,
  subjectLink,
} from "../alert-actions.js";
import { get } from "../api.js";
import { button, fact, fill, h, part } from "../dom.js";
import { numeral, pill, quantity } from "../format.js";
import { condition } from "../rules-page/words.js";
import { revisionAddress } from "../sensor-page/revision.js";
import { startShell } from "../shell.js";
import { ago, duration, now } from "../time.js";
import { report, toast } from "../toast.js";
import { networkName } from "../viewer.js";
import { Cause } from "./cause.js";
import { courseSteps } from "./course.js";
import { showRuleThen } from "./rule-then.js";
import { AlertTold } from "./told.js";

// An open episode grows, and deliveries make no live events.
const AGAIN_EVERY_MS = 10_000;

const main = /** @type {HTMLElement} */ (document.getElementById("main"));
const id = main.dataset.alert ?? "";
const live = startShell();
const told = new AlertTold(id);
/** @type {any} */
let alert = null;
/** @type {Cause | null} */
let cause = null;

live.on("alert", (frame) => {
  if (String(frame.id) === id) show(frame);
});
live.on("refresh", () => void load());
void start();

async function start() {
  await load();
  if (!alert) return;
  await live.watch(alert.sensor ? { sensors: [alert.sensor] } : { networks: [alert.network] });
  setInterval(() => {
    if (document.hidden) return;
    if (isOpen(alert)) {
      showFacts();
      void cause?.show(alert);
    }
    void told.load(alert).catch(report);
  }, AGAIN_EVERY_MS);
}

async function load() {
  try {
    show(await get(`alerts/${id}/`));
    await showRuleThen(part("rule"), part("rule-note"), alert);
  } catch (error) {
    report(error);
  }
}

/** @param {any} fresh */
function show(fresh) {
  alert = fresh;
  fill(
    part("state"),
    pill(alert.state),
    pill(alert.severity),
    alert.flapping && pill("flapping"),
    alert.silenced && pill("silenced"),
    alert.backfilled && h("span", { class: "chip" }, "from data that came late"),
  );
  fill(
    part("actions"),
    canAcknowledge(alert) &&
      button("Acknowledge", {
        icon: "check",
        tone: "primary",
        press: () => void acknowledge(alert, changed("Acknowledged.")),
      }),
    canResolve(alert) &&
      button("Silence", { icon: "silence", press: () => void silence(alert, () => void load()) }),
    canResolve(alert) && button("Resolve", { press: () => void resolve(alert, changed("Resolved.")) }),
  );
  showFacts();
  fill(part("course"), courseSteps(alert));
  cause ??= new Cause(
    { section: part("cause-card"), note: part("cause-note"), place: part("cause") },
    alert.rule_snapshot.kind,
  );
  part("rule-card").hidden = !alert.rule_snapshot.kind;
  void cause.show(alert);
  void told.load(alert).catch(report);
}

function showFacts() {
  const { kind } = alert.rule_snapshot;
  const end = alert.resolved_at ? Date.parse(alert.resolved_at) : now();
  fill(
    part("facts"),
    fact(alert.sensor ? "Sensor" : "About", subjectLink(alert)),
    fact("Network", h("a", { href: `/?network=${alert.network}` }, networkName(alert.network))),
    kind && fact("Fires when", condition(alert.rule_snapshot)),
    alert.value !== null && valueFact(alert),
    alert.members.length > 0 && fact("Silent", quantity(alert.members.length, "sensor")),
    fact("Started", ago(alert.started_at)),
    fact("Lasts", duration((end - Date.parse(alert.started_at)) / 1000)),
    fact(
      "Acknowledged",
      alert.acknowledged_at ? `by ${alert.acknowledged_by ?? "a deleted user"}` : "not yet",
    ),
  );
}

/** @param {any} alert which has a value */
function valueFact({ value, sensor, rule_snapshot }) {
  switch (rule_snapshot.kind) {
    case "rate_of_change":
      return fact("Newest change", `${numeral(value)} per minute`);
    case "log_severity":
      return fact("Counted", quantity(value, "message"));
    case "configuration_failure":
      return fact("Revision", h("a", { href: revisionAddress(sensor, value) }, value));
    default:
      return fact("Newest value", numeral(value));
  }
}

/** @param {string} words */
function changed(words) {
  return (/** @type {any} */ fresh) => {
    show(fresh);
    toast(words);
  };
}
