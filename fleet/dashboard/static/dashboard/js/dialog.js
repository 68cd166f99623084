/** Dialogs: a form, a question, a question that wants a word typed. */

import { ApiError } from "./api.js";
import { button, fill, h } from "./dom.js";
import { clearErrors, showErrors } from "./form.js";
import { report } from "./toast.js";

// Dialogs open above others: each has an id of its own for its title.
let numbered = 0;

/**
 * Opens a dialog around `body` and returns when it was closed: true after `submit` went through.
 * `submit` may throw an ApiError; its messages appear beside the fields that they name.
 * @param {{title: string, body: Node[], action?: string, tone?: string, submit?: (form: HTMLFormElement) => Promise<unknown>, wide?: boolean, cancel?: string, opened?: (form: HTMLFormElement) => void}} options
 * @returns {Promise<boolean>}
 */
export function openDialog({
  title,
  body,
  action = "",
  tone = "primary",
  submit,
  wide = false,
  cancel = "Cancel",
  opened,
}) {
  numbered += 1;
  const titleId = `dialog-title-${numbered}`;
  return new Promise((resolve) => {
    let done = false;
    const send = action ? button(action, { tone, type: "submit" }) : null;
    const form = h(
      "form",
      { novalidate: true, submit: onSubmit },
      h(
        "div",
        { class: "dialog-head" },
        h("h2", { id: titleId }, title),
        button("Close", { icon: "close", tone: "quiet", only: true, press: () => dialog.close() }),
      ),
      h("div", { class: "dialog-body" }, ...body),
      h("div", { class: "dialog-foot" }, button(cancel, { press: () => dialog.close() }), send),
    );
    const dialog = h(
      "dialog",
      { class: wide ? "dialog wide" : "dialog", "aria-labelledby": titleId },
      form,
    );
    dialog.addEventListener("close", () => {
      dialog.remove();
      resolve(done);
    });
    document.body.append(dialog);
    dialog.showModal();
    opened?.(form);
    /** @type {HTMLElement | null} */ (
      dialog.querySelector(".dialog-body :is(input, select, textarea)")
    )?.focus();

    /** @param {SubmitEvent} event */
    async function onSubmit(event) {
      event.preventDefault();
      if (!submit || !send || send.disabled) return;
      clearErrors(form);
      send.disabled = true;
      send.setAttribute("aria-busy", "true");
      try {
        await submit(form);
        done = true;
        dialog.close();
      } catch (error) {
        if (error instanceof ApiError) showErrors(form, error);
        else report(error);
      } finally {
        send.disabled = false;
        send.removeAttribute("aria-busy");
      }
    }
  });
}

/**
 * Asks before something is done; true once it was done.
 * @param {{title: string, text: string, action: string, tone?: string, work: () => Promise<unknown>}} options
 */
export function ask({ title, text, action, tone = "primary", work }) {
  return openDialog({ title, body: [h("p", {}, text)], action, tone, submit: work });
}

/**
 * Asks before something that cannot be undone: the button works once `word` was typed.
 * @param {{title: string, text: string, word: string, action: string, work: () => Promise<unknown>}} options
 */
export function askForWord({ title, text, word, action, work }) {
  const field = h("input", {
    class: "input mono",
    id: "dialog-word",
    autocomplete: "off",
    spellcheck: "false",
  });
  const label = h("label", { for: "dialog-word" });
  fill(label, "Type ", h("code", {}, word), " to confirm");
  return openDialog({
    title,
    body: [h("p", {}, text), h("div", { class: "field", "data-field": "word" }, label, field)],
    action,
    tone: "danger primary",
    submit: async () => {
      if (field.value.trim() !== word) throw new ApiError(400, "", { word: [`This is not ${word}.`] });
      await work();
    },
  });
}
