/** One alert's page: its facts, the values around its episode, its course, live. */

import { acknowledge, canAcknowledge, canResolve, resolve, silence, subjectLink } from "../alert-actions.js";
import { get } from "../api.js";
import { SeriesChart } from "../chart.js";
import { button, fill, h, icon, part } from "../dom.js";
import { numeral, pill } from "../format.js";
import { limitsOfRule } from "../limits.js";
import { condition } from "../rules-page/words.js";
import { Series } from "../series.js";
import { startShell } from "../shell.js";
import { ago, at, duration, now } from "../time.js";
import { report, toast } from "../toast.js";

// Before and after the episode as much again, at least and at most so much.
const LEAST_AROUND_S = 300;
const MOST_AROUND_S = 86_400;
const POINTS = 500;
// An open episode grows; its chart is asked for again so often.
const AGAIN_EVERY_MS = 10_000;

/** @type {Record<string, string>} */
const RESOLUTIONS = {
  cleared: "the violation is over",
  heard: "heard again",
  applied: "the sensor acknowledged the revision",
  superseded: "a newer revision came",
  by_hand: "by hand",
  rule_edited: "the rule was changed",
  rule_disabled: "the rule was disabled",
  rule_deleted: "the rule was deleted",
  sensor_edited: "the sensor's period or grace was changed",
  sensor_deleted: "the sensor was deleted",
  gateway_deleted: "the gateway was deleted",
  out_of_scope: "the rule does not cover it any more",
};

const main = /** @type {HTMLElement} */ (document.getElementById("main"));
const id = main.dataset.alert ?? "";
const live = startShell();
/** @type {any} */
let alert = null;
/** @type {SeriesChart | null} */
let chart = null;

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
    if (alert.state !== "resolved" && !document.hidden) void drawChart();
  }, AGAIN_EVERY_MS);
}

async function load() {
  try {
    show(await get(`alerts/${id}/`));
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
    " ",
    pill(alert.severity),
    alert.flapping && [" ", pill("flapping")],
    alert.silenced && [" ", pill("silenced")],
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
  fill(
    part("facts"),
    fact(alert.sensor ? "Sensor" : alert.gateway ? "Gateway" : "About", subjectLink(alert)),
    fact("Fires when", conditionWords()),
    fact("Value", alert.value === null ? "none" : numeral(alert.value)),
    fact("Started", ago(alert.started_at)),
    fact("Lasts", duration((endOf() - Date.parse(alert.started_at)) / 1000)),
    fact(
      "Acknowledged",
      alert.acknowledged_at ? `by ${alert.acknowledged_by ?? "a deleted user"}` : "not yet",
    ),
    alert.members?.length > 0 && fact("Silent sensors", alert.members.join(", ")),
    alert.detail && fact("Detail", alert.detail),
  );
  fill(part("course"), steps());
  void drawChart();
}

/** @param {string} words */
function changed(words) {
  return (/** @type {any} */ fresh) => {
    show(fresh);
    toast(words);
  };
}

function endOf() {
  return alert.resolved_at ? Date.parse(alert.resolved_at) : now();
}

function conditionWords() {
  return alert.rule_snapshot.kind ? condition(alert.rule_snapshot) : "";
}

function steps() {
  /** @type {[string, string | null, string][]} */
  const moments = [
    ["clock", alert.started_at, "Violated for the first time, on the sensor's clock"],
    ["bell", alert.fired_at, alert.backfilled ? "Fired, from data that came late" : "Fired"],
    [
      "check",
      alert.acknowledged_at,
      `Acknowledged by ${alert.acknowledged_by ?? "a deleted user"}${alert.acknowledgement ? `: “${alert.acknowledgement}”` : ""}`,
    ],
    [
      "tick",
      alert.resolved_at,
      `Resolved${alert.resolved_by ? ` by ${alert.resolved_by}` : ""}${alert.resolution && !alert.resolved_by ? `: ${RESOLUTIONS[alert.resolution] ?? alert.resolution}` : ""}`,
    ],
  ];
  return moments
    .filter(([, moment]) => moment)
    .sort(([, one], [, other]) => String(one).localeCompare(String(other)))
    .map(([name, moment, words]) =>
      h(
        "li",
        {},
        icon(name),
        h("div", {}, words, h("span", { class: "sub" }, at(/** @type {string} */ (moment)))),
      ),
    );
}

async function drawChart() {
  const { attribute } = alert.rule_snapshot;
  part("episode").hidden = !attribute || !alert.sensor;
  if (part("episode").hidden) return;
  const start_s = Date.parse(alert.started_at) / 1000;
  const end_s = endOf() / 1000;
  const around_s = Math.min(Math.max(end_s - start_s, LEAST_AROUND_S), MOST_AROUND_S);
  const first_s = start_s - around_s;
  const last_s = Math.min(end_s + around_s, now() / 1000);
  try {
    const answer = await get(`sensors/${alert.sensor}/series/`, {
      attribute,
      points: POINTS,
      start: new Date(first_s * 1000).toISOString(),
      end: new Date(last_s * 1000).toISOString(),
    });
    chart?.destroy();
    chart = new SeriesChart(part("charts"), new Series(attribute, answer), {
      colour: 1,
      limits: limitsOfRule(alert.rule_snapshot),
      episodes: [{ start_s, end_s: alert.resolved_at ? end_s : null }],
    });
    chart.show(first_s, last_s);
  } catch (error) {
    report(error);
  } finally {
    part("charts").removeAttribute("aria-busy");
  }
}

/**
 * @param {string} term
 * @param {import("../dom.js").Child} description
 */
function fact(term, description) {
  return h("div", {}, h("dt", {}, term), h("dd", {}, description));
}
