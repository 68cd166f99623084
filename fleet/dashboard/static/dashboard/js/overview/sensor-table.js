/** The table of sensors: one page of the API's list, its rows kept right by the live connection. */

import { button, fill, flash, h, icon, oncePerFrame, part } from "../dom.js";
import { count, pill, valueList } from "../format.js";
import { addSensor } from "../sensor-forms.js";
import { Sorting } from "../sorting.js";
import { emptyState, Pages, Rows } from "../table.js";
import { ago } from "../time.js";
import { report } from "../toast.js";
import { networkName, networksWith } from "../viewer.js";

// What needs looking at comes first.
const URGENCY = ["down", "late", "up", "new"];

export class SensorTable {
  /**
   * @param {import("../live.js").Live} live
   * @param {{clear: () => void}} options
   */
  constructor(live, { clear }) {
    this.live = live;
    this.clear = clear;
    this.filtered = false;
    /** @type {Rows<any>} */
    this.rows = new Rows(part("sensors"), {
      key: (sensor) => sensor.identifier,
      columns: [
        { class: "aside", cell: (sensor) => pill(sensor.status) },
        { class: "lead", cell: nameCell },
        { cell: networkCell },
        { class: "aside nowrap", cell: (sensor) => ago(sensor.last_seen_at) },
        { class: "wide", cell: (sensor) => h("div", { class: "values" }, valueList(sensor.latest?.value)) },
        { class: "wide", cell: (sensor) => configurationCell(sensor.configuration) },
      ],
    });
    this.sorting = new Sorting(
      this.rows.table,
      {
        status: (sensor) => URGENCY.indexOf(sensor.status),
        name: (sensor) => sensor.name || sensor.identifier,
        network: (sensor) => `${networkName(sensor.network)} ${sensor.gateway ?? ""}`,
        last_seen_at: (sensor) => sensor.last_seen_at,
        revision: (sensor) =>
          sensor.configuration.state &&
          `${sensor.configuration.state} ${sensor.configuration.latest_revision}`,
      },
      () => this.sort(),
    );
    /** @type {any[]} */
    this.sensors = [];
    this.hasMore = false;
    this.pages = new Pages(part("pager"), (sensors, page) => {
      this.hasMore = Boolean(page.next || page.previous);
      this.show(sensors);
    });
    /** @type {Set<string>} */
    this.changed = new Set();
    this.paint = oncePerFrame(() => this.paintChanged());
    this.listen();
  }

  /** @param {Record<string, string>} filters @param {boolean} filtered */
  async open(filters, filtered) {
    this.filtered = filtered;
    this.rows.table.setAttribute("aria-busy", "true");
    try {
      await this.pages.open("sensors/", filters);
    } catch (error) {
      report(error);
    }
  }

  async refresh() {
    try {
      await this.pages.refresh();
    } catch (error) {
      report(error);
    }
  }

  /** @param {any[]} sensors */
  show(sensors) {
    this.sensors = sensors;
    this.sort();
    this.rows.table.hidden = !sensors.length;
    const empty = part("sensors-empty");
    empty.hidden = sensors.length > 0;
    if (!sensors.length) fill(empty, this.emptyState());
    // The snapshot that follows holds what happened since the API answered.
    void this.live.watch({ sensors: sensors.map((sensor) => sensor.identifier) });
  }

  sort() {
    this.rows.show(this.sorting.sorted(this.sensors));
    part("sort-note").textContent =
      this.sorting.by && this.hasMore
        ? "Sorted within this page; filters find the others."
        : "Rows update by themselves.";
  }

  emptyState() {
    if (this.filtered) {
      return emptyState({
        icon: "search",
        title: "No sensor matches",
        text: "Nothing fits all of these filters.",
        actions: [button("Clear filters", { press: this.clear })],
      });
    }
    if (!networksWith("operator").length) {
      return emptyState({
        icon: "network",
        title: "No sensors yet",
        text: "Sensors live in networks. Create a network of your own, or ask the owner of one to make you a member.",
        actions: [h("a", { class: "button primary", href: "/networks/" }, "To the networks")],
      });
    }
    return emptyState({
      icon: "sensor",
      title: "Connect the first sensor",
      text: "Add it here with its identifier, then let it publish over MQTT; the page shows the line to try it with.",
      actions: [
        button("Add sensor", {
          icon: "plus",
          tone: "primary",
          press: () => void addSensor({ then: () => void this.refresh() }),
        }),
      ],
    });
  }

  /** @param {any} stats @param {boolean} filtered */
  showCount(stats, filtered) {
    part("sensor-count").textContent = filtered ? "" : count(stats.sensors.total);
  }

  listen() {
    const { live } = this;
    live.on("refresh", () => void this.refresh());
    live.on("snapshot", ({ sensors }) => {
      for (const { identifier, ...state } of sensors)
        this.change(identifier, (row) => Object.assign(row, state));
    });
    live.on("measurements", ({ sensor, items }) =>
      this.change(sensor, (row) => {
        for (const item of items) {
          if (!row.latest || item.measured_at >= row.latest.measured_at) row.latest = item;
          if (!row.last_seen_at || item.received_at > row.last_seen_at) row.last_seen_at = item.received_at;
        }
      }),
    );
    live.on("heartbeats", ({ sensor, items }) =>
      this.change(sensor, (row) => {
        for (const item of items) {
          if (!row.last_seen_at || item.received_at > row.last_seen_at) row.last_seen_at = item.received_at;
          row.configuration.running_revision = item.revision;
        }
      }),
    );
    live.on("status", ({ sensor, status, last_seen_at }) =>
      this.change(sensor, (row) => {
        row.status = status;
        row.last_seen_at = last_seen_at;
      }),
    );
    live.on("configuration", ({ sensor, revision, state }) =>
      this.change(sensor, ({ configuration }) => {
        if (configuration.latest_revision === null || revision >= configuration.latest_revision) {
          configuration.latest_revision = revision;
          configuration.state = state;
        }
        if (state === "acknowledged" && revision >= (configuration.acknowledged_revision ?? -1)) {
          configuration.acknowledged_revision = revision;
        }
      }),
    );
  }

  /**
   * @param {string} identifier
   * @param {(row: any) => void} how
   */
  change(identifier, how) {
    const sensor = this.rows.items.get(identifier);
    if (!sensor) return;
    how(sensor);
    this.changed.add(identifier);
    this.paint();
  }

  paintChanged() {
    for (const identifier of this.changed) {
      const sensor = this.rows.items.get(identifier);
      const before = this.rows.rows
        .get(identifier)
        ?.querySelector("[data-value]")
        ?.getAttribute("data-value");
      const row = sensor && this.rows.update(sensor);
      if (row && before !== sensor.status) flash(row);
    }
    this.changed.clear();
  }
}

/** @param {any} sensor */
function nameCell(sensor) {
  const href = `/sensors/${sensor.identifier}/`;
  return [
    h("a", { class: "name", href }, sensor.name || sensor.identifier),
    sensor.name && h("span", { class: "sub mono" }, sensor.identifier),
  ];
}

/** @param {any} sensor */
function networkCell(sensor) {
  return [
    h("span", { class: "break" }, networkName(sensor.network)),
    sensor.gateway && h("span", { class: "sub" }, icon("gateway"), " ", sensor.gateway),
  ];
}

/** @param {any} configuration */
function configurationCell(configuration) {
  const { latest_revision: latest, running_revision: running, state } = configuration;
  if (latest === null) return h("span", { class: "soft" }, "none");
  return [
    h("span", { class: "nowrap" }, `revision ${latest} `, pill(state)),
    running !== null && running !== latest && h("span", { class: "sub" }, `runs ${running}`),
  ];
}
