// A chart of one series: the mean, a band from the lowest to the highest, gaps as gaps.

/* global uPlot */

import { title, written } from "./hub.js";
import { dated, locale, t } from "./words.js";

const HIGH = 220;
const DAY = 86_400;

// The library comes while values show already.
export async function library() {
  globalThis.uPlot ??= (await import("./vendor/uPlot.js")).default;
}

export const colour = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();

// Texts of the marks on the axis of time, in the reader's zone and manner.
export function marks(_, moments, __, ___, step) {
  const part =
    step < 60
      ? { hour: "2-digit", minute: "2-digit", second: "2-digit" }
      : step < DAY
        ? { hour: "2-digit", minute: "2-digit" }
        : step < 28 * DAY
          ? { day: "numeric", month: "short" }
          : { month: "short", year: "numeric" };
  const clock = new Intl.DateTimeFormat(locale, part);
  const day = new Intl.DateTimeFormat(locale, { day: "numeric", month: "short" });
  return moments.map((moment) => {
    const when = new Date(moment * 1000);
    const midnight = step < DAY && when.getHours() + when.getMinutes() + when.getSeconds() === 0;
    return (midnight ? day : clock).format(when);
  });
}

// The time between two readings from which on there is a gap, of buckets of `width` seconds.
export function longest(times, width) {
  const steps = times.slice(1).map((time, i) => time - times[i]);
  steps.sort((a, b) => a - b);
  return 5 * Math.max(width, steps[steps.length >> 1] ?? width);
}

export class Chart {
  // Shows the `span` of time, which a reader moves by drawing over a part.
  constructor(box, { metric, unit }, span) {
    this.unit = unit;
    this.metric = metric;
    this.span = span;
    this.rows = [[], [], [], []];
    this.view = [0, 1];
    this.box = box;
    this.box.setAttribute("role", "img");
    new ResizeObserver(() => {
      const width = this.box.clientWidth;
      if (width > 0 && this.plot !== undefined && width !== this.plot.width) {
        this.plot.setSize({ width, height: HIGH });
      }
    }).observe(box);
  }

  build() {
    this.plot?.destroy();
    const value = (_, number) => (number === null ? "–" : written(number, this.unit));
    const axis = { stroke: colour("--quiet"), grid: { stroke: colour("--line"), width: 1 } };
    axis.ticks = axis.grid;
    const bound = { stroke: "transparent", points: { show: false }, value };
    const ink = colour("--accent");
    this.plot = new uPlot(
      {
        width: Math.max(200, this.box.clientWidth),
        height: HIGH,
        scales: { x: { range: () => this.view } },
        series: [
          { label: t("chart.time"), value: (_, time) => (time ? dated(time * 1000) : "–") },
          { label: t("chart.mean"), stroke: ink, width: 1.5, value, points: { size: 4, fill: ink } },
          { ...bound, label: t("chart.lowest") },
          { ...bound, label: t("chart.highest") },
        ],
        bands: [{ series: [3, 2], fill: colour("--band") }],
        axes: [{ ...axis, size: 34, values: marks }, { ...axis, size: 56 }],
        cursor: {
          drag: { x: true, y: false, setScale: false },
          bind: { dblclick: () => () => this.span.choose(DAY) },
        },
        hooks: { setSelect: [(plot) => this.choose(plot)] },
      },
      this.rows,
    );
    this.span.follow(this.plot.over);
    // Once all are made that are drawn now: the browser lays out the page for them only once.
    queueMicrotask(() => this.box.append(this.plot.root));
  }

  choose(plot) {
    const { left, width } = plot.select;
    if (width > 4) {
      this.span.look(plot.posToVal(left, "x"), plot.posToVal(left + width, "x"));
      plot.setSelect({ left: 0, width: 0, top: 0, height: 0 }, false);
    }
  }

  // Shows what the API answers, as it is or reduced.
  set(columns) {
    const reduced = columns.form === "reduced";
    const width = reduced ? columns.width : 0;
    // What is stored only when it changes has no gap where it did not.
    this.gap = Math.max(longest(columns.times, width), this.still ?? 0);
    this.rows = [[], [], [], []];
    const end = this.span.bounds()[1];
    const mean = reduced ? columns.mean : columns.values;
    columns.times.forEach((time, i) => {
      const low = reduced ? columns.min[i] : mean[i];
      // The last bucket is not over yet.
      this.push(Math.min(time + width / 2, end), mean[i], low, reduced ? columns.max[i] : mean[i]);
    });
    this.stale = true;
  }

  // Adds what has just been measured.
  add(time, value) {
    const last = this.rows[0].at(-1);
    if (last === undefined || time > last) {
      this.push(time, value, value, value);
      this.stale = true;
    }
  }

  push(time, mean, low, high) {
    const last = this.rows[0].at(-1);
    if (last !== undefined && this.gap > 0 && time - last > this.gap) {
      this.append((last + time) / 2, null, null, null);
    }
    this.append(time, mean, low, high);
  }

  append(...row) {
    row.forEach((one, i) => this.rows[i].push(one));
  }

  // Shows the time from `from` to `to`, in seconds since 1970.
  draw(from, to) {
    const moved = from !== this.view[0] || to !== this.view[1];
    if (!this.stale && !moved) {
      return;
    }
    this.stale = false;
    this.view = [from, to];
    if (this.plot === undefined) {
      this.build();
    } else {
      this.plot.setData(this.rows);
    }
    this.box.setAttribute("aria-label", this.summary());
  }

  summary() {
    const means = this.rows[1].filter((one) => one !== null);
    if (means.length === 0) {
      return t("chart.empty", { metric: title(this.metric) });
    }
    const low = this.rows[2].reduce((a, b) => (b === null ? a : Math.min(a, b)), Infinity);
    const high = this.rows[3].reduce((a, b) => (b === null ? a : Math.max(a, b)), -Infinity);
    const [least, most, last] = [low, high, means.at(-1)].map((one) => written(one, this.unit));
    return t("chart.summary", { metric: title(this.metric), low: least, high: most, last });
  }
}
