/** Elements made by hand: what came from a sensor or a person only ever becomes text, never markup. */

const SVG = "http://www.w3.org/2000/svg";
const ICONS = new URL("../icons.svg", import.meta.url).pathname;

/** @typedef {Node | string | number | null | undefined | false} Child */
/** @typedef {{[name: string]: string | number | boolean | null | undefined | ((event: any) => void)}} Attributes */

/**
 * Returns a new element. Attributes that are functions listen to the event of that name; true is an empty
 * attribute; false, null and undefined are left out. Children that are strings become text.
 * @template {keyof HTMLElementTagNameMap} Tag
 * @param {Tag} tag
 * @param {Attributes} [attributes]
 * @param {...(Child | Child[])} children
 * @returns {HTMLElementTagNameMap[Tag]}
 */
export function h(tag, attributes = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (value === false || value === null || value === undefined) continue;
    if (typeof value === "function") element.addEventListener(name, value);
    else if (name === "value") /** @type {any} */ (element).value = value;
    else element.setAttribute(name, value === true ? "" : String(value));
  }
  element.append(...nodes(children));
  return element;
}

/**
 * @param {(Child | Child[])[]} children
 * @returns {(Node | string)[]}
 */
function nodes(children) {
  return /** @type {Child[]} */ (children.flat())
    .filter((child) => child !== null && child !== undefined && child !== false)
    .map((child) => (child instanceof Node ? child : String(child)));
}

/**
 * Puts `children` in the place of what `element` holds.
 * @param {Element} element
 * @param {...(Child | Child[])} children
 */
export function fill(element, ...children) {
  element.replaceChildren(...nodes(children));
}

/**
 * Makes `element` hold what looks like `children`, and touches only those that look different: what is under a
 * pointer or has the keyboard's focus stays.
 * @param {Element} element
 * @param {...(Child | Child[])} children
 */
export function renew(element, ...children) {
  const fresh = nodes(children).map((node) =>
    typeof node === "string" ? document.createTextNode(node) : node,
  );
  const old = [...element.childNodes];
  fresh.forEach((node, index) => {
    const before = old[index];
    if (!before) element.append(node);
    else if (!before.isEqualNode(node)) {
      const hadFocus = before.contains(document.activeElement);
      before.replaceWith(node);
      if (hadFocus && node instanceof HTMLElement) focusIn(node);
    }
  });
  for (const node of old.slice(fresh.length)) node.remove();
}

/** @param {HTMLElement} element */
function focusIn(element) {
  const target = element.matches("a, button") ? element : element.querySelector("a, button, input, select");
  /** @type {HTMLElement | null} */ (target)?.focus({ preventScroll: true });
}

/**
 * Returns an icon of the sprite; hidden from screen readers, so something beside it must say it in words.
 * @param {string} name
 * @returns {SVGSVGElement}
 */
export function icon(name) {
  const svg = document.createElementNS(SVG, "svg");
  svg.setAttribute("class", "icon");
  svg.setAttribute("aria-hidden", "true");
  const use = document.createElementNS(SVG, "use");
  use.setAttribute("href", `${ICONS}#${name}`);
  svg.append(use);
  return svg;
}

/**
 * Returns the element marked data-part="name". Throws when the template lacks it.
 * @param {string} name
 * @param {ParentNode} [root]
 * @returns {HTMLElement}
 */
export function part(name, root = document) {
  const found = root.querySelector(`[data-part="${name}"]`);
  if (!(found instanceof HTMLElement)) throw new Error(`the page has no part ${name}`);
  return found;
}

/**
 * Returns the button, made of an icon, words, or both; with an icon alone the words are its label.
 * @param {string} words
 * @param {{icon?: string, tone?: string, only?: boolean, type?: string, press?: (event: MouseEvent) => void, label?: string}} [options]
 * @returns {HTMLButtonElement}
 */
export function button(words, { icon: name, tone = "", only = false, type = "button", press, label } = {}) {
  return h(
    "button",
    {
      type,
      class: `button ${tone}${only ? " only" : ""}`.trim(),
      "aria-label": label ?? (only ? words : null),
      title: only ? words : null,
      click: press,
    },
    name && icon(name),
    only ? null : words,
  );
}

/**
 * Returns a term with what there is to say of it, for a list of facts.
 * @param {string} term
 * @param {Child | Child[]} description
 */
export function fact(term, description) {
  return h("div", {}, h("dt", {}, term), h("dd", {}, description));
}

/**
 * Runs `work` at most once a frame, however often the returned function is called.
 * @param {() => void} work
 * @returns {() => void}
 */
export function oncePerFrame(work) {
  let asked = false;
  return () => {
    if (asked) return;
    asked = true;
    requestAnimationFrame(() => {
      asked = false;
      work();
    });
  };
}

/**
 * Runs `work` when the returned function was not called again for `wait_ms`.
 * @param {() => void} work
 * @param {number} wait_ms
 * @returns {() => void}
 */
export function afterPause(work, wait_ms) {
  let timer = 0;
  return () => {
    clearTimeout(timer);
    timer = window.setTimeout(work, wait_ms);
  };
}

/**
 * Runs `work` so long after the first call, once for all calls until then: also in a stream without pauses.
 * @param {() => void} work
 * @param {number} wait_ms
 * @returns {() => void}
 */
export function gathered(work, wait_ms) {
  let waits = false;
  return () => {
    if (waits) return;
    waits = true;
    setTimeout(() => {
      waits = false;
      work();
    }, wait_ms);
  };
}

/**
 * Marks `element` as just changed, for a moment.
 * @param {Element} element
 */
export function flash(element) {
  element.classList.remove("flash");
  // Reading the layout lets the same animation start again.
  void (/** @type {HTMLElement} */ (element).offsetWidth);
  element.classList.add("flash");
}
