/** Title, status and facts of the sensor. */

import { button, fact, fill, h, oncePerFrame, part, renew } from "../dom.js";
import { labelChips, pill } from "../format.js";
import { copy } from "../connect-help.js";
import { showCredential } from "../credential.js";
import { deleteSensor, editSensor, showHowToConnect } from "../sensor-forms.js";
import { ago, duration } from "../time.js";
import { report } from "../toast.js";
import { may, networkName } from "../viewer.js";

export class Header {
  constructor() {
    /** @type {any} */
    this.sensor = null;
    this.paintSoon = oncePerFrame(() => this.paint());
  }

  /** @param {any} sensor as the API shows it */
  show(sensor) {
    const isFirst = this.sensor === null;
    this.sensor = sensor;
    this.paint();
    if (isFirst) this.showActions();
  }

  /** @param {any} changes some of the sensor's fields; those of `configuration` are merged */
  change(changes) {
    if (!this.sensor) return;
    const configuration = { ...this.sensor.configuration, ...changes.configuration };
    Object.assign(this.sensor, changes, { configuration });
    this.paintSoon();
  }

  /** @param {{received_at: string}[]} items entries that came from the sensor */
  hear(items) {
    const newest = items.reduce((last, { received_at }) => (received_at > last ? received_at : last), "");
    if (this.sensor && newest > (this.sensor.last_seen_at ?? "")) this.change({ last_seen_at: newest });
  }

  /** @param {number} revision @param {string} state */
  hearConfiguration(revision, state) {
    if (!this.sensor) return;
    const { latest_revision, acknowledged_revision } = this.sensor.configuration;
    /** @type {any} */
    const configuration = {};
    if (revision >= (latest_revision ?? 0))
      Object.assign(configuration, { latest_revision: revision, state });
    if (state === "acknowledged" && revision >= (acknowledged_revision ?? 0)) {
      configuration.acknowledged_revision = revision;
    }
    this.change({ configuration });
  }

  paint() {
    const { sensor } = this;
    const { configuration } = sensor;
    part("name").textContent = sensor.name || sensor.identifier;
    renew(part("status"), pill(sensor.status));
    renew(part("labels"), labelChips(sensor.labels));
    renew(
      part("facts"),
      fact("Identifier", [
        h("span", { class: "mono" }, sensor.identifier),
        " ",
        h("button", { class: "link", type: "button", click: () => void copy(sensor.identifier) }, "copy"),
      ]),
      fact("Last seen", ago(sensor.last_seen_at)),
      fact("Network", h("a", { href: `/?network=${sensor.network}` }, networkName(sensor.network))),
      fact(
        "Gateway",
        sensor.gateway ? h("a", { href: `/?gateway=${sensor.gateway}` }, sensor.gateway) : "none",
      ),
      fact("Expected every", `${duration(sensor.period_s)} + ${duration(sensor.grace_s)} grace`),
      fact("Running", revision(configuration.running_revision)),
      fact("Newest revision", [
        revision(configuration.latest_revision),
        " ",
        configuration.state && pill(configuration.state),
      ]),
      fact("Acknowledged", revision(configuration.acknowledged_revision)),
    );
  }

  showActions() {
    const { identifier, network } = this.sensor;
    const actions = part("actions");
    const mayChange = may(network, "operator");
    fill(
      actions,
      button("How to connect", { icon: "live", press: () => void showHowToConnect(identifier) }),
      button("Credential", {
        icon: "key",
        press: () => void showCredential(identifier, { mayChange }).catch(report),
      }),
    );
    if (!mayChange) return;
    actions.append(
      button("Edit", {
        icon: "edit",
        press: () => void editSensor(this.sensor, (sensor) => this.show(sensor)),
      }),
      button("Delete sensor", {
        icon: "trash",
        tone: "danger",
        only: true,
        press: () => void deleteSensor(this.sensor),
      }),
    );
  }
}

/** @param {number | null} number */
function revision(number) {
  return number === null ? h("span", { class: "soft" }, "none") : `revision ${number}`;
}
