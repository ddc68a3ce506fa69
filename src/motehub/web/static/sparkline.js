// A line of the last hour, without axes: the number beside it says the rest.

const HOUR = 3600;
const SLOT = 10;
const GAP = 300;
const HIGH = 24;
const WIDE = 100;
const SVG = "http://www.w3.org/2000/svg";

export class Sparkline {
  constructor() {
    this.points = [];
    this.stale = false;
    this.image = document.createElementNS(SVG, "svg");
    this.image.setAttribute("viewBox", `0 -2 ${WIDE} ${HIGH + 4}`);
    this.image.setAttribute("preserveAspectRatio", "none");
    this.image.setAttribute("aria-hidden", "true");
    this.image.classList.add("trace");
    this.line = document.createElementNS(SVG, "path");
    this.image.append(this.line);
  }

  // Takes a reading (s since 1970): the last one of each ten seconds stays.
  add(time, value) {
    const last = this.points.at(-1);
    if (last !== undefined && time < last[0]) {
      return;
    }
    if (last !== undefined && Math.floor(last[0] / SLOT) === Math.floor(time / SLOT)) {
      this.points.pop();
    }
    this.points.push([time, value]);
    this.stale = true;
  }

  // Puts what the history knows before what came meanwhile.
  begin(times, values) {
    const first = this.points[0]?.[0] ?? Infinity;
    const before = times.map((time, i) => [time, values[i]]).filter(([time]) => time < first);
    this.points.unshift(...before);
    this.stale = true;
  }

  draw() {
    this.stale = false;
    const now = Date.now() / 1000;
    this.points = this.points.filter(([time]) => time > now - HOUR);
    let low = Infinity;
    let high = -Infinity;
    for (const [, value] of this.points) {
      low = Math.min(low, value);
      high = Math.max(high, value);
    }
    let before = -Infinity;
    const steps = this.points.map(([time, value]) => {
      const x = Math.min(WIDE, ((time - now + HOUR) / HOUR) * WIDE);
      const y = high > low ? HIGH - ((value - low) / (high - low)) * HIGH : HIGH / 2;
      // A step of no length is drawn as a dot.
      const step = time - before > GAP ? `M${x.toFixed(1)} ${y.toFixed(1)}l0 0` : "L";
      before = time;
      return step === "L" ? `L${x.toFixed(1)} ${y.toFixed(1)}` : step;
    });
    this.line.setAttribute("d", steps.join(""));
  }
}
