/** Networks to choose from: in the filters above a list, and in forms. */

import { field, offer } from "./form.js";
import { networkName, networksWith, viewer } from "./viewer.js";

/**
 * Offers networks in the filter named "network": all of the reader's, if none are given.
 * @param {HTMLFormElement} form
 * @param {import("./viewer.js").ViewerNetwork[]} [networks]
 */
export function offerNetworks(form, networks = viewer.networks) {
  const select = /** @type {HTMLSelectElement} */ (form.elements.namedItem("network"));
  offer(select, choicesOf(networks));
}

/**
 * Returns the field of a form that says in which network something is made. What is there already stays in its own.
 * @param {{kept?: string, chosen?: string}} [options] kept: the slug of what never changes; chosen: the one at first
 */
export function networkField({ kept, chosen } = {}) {
  const choices = kept ? [{ value: kept, text: networkName(kept) }] : choicesOf(networksWith("operator"));
  return field({
    name: "network",
    label: "Network",
    kind: "select",
    value: kept ?? chosen ?? choices[0]?.value,
    disabled: Boolean(kept),
    choices,
  });
}

/** @param {import("./viewer.js").ViewerNetwork[]} networks */
function choicesOf(networks) {
  return networks.map(({ slug, name }) => ({ value: slug, text: name }));
}
