/** One bridge on the page "Ingest": how it is, its last minutes as charts, and its counts. */

import { h, renew } from "../dom.js";
import { count, pill, rate } from "../format.js";
import { ago, duration, now } from "../time.js";
import { SmallChart } from "./small-chart.js";
import { short, size, span } from "./words.js";

// Bridges say how they are every two seconds.
const SILENT_AFTER_S = 15;
// Fields of a sample, as docs/metrics.md and the API's schema list them.
const [RECEIVED, STORED, QUEUE, LAG_P50, LAG_P99, COMMIT_P50, COMMIT_P99] = [1, 2, 3, 4, 5, 6, 7];

/** @type {{term: string, hint?: string, ofSeveral?: boolean, show: (shard: any) => Node | string}[]} */
const FACTS = [
  { term: "Received", show: (shard) => `${count(shard.received)} messages, ${size(shard.received_bytes)}` },
  { term: "Stored", show: (shard) => `${count(shard.stored)} entries` },
  {
    term: "Stored already",
    hint: "Entries that were redelivered or repeated; nothing is stored twice",
    show: (shard) => count(shard.duplicates),
  },
  {
    term: "Refused",
    hint: "Messages and entries that could not be stored",
    show: (shard) => count(total(shard.rejected)),
  },
  {
    term: "For other shards",
    ofSeveral: true,
    hint: "Every shard hears every message and stores its own",
    show: (shard) => count(shard.passed_over),
  },
  {
    term: "Queue, most in a minute",
    hint: "When so many wait, the broker keeps the rest",
    show: (shard) => `${count(shard.queue_high_water)} of ${count(shard.queue_limit)}`,
  },
  {
    term: "Lag",
    hint: "From receiving a message to the commit that stored it, within the last minute",
    show: ({ window: recent }) => `p50 ${span(recent?.lag_p50)}, p99 ${span(recent?.lag_p99)}`,
  },
  {
    term: "Commit",
    hint: "From taking a batch up to its commit, within the last minute",
    show: ({ window: recent }) => `p50 ${span(recent?.commit_p50)}, p99 ${span(recent?.commit_p99)}`,
  },
  {
    term: "Stored up to",
    hint: "Everything that the broker had for it until then is stored",
    show: (shard) => ago(shard.drained_until),
  },
  {
    term: "Tried again",
    hint: "Attempts to store a batch that the database refused",
    show: (shard) => count(shard.failures),
  },
  {
    term: "Dropped by the broker",
    hint: "The broker's own count since it started, for whichever client: a queue was full",
    show: (shard) => count(shard.broker_dropped),
  },
];

export class ShardCard {
  /** @param {string} name I/N */
  constructor(name) {
    const heading = `bridge-${name.replace("/", "-of-")}`;
    this.state = h("span", {});
    this.told = h("span", { class: "soft small" });
    const isAlone = name.endsWith("/1");
    this.facts = FACTS.filter(({ ofSeveral }) => !(ofSeveral && isAlone)).map((fact) => ({
      ...fact,
      place: h("dd", {}),
    }));
    this.charts = [
      new SmallChart(
        "Rate",
        [
          { name: "messages", colour: 1, field: RECEIVED },
          { name: "stored", colour: 3, field: STORED },
        ],
        { axis: short, value: (number) => `${rate(number)}/s`, least: 1 },
      ),
      new SmallChart("Queue", [{ name: "at most", colour: 1, field: QUEUE }], {
        axis: short,
        value: count,
        least: 10,
      }),
      new SmallChart("Lag", quantiles(LAG_P50, LAG_P99), { axis: span, value: span, least: 0.01 }),
      new SmallChart("Commit", quantiles(COMMIT_P50, COMMIT_P99), { axis: span, value: span, least: 0.01 }),
    ];
    this.root = h(
      "section",
      { class: "card", "aria-labelledby": heading, "data-shard": name },
      h("div", { class: "card-head" }, h("h2", { id: heading }, `Bridge ${name}`), this.state, this.told),
      h(
        "div",
        { class: "shard-charts" },
        this.charts.map((chart) => chart.root),
      ),
      h(
        "dl",
        { class: "facts even" },
        this.facts.map(({ term, hint, place }) => h("div", { title: hint }, h("dt", {}, term), place)),
      ),
    );
  }

  /** @param {any} shard as of `ingest/` */
  show(shard) {
    renew(this.state, stateOf(shard));
    renew(
      this.told,
      "Told ",
      ago(shard.ticked_at),
      shard.started_at && [", started ", ago(shard.started_at)],
    );
    // Samples have their own clock reading: one beyond the axis would be left out of the other axis' reach.
    const end_s = Math.max(Date.parse(shard.ticked_at) / 1000, shard.samples.at(-1)?.[0] ?? 0);
    for (const chart of this.charts) chart.show(shard.samples, end_s);
    for (const { place, show } of this.facts) renew(place, show(shard));
  }
}

/** @param {Record<string, number>} counts */
export function total(counts) {
  return Object.values(counts).reduce((sum, number) => sum + number, 0);
}

/** @param {number} p50 @param {number} p99 */
function quantiles(p50, p99) {
  return [
    { name: "p50", colour: 1, field: p50 },
    { name: "p99", colour: 2, field: p99 },
  ];
}

/** @param {any} shard */
function stateOf(shard) {
  const age_s = (now() - Date.parse(shard.ticked_at)) / 1000;
  if (age_s > SILENT_AFTER_S) return pill("down", `silent for ${duration(age_s)}`);
  if (shard.refused_since) return pill("failed", "the database refuses");
  if (!shard.connected) return pill("late", "not connected to the broker");
  return pill("up", "connected");
}
