// A chart of several series: one axis of time, a scale for each unit.

/* global uPlot */

import { colour, library, longest, marks } from "./chart.js";
import { complain, element, title, written } from "./hub.js";
import { dated, t } from "./words.js";

const HIGH = 340;
const LOW = 260;
const NARROW = 500;
const EMPTY = () => [[], [], [], []];
const CLEAR = "2e";

export const MOST_SERIES = 8;

// Where the newest of `times` is that is not after `time`.
function before(times, time) {
  let low = 0;
  let high = times.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    if (times[middle] <= time) {
      low = middle + 1;
    } else {
      high = middle;
    }
  }
  return low - 1;
}

// One line of the chart: which series it shows, and its columns time, mean, lowest, highest.
class Line {
  constructor(device, metric, slot) {
    this.device = device;
    this.metric = metric;
    this.slot = slot;
    this.unit = "";
    this.rows = EMPTY();
    this.gap = 0;
  }

  get key() {
    return `${this.device}/${this.metric}`;
  }

  get scale() {
    return this.unit === "" ? `metric ${this.metric}` : `unit ${this.unit}`;
  }

  get name() {
    return `${this.device} · ${title(this.metric)}`;
  }

  get colour() {
    return colour(`--line-${this.slot}`);
  }

  // Shows what the API answers, up to `end`: the last bucket is not over yet.
  set(columns, end) {
    const reduced = columns.form === "reduced";
    const width = reduced ? columns.width : 0;
    const mean = reduced ? columns.mean : columns.values;
    this.gap = longest(columns.times, width);
    this.rows = EMPTY();
    columns.times.forEach((time, i) => {
      const middle = Math.min(time + width / 2, end);
      this.push(middle, mean[i], reduced ? columns.min[i] : mean[i], reduced ? columns.max[i] : mean[i]);
    });
  }

  push(time, ...values) {
    const last = this.rows[0].at(-1);
    if (last !== undefined && time <= last) {
      return;
    }
    if (last !== undefined && this.gap > 0 && time - last > this.gap) {
      this.append((last + time) / 2, null, null, null);
    }
    this.append(time, ...values);
  }

  append(...row) {
    row.forEach((one, i) => this.rows[i].push(one));
  }

  // What was measured at a time, as a text.
  at(time) {
    const [times, mean, low, high] = this.rows;
    const i = before(times, time);
    if (i < 0 || mean[i] === null || time - times[i] > Math.max(this.gap, 1)) {
      return "–";
    }
    const text = written(mean[i], this.unit);
    return low[i] < high[i] ? `${text} (${written(low[i])} – ${written(high[i])})` : text;
  }
}

export class Comparison {
  // Shows the `span` of time in `box`, and its lines in the list `legend`; `drop(key)` is called
  // for one that is to be left out.
  constructor(box, legend, span, drop) {
    this.box = box;
    this.legend = legend;
    this.span = span;
    this.drop = drop;
    this.lines = new Map();
    this.view = span.bounds();
    this.watcher = new ResizeObserver(() => this.plot && this.fit());
    this.watcher.observe(box);
    box.setAttribute("role", "img");
  }

  fit() {
    const width = Math.max(200, this.box.clientWidth);
    if (width !== this.plot.width) {
      this.build();
    }
  }

  // Has lines for these series ("device/metric"), in this order.
  choose(keys) {
    for (const key of [...this.lines.keys()].filter((one) => !keys.includes(one))) {
      this.lines.delete(key);
    }
    for (const key of keys.filter((one) => !this.lines.has(one))) {
      const taken = new Set([...this.lines.values()].map(({ slot }) => slot));
      const slot = [1, 2, 3, 4, 5, 6, 7, 8].find((one) => !taken.has(one));
      const slash = key.indexOf("/");
      this.lines.set(key, new Line(key.slice(0, slash), key.slice(slash + 1), slot));
    }
    this.list();
    this.build();
  }

  set(key, columns) {
    const line = this.lines.get(key);
    if (line !== undefined) {
      const another = line.unit !== columns.unit;
      line.unit = columns.unit;
      line.set(columns, this.span.bounds()[1]);
      this.stale = true;
      this.stranger ||= another;
    }
  }

  add(key, time, value) {
    const line = this.lines.get(key);
    if (line !== undefined && typeof value === "number") {
      line.push(time, value, value, value);
      this.stale = true;
    }
  }

  list() {
    const rows = [...this.lines.values()].map((line) => {
      const row = element("li");
      const mark = element("span", "", `mark line-${line.slot}`);
      line.shown = element("output");
      const leave = element("button", "×", "plain");
      leave.type = "button";
      leave.setAttribute("aria-label", t("history.leave_out", { series: line.name }));
      leave.addEventListener("click", () => this.drop(line.key));
      row.append(mark, element("span", line.name, "name"), line.shown, leave);
      return row;
    });
    this.legend.replaceChildren(...rows);
  }

  build() {
    this.plot?.destroy();
    this.plot = undefined;
    const lines = [...this.lines.values()];
    if (lines.length === 0) {
      return;
    }
    if (globalThis.uPlot === undefined) {
      library().then(() => this.build()).catch(complain);
      return;
    }
    const width = Math.max(200, this.box.clientWidth);
    const series = [{}];
    const bands = [];
    for (const line of lines) {
      const one = { scale: line.scale, spanGaps: false };
      const bound = { ...one, stroke: "transparent", points: { show: false } };
      const ink = line.colour;
      series.push({ ...one, stroke: ink, width: 1.75, points: { size: 4, fill: ink } }, bound, bound);
      bands.push({ series: [series.length - 1, series.length - 2], fill: ink + CLEAR });
    }
    this.plot = new uPlot(
      {
        width,
        height: width < NARROW ? LOW : HIGH,
        scales: { x: { range: () => this.view } },
        series,
        bands,
        axes: this.axes(lines, width),
        legend: { show: false },
        cursor: {
          drag: { x: true, y: false, setScale: false },
          points: { show: false },
          bind: { dblclick: () => () => this.span.choose(86_400) },
        },
        hooks: {
          setSelect: [(plot) => this.look(plot)],
          setCursor: [(plot) => this.point(plot.cursor.left)],
        },
      },
      [[], ...series.slice(1).map(() => [])],
      this.box,
    );
    this.span.follow(this.plot.over);
    this.stale = true;
    this.draw();
  }

  // An axis for each scale, as many as there is room for, left and right in turn.
  axes(lines, width) {
    const grid = { stroke: colour("--line"), width: 1 };
    const axis = { stroke: colour("--quiet"), grid, ticks: grid };
    const scales = new Map();
    for (const line of lines) {
      scales.set(line.scale, [...(scales.get(line.scale) ?? []), line]);
    }
    const room = width < NARROW ? 2 : 4;
    const others = [...scales].slice(0, room).map(([scale, own], i) => ({
      ...axis,
      scale,
      side: i % 2 === 0 ? 3 : 1,
      size: 52,
      label: own[0].unit || title(own[0].metric),
      labelSize: 18,
      // One line alone on a scale gives it its colour.
      stroke: own.length === 1 && scales.size > 1 ? own[0].colour : axis.stroke,
      grid: { ...grid, show: i === 0 },
    }));
    return [{ ...axis, size: 34, values: marks }, ...others];
  }

  look(plot) {
    const { left, width } = plot.select;
    if (width > 4) {
      this.span.look(plot.posToVal(left, "x"), plot.posToVal(left + width, "x"));
      plot.setSelect({ left: 0, width: 0, top: 0, height: 0 }, false);
    }
  }

  // Says what each line has where the pointer is, or else at the end.
  point(left) {
    const inside = this.plot !== undefined && left >= 0;
    const time = inside ? this.plot.posToVal(left, "x") : this.view[1];
    for (const line of this.lines.values()) {
      line.shown.textContent = inside || this.span.live ? line.at(time) : "";
    }
  }

  draw() {
    const view = this.span.bounds();
    const moved = view[0] !== this.view[0] || view[1] !== this.view[1];
    this.view = view;
    if (this.stranger) {
      this.stranger = false;
      this.build();
      return;
    }
    if (this.plot === undefined || (!this.stale && !moved)) {
      return;
    }
    if (this.stale) {
      this.data = uPlot.join([...this.lines.values()].map(({ rows }) => rows));
      this.stale = false;
    }
    this.plot.setData(this.data);
    this.point(this.plot.cursor.left ?? -1);
    this.box.setAttribute("aria-label", this.summary());
  }

  summary() {
    const names = [...this.lines.values()].map((line) => `${line.name}: ${line.at(this.view[1])}`);
    return t("history.chart", { lines: names.join(", ") });
  }

  // A picture of the chart with its legend, as a blob.
  async picture() {
    await library();
    const ratio = devicePixelRatio;
    const lines = [...this.lines.values()];
    const { canvas } = this.plot.ctx;
    const row = 22 * ratio;
    const head = (lines.length + 1) * row + 10 * ratio;
    const made = document.createElement("canvas");
    made.width = canvas.width;
    made.height = canvas.height + head;
    const pen = made.getContext("2d");
    pen.fillStyle = colour("--raised");
    pen.fillRect(0, 0, made.width, made.height);
    pen.font = `${13 * ratio}px system-ui, sans-serif`;
    pen.textBaseline = "middle";
    pen.fillStyle = colour("--ink");
    const [from, to] = this.view.map((time) => dated(time * 1000));
    pen.fillText(`${from} – ${to}`, 10 * ratio, row / 2 + 5 * ratio);
    lines.forEach((line, i) => {
      const y = (i + 1.5) * row + 5 * ratio;
      pen.fillStyle = line.colour;
      pen.fillRect(10 * ratio, y - 2 * ratio, 16 * ratio, 4 * ratio);
      pen.fillStyle = colour("--ink");
      pen.fillText(line.name, 34 * ratio, y);
    });
    pen.drawImage(canvas, 0, head);
    return new Promise((done) => made.toBlob(done));
  }
}
