/** Fields of forms, and the API's messages beside them. */

import { fill, h } from "./dom.js";

let numbered = 0;

/**
 * @typedef {object} FieldOptions
 * @property {string} name
 * @property {string} label
 * @property {unknown} [value]
 * @property {string} [hint]
 * @property {"text" | "number" | "area" | "select" | "check" | "datetime-local"} [kind]
 * @property {{value: string, text: string}[]} [choices] of a select
 * @property {string} [placeholder]
 * @property {boolean} [code] shown in a typewriter face, not spell-checked
 * @property {number} [rows]
 * @property {string} [step]
 * @property {boolean} [disabled]
 */

/**
 * Returns a labelled field; `showErrors` finds it by its name.
 * @param {FieldOptions} options
 * @returns {HTMLElement}
 */
export function field({ name, label, value = "", hint = "", kind = "text", choices = [], ...options }) {
  numbered += 1;
  const id = `field-${numbered}`;
  const described = hint ? `${id}-hint` : null;
  const common = {
    id,
    name,
    "aria-describedby": described,
    placeholder: options.placeholder,
    disabled: options.disabled,
  };
  if (kind === "check") {
    return h(
      "div",
      { class: "field", "data-field": name },
      h(
        "label",
        { class: "check", for: id },
        h("input", { ...common, type: "checkbox", checked: Boolean(value) }),
        label,
      ),
      hint && h("p", { class: "hint", id: described }, hint),
    );
  }
  const text = value === null || value === undefined ? "" : String(value);
  let control;
  if (kind === "area") {
    control = h("textarea", {
      ...common,
      class: options.code ? "area code" : "area",
      rows: options.rows ?? 3,
      spellcheck: options.code ? "false" : null,
      value: text,
    });
  } else if (kind === "select") {
    control = h(
      "select",
      { ...common, class: "select" },
      choices.map((choice) =>
        h("option", { value: choice.value, selected: choice.value === text }, choice.text),
      ),
    );
  } else {
    control = h("input", {
      ...common,
      class: options.code ? "input mono" : "input",
      type: kind,
      step: kind === "number" ? (options.step ?? "any") : options.step,
      autocomplete: "off",
      // A browser may send what it checks to a server of its maker.
      spellcheck: options.code ? "false" : null,
      value: text,
    });
  }
  return h(
    "div",
    { class: "field", "data-field": name },
    h("label", { for: id }, label),
    control,
    hint && h("p", { class: "hint", id: described }, hint),
  );
}

/**
 * Returns what stands in the form's field, without spaces around it.
 * @param {HTMLFormElement} form
 * @param {string} name
 */
export function text(form, name) {
  const control = /** @type {HTMLInputElement | null} */ (form.elements.namedItem(name));
  return control ? control.value.trim() : "";
}

/**
 * Returns the number in the form's field, or null when it is empty; what is no number is returned as it stands,
 * so that the API names the field.
 * @param {HTMLFormElement} form
 * @param {string} name
 * @returns {number | string | null}
 */
export function number(form, name) {
  const typed = text(form, name);
  if (typed === "") return null;
  return Number.isFinite(Number(typed)) ? Number(typed) : typed;
}

/** @param {HTMLFormElement} form @param {string} name @returns {boolean} */
export function checked(form, name) {
  return /** @type {HTMLInputElement | null} */ (form.elements.namedItem(name))?.checked ?? false;
}

/**
 * Puts the error's messages beside the fields that they name, the others at the top, and the focus on the first.
 * @param {HTMLFormElement} form
 * @param {import("./api.js").ApiError} error
 */
export function showErrors(form, error) {
  clearErrors(form);
  /** @type {HTMLElement | null} */
  let first = null;
  const placed = new Set();
  for (const [name, messages] of Object.entries(error.fields)) {
    const place = form.querySelector(`[data-field="${CSS.escape(name)}"]`);
    const control = /** @type {HTMLElement | null} */ (place?.querySelector("input, select, textarea"));
    if (!place || !control) continue;
    placed.add(name);
    numbered += 1;
    const id = `error-${numbered}`;
    place.append(
      h(
        "div",
        { class: "error", id, role: "alert" },
        messages.map((message) => h("p", {}, message)),
      ),
    );
    control.setAttribute("aria-invalid", "true");
    control.setAttribute("aria-errormessage", id);
    first ??= control;
  }
  const others = Object.entries(error.fields).filter(([name]) => !placed.has(name));
  if (!placed.size || others.length) {
    const words = others.length
      ? others.map(([name, messages]) => `${name}: ${messages.join(" ")}`)
      : [error.message];
    const note = h(
      "div",
      { class: "form-error", role: "alert", "data-error": true },
      words.map((word) => h("p", {}, word)),
    );
    (form.querySelector(".dialog-body") ?? form).prepend(note);
    note.scrollIntoView({ block: "nearest" });
  }
  first?.focus();
}

/** @param {HTMLFormElement} form */
export function clearErrors(form) {
  for (const note of form.querySelectorAll(".error, [data-error]")) note.remove();
  for (const control of form.querySelectorAll("[aria-invalid]")) {
    control.removeAttribute("aria-invalid");
    control.removeAttribute("aria-errormessage");
  }
}

/**
 * Returns labels typed as "key: value" lines as an object; throws a message fit to be shown.
 * @param {string} typed
 * @returns {Record<string, string | number | boolean>}
 */
export function labelsOf(typed) {
  /** @type {Record<string, string>} */
  const labels = {};
  for (const line of typed
    .split("\n")
    .map((item) => item.trim())
    .filter(Boolean)) {
    const [, key, item] = /^([^:]+):(.*)$/.exec(line) ?? [];
    if (key === undefined) throw new RangeError(`“${line}” is not of the form key: value.`);
    labels[key.trim()] = item.trim();
  }
  return labels;
}

/**
 * Puts `choices` into a select that is there already, keeping its first option and what is chosen.
 * @param {HTMLSelectElement} select
 * @param {{value: string, text: string}[]} choices
 * @param {string} [chosen]
 */
export function offer(select, choices, chosen = select.value) {
  const first = select.options[0];
  fill(
    select,
    first,
    choices.map((choice) => h("option", { value: choice.value }, choice.text)),
  );
  if (chosen && !choices.some((choice) => choice.value === chosen))
    select.append(h("option", { value: chosen }, chosen));
  select.value = chosen;
}
