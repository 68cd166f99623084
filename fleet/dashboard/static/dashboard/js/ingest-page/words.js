/** Lengths of time and reasons as the page "Ingest" shows them. */

/**
 * Returns a length of time with its unit and three digits at most: "0", "0.8 ms", "12 ms", "1.25 s", "3 min".
 * @param {number | null | undefined} seconds
 * @returns {string}
 */
export function span(seconds) {
  if (seconds === null || seconds === undefined) return "–";
  if (seconds === 0) return "0";
  if (seconds >= 120) return `${Math.round(seconds / 60)} min`;
  if (seconds >= 0.9995) return `${digits(seconds)} s`;
  return `${digits(seconds * 1000)} ms`;
}

/** @param {number} number */
function digits(number) {
  return String(Number(number.toPrecision(number >= 100 ? 3 : 2)));
}

/**
 * Returns a number of bytes: "512 B", "1.5 MB".
 * @param {number | null | undefined} bytes
 * @returns {string}
 */
export function size(bytes) {
  if (bytes === null || bytes === undefined) return "–";
  const units = ["B", "kB", "MB", "GB", "TB"];
  let [number, unit] = [bytes, 0];
  while (number >= 1000 && unit < units.length - 1) [number, unit] = [number / 1000, unit + 1];
  return `${unit ? number.toFixed(1) : number} ${units[unit]}`;
}

/**
 * Returns a whole number short enough for an axis: "950", "12k", "1.5M".
 * @param {number} number
 */
export function short(number) {
  if (number >= 1e6) return `${Number((number / 1e6).toFixed(1))}M`;
  if (number >= 1e4) return `${Number((number / 1e3).toFixed(1))}k`;
  return String(Number(number.toFixed(2)));
}
