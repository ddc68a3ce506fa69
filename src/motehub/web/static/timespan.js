// The time that charts show, and the buttons for it: it ends now and goes on, or it stands still.

import { element } from "./hub.js";
import { dated, t } from "./words.js";

const DAY = 86_400;
const SHORTEST = 10;
const LONGEST = 10 * 366 * DAY;
const LENGTHS = [
  [3600, "time.hour"],
  [DAY, "time.day"],
  [7 * DAY, "time.week"],
  [30 * DAY, "time.month"],
  [365 * DAY, "time.year"],
];
// A gesture has ended when nothing has come of it for so long.
const REST = 250;

const now = () => Date.now() / 1000;

export class TimeSpan {
  // Puts buttons into `bar`. `changed()` is called while the time moves, `load()` when it rests.
  constructor(bar, changed, load) {
    this.changed = changed;
    this.load = load;
    this.length = DAY;
    this.end = undefined;
    this.shown = element("span", "", "quiet");
    this.shown.setAttribute("role", "status");
    this.lengths = LENGTHS.map(([seconds, key]) => {
      const button = this.button(t(key), () => this.choose(seconds));
      button.seconds = seconds;
      return button;
    });
    const steps = [
      ["‹", "time.earlier", () => this.move(-0.5)],
      ["›", "time.later", () => this.move(0.5)],
      ["+", "time.closer", () => this.zoom(0.5)],
      ["−", "time.farther", () => this.zoom(2)],
    ].map(([text, key, act]) => {
      const button = this.button(text, act);
      button.setAttribute("aria-label", t(key));
      return button;
    });
    bar.setAttribute("role", "group");
    bar.setAttribute("aria-label", t("time.shown"));
    bar.append(...this.lengths, element("span", "", "apart"), ...steps, this.shown);
    this.set(DAY);
  }

  button(text, act) {
    const made = element("button", text);
    made.type = "button";
    made.addEventListener("click", act);
    return made;
  }

  // Beginning and end, in s since 1970.
  bounds() {
    const end = this.end ?? now();
    return [end - this.length, end];
  }

  get live() {
    return this.end === undefined;
  }

  // Shows `length` seconds until `end`, or until now.
  set(length, end) {
    this.length = Math.min(LONGEST, Math.max(SHORTEST, length));
    // The future is not measured yet: there, the newest is shown as it comes.
    this.end = end === undefined || end >= now() ? undefined : end;
    for (const button of this.lengths) {
      button.setAttribute("aria-pressed", `${this.live && button.seconds === this.length}`);
    }
    this.shown.textContent = this.live ? "" : this.bounds().map((time) => dated(time * 1000)).join(" – ");
  }

  choose(length, end) {
    this.set(length, end);
    this.changed();
    this.load();
  }

  look(from, to) {
    this.choose(to - from, to);
  }

  move(part) {
    this.choose(this.length, this.bounds()[1] + part * this.length);
  }

  zoom(factor) {
    const [from, to] = this.bounds();
    const length = this.length * factor;
    this.choose(length, this.live ? undefined : (from + to + length) / 2);
  }

  // Moves along with a gesture, which is not over yet.
  slide(from, to) {
    this.set(to - from, to);
    this.changed();
    clearTimeout(this.timer);
    this.timer = setTimeout(() => this.load(), REST);
  }

  // Lets fingers and wheels move the time over a chart of it: a finger along it, two to zoom; the
  // wheel sideways or with Shift, with Ctrl to zoom.
  follow(over) {
    const fingers = new Map();
    let first;
    const begin = () => {
      first = { places: [...fingers.values()], bounds: this.bounds() };
    };
    const lift = ({ pointerId }) => fingers.delete(pointerId) && begin();
    over.style.touchAction = "pan-y";
    over.addEventListener("pointerdown", (event) => {
      if (event.pointerType === "touch") {
        fingers.set(event.pointerId, event.clientX);
        begin();
      }
    });
    over.addEventListener("pointermove", ({ pointerId, clientX }) => {
      if (fingers.has(pointerId)) {
        fingers.set(pointerId, clientX);
        this.drag(over, first, [...fingers.values()]);
      }
    });
    over.addEventListener("pointerup", lift);
    over.addEventListener("pointercancel", lift);
    over.addEventListener("wheel", (event) => this.roll(over, event), { passive: false });
  }

  drag(over, { places, bounds: [from, to] }, fingers) {
    const width = over.clientWidth;
    if (fingers.length === 1) {
      const shift = ((places[0] - fingers[0]) / width) * (to - from);
      this.slide(from + shift, to + shift);
    } else if (Math.abs(fingers[0] - fingers[1]) > 10) {
      const left = over.getBoundingClientRect().left;
      const each = ((to - from) / width) * Math.abs((places[0] - places[1]) / (fingers[0] - fingers[1]));
      const held = from + ((places[0] - left) / width) * (to - from);
      const start = held - (fingers[0] - left) * each;
      this.slide(start, start + width * each);
    }
  }

  roll(over, event) {
    const [from, to] = this.bounds();
    const sideways = Math.abs(event.deltaX) > Math.abs(event.deltaY) ? event.deltaX : event.shiftKey && event.deltaY;
    if (event.ctrlKey) {
      const part = (event.clientX - over.getBoundingClientRect().left) / over.clientWidth;
      const length = this.length * 1.002 ** event.deltaY;
      const held = from + part * (to - from);
      this.slide(held - part * length, held + (1 - part) * length);
    } else if (sideways) {
      const shift = (sideways / over.clientWidth) * (to - from);
      this.slide(from + shift, to + shift);
    } else {
      return;
    }
    event.preventDefault();
  }
}
