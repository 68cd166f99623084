/**
 * The live connection: one WebSocket that follows what the page shows, comes back by itself, and says when
 * something was missed so that the page asks the API again.
 */

import { toLogin } from "./api.js";

// Doubled at each failure up to the most, each time shortened by up to a half at random, so that many pages do
// not all come back in the same second.
const FIRST_WAIT_MS = 500;
const MOST_WAIT_MS = 30_000;
// A connection that lasted this long was a good one; the next wait starts small again.
const STEADY_AFTER_MS = 5_000;
// How long a page waits for its first snapshot before it goes on with the API alone.
const SNAPSHOT_WAIT_MS = 1_500;
// Without an answer by then, opening has failed.
const OPENING_WAIT_MS = 10_000;
const POLLING_FROM = 3;
// From so many failures on it waits the longest.
const PATIENT_FROM = Math.ceil(Math.log2(MOST_WAIT_MS / FIRST_WAIT_MS));
const LOGGED_OUT = 4401;
// This reader has as many connections as one person may have; one has to be closed first.
const TOO_MANY = 4430;

/** @typedef {"connecting" | "live" | "reconnecting" | "offline" | "crowded"} LiveState */
/** @typedef {{sensors?: Iterable<string>, networks?: Iterable<string>}} Subjects */
/** @typedef {(frame: any) => void} Listener */

export class Live {
  /** @param {(state: LiveState) => void} onState */
  constructor(onState = () => {}) {
    this.onState = onState;
    /** @type {Map<string, Set<Listener>>} */
    this.listeners = new Map();
    /** @type {{sensors: Set<string>, networks: Set<string>}} */
    this.wanted = { sensors: new Set(), networks: new Set() };
    /** @type {WebSocket | null} */
    this.socket = null;
    this.failures = 0;
    this.retryTimer = 0;
    this.leaving = false;
    // How many snapshots are on their way: one for the connection itself and one for each subscription.
    this.due = 0;
    // Whether something may have happened that this page neither heard nor asked for.
    this.missed = false;
    /** @type {(() => void)[]} */
    this.waiting = [];
    addEventListener("online", () => this.reopen());
    addEventListener("offline", () => this.onState("offline"));
    // Leaving a page closes its socket; that is no failure. A page may come back from the browser's cache.
    addEventListener("pagehide", () => this.leave());
    addEventListener("pageshow", (event) => event.persisted && this.reopen());
    document.addEventListener("visibilitychange", () => !document.hidden && this.reopen());
  }

  /**
   * Follows exactly these sensors and networks from now on, and resolves once the server follows them too; what
   * happens after that is heard. Resolves after a moment also without a server.
   * @param {Subjects} subjects
   * @returns {Promise<void>}
   */
  watch({ sensors = [], networks = [] }) {
    const before = this.wanted;
    this.wanted = { sensors: new Set(sensors), networks: new Set(networks) };
    if (!this.socket && !this.retryTimer) this.open();
    else if (this.socket?.readyState === WebSocket.OPEN) {
      const added = {
        sensors: lacking(this.wanted.sensors, before.sensors),
        networks: lacking(this.wanted.networks, before.networks),
      };
      const gone = {
        sensors: lacking(before.sensors, this.wanted.sensors),
        networks: lacking(before.networks, this.wanted.networks),
      };
      if (gone.sensors.length || gone.networks.length) this.send({ type: "unsubscribe", ...gone });
      if (!added.sensors.length && !added.networks.length) return Promise.resolve();
      this.due += 1;
      this.send({ type: "subscribe", ...added });
    }
    return this.nextSnapshot();
  }

  /**
   * Calls `listener` with each frame of `kind`: the contract's frame types, and "refresh" when the page should
   * ask the API again because something was or may have been missed.
   * @param {string} kind
   * @param {Listener} listener
   */
  on(kind, listener) {
    const listeners = this.listeners.get(kind) ?? new Set();
    this.listeners.set(kind, listeners.add(listener));
  }

  nextSnapshot() {
    return /** @type {Promise<void>} */ (
      new Promise((resolve) => {
        this.waiting.push(resolve);
        setTimeout(() => {
          if (!this.waiting.includes(resolve)) return;
          this.waiting = this.waiting.filter((item) => item !== resolve);
          this.missed = true;
          resolve();
        }, SNAPSHOT_WAIT_MS);
      })
    );
  }

  open() {
    clearTimeout(this.retryTimer);
    this.retryTimer = 0;
    this.leaving = false;
    const scheme = location.protocol === "https:" ? "wss:" : "ws:";
    const socket = new WebSocket(`${scheme}//${location.host}/ws/live/`);
    this.socket = socket;
    let steadyTimer = 0;
    const openingTimer = window.setTimeout(() => socket.close(), OPENING_WAIT_MS);
    socket.addEventListener("open", () => {
      clearTimeout(openingTimer);
      steadyTimer = window.setTimeout(() => (this.failures = 0), STEADY_AFTER_MS);
      this.due = 2;
      // The first echo tells the server that this reader answers its sync frames.
      this.send({ type: "echo", seq: 0 });
      this.send({
        type: "subscribe",
        sensors: [...this.wanted.sensors],
        networks: [...this.wanted.networks],
      });
    });
    socket.addEventListener("message", (event) => this.receive(JSON.parse(event.data)));
    socket.addEventListener("close", (event) => {
      clearTimeout(openingTimer);
      clearTimeout(steadyTimer);
      if (this.socket !== socket) return;
      this.socket = null;
      if (this.leaving) {
        this.missed = true;
        return;
      }
      // Any other end, a lost right among them, leaves something to come back to.
      if (event.code === LOGGED_OUT) toLogin();
      else this.retry({ crowded: event.code === TOO_MANY });
    });
  }

  /** @param {{crowded?: boolean}} [why] crowded: as long as it is, asking again soon would be in vain */
  retry({ crowded = false } = {}) {
    this.missed = true;
    this.onState(crowded ? "crowded" : navigator.onLine ? "reconnecting" : "offline");
    if (crowded) this.failures = Math.max(this.failures, PATIENT_FROM);
    const wait_ms = Math.min(FIRST_WAIT_MS * 2 ** this.failures, MOST_WAIT_MS) * (0.5 + Math.random() / 2);
    this.failures += 1;
    clearTimeout(this.retryTimer);
    this.retryTimer = window.setTimeout(() => this.open(), wait_ms);
    // Without live events the page still shows what is, at the pace of the tries; a restart is over before.
    if (this.failures >= POLLING_FROM) this.tell("refresh", null);
  }

  /** Connects at once if there is no connection, without waiting for the next try. */
  reopen() {
    if (!this.socket && (this.retryTimer || this.leaving)) this.open();
  }

  leave() {
    this.leaving = true;
    clearTimeout(this.retryTimer);
    this.socket?.close();
    this.socket = null;
  }

  /** @param {object} message */
  send(message) {
    if (this.socket?.readyState === WebSocket.OPEN) this.socket.send(JSON.stringify(message));
  }

  /** @param {any} frame */
  receive(frame) {
    if (frame.type === "sync") {
      this.send({ type: "echo", seq: frame.seq });
      return;
    }
    this.tell(frame.type, frame);
    // A refused subscription is answered with an error in its snapshot's place.
    if (frame.type === "snapshot" || frame.type === "error") this.onAnswer();
    if (frame.type === "gap") this.tell("refresh", frame);
  }

  onAnswer() {
    this.due -= 1;
    if (this.due > 0) return;
    this.onState("live");
    for (const resolve of this.waiting.splice(0)) resolve();
    if (!this.missed) return;
    this.missed = false;
    this.tell("refresh", null);
  }

  /** @param {string} kind @param {any} frame */
  tell(kind, frame) {
    for (const listener of this.listeners.get(kind) ?? []) listener(frame);
  }
}

/** @param {Set<string>} these @param {Set<string>} those @returns {string[]} what is in `these` and not in `those` */
function lacking(these, those) {
  return [...these].filter((item) => !those.has(item));
}
