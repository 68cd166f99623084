/** A form of filters that lives in the page's address, so that a filtered view can be shared and come back to. */

import { afterPause } from "./dom.js";

// Long enough for a word to be typed, short enough to feel immediate.
const TYPING_PAUSE_MS = 250;

/** Fills the form from the address and calls `apply` with its values after each change. */
export class Filters {
  /**
   * @param {HTMLFormElement} form
   * @param {(values: Record<string, string>) => void} apply
   * @param {Record<string, string>} [others] values beside the form's fields, with their defaults
   */
  constructor(form, apply, others = {}) {
    this.form = form;
    this.apply = apply;
    this.defaults = others;
    /** @type {Record<string, string>} */
    this.others = { ...others };
    this.read();
    const soon = afterPause(() => this.changed(), TYPING_PAUSE_MS);
    form.addEventListener("input", (event) => {
      if (/** @type {HTMLElement} */ (event.target).tagName === "INPUT") soon();
    });
    form.addEventListener("change", (event) => {
      if (/** @type {HTMLElement} */ (event.target).tagName === "SELECT") this.changed();
    });
    form.addEventListener("submit", (event) => {
      event.preventDefault();
      this.changed();
    });
    addEventListener("popstate", () => {
      this.read();
      this.apply(this.values());
    });
  }

  /** @returns {Record<string, string>} */
  values() {
    /** @type {Record<string, string>} */
    const values = { ...this.others };
    for (const [name, value] of new FormData(this.form)) values[name] = String(value).trim();
    return values;
  }

  /** @param {Record<string, string>} values */
  set(values) {
    for (const [name, value] of Object.entries(values)) {
      if (name in this.others) this.others[name] = value;
      else this.put(name, value);
    }
    this.changed();
  }

  /** Whether any filter is set that hides rows. */
  get any() {
    return Object.entries(this.values()).some(
      ([name, value]) => value !== "" && value !== this.defaults[name],
    );
  }

  changed() {
    // What another form of the page keeps there stays.
    const parameters = new URLSearchParams(location.search);
    for (const [name, value] of Object.entries(this.values())) {
      if (value !== "" && value !== this.defaults[name]) parameters.set(name, value);
      else parameters.delete(name);
    }
    const query = parameters.toString();
    history.replaceState(null, "", query ? `?${query}` : location.pathname);
    this.apply(this.values());
  }

  read() {
    const parameters = new URLSearchParams(location.search);
    for (const name of Object.keys(this.others))
      this.others[name] = parameters.get(name) ?? this.defaults[name];
    for (const control of this.controls()) this.put(control.name, parameters.get(control.name) ?? "");
  }

  /** @param {string} name @param {string} value */
  put(name, value) {
    for (const control of this.controls()) {
      if (control.name !== name) continue;
      if (
        control instanceof HTMLSelectElement &&
        ![...control.options].some((option) => option.value === value)
      ) {
        control.add(new Option(value, value));
      }
      control.value = value;
    }
  }

  controls() {
    return /** @type {NodeListOf<HTMLInputElement | HTMLSelectElement>} */ (
      this.form.querySelectorAll("input[name], select[name]")
    );
  }
}
