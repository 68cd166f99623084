/** The REST API: requests of the session, errors as one class, pages of lists. */

const BASE = "/api/v1/";
// Longer than any list takes; a request that hangs must end so that the page can say so.
const TIMEOUT_MS = 30_000;

/** @typedef {{[name: string]: string | number | boolean | null | undefined | string[]}} Query */
/** @typedef {{next: string | null, previous: string | null, results: any[]}} Page */

/** A refused or failed request: `fields` holds the messages by field, `message` is fit to be shown. */
export class ApiError extends Error {
  /**
   * @param {number} status HTTP status, 0 when there was no answer
   * @param {string} message
   * @param {Record<string, string[]>} [fields]
   */
  constructor(status, message, fields = {}) {
    super(message);
    this.name = "ApiError";
    this.status = status;
    this.fields = fields;
  }
}

/**
 * @param {string} path below /api/v1/
 * @param {Query} [query]
 * @param {AbortSignal} [signal]
 * @returns {Promise<any>}
 */
export function get(path, query, signal) {
  return request("GET", address(path, query), undefined, signal);
}

/**
 * Returns the page at `url`, an address from `next` or `previous`. Its host is left out: behind a proxy it
 * may not be the one that the browser knows.
 * @param {string} url
 * @param {AbortSignal} [signal]
 * @returns {Promise<Page>}
 */
export function getPage(url, signal) {
  const { pathname, search } = new URL(url, location.href);
  return request("GET", pathname + search, undefined, signal);
}

/**
 * Returns all rows of a list, page by page, at most `most`.
 * @param {string} path
 * @param {Query} [query]
 * @param {number} [most]
 * @returns {Promise<any[]>}
 */
export async function getAll(path, query = {}, most = 5_000) {
  /** @type {Page} */
  let page = await get(path, { limit: 1000, ...query });
  const rows = [...page.results];
  while (page.next && rows.length < most) {
    page = await getPage(page.next);
    rows.push(...page.results);
  }
  return rows;
}

/**
 * @param {string} path
 * @param {unknown} [body]
 * @param {{timeout_ms?: number}} [options] for what takes longer than others
 * @returns {Promise<any>}
 */
export function post(path, body = {}, { timeout_ms } = {}) {
  return request("POST", BASE + path, body, undefined, timeout_ms);
}

/**
 * Sends `text` as it is: what was typed reaches the server's parser, which names what this one would swallow.
 * @param {string} path
 * @param {string} text
 * @param {{type?: string, timeout_ms?: number}} [options]
 * @returns {Promise<any>}
 */
export function postText(path, text, { type, timeout_ms } = {}) {
  return request("POST", BASE + path, text, undefined, timeout_ms, type);
}

/** @param {string} path @param {unknown} body @returns {Promise<any>} */
export function patch(path, body) {
  return request("PATCH", BASE + path, body);
}

/** @param {string} path @returns {Promise<any>} */
export function remove(path) {
  return request("DELETE", BASE + path);
}

/**
 * Returns the address of `path` with `query`; empty values are left out, lists repeat their name.
 * @param {string} path
 * @param {Query} [query]
 */
export function address(path, query = {}) {
  const parameters = new URLSearchParams();
  for (const [name, value] of Object.entries(query)) {
    if (value === null || value === undefined || value === "") continue;
    for (const item of Array.isArray(value) ? value : [value]) parameters.append(name, String(item));
  }
  const text = parameters.toString();
  return BASE + path + (text ? `?${text}` : "");
}

/** Goes to the login page, which comes back here. */
export function toLogin() {
  location.assign(`/login/?next=${encodeURIComponent(location.pathname + location.search)}`);
}

/**
 * @param {string} method
 * @param {string} url
 * @param {unknown} [body]
 * @param {AbortSignal} [signal]
 * @param {number} [timeout_ms]
 * @param {string} [type] of the body
 */
async function request(method, url, body, signal, timeout_ms = TIMEOUT_MS, type = "application/json") {
  /** @type {Record<string, string>} */
  const headers = { Accept: "application/json" };
  if (method !== "GET") headers["X-CSRFToken"] = cookie("csrftoken");
  if (body !== undefined) headers["Content-Type"] = type;
  let response;
  try {
    response = await fetch(url, {
      method,
      headers,
      body: body === undefined || typeof body === "string" ? body : JSON.stringify(body),
      credentials: "same-origin",
      signal: signal
        ? AbortSignal.any([signal, AbortSignal.timeout(timeout_ms)])
        : AbortSignal.timeout(timeout_ms),
    });
  } catch (error) {
    if (signal?.aborted) throw error;
    throw new ApiError(0, "The server did not answer. Check the connection; the page tries again by itself.");
  }
  if (response.status === 401) {
    toLogin();
    throw new ApiError(401, "You are logged out.");
  }
  const isJson = response.headers.get("Content-Type")?.includes("json");
  const answer = isJson ? await response.json() : null;
  if (response.ok) return answer;
  throw errorOf(response.status, answer);
}

/**
 * @param {number} status
 * @param {any} answer
 */
function errorOf(status, answer) {
  if (answer === null || typeof answer !== "object") {
    return new ApiError(status, `The server answered with ${status}. Try again in a moment.`);
  }
  const { detail, ...rest } = answer;
  /** @type {Record<string, string[]>} */
  const fields = {};
  for (const [name, value] of Object.entries(rest)) fields[name] = [value].flat(3).map(String);
  const texts = detail === undefined ? [] : [detail].flat().map(String);
  const first = Object.entries(fields).map(([name, messages]) => `${name}: ${messages.join(" ")}`);
  return new ApiError(status, [...texts, ...first].join(" ") || `Refused with ${status}.`, fields);
}

/** @param {string} name */
function cookie(name) {
  const found = document.cookie.split("; ").find((item) => item.startsWith(`${name}=`));
  return found ? decodeURIComponent(found.slice(name.length + 1)) : "";
}
