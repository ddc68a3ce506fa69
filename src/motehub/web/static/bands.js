// The states of one series as bands in time: what it was, for how long, and how often it changed.

import { element, reading, title } from "./hub.js";
import { dated, known, number, spoken, t } from "./words.js";

const HIGH = 30;
const WIDE = 1000;
const COLOURS = 8;
const SVG = "http://www.w3.org/2000/svg";
const OTHERS = null;

// What a state is called: booleans come as 0 and 1; a button's as its newest value is.
function called(state, { metric, kind }) {
  if (state === OTHERS) {
    return t("bands.others");
  }
  if (kind === "text") {
    return state || "–";
  }
  return metric === "button" ? reading({ metric, kind }, Number(state)) : known(`bands.state_${state}`, state);
}

export class Bands {
  constructor(box, { metric, kind }) {
    this.metric = metric;
    this.kind = kind;
    this.image = document.createElementNS(SVG, "svg");
    this.image.setAttribute("viewBox", `0 0 ${WIDE} ${HIGH}`);
    this.image.setAttribute("preserveAspectRatio", "none");
    this.image.setAttribute("role", "img");
    this.image.classList.add("bands");
    this.ends = element("p", "", "ends quiet note");
    this.legend = element("ul", "", "legend");
    box.append(this.image, this.ends, this.legend);
    this.parts = [];
    this.view = [0, 1];
  }

  // Shows what the API answers.
  set({ times, width, states, seconds, other, changes }) {
    const all = [...states, OTHERS];
    const columns = [...seconds, other];
    this.changes = changes.reduce((sum, one) => sum + one, 0);
    // In one order, so that a state has its colour whatever time is shown.
    this.order = all.toSorted((a, b) => (a === OTHERS) - (b === OTHERS) || (a < b ? -1 : 1));
    this.parts = times.map((start, i) => {
      const lasted = all.map((state, n) => [state, columns[n][i]]).filter(([, time]) => time > 0);
      return { start, end: times[i + 1] ?? start + width, lasted };
    });
    this.stale = true;
  }

  // Adds what has just been measured: from now on it is so.
  add(time, value) {
    const state = this.kind === "text" ? value : `${value}`;
    const last = this.parts.at(-1);
    if (last === undefined || time <= last.start) {
      return;
    }
    this.changes += last.now === undefined || last.now === state ? 0 : 1;
    last.end = Math.min(last.end, time);
    if (last.now !== undefined) {
      last.lasted = [[last.now, last.end - last.start]];
    }
    if (!this.order.includes(state)) {
      this.order.splice(-1, 0, state);
    }
    this.parts.push({ start: time, end: Infinity, now: state, lasted: [] });
    this.stale = true;
  }

  // Shows the time from `from` to `to`, in seconds since 1970.
  draw(from, to) {
    if (!this.stale && from === this.view[0] && to === this.view[1]) {
      return;
    }
    this.stale = false;
    this.view = [from, to];
    const totals = new Map();
    const shapes = [];
    for (const part of this.parts) {
      const end = Math.min(part.end, to);
      if (end <= part.start) {
        continue;
      }
      const lasted = part.now === undefined ? part.lasted : [[part.now, end - part.start]];
      shapes.push(...this.stacked(part.start, end, lasted));
      for (const [state, time] of lasted) {
        totals.set(state, (totals.get(state) ?? 0) + time);
      }
    }
    this.image.replaceChildren(...shapes);
    this.ends.replaceChildren(...[from, to].map((moment) => element("span", dated(moment * 1000))));
    this.tell(totals);
  }

  // The bands of a part of time, each as high as its state's share of it.
  stacked(start, end, lasted) {
    const [from, to] = this.view;
    const x = (moment) => Math.min(WIDE, Math.max(0, ((moment - from) / (to - from)) * WIDE));
    const whole = lasted.reduce((sum, [, time]) => sum + time, 0);
    const sorted = lasted.toSorted(([a], [b]) => this.order.indexOf(a) - this.order.indexOf(b));
    let y = HIGH;
    return sorted.map(([state, time]) => {
      const high = (time / whole) * HIGH;
      y -= high;
      const one = document.createElementNS(SVG, "rect");
      const sides = { x: x(start), y, width: Math.max(1, x(end) - x(start)), height: high };
      for (const [key, value] of Object.entries(sides)) {
        one.setAttribute(key, value.toFixed(2));
      }
      one.classList.add(this.colour(state));
      return one;
    });
  }

  colour(state) {
    return state === OTHERS ? "state-others" : `state-${this.order.indexOf(state) % COLOURS}`;
  }

  tell(totals) {
    const whole = [...totals.values()].reduce((sum, time) => sum + time, 0);
    const percent = { style: "percent", maximumFractionDigits: 1 };
    const rows = [...totals].filter(([, time]) => time > 0).toSorted(([, a], [, b]) => b - a);
    const words = rows.map(([state, time]) => {
      const share = number(time / whole, percent);
      return t("bands.state", { state: called(state, this), time: spoken(time, "short"), share });
    });
    const items = rows.map(([state], i) => {
      const item = element("li");
      item.append(element("span", "", `swatch ${this.colour(state)}`), words[i]);
      return item;
    });
    const changes = t("bands.changes", { count: this.changes ?? 0 });
    this.legend.replaceChildren(...items, element("li", changes, "quiet"));
    this.image.setAttribute("aria-label", `${title(this.metric)}: ${[...words, changes].join(", ")}`);
  }

  // Colours are those of the style sheet.
  build() {}
}
