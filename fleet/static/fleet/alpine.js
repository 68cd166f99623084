/**
 * Lets the admin's pages do with the build of Alpine that needs no eval: it reads expressions itself, and knows no
 * global names, no statements beside each other, no `if`, and no functions in them.
 */

"use strict";

// A block, so that no name of this file meets one of unfold's.
{
  // What the expressions of unfold's templates name besides their own data. Alpine hands out nothing of `window`.
  const GLOBALS = {
    localStorage: {
      getItem: (name) => window.localStorage.getItem(name),
      setItem: (name, value) => window.localStorage.setItem(name, value),
    },
    window: {
      location: {
        get pathname() {
          return window.location.pathname;
        },
        get search() {
          return window.location.search;
        },
        get hash() {
          return window.location.hash;
        },
        get href() {
          return window.location.href;
        },
        set href(address) {
          window.location.href = address;
        },
      },
    },
    getCurrentTab: () => window.getCurrentTab(),
    sortRecords: (event) => window.sortRecords(event),
    moveRecords: (event) => window.moveRecords(event),
  };
  // Functions of unfold that make an element's data, by the names that its templates call.
  const PROVIDERS = ["theme", "searchForm", "searchDropdown", "searchCommand"];

  /**
   * @param {string} expression statements, one after the other
   * @returns {string} the same as one expression of Alpine's own language
   */
  function asExpression(expression) {
    const statements = expression
      .split(";")
      .map((statement) => statement.trim().replace(/^if \((.+)\) (\w+\(.*\))$/s, "($1) && $2"))
      // What it watches is stored by the button that changes it, too.
      .filter((statement) => statement && !/^\$watch\(.*=>/s.test(statement));
    return statements.length === 1 ? statements[0] : `[${statements.join(", ")}]`;
  }

  /** @param {ParentNode} root a document, or what a template holds */
  function rewrite(root) {
    for (const element of root.querySelectorAll("*")) {
      for (const { name, value } of [...element.attributes]) {
        if (!/^(x-on:|@|x-init$)/.test(name) || !/;|^\s*if\b/.test(value)) continue;
        element.setAttribute(name, asExpression(value));
      }
      if (element instanceof HTMLTemplateElement) rewrite(element.content);
    }
  }

  document.addEventListener("alpine:init", () => {
    for (const name of PROVIDERS) {
      window.Alpine.data(name, (...given) => {
        const made = window[name](...given);
        // The theme's data is that of the whole page: what it has, every expression can name.
        return name === "theme" ? Object.assign(made, GLOBALS) : made;
      });
    }
    rewrite(document);
  });
}
