/** Networks: what is in each, who may do what in it, and the forms that add to it. */

import { get, getAll } from "../api.js";
import { button, fill, h, icon, part } from "../dom.js";
import { quantity } from "../format.js";
import { addSensor } from "../sensor-forms.js";
import { startShell } from "../shell.js";
import { emptyState, Pages } from "../table.js";
import { report } from "../toast.js";
import { addGateway, addNetwork, deleteNetwork, editGateway, editNetwork } from "./forms.js";
import { importSensors } from "./import.js";
import { manageMembers } from "./members.js";

// A network with more gateways than this is looked at through the filter of the overview.
const MOST_GATEWAYS = 30;

startShell().watch({});
const pages = new Pages(part("pager"), (networks) => void show(networks));
part("page-actions").append(addButton());
void pages.open("networks/", {}).catch(report);

function addButton() {
  return button("Create network", {
    icon: "plus",
    tone: "primary",
    press: async () => {
      // The page knows the reader's networks from the server: made anew, it knows this one too.
      if (await addNetwork()) location.reload();
    },
  });
}

/** @param {any[]} networks */
async function show(networks) {
  const list = part("networks");
  if (!networks.length) {
    const empty = emptyState({
      icon: "network",
      title: "No networks yet",
      text: "A network is a set of sensors that belong together. Who creates one owns it and lets others in.",
      actions: [addButton()],
    });
    fill(list, h("section", { class: "card" }, empty));
  } else {
    const counts = await countsByNetwork();
    fill(
      list,
      networks.map((network) => card(network, counts.get(network.slug))),
    );
  }
  list.removeAttribute("aria-busy");
}

/** @returns {Promise<Map<string, any>>} counts of sensors by the network's slug */
async function countsByNetwork() {
  try {
    const { results } = await get("stats/networks/");
    return new Map(results.map((/** @type {any} */ counts) => [counts.network, counts]));
  } catch (error) {
    report(error);
    return new Map();
  }
}

/** @param {any} network @param {any} counts */
function card(network, counts) {
  const { slug, role } = network;
  const isOperator = role === "operator" || role === "owner";
  const isOwner = role === "owner";
  const again = () => void pages.refresh().catch(report);
  const gateways = h("div", { class: "chips" }, h("span", { class: "skeleton gateway-skeleton" }));
  void showGateways(gateways, slug, isOperator, again);
  return h(
    "section",
    { class: "card", "aria-labelledby": `network-${slug}` },
    h(
      "div",
      { class: "card-head" },
      h("h2", { id: `network-${slug}` }, h("a", { href: `/?network=${slug}` }, network.name)),
      h("span", { class: "chip mono" }, slug),
      h("span", { class: "soft small" }, `your role: ${role}`),
      h(
        "div",
        { class: "actions" },
        isOperator &&
          button("Add sensor", {
            icon: "sensor",
            press: () => void addSensor({ network: slug, then: again }),
          }),
        isOperator &&
          button("Import", {
            icon: "upload",
            label: `Import sensors into ${network.name}`,
            press: () => void importSensors(slug, again),
          }),
        isOperator && button("Add gateway", { icon: "gateway", press: () => void addGateway(slug, again) }),
        button("Members", { icon: "users", press: () => void manageMembers(network) }),
        isOperator &&
          button("Edit", {
            icon: "edit",
            only: true,
            label: `Edit ${network.name}`,
            press: () => void editNetwork(network, again),
          }),
        isOwner &&
          button("Delete", {
            icon: "trash",
            tone: "danger",
            only: true,
            label: `Delete ${network.name}`,
            press: () => void deleteNetwork(network),
          }),
      ),
    ),
    h(
      "dl",
      { class: "facts card-body" },
      h("div", {}, h("dt", {}, "Sensors"), h("dd", {}, counts ? words(counts) : "–")),
      h(
        "div",
        {},
        h("dt", {}, "Telemetry is kept"),
        h(
          "dd",
          {},
          network.retention_days ? quantity(network.retention_days, "day") : "as the server is set",
        ),
      ),
      h("div", { class: "grow" }, h("dt", {}, "Gateways"), h("dd", {}, gateways)),
    ),
  );
}

/** @param {any} counts */
function words(counts) {
  const parts = ["up", "late", "down", "new"]
    .filter((status) => counts[status])
    .map((status) => `${counts[status]} ${status}`);
  return parts.length ? `${quantity(counts.total, "sensor")}: ${parts.join(", ")}` : "none yet";
}

/**
 * @param {HTMLElement} place
 * @param {string} network
 * @param {boolean} isOperator
 * @param {() => void} again
 */
async function showGateways(place, network, isOperator, again) {
  try {
    const gateways = await getAll("gateways/", { network }, MOST_GATEWAYS + 1);
    const chips = gateways.slice(0, MOST_GATEWAYS).map((gateway) => {
      const words = gateway.name || gateway.identifier;
      if (!isOperator)
        return h("a", { class: "chip", href: `/?gateway=${gateway.identifier}` }, icon("gateway"), words);
      return h(
        "button",
        {
          class: "chip",
          type: "button",
          title: "Edit or delete",
          click: () => void editGateway(gateway, again),
        },
        icon("gateway"),
        words,
      );
    });
    fill(
      place,
      chips.length ? chips : h("span", { class: "soft" }, "none"),
      gateways.length > MOST_GATEWAYS && h("a", { href: `/?network=${network}` }, "more in the overview"),
    );
  } catch (error) {
    fill(place, "–");
    report(error);
  }
}
