/** The sensor's revisions: the history, one of them against another, and the ways to a new one. */

import { get, post } from "../api.js";
import { openDialog } from "../dialog.js";
import { button, fill, gathered, h, part, renew } from "../dom.js";
import { field, text } from "../form.js";
import { pill } from "../format.js";
import { emptyState, Pages } from "../table.js";
import { ago } from "../time.js";
import { report, toast } from "../toast.js";
import { may } from "../viewer.js";
import { editConfiguration } from "./editor.js";
import { RevisionView } from "./revision.js";

const PAGE = 20;
// Several states of one revision often follow within a second.
const STATE_PAUSE_MS = 150;

export class Configuration {
  /**
   * @param {string} path of the sensor in the API
   * @param {string} network
   */
  constructor(path, network) {
    this.path = `${path}configurations/`;
    this.mayEdit = may(network, "operator");
    /** @type {any[]} */
    this.revisions = [];
    /** @type {number | null} */
    this.newest = null;
    /** The one that the address names at first. @type {number | null} */
    this.selected = revisionOfAddress();
    this.pages = new Pages(part("revisions-pager"), (revisions, page) => this.show(revisions, page));
    this.view = new RevisionView(this.path, {
      restore: this.mayEdit ? (revision) => void this.restore(revision) : null,
      edit: this.mayEdit ? (revision) => void this.edit(revision) : null,
    });
    this.refreshSoon = gathered(() => void this.pages.refresh().catch(report), STATE_PAUSE_MS);
    if (this.mayEdit) {
      fill(
        part("configuration-actions"),
        button("New revision", { icon: "plus", tone: "primary", press: () => void this.edit(null) }),
      );
    }
  }

  async load() {
    await this.pages.open(this.path, { limit: PAGE });
    part("configuration").removeAttribute("aria-busy");
  }

  /**
   * A revision is new or has another state.
   * @param {number} revision
   * @param {string} state
   */
  heard(revision, state) {
    const known = this.revisions.find((item) => item.revision === revision);
    if (known) known.state = state;
    this.refreshSoon();
  }

  /** @param {any[]} revisions @param {import("../api.js").Page} page */
  show(revisions, page) {
    const wasNewest = this.selected === null || this.selected === this.newest;
    this.revisions = revisions;
    if (!page.previous) this.newest = revisions[0]?.revision ?? null;
    part("revisions-pager").hidden = !page.next && !page.previous;
    if (!revisions.length) {
      fill(part("revisions"));
      fill(part("revision"), this.empty());
      part("configuration").classList.toggle("bare", true);
      return;
    }
    part("configuration").classList.remove("bare");
    if (wasNewest && !page.previous) this.selected = this.newest;
    this.showList();
    const chosen = revisions.find((item) => item.revision === this.selected);
    if (chosen) this.view.show(chosen, this.newest);
    else if (this.view.shown === null && this.selected !== null) void this.showOlder(this.selected);
  }

  /** @param {number} number of a revision that is on a later page of the list */
  async showOlder(number) {
    try {
      const revision = await get(`${this.path}${number}/`);
      if (this.selected === number) await this.view.show(revision, this.newest);
    } catch (error) {
      report(error);
      if (this.newest !== null) this.select(this.newest);
    }
  }

  showList() {
    renew(
      part("revisions"),
      this.revisions.map((revision) =>
        h(
          "li",
          {},
          h(
            "button",
            {
              class: "revision",
              type: "button",
              "aria-pressed": String(revision.revision === this.selected),
              click: () => this.select(revision.revision),
            },
            h("span", { class: "number" }, revision.revision),
            h(
              "span",
              { class: "name" },
              revision.comment || h("span", { class: "soft" }, "no comment"),
              h(
                "span",
                { class: "sub" },
                `${revision.created_by ?? "a command or a deleted user"} · `,
                ago(revision.created_at),
              ),
            ),
            pill(revision.state),
          ),
        ),
      ),
    );
  }

  /** @param {number} number */
  select(number) {
    this.selected = number;
    this.showList();
    const revision = this.revisions.find((item) => item.revision === number);
    if (revision) void this.view.show(revision, this.newest);
  }

  empty() {
    return emptyState({
      icon: "rules",
      title: "No configuration yet",
      text: this.mayEdit
        ? "Create the first revision; the broker keeps it for the sensor, which answers with a heartbeat."
        : "An operator of this network can create the first revision.",
    });
  }

  /** @param {any} from a revision to start from; null: the newest */
  async edit(from) {
    const made = await editConfiguration(this.path, from);
    if (!made) return;
    toast(`Revision ${made.revision} is on its way to the sensor.`);
    this.selected = null;
    await this.load().catch(report);
  }

  /** @param {any} revision */
  async restore(revision) {
    const done = await openDialog({
      title: `Restore revision ${revision.revision}?`,
      body: [
        h(
          "p",
          {},
          `Its values become revision ${(this.newest ?? 0) + 1} and are published to the sensor. Nothing is lost.`,
        ),
        field({
          name: "comment",
          label: "Comment",
          placeholder: `Restored from revision ${revision.revision}`,
        }),
      ],
      action: "Restore",
      submit: (form) =>
        post(`${this.path}${revision.revision}/restore/`, {
          comment: text(form, "comment"),
          expected_revision: this.newest,
        }),
    });
    if (!done) return;
    toast(`Restored revision ${revision.revision}.`);
    this.selected = null;
    await this.load().catch(report);
  }
}

/** @returns {number | null} */
function revisionOfAddress() {
  const number = new URLSearchParams(location.search).get("revision") ?? "";
  return /^\d{1,9}$/.test(number) ? Number(number) : null;
}
