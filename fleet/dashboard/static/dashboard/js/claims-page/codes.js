/** Claim codes: listed, made, revoked. */

import { post, remove } from "../api.js";
import { codeBlock } from "../connect-help.js";
import { ask, openDialog } from "../dialog.js";
import { button, h, part } from "../dom.js";
import { field, number, text } from "../form.js";
import { pill, quantity } from "../format.js";
import { networkField } from "../networks.js";
import { showSegments } from "../segments.js";
import { emptyState, Pages, Rows } from "../table.js";
import { ago, until } from "../time.js";
import { report, toast } from "../toast.js";
import { may, networkName, networksWith } from "../viewer.js";

const DEFAULT_DAYS = 30;
const CHOICES = [
  { name: "false", words: "Not revoked" },
  { name: "true", words: "Revoked" },
];

export class CodeList {
  /** @param {{network: () => string, then: () => void}} options network: the slug of the only one; then: after a change */
  constructor({ network, then }) {
    this.network = network;
    this.then = then;
    this.revoked = "false";
    this.mayAdd = networksWith("operator").length > 0;
    if (this.mayAdd) part("page-actions").append(this.addButton());
    this.rows = new Rows(part("codes"), {
      key: (/** @type {any} */ code) => String(code.id),
      columns: [
        {
          class: "lead",
          cell: (code) => [
            h("span", { class: "name" }, code.name),
            h("span", { class: "sub" }, networkName(code.network)),
          ],
        },
        { label: "begins with", class: "mono nowrap", cell: (code) => `${code.prefix}-…` },
        { class: "aside top", cell: (code) => pill(code.state) },
        { class: "wide", cell: usedCell },
        { label: "ends", class: "wide nowrap", cell: endCell },
        { class: "wide end", cell: (code) => this.actionsCell(code) },
      ],
    });
    this.pages = new Pages(part("codes-pager"), (codes) => this.show(codes));
  }

  async open() {
    showSegments(part("code-states"), CHOICES, this.revoked, (name) => {
      this.revoked = name;
      void this.open();
    });
    const query = { network: this.network(), revoked: this.revoked };
    await this.pages.open("claim-codes/", query).catch(report);
  }

  async refresh() {
    await this.pages.refresh().catch(report);
  }

  addButton() {
    return button("New claim code", { icon: "plus", tone: "primary", press: () => void this.add() });
  }

  /** @param {any[]} codes */
  show(codes) {
    const isFirst = this.revoked === "false";
    this.rows.showOr(codes, part("codes-empty"), () =>
      emptyState({
        icon: "key",
        title: isFirst ? "No claim codes" : "No code was revoked",
        text: isFirst
          ? "A claim code is put on devices, by hand or in the factory. With it they ask for a place in the network; nobody has to type their names and passwords."
          : "",
        actions: isFirst && this.mayAdd ? [this.addButton()] : [],
      }),
    );
  }

  async add() {
    /** @type {any} */
    let made = null;
    await openDialog({
      title: "New claim code",
      body: [
        networkField({ chosen: this.network() || undefined }),
        field({ name: "name", label: "What it is for", placeholder: "Delivery of March" }),
        h(
          "div",
          { class: "row" },
          field({
            name: "days",
            label: "Valid for",
            kind: "number",
            step: "1",
            value: DEFAULT_DAYS,
            hint: "In days; empty: until it is revoked.",
          }),
          field({
            name: "max_sensors",
            label: "Sensors at most",
            kind: "number",
            step: "1",
            hint: "So many are admitted by it; empty: any number.",
          }),
        ),
      ],
      action: "Make the code",
      submit: async (form) => {
        made = await post("claim-codes/", {
          network: text(form, "network"),
          name: text(form, "name"),
          days: number(form, "days"),
          max_sensors: number(form, "max_sensors"),
        });
      },
    });
    if (!made) return;
    this.then();
    await showCode(made);
  }

  /** @param {any} code */
  actionsCell(code) {
    if (code.state === "revoked" || !may(code.network, "operator")) return null;
    return h(
      "div",
      { class: "actions" },
      button("Revoke", {
        tone: "danger",
        label: `Revoke ${code.name}`,
        press: () => void this.revoke(this.rows.items.get(String(code.id)) ?? code),
      }),
    );
  }

  /** @param {any} code */
  async revoke({ id, name, waiting }) {
    const refused = waiting ? ` ${quantity(waiting, "device that waits", "devices that wait")} by it will be refused.` : "";
    const done = await ask({
      title: `Revoke “${name}”?`,
      text: `No device can ask by it any more.${refused} Sensors that were admitted stay.`,
      action: "Revoke",
      tone: "danger primary",
      work: async () => {
        await remove(`claim-codes/${id}/`);
        toast(`The code “${name}” is revoked.`);
      },
    });
    if (done) this.then();
  }
}

/**
 * Shows a new code, this once, and how a device uses it.
 * @param {{code: string, network: string}} made
 */
function showCode({ code, network }) {
  const body = `{"claim_code": "${code}", "identifier": "boiler-1", "proof": "'$proof'"}`;
  return openDialog({
    title: `New claim code for ${networkName(network)}`,
    wide: true,
    cancel: "Close",
    body: [
      h("p", {}, h("strong", {}, "The code is shown now and never again. "), "Put it on the devices:"),
      codeBlock(code),
      h("p", {}, "With it a device asks for its place, and again with the same proof until it is admitted:"),
      codeBlock(
        "proof=$(openssl rand -hex 16)\n" +
          `curl ${location.origin}/api/v1/claims/ -H 'Content-Type: application/json' \\\n  -d '${body}'`,
      ),
    ],
  });
}

/** @param {any} code */
function usedCell({ used, max_sensors, waiting }) {
  return [
    h("span", {}, max_sensors ? `${used} of ${max_sensors}` : `${used}`, " admitted"),
    h("span", { class: "sub" }, waiting ? `${waiting} waiting` : "none waiting"),
  ];
}

/** @param {any} code */
function endCell({ state, expires_at, revoked_at, created_at, created_by }) {
  /** @type {import("../dom.js").Child[]} */
  let end = ["when it is revoked"];
  if (state === "revoked") end = ["revoked ", ago(revoked_at)];
  else if (state === "expired") end = ["ended ", ago(expires_at)];
  else if (expires_at) end = [until(expires_at)];
  return [
    h("span", {}, ...end),
    h("span", { class: "sub" }, "made ", ago(created_at), created_by && ` by ${created_by}`),
  ];
}
