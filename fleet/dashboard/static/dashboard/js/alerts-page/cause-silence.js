/** When whoever fell silent was heard: one sensor, or those of a gateway. */

import { get, getAll } from "../api.js";
import { fact, fill, h } from "../dom.js";
import { count, pill, quantity } from "../format.js";
import { headRow, Rows } from "../table.js";
import { ago, at, duration } from "../time.js";

// A sensor's sign of life is whatever it sends.
const SIGNS = [
  { list: "measurements", words: "Last measurement" },
  { list: "heartbeats", words: "Last heartbeat" },
  { list: "log-messages", words: "Last log message" },
];
const MOST_SENSORS = 5_000;
const MOST_ROWS = 200;

export class SilenceCause {
  /** @param {HTMLElement} place */
  constructor(place) {
    this.place = place;
  }

  /** @param {any} alert */
  async show(alert) {
    const path = `sensors/${alert.sensor}/`;
    // Of an episode that is over what came after it does not count.
    const end = alert.resolved_at && alert.started_at;
    const [sensor, ...newest] = await Promise.all([
      get(path),
      ...SIGNS.map(({ list }) => get(`${path}${list}/`, { limit: 1, end })),
    ]);
    const heard = newest.map((page) => page.results[0]?.received_at ?? null);
    const last = alert.resolved_at ? newestOf(heard) : sensor.last_seen_at;
    const missing = alert.resolved_at ? "not kept any more" : "never";
    fill(
      this.place,
      h(
        "dl",
        { class: "facts" },
        fact("Last heard before it", moment(last, missing)),
        alert.resolution === "heard" && fact("Heard again", moment(alert.resolved_at)),
        SIGNS.map(({ words }, index) => fact(words, moment(heard[index], "none"))),
        fact("Its own period and grace", `${duration(sensor.period_s)} + ${duration(sensor.grace_s)}`),
        fact("Status now", pill(sensor.status)),
      ),
    );
  }
}

export class GatewayCause {
  /** @param {HTMLElement} place */
  constructor(place) {
    this.words = h("p", { class: "soft card-body", role: "status" });
    const table = h(
      "table",
      { class: "table stacks", "aria-busy": "true" },
      h("caption", { class: "spoken" }, "Silent sensors of the gateway"),
      h(
        "thead",
        {},
        headRow([
          ["Sensor", ""],
          ["Status now", ""],
          ["Last heard", ""],
        ]),
      ),
      h("tbody"),
    );
    fill(place, this.words, h("div", { class: "table-wrap" }, table));
    place.classList.remove("card-body");
    this.rows = new Rows(table, {
      key: (/** @type {any} */ sensor) => sensor.identifier,
      columns: [
        { class: "lead", cell: nameCell },
        {
          class: "aside top",
          cell: ({ status }) =>
            status ? pill(status) : h("span", { class: "soft" }, "not behind this gateway any more"),
        },
        {
          class: "nowrap",
          label: "last heard",
          cell: ({ status, last_seen_at }) => status && ago(last_seen_at),
        },
      ],
    });
  }

  /** @param {any} alert */
  async show(alert) {
    const sensors = await getAll("sensors/", { gateway: alert.gateway }, MOST_SENSORS);
    const known = new Map(sensors.map((sensor) => [sensor.identifier, sensor]));
    const members = alert.members.map(
      (/** @type {string} */ identifier) => known.get(identifier) ?? { identifier },
    );
    const silent = `${quantity(members.length, "sensor")} ${alert.resolved_at ? "fell silent" : "silent"}`;
    const more = members.length > MOST_ROWS ? `, of whom ${count(MOST_ROWS)} are listed` : "";
    this.words.textContent = `${silent}${more}; ${count(sensors.length)} behind the gateway now.`;
    this.rows.show(members.slice(0, MOST_ROWS));
  }
}

/** @param {any} sensor */
function nameCell({ identifier, name, status }) {
  if (!status) return h("span", { class: "name" }, identifier);
  return [
    h("a", { class: "name", href: `/sensors/${identifier}/` }, name || identifier),
    name && h("span", { class: "sub" }, identifier),
  ];
}

/** @param {string | null} found @param {string} [missing] */
function moment(found, missing) {
  return found ? [at(found), " (", ago(found), ")"] : ago(null, missing);
}

/** @param {(string | null)[]} moments */
function newestOf(moments) {
  return moments.reduce(
    (best, next) => (Date.parse(next ?? "") > (Date.parse(best ?? "") || 0) ? next : best),
    null,
  );
}
