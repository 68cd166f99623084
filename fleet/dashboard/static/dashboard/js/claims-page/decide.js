/** What operators decide about devices that ask. Each returns whether anything was decided. */

import { ApiError, get, getAll, post } from "../api.js";
import { ask, openDialog } from "../dialog.js";
import { h } from "../dom.js";
import { field, labelsOf, offer, text } from "../form.js";
import { quantity } from "../format.js";
import { report, toast } from "../toast.js";

/** @param {any} claim @returns {string} what is to be known before a device takes the place of a sensor */
function replacing({ identifier }) {
  return (
    `This network has a sensor ${identifier} already. The device becomes it: it gets a new password, and whoever ` +
    "uses the older one is thrown out. Do this when the device lost its password or was exchanged."
  );
}

/** @param {any} claim */
export async function admit(claim) {
  const { id, identifier, is_known, rivals, address } = claim;
  const work = async () => {
    await post(`claims/${id}/approve/`, { replace: is_known });
    toast(`${identifier} is admitted and fetches its login when it asks next.`);
  };
  if (is_known) {
    return ask({ title: `Admit ${identifier} in the place of the one that is there?`, text: replacing(claim), action: "Admit in its place", work });
  }
  if (rivals > 0) {
    return ask({
      title: `Admit this ${identifier}?`,
      text:
        `${quantity(rivals + 1, "device")} ask for this identifier, and only one of them can have it. This one asks ` +
        `from ${address || "an unknown address"}.`,
      action: "Admit this one",
      work,
    });
  }
  try {
    await work();
    return true;
  } catch (error) {
    report(error);
    // Somebody else was quicker, or it is not there any more: the list shows it.
    return error instanceof ApiError && error.status !== 0;
  }
}

/** @param {any} claim */
export async function admitOtherwise(claim) {
  const { id, identifier, network, is_known } = claim;
  let before = claim;
  try {
    // What people say of a sensor counts for more than what its device says of itself.
    if (is_known) before = await get(`sensors/${identifier}/`);
  } catch (error) {
    report(error);
    return false;
  }
  const labels = Object.entries(before.labels)
    .map(([key, value]) => `${key}: ${value}`)
    .join("\n");
  const kept = { value: "", text: before.gateway ? `As it is: ${before.gateway}` : "None" };
  const gateway = field({ name: "gateway", label: "Gateway", kind: "select", choices: [kept] });
  void offerGateways(/** @type {HTMLSelectElement} */ (gateway.querySelector("select")), network);
  return openDialog({
    title: `Admit ${identifier}`,
    body: [
      ...(is_known ? [h("p", {}, replacing(claim))] : []),
      field({ name: "name", label: "Name", value: before.name, hint: "What people call it; may be empty." }),
      field({
        name: "labels",
        label: "Labels",
        kind: "area",
        code: true,
        value: labels,
        hint: "One in each line, like floor: 2.",
      }),
      gateway,
    ],
    action: is_known ? "Admit in its place" : "Admit",
    submit: async (form) => {
      /** What was changed; the rest stays, also what somebody else changes meanwhile. @type {any} */
      const said = { replace: is_known };
      if (text(form, "name") !== before.name) said.name = text(form, "name");
      if (text(form, "labels") !== labels) said.labels = typedLabels(text(form, "labels"), before.labels);
      if (text(form, "gateway")) said.gateway = text(form, "gateway");
      await post(`claims/${id}/approve/`, said);
      toast(`${identifier} is admitted and fetches its login when it asks next.`);
    },
  });
}

/** @param {any} claim */
export function refuse({ id, identifier }) {
  return ask({
    title: `Refuse ${identifier}?`,
    text: "The device is told so whenever it asks. It can begin anew with a new proof while its claim code is valid.",
    action: "Refuse",
    tone: "danger primary",
    work: async () => {
      await post(`claims/${id}/refuse/`);
      toast(`${identifier} is refused.`);
    },
  });
}

/** @param {any[]} claims */
export function admitMany(claims) {
  const known = claims.filter((claim) => claim.is_known).length;
  const others = known
    ? ` ${quantity(known, "of them exists", "of them exist")} already and will be left waiting: admit those one by one.`
    : "";
  return ask({
    title: `Admit ${quantity(claims.length, "device")}?`,
    text: `Each becomes a sensor of its network and fetches a login of its own.${others}`,
    action: "Admit",
    work: () => decide("claims/approve/", claims, "admitted"),
  });
}

/** @param {any[]} claims */
export function refuseMany(claims) {
  return ask({
    title: `Refuse ${quantity(claims.length, "device")}?`,
    text: "They are told so whenever they ask. If a code has got into wrong hands, revoke it instead: that refuses all that wait by it.",
    action: "Refuse",
    tone: "danger primary",
    work: () => decide("claims/refuse/", claims, "refused"),
  });
}

/**
 * Decides on claims of one page: one call takes more than a page has.
 * @param {string} path
 * @param {any[]} claims
 * @param {string} done
 */
async function decide(path, claims, done) {
  const { decided, results } = await post(path, { claims: claims.map((claim) => claim.id) });
  const failed = results.filter((/** @type {any} */ result) => result.error !== null);
  if (decided) toast(`${quantity(decided, "device was", "devices were")} ${done}.`);
  if (failed.length) {
    const more = failed.length > 1 ? ` (and ${failed.length - 1} more)` : "";
    toast(`${failed[0].identifier}: ${failed[0].error}${more}`, "bad");
  }
}

/**
 * Returns what was typed as labels; values that were not changed keep their type.
 * @param {string} typed
 * @param {Record<string, unknown>} before
 */
function typedLabels(typed, before) {
  try {
    const labels = labelsOf(typed);
    return Object.fromEntries(
      Object.entries(labels).map(([key, value]) => [key, String(before[key]) === value ? before[key] : value]),
    );
  } catch (error) {
    if (error instanceof RangeError) throw new ApiError(400, "", { labels: [error.message] });
    throw error;
  }
}

/** @param {HTMLSelectElement} select @param {string} network */
async function offerGateways(select, network) {
  try {
    const gateways = await getAll("gateways/", { network });
    offer(
      select,
      gateways.map(({ identifier, name }) => ({ value: identifier, text: name || identifier })),
    );
  } catch (error) {
    report(error);
  }
}
