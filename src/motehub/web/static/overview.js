// All devices with their newest values, kept up to date by the hub's stream of events.

import { Colour, control, isLamp, isSet } from "./controls.js";
import { decision } from "./decision.js";
import {
  ask, complain, element, follow, mayControl, mayDecide, moment, of, presence, title, written,
} from "./hub.js";
import { Sparkline } from "./sparkline.js";

const AT_ONCE = 3;
const lists = {
  pending: document.querySelector("#pending ul"),
  known: document.querySelector("#devices"),
};
const waiting = document.querySelector("#pending");
const empty = document.querySelector("#empty");
const begin = document.querySelector("#begin");
const words = document.querySelector("#words");
const kinds = document.querySelector("#kinds");
const count = document.querySelector("#count");
const cards = new Map();

class Card {
  constructor(name) {
    this.device = { name, online: null, heard: Date.now() };
    this.values = new Map();
    this.row = element("li", "", "card");
    const heading = element("h3");
    this.link = element("a", name);
    this.link.href = `/device#${encodeURIComponent(name)}`;
    heading.append(this.link);
    this.about = element("p", "", "about");
    this.table = element("dl");
    this.row.append(heading, this.about, this.table);
    this.row.card = this;
    cards.set(name, this);
  }

  get name() {
    return this.device.name;
  }

  show(news) {
    const before = this.device.admission;
    Object.assign(this.device, news);
    if (news.last_seen !== undefined) {
      this.device.heard = Date.parse(news.last_seen);
    }
    if (this.device.admission !== before) {
      this.place();
    }
    this.refresh();
  }

  // Puts the card into its list, by name, with what can be decided there.
  place() {
    this.decision?.remove();
    this.decision = undefined;
    const pending = this.device.admission === "pending";
    const list = pending ? lists.pending : lists.known;
    const after = [...list.children].find((row) => row !== this.row && row.card.name > this.name);
    list.insertBefore(this.row, after ?? null);
    if (mayDecide && this.device.admission !== "accepted") {
      this.decision = decision({ name: this.name, pending }, fill);
      this.row.append(this.decision);
    }
    waiting.hidden = lists.pending.children.length === 0;
  }

  refresh() {
    const [kind, text] = presence(this.device);
    this.row.dataset.kind = kind;
    const held = this.device.waiting > 0 ? `, ${this.device.waiting} readings so far` : "";
    const since = kind === "waiting" ? ` since ${moment(Date.parse(this.device.first_seen))}` : "";
    this.about.textContent = text + (this.device.first_seen ? since : "") + held;
  }

  // Returns what is shown of a series, which is a new row at first.
  series({ metric, kind }) {
    const key = `${metric} ${kind}`;
    let found = this.values.get(key);
    if (found === undefined) {
      found = { time: -Infinity, cell: element("dd", "", "value") };
      const group = element("div");
      const trace = element("dd");
      if (kind !== "text") {
        found.trace = new Sparkline();
        trace.append(found.trace.image);
      }
      group.append(element("dt", title(metric)), trace, found.cell);
      this.table.append(group);
      this.values.set(key, found);
    }
    return found;
  }

  measure(one, time, value) {
    const found = this.series(one);
    if (time < found.time) {
      return;
    }
    found.time = time;
    const accepted = this.device.admission === "accepted";
    if (mayControl && accepted && isSet(one)) {
      if (found.control === undefined) {
        this.give(found, control(this.name, one, `${title(one.metric)} of ${this.name}`));
      }
      found.control.report(value);
      return;
    }
    found.cell.textContent = written(value, one.unit);
    found.cell.title = new Date(time * 1000).toLocaleString();
  }

  // Lets people set what stands in a row.
  give(found, control) {
    found.control = control;
    const note = element("dd", "", "under");
    note.append(control.note);
    found.cell.replaceChildren(control.button);
    found.cell.after(note);
  }

  tell(command) {
    for (const { control } of this.values.values()) {
      control?.tell(command);
    }
  }

  // Asks for what the stream does not say.
  async load() {
    const [device, all] = await Promise.all([ask(of(this.name)), ask(`${of(this.name)}/series`)]);
    this.show(device);
    for (const one of all) {
      if (one.latest_time !== null) {
        this.measure(one, Date.parse(one.latest_time) / 1000, one.latest);
      }
    }
    const colour = { metric: "colour", kind: "text" };
    if (mayControl && isLamp(this.device) && this.series(colour).control === undefined) {
      this.give(this.series(colour), new Colour(this.name, undefined, `colour of ${this.name}`));
    }
    for (const { control } of this.values.values()) {
      await control?.recheck();
    }
    this.traced = false;
    seen.unobserve(this.row);
    seen.observe(this.row);
  }

  async trace() {
    if (this.traced || this.device.admission === "pending") {
      return;
    }
    this.traced = true;
    if (![...this.values.values()].some(({ trace }) => trace)) {
      return;
    }
    const name = encodeURIComponent(this.name);
    const { series } = await ask(`readings?device=${name}&from=-1h&points=60`);
    for (const one of series) {
      const found = this.series(one);
      found.trace.points = [];
      found.trace.begin(one.times, one.mean);
    }
  }

  draw(all) {
    for (const { trace } of this.values.values()) {
      if (trace !== undefined && (all || trace.stale)) {
        trace.draw();
      }
    }
  }
}

// Lines of the last hour are fetched when their card comes into sight.
const seen = new IntersectionObserver((entries) => {
  for (const { target, isIntersecting } of entries) {
    if (isIntersecting) {
      target.card.trace().catch(complain);
    }
  }
});

function remove(name) {
  cards.get(name)?.row.remove();
  cards.delete(name);
  waiting.hidden = lists.pending.children.length === 0;
}

document.querySelector("#connect").hidden = !mayControl;

let filling;
let again = false;

// Shows the devices that there are, and asks about each; once more if need be, never twice at once.
function fill() {
  if (filling !== undefined) {
    again = true;
    return filling;
  }
  filling = fillOnce().finally(() => {
    filling = undefined;
    if (again) {
      again = false;
      fill().catch(complain);
    }
  });
  return filling;
}

async function fillOnce() {
  const devices = await ask("devices");
  const names = new Set(devices.map(({ name }) => name));
  for (const name of [...cards.keys()].filter((name) => !names.has(name))) {
    remove(name);
  }
  for (const device of devices) {
    (cards.get(device.name) ?? new Card(device.name)).show(device);
  }
  select();
  const left = [...cards.values()];
  const work = async () => {
    for (let card = left.shift(); card !== undefined; card = left.shift()) {
      await card.load().catch(complain);
    }
  };
  await Promise.all(Array.from({ length: AT_ONCE }, work));
  select();
}

// Shows the cards that the filter asks for.
function select() {
  const parts = words.value.toLowerCase().split(/\s+/).filter(Boolean);
  let shown = 0;
  let all = 0;
  for (const card of cards.values()) {
    const kind = card.row.dataset.kind;
    if (kind === "waiting") {
      continue;
    }
    const text = [card.name, card.device.dialect, ...card.values.keys()].join(" ").toLowerCase();
    const wanted = kinds.value === "" ? kind !== "blocked" : kind === kinds.value;
    const hidden = !wanted || !parts.every((part) => text.includes(part));
    card.row.hidden = hidden;
    all += 1;
    shown += hidden ? 0 : 1;
  }
  count.textContent = shown === all ? `${all} devices` : `${shown} of ${all} devices`;
  empty.hidden = cards.size > 0;
  begin.hidden = cards.size > 0 || !mayControl;
}

words.addEventListener("input", select);
kinds.addEventListener("change", select);

// The card of a device, or undefined when it is new or has another name now.
function known(name) {
  const card = cards.get(name);
  if (card === undefined) {
    fill().catch(complain);
  }
  return card;
}

follow({
  begin: fill,
  device: ({ device, ...news }) => {
    const card = known(device);
    card?.show(news);
    card?.load().catch(complain);
    select();
  },
  removed: ({ device }) => {
    remove(device);
    select();
  },
  readings: ({ device, series }) => {
    const card = known(device);
    if (card === undefined) {
      return;
    }
    for (const one of series) {
      card.measure(one, one.times.at(-1), one.values.at(-1));
      const { trace } = card.series(one);
      one.times.forEach((time, i) => trace?.add(time, one.values[i]));
    }
    Object.assign(card.device, { heard: Date.now(), received: undefined });
    card.refresh();
  },
  command: (command) => cards.get(command.device)?.tell(command),
});

setInterval(() => {
  for (const card of cards.values()) {
    card.draw(false);
  }
}, 1000);
setInterval(() => {
  for (const card of cards.values()) {
    card.refresh();
    card.draw(true);
    // What is held of it is told to nobody but those who ask.
    if (card.device.admission === "pending" && !document.hidden) {
      card.load().catch(complain);
    }
  }
  select();
}, 10_000);
