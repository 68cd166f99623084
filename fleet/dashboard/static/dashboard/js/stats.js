/** The counts and rates of `stats/`, asked for now and then, for the page's figures and the badge of alerts. */

import { get } from "./api.js";
import { report } from "./toast.js";

// After an event that changes counts: late enough for a burst to be one question, and rarely enough for a fleet
// in which something changes all the time.
const SOON_MS = 400;
const LEAST_MS = 2_000;

/** @type {Set<(stats: any) => void>} */
const listeners = new Set();
let period_ms = 0;
let timer = 0;
let soonTimer = 0;
let asked_ms = 0;
let failed = false;

/**
 * Calls `listener` with each answer of `stats/`.
 * @param {(stats: any) => void} listener
 */
export function onStats(listener) {
  listeners.add(listener);
}

/**
 * Asks at once and then every `every_ms` while the page is looked at.
 * @param {number} every_ms
 */
export function followStats(every_ms) {
  period_ms = every_ms;
  document.addEventListener("visibilitychange", () => !document.hidden && askSoon());
  void askNow();
}

/** Asks again shortly, because something has changed that is counted. */
export function askSoon() {
  if (soonTimer) return;
  const wait_ms = Math.max(SOON_MS, asked_ms + LEAST_MS - Date.now());
  soonTimer = window.setTimeout(() => void askNow(), wait_ms);
}

async function askNow() {
  clearTimeout(timer);
  clearTimeout(soonTimer);
  soonTimer = 0;
  asked_ms = Date.now();
  timer = window.setTimeout(() => document.hidden || void askNow(), period_ms);
  try {
    const stats = await get("stats/");
    failed = false;
    for (const listener of listeners) listener(stats);
  } catch (error) {
    // Once is enough: the connection in the bar says that it lasts.
    if (!failed) report(error);
    failed = true;
  }
}
