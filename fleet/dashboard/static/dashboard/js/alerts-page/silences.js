/** Silences that hold now, with a way to end them. */

import { getAll, patch } from "../api.js";
import { button, fill, h, part } from "../dom.js";
import { exact, now } from "../time.js";
import { report, toast } from "../toast.js";
import { may } from "../viewer.js";

/** @param {() => void} then what to do when one was ended */
export async function showSilences(then) {
  try {
    const silences = await getAll("silences/", { active: true }, 200);
    part("silences").hidden = !silences.length;
    fill(
      part("silence-rows"),
      silences.map((silence) => row(silence, then)),
    );
  } catch (error) {
    report(error);
  }
}

/** @param {any} silence @param {() => void} then */
function row(silence, then) {
  const matchers = Object.entries(silence.matchers).map(([name, value]) =>
    h("span", { class: "chip" }, `${name}: ${value}`),
  );
  const end = async () => {
    try {
      await patch(`silences/${silence.id}/`, { ends_at: new Date(now()).toISOString() });
      toast("The silence has ended.");
    } catch (error) {
      report(error);
    }
    then();
    await showSilences(then);
  };
  return h(
    "li",
    { class: "silence" },
    h("div", { class: "chips" }, matchers),
    h(
      "p",
      { class: "soft small" },
      `until ${exact(silence.ends_at)}, by ${silence.created_by ?? "a deleted user"}`,
      silence.comment && `: “${silence.comment}”`,
    ),
    may(silence.network, "operator") && button("End now", { tone: "quiet", press: () => void end() }),
  );
}
