/** One sensor's page: brings its parts together and keeps them right. */

import { get } from "../api.js";
import { part } from "../dom.js";
import { startShell } from "../shell.js";
import { report } from "../toast.js";
import { showOpenAlerts } from "./alerts.js";
import { AttributeList } from "./attributes.js";
import { ChartPanel } from "./chart-panel.js";
import { Configuration } from "./configuration.js";
import { Header } from "./header.js";
import { Messages } from "./messages.js";

// Sensors that send their attributes in turns show all of them within so many measurements.
const VALUES_FROM = 200;

const identifier = part("name").closest("main")?.dataset.sensor ?? "";
const network = part("name").closest("main")?.dataset.network ?? "";
const path = `sensors/${identifier}/`;

const live = startShell();
const header = new Header();
const attributes = new AttributeList(part("attributes"), (chosen) => void panel.choose(chosen));
const panel = new ChartPanel(path, attributes);
const configuration = new Configuration(path, network);
const messages = new Messages(path, identifier, network);

live.on("snapshot", ({ sensors }) => {
  const state = sensors.find((/** @type {any} */ sensor) => sensor.identifier === identifier);
  if (state && header.sensor) header.change(state);
});
live.on("measurements", ({ items }) => {
  header.hear(items);
  for (const item of items) {
    attributes.hear(item);
    panel.hear(item);
  }
});
live.on("heartbeats", ({ items }) => {
  header.hear(items);
  header.change({ configuration: { running_revision: items.at(-1).revision } });
  messages.heard("heartbeats");
});
live.on("log_messages", ({ items }) => {
  header.hear(items);
  messages.heard("logs");
});
live.on("status", ({ status, last_seen_at }) => header.change({ status, last_seen_at }));
live.on("configuration", ({ revision, state }) => {
  header.hearConfiguration(revision, state);
  configuration.heard(revision, state);
});
live.on("alert", () => void showOpenAlerts(identifier));
live.on("refresh", () => void load());

void start();

async function start() {
  await live.watch({ sensors: [identifier] });
  await load();
}

async function load() {
  await Promise.all([
    loadSensor().catch(report),
    configuration.load().catch(report),
    messages.load().catch(report),
    showOpenAlerts(identifier),
  ]);
}

async function loadSensor() {
  const [sensor, names, measurements] = await Promise.all([
    get(path),
    get(`${path}attributes/`),
    get(`${path}measurements/`, { limit: VALUES_FROM }),
  ]);
  header.show(sensor);
  attributes.show(names.results, measurements.results);
  await panel.start(sensor);
}
