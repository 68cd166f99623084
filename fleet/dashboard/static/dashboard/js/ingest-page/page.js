/** How ingest is: asked for every two seconds while the page is looked at. */

import { ApiError, get } from "../api.js";
import { fill, h, icon, part, renew } from "../dom.js";
import { count, quantity, rate } from "../format.js";
import { startShell } from "../shell.js";
import { emptyState } from "../table.js";
import { report } from "../toast.js";
import { ago, now } from "../time.js";
import { ShardCard, total } from "./shard.js";
import { span } from "./words.js";

const EVERY_MS = 2_000;
// What waits is taken up every second or two.
const LONG_MS = 10_000;

startShell().watch({});
/** @type {Map<string, ShardCard>} */
const cards = new Map();
let timer = 0;
let failed = false;
/** When the server last answered, for the notice that it does not. @type {string | null} */
let answered_at = null;

document.addEventListener("visibilitychange", () => !document.hidden && void ask());
void ask();

async function ask() {
  clearTimeout(timer);
  try {
    show(await get("ingest/"));
    failed = false;
  } catch (error) {
    // Who is no longer staff, or logged out, gets no answer by asking again.
    if (error instanceof ApiError && [401, 403].includes(error.status)) return report(error);
    if (!failed) {
      report(error);
      fill(
        part("notices"),
        notice(
          "bad",
          h("b", {}, "The service does not say how ingest is. "),
          "What stands here is from ",
          ago(answered_at),
          ".",
        ),
      );
    }
    failed = true;
  }
  timer = window.setTimeout(() => document.hidden || void ask(), EVERY_MS);
}

/** @param {any} state as of `ingest/` */
function show(state) {
  answered_at = state.at;
  renew(part("notices"), notices(state));
  showFigures(state);
  showShards(state.shards);
  showRefused(state.shards);
  showAnswers(state.configurations);
}

/** @param {any} state */
function notices({ parts, shards }) {
  const found = Object.entries(parts)
    .filter(([, { fit, detail }]) => !fit || detail)
    .map(([name, { fit, detail }]) =>
      notice(fit ? "warn" : "bad", h("b", {}, `${title(name)}: `), detail, "."),
    );
  if (!shards.length) found.push(notice("bad", "No bridge has run yet: nothing is received."));
  return found;
}

/** @param {string} tone @param {...(Node | string)} words */
function notice(tone, ...words) {
  return h("div", { class: "notice", "data-tone": tone }, icon("warning"), h("p", {}, ...words));
}

/** @param {any} state */
function showFigures({ shards, evaluation, rollups, configurations }) {
  const sum = (/** @type {string} */ field) =>
    shards.reduce(
      (/** @type {number} */ all, /** @type {any} */ shard) => all + (shard.window?.[field] ?? 0),
      0,
    );
  // Shards work beside one another: the slowest one is what somebody waits for.
  const slowest = (/** @type {string} */ field) => {
    const known = shards.map((/** @type {any} */ shard) => shard.window?.[field]).filter(Number.isFinite);
    return known.length ? Math.max(...known) : null;
  };
  const waiting = shards.reduce(
    (/** @type {number} */ all, /** @type {any} */ shard) => all + (shard.queue ?? 0),
    0,
  );
  renew(
    part("rates"),
    figure(rate(sum("received")), "messages/s received"),
    figure(rate(sum("stored")), "entries/s stored"),
    figure(rate(sum("duplicates")), "stored already/s"),
    figure(rate(sum("rejected")), "refused/s"),
  );
  renew(part("lags"), figure(span(slowest("lag_p50")), "p50"), figure(span(slowest("lag_p99")), "p99"));
  renew(
    part("waiting"),
    figure(count(waiting), "in the bridge"),
    figure(count(evaluation.number), "for rules", evaluation.oldest_at),
    figure(count(rollups.number), "to roll up", rollups.oldest_at),
    figure(count(configurations.to_publish), "to publish"),
  );
  part("figures").removeAttribute("aria-busy");
}

/** @param {string} number @param {string} words @param {string | null} [since] of the oldest */
function figure(number, words, since) {
  const isLong = since && now() - Date.parse(since) > LONG_MS;
  return h(
    "div",
    { class: "figure" },
    h("b", {}, number),
    h("span", {}, words),
    isLong && h("span", {}, "since ", ago(since)),
  );
}

/** @param {any[]} shards */
function showShards(shards) {
  const place = part("shards");
  const names = new Set(shards.map((shard) => shard.shard));
  for (const [name, card] of cards) {
    if (names.has(name)) continue;
    card.root.remove();
    cards.delete(name);
  }
  for (const shard of shards) {
    let card = cards.get(shard.shard);
    if (!card) {
      card = new ShardCard(shard.shard);
      cards.set(shard.shard, card);
      place.append(card.root);
    }
    card.show(shard);
  }
}

/** @param {any[]} shards */
function showRefused(shards) {
  /** @type {Record<string, number>} */
  const counts = {};
  for (const shard of shards) {
    for (const [reason, number] of Object.entries(shard.rejected))
      counts[reason] = (counts[reason] ?? 0) + Number(number);
  }
  const rows = Object.entries(counts).sort(([, one], [, other]) => other - one);
  const place = part("refused");
  if (!rows.length) return renew(place, emptyState({ icon: "tick", title: "Nothing was refused" }));
  renew(
    place,
    h(
      "table",
      { class: "table" },
      h(
        "thead",
        {},
        h(
          "tr",
          {},
          h("th", { scope: "col" }, "Reason"),
          h("th", { scope: "col", class: "number" }, "Number"),
          h("th", { scope: "col", class: "number" }, "Share"),
        ),
      ),
      h(
        "tbody",
        {},
        rows.map(([reason, number]) =>
          h(
            "tr",
            {},
            h("td", {}, h("code", {}, reason)),
            h("td", { class: "number figures" }, count(number)),
            h("td", { class: "number figures" }, `${Math.round((100 * number) / total(counts))} %`),
          ),
        ),
      ),
    ),
  );
}

/** @param {any} configurations */
function showAnswers({ acknowledged, failed: refused, to_publish: toPublish, to_clear: toClear }) {
  renew(
    part("answers"),
    [
      ["acknowledged", acknowledged],
      ["failed", refused],
    ].map(([name, answers]) =>
      h(
        "tr",
        {},
        h("td", {}, name),
        h("td", { class: "number" }, count(answers.number)),
        h("td", { class: "number" }, span(answers.p50)),
        h("td", { class: "number" }, span(answers.p99)),
      ),
    ),
  );
  renew(
    part("configurations"),
    `Since the bridges started. ${quantity(toPublish, "revision")} to publish, ${quantity(toClear, "deleted sensor")} to clear at the broker.`,
  );
}

/** @param {string} name */
function title(name) {
  return name[0].toUpperCase() + name.slice(1);
}
