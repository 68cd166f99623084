/** What the server told about the reader: name, networks with roles, where sensors connect. */

/** @typedef {{slug: string, name: string, role: "viewer" | "operator" | "owner"}} ViewerNetwork */
/** @typedef {{username: string, staff: boolean, networks: ViewerNetwork[], mqtt: {host: string, port: number, tls: boolean, login: boolean}}} Viewer */

const RANKS = ["viewer", "operator", "owner"];

/** @type {Viewer} */
export const viewer = JSON.parse(document.getElementById("viewer")?.textContent ?? '{"networks": []}');

/** Sorted by name, as lists show them. */
viewer.networks.sort((one, other) => one.name.localeCompare(other.name));

/**
 * Returns whether the reader has at least `role` in the network. It decides which buttons are there; what they
 * may do the API decides.
 * @param {string} slug
 * @param {"viewer" | "operator" | "owner"} role
 */
export function may(slug, role) {
  const network = viewer.networks.find((item) => item.slug === slug);
  return network !== undefined && RANKS.indexOf(network.role) >= RANKS.indexOf(role);
}

/** @param {"viewer" | "operator" | "owner"} role @returns {ViewerNetwork[]} networks in which the reader has it */
export function networksWith(role) {
  return viewer.networks.filter((network) => may(network.slug, role));
}

/** @param {string} slug @returns {string} the network's name, or the slug of one that was made since */
export function networkName(slug) {
  return viewer.networks.find((network) => network.slug === slug)?.name ?? slug;
}
