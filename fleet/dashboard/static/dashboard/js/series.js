/** One attribute over time as the chart draws it: buckets of the API, and live samples that join them. */

/** @typedef {{start: string, count: number, min: number, mean: number, max: number}} Point */

// A line is broken where nothing came for this many usual distances.
const GAP_FACTOR = 4;

export class Series {
  /**
   * @param {string} attribute
   * @param {{bucket_s: number, points: Point[]}} answer of `series/`
   */
  constructor(attribute, { bucket_s, points }) {
    this.attribute = attribute;
    this.bucket_s = bucket_s;
    /** @type {number[]} */
    this.starts = points.map((point) => Date.parse(point.start) / 1000);
    /** @type {number[]} */
    this.counts = points.map((point) => point.count);
    /** @type {number[]} */
    this.least = points.map((point) => point.min);
    /** @type {number[]} */
    this.means = points.map((point) => point.mean);
    /** @type {number[]} */
    this.most = points.map((point) => point.max);
  }

  get length() {
    return this.starts.length;
  }

  /**
   * Adds a sample; false if it is older than the last bucket, so that only asking again can place it.
   * @param {number} measured_s seconds since 1970
   * @param {number} value
   */
  add(measured_s, value) {
    const last = this.length - 1;
    if (last >= 0 && measured_s < this.starts[last] + this.bucket_s) {
      if (measured_s < this.starts[last]) return false;
      this.counts[last] += 1;
      this.means[last] += (value - this.means[last]) / this.counts[last];
      this.least[last] = Math.min(this.least[last], value);
      this.most[last] = Math.max(this.most[last], value);
      return true;
    }
    // On from the last bucket: long ones start on Mondays, not at multiples since 1970.
    const origin = last >= 0 ? this.starts[last] : 0;
    this.starts.push(origin + Math.floor((measured_s - origin) / this.bucket_s) * this.bucket_s);
    this.counts.push(1);
    this.means.push(value);
    this.least.push(value);
    this.most.push(value);
    return true;
  }

  /**
   * Drops buckets that ended before `start_s`.
   * @param {number} start_s
   */
  forget(start_s) {
    const keep = this.starts.findIndex((start) => start + this.bucket_s >= start_s);
    if (keep <= 0) return;
    for (const column of [this.starts, this.counts, this.means, this.least, this.most])
      column.splice(0, keep);
  }

  /**
   * Returns the columns that are drawn: times, means, least, most; with an empty place in each gap.
   * @returns {[number[], (number | null)[], (number | null)[], (number | null)[]]}
   */
  columns() {
    const gap_s = this.gap_s();
    /** @type {[number[], (number | null)[], (number | null)[], (number | null)[]]} */
    const columns = [[], [], [], []];
    for (let index = 0; index < this.length; index += 1) {
      const start = this.starts[index];
      if (index && start - this.starts[index - 1] > gap_s) {
        columns[0].push(this.starts[index - 1] + this.bucket_s);
        for (const column of columns.slice(1)) column.push(/** @type {any} */ (null));
      }
      columns[0].push(start);
      columns[1].push(this.means[index]);
      columns[2].push(this.least[index]);
      columns[3].push(this.most[index]);
    }
    return columns;
  }

  /** Beyond which distance two buckets are not joined: measured against what is usual in this series. */
  gap_s() {
    const distances = this.starts.slice(1).map((start, index) => start - this.starts[index]);
    if (!distances.length) return Infinity;
    distances.sort((one, other) => one - other);
    return GAP_FACTOR * Math.max(distances[Math.floor(distances.length / 2)], this.bucket_s);
  }

  /**
   * Returns the index of the bucket nearest to a moment, or -1.
   * @param {number} moment_s
   */
  nearest(moment_s) {
    let best = -1;
    let distance = Infinity;
    for (let index = 0; index < this.length; index += 1) {
      const away = Math.abs(this.starts[index] - moment_s);
      if (away < distance) [best, distance] = [index, away];
    }
    return best;
  }
}
