/** The editor of a configuration: JSON as text, what it changes, and a way out when somebody was quicker. */

import { ApiError, get, postText } from "../api.js";
import { openDialog } from "../dialog.js";
import { button, fill, h } from "../dom.js";
import { field, text } from "../form.js";
import { diffTable } from "./revision.js";

/**
 * Opens the editor and returns the new revision, or null when the reader thought better of it.
 * @param {string} path of the sensor's revisions in the API
 * @param {any} from the revision whose values are edited; null: the newest
 * @returns {Promise<any>}
 */
export async function editConfiguration(path, from) {
  let newest = await newestOf(path);
  const start = from ?? newest;
  const preview = h("div", { class: "preview", "aria-live": "polite" });
  const area = field({
    name: "configuration",
    label: start ? `Values, from revision ${start.revision}` : "Values",
    kind: "area",
    code: true,
    rows: 12,
    value: JSON.stringify(start?.configuration ?? {}, null, 2),
    hint: "A flat JSON object: strings, numbers, true, false and null.",
  });
  const input = /** @type {HTMLTextAreaElement} */ (area.querySelector("textarea"));
  const conflict = h("div", { hidden: true });
  const heading = h("h3");
  /** @type {any} */
  let made = null;

  const showChanges = () => {
    heading.textContent = newest ? `Changes against revision ${newest.revision}` : "What it holds";
    const { values, problem } = parse(input.value);
    fill(preview, problem ? h("p", { class: "soft" }, problem) : changes(newest, values));
  };
  input.addEventListener("input", showChanges);
  input.addEventListener("keydown", indent);
  showChanges();

  await openDialog({
    title: newest ? "New revision" : "The first revision",
    wide: true,
    body: [
      conflict,
      area,
      field({ name: "comment", label: "Comment", placeholder: "Why is this changed?" }),
      h("div", {}, heading, preview),
    ],
    action: "Create revision",
    submit: async (form) => {
      const { problem } = parse(input.value);
      if (problem) throw new ApiError(400, "", { configuration: [problem] });
      const rest = JSON.stringify({
        comment: text(form, "comment"),
        expected_revision: newest?.revision ?? -1,
      });
      try {
        // The text itself goes out: parsing it here would hide a key given twice or a number beyond a double.
        made = await postText(path, `{"configuration": ${input.value}, ${rest.slice(1)}`);
      } catch (error) {
        if (error instanceof ApiError && error.status === 409) await explain(error);
        throw error;
      }
    },
  });
  return made;

  /**
   * Says who was quicker with what, and offers to go on from either.
   * @param {ApiError} error
   */
  async function explain(error) {
    const quicker = await newestOf(path);
    newest = quicker;
    error.message =
      `Revision ${quicker.revision} by ${quicker.created_by ?? "somebody"} came in between` +
      `${quicker.comment ? ` (“${quicker.comment}”)` : ""}. Compare below, then create yours on top of it, or start from theirs.`;
    showChanges();
    conflict.hidden = false;
    fill(
      conflict,
      button("Replace my text by theirs", {
        icon: "undo",
        press: () => {
          input.value = JSON.stringify(quicker.configuration, null, 2);
          showChanges();
          input.focus();
        },
      }),
    );
  }
}

/** @param {string} path @returns {Promise<any>} */
async function newestOf(path) {
  const page = await get(path, { limit: 1 });
  return page.results[0] ?? null;
}

/**
 * @param {string} typed
 * @returns {{values: Record<string, unknown>, problem: string}}
 */
function parse(typed) {
  try {
    const values = JSON.parse(typed);
    if (values === null || typeof values !== "object" || Array.isArray(values)) {
      return { values: {}, problem: "This must be an object: { … }." };
    }
    return { values, problem: "" };
  } catch (error) {
    return { values: {}, problem: `No JSON yet: ${/** @type {Error} */ (error).message}.` };
  }
}

/** @param {any} newest @param {Record<string, unknown>} values */
function changes(newest, values) {
  const before = newest?.configuration ?? {};
  /** @type {any} */
  const diff = { added: {}, removed: {}, changed: {} };
  for (const [key, to] of Object.entries(values)) {
    if (!(key in before)) diff.added[key] = to;
    else if (JSON.stringify(before[key]) !== JSON.stringify(to))
      diff.changed[key] = { from: before[key], to };
  }
  for (const [key, from] of Object.entries(before)) if (!(key in values)) diff.removed[key] = from;
  const isSame = newest && Object.values(diff).every((part) => !Object.keys(part).length);
  return isSame
    ? h("p", { class: "soft" }, "None; a new revision would publish the same values again.")
    : diffTable(values, diff);
}

/** @param {KeyboardEvent} event Tab leaves the field, as everywhere; Enter keeps the indentation */
function indent(event) {
  if (event.key !== "Enter" || event.shiftKey || event.ctrlKey || event.metaKey) return;
  const input = /** @type {HTMLTextAreaElement} */ (event.target);
  const line = input.value.slice(0, input.selectionStart).split("\n").at(-1) ?? "";
  const spaces = /^\s*/.exec(line)?.[0] ?? "";
  const deeper = line.trimEnd().endsWith("{") ? "  " : "";
  if (!spaces && !deeper) return;
  event.preventDefault();
  input.setRangeText(`\n${spaces}${deeper}`, input.selectionStart, input.selectionEnd, "end");
  input.dispatchEvent(new Event("input"));
}
