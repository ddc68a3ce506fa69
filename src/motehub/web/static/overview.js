// All devices with their newest values, kept up to date by the hub's stream of events.

import { arrange, handle, ordering, rearrange, tidy } from "./arranging.js";
import { Colour, controlOf } from "./commands.js";
import {
  ask, complain, element, follow, mayControl, mayDecide, moment, oneByOne, presence, reading, title,
} from "./hub.js";
import { Sparkline } from "./sparkline.js";
import { address, isWall } from "./wall.js";
import { dated, t, telling } from "./words.js";

// Of so many devices at once news is asked for one by one, of more about all.
const MOST_ASKED = 50;
const MOST_ALERTS = 1000;
const pendings = document.querySelector("#pending ul");
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
    heading.append(this.link, handle(this));
    this.labels = element("ul", "", "labels");
    this.labels.setAttribute("aria-label", t("device.labels"));
    this.about = element("p", "", "about");
    this.firing = element("ul", "", "firing");
    this.table = element("dl");
    this.row.append(heading, this.about, this.firing, this.labels, this.table);
    this.row.card = this;
    cards.set(name, this);
  }

  get name() {
    return this.device.name;
  }

  show(news) {
    const before = this.standing;
    Object.assign(this.device, news);
    if (news.last_seen !== undefined) {
      this.device.heard = Date.parse(news.last_seen);
    }
    if (this.standing !== before) {
      this.place();
    }
    this.refresh();
  }

  // Decides where the card belongs, and what can be done there.
  get standing() {
    const { admission, labels, lamp } = this.device;
    return JSON.stringify([admission, labels, lamp]);
  }

  // Puts the card into its list, with what can be decided there.
  place() {
    const { admission } = this.device;
    const pending = admission === "pending";
    if (pending) {
      const after = [...pendings.children].find((row) => row !== this.row && row.card.name > this.name);
      // Who is writing a name goes on with it.
      if (this.row.parentElement !== pendings || this.row.nextElementSibling !== (after ?? null)) {
        pendings.insertBefore(this.row, after ?? null);
      }
    } else {
      arrange(this);
    }
    this.labels.replaceChildren(...(this.device.labels ?? []).map((label) => element("li", label)));
    if (this.decided !== admission) {
      this.decided = admission;
      this.decision?.remove();
      this.decision = undefined;
      if (mayDecide && admission !== "accepted") {
        this.decide(pending).catch(complain);
      }
    }
    waiting.hidden = pendings.children.length === 0;
    if (this.device.lamp && mayControl && this.device.admission === "accepted") {
      this.light();
    }
  }

  // Adds what an administrator decides with, which is seldom needed.
  async decide(pending) {
    const { admission } = this.device;
    const { decision } = await import("./decision.js");
    if (this.decision === undefined && this.device.admission === admission) {
      this.decision = decision({ name: this.name, pending }, fill);
      this.row.append(this.decision);
    }
  }

  // Adds what a lamp is told.
  light() {
    if (this.lamp !== undefined) {
      return;
    }
    this.lamp = new Colour(this.name, undefined, t("command.colour", { name: this.name }));
    const group = element("div", "", "lamp");
    const value = element("dd", "", "value");
    const note = element("dd", "", "under");
    value.append(this.lamp.button);
    note.append(this.lamp.note);
    group.append(element("dt", title("colour")), element("dd"), value, note);
    this.table.append(group);
  }

  refresh() {
    const [kind, text] = presence(this.device);
    this.row.dataset.kind = kind;
    this.about.textContent = kind === "waiting" ? this.patience(text) : text;
  }

  // Says what is wrong with it.
  warn(texts) {
    const rows = texts.map((text) => {
      const row = element("li");
      const link = element("a", text);
      link.href = "/alerts";
      row.append(link);
      return row;
    });
    this.firing.replaceChildren(...rows);
  }

  // Says since when it waits, and how much of it is held.
  patience(text) {
    const { first_seen: first, waiting: count } = this.device;
    const since = first ? t("overview.since", { text, time: moment(Date.parse(first)) }) : text;
    return count > 0 ? t("overview.waiting", { text: since, count }) : since;
  }

  // Returns what is shown of a series, which is a new row at first.
  series({ metric, kind }) {
    const key = `${metric} ${kind}`;
    let found = this.values.get(key);
    if (found === undefined) {
      found = { metric, time: -Infinity, cell: element("dd", "", "value") };
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
    if (mayControl && this.device.admission === "accepted" && found.control === undefined) {
      this.give(found, one);
    }
    if (found.control !== undefined) {
      found.control.report(value);
      return;
    }
    found.cell.textContent = reading(one, value);
    found.cell.title = dated(time * 1000);
  }

  // Lets people set a series, if it is one that they set.
  give(found, one) {
    const label = t("overview.switch", { metric: title(one.metric), name: this.name });
    found.control = controlOf(this.name, one, label);
    if (found.control !== undefined) {
      const note = element("dd", "", "under");
      note.append(found.control.note);
      found.cell.replaceChildren(found.control.button);
      found.cell.after(note);
    }
  }

  tell(command) {
    this.lamp?.tell(command);
    for (const { control } of this.values.values()) {
      control?.tell(command);
    }
  }

  // Shows what the hub knows of the device.
  fill({ series, ...device }) {
    this.show(device);
    for (const one of series) {
      if (one.latest_time !== null) {
        this.measure(one, Date.parse(one.latest_time) / 1000, one.latest);
      }
    }
  }

  // Asks what became of commands while nobody listened, and for the lines once they are in sight.
  async catchUp() {
    this.traced = false;
    seen.unobserve(this.row);
    seen.observe(this.row);
    for (const { control } of this.values.values()) {
      await control?.recheck();
    }
    await this.lamp?.load();
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
      // What has come meanwhile stays.
      found.trace.points = found.trace.points.filter(([time]) => time > one.times.at(-1));
      found.trace.begin(one.times, one.mean);
      found.trace.draw();
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
  waiting.hidden = pendings.children.length === 0;
}

// Shows the devices that there are.
const fill = oneByOne(async () => {
  const take = await ordering();
  const devices = await ask("overview");
  const names = new Set(devices.map(({ name }) => name));
  take([...names]);
  for (const name of [...cards.keys()].filter((name) => !names.has(name))) {
    remove(name);
  }
  for (const device of devices) {
    const card = cards.get(device.name) ?? new Card(device.name);
    card.fill(device);
    card.place();
  }
  select();
  for (const card of cards.values()) {
    card.catchUp().catch(complain);
  }
  warn().catch(complain);
});

// Says on the cards what is wrong with their devices, as rules have found.
const warn = oneByOne(async () => {
  const open = await ask(`alerts?limit=${MOST_ALERTS}`);
  const told = open.length > 0 ? await telling("rules") : undefined;
  const of = Map.groupBy(open, ({ device }) => device);
  for (const card of cards.values()) {
    card.warn((of.get(card.name) ?? []).map(({ own_words, text }) => (own_words ? text : told(text))));
  }
});

const asked = new Set();

// Asks for what the stream does not say of a device: about all at once of which that is so now.
async function look(name) {
  const first = asked.size === 0;
  asked.add(name);
  if (!first) {
    return;
  }
  await new Promise((done) => setTimeout(done));
  const names = [...asked];
  asked.clear();
  if (names.length > MOST_ASKED) {
    await fill();
    return;
  }
  for (const device of await ask(`overview?${new URLSearchParams(names.map((one) => ["device", one]))}`)) {
    const card = cards.get(device.name);
    card?.fill(device);
    card?.catchUp().catch(complain);
  }
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
    const text = [
      card.name, card.device.dialect, ...(card.device.labels ?? []),
      ...[...card.values.values()].flatMap(({ metric }) => [metric, title(metric)]),
    ].join(" ").toLowerCase();
    const wanted = kinds.value === "" ? kind !== "blocked" : kind === kinds.value;
    const hidden = !wanted || !parts.every((part) => text.includes(part));
    card.row.hidden = hidden;
    all += 1;
    shown += hidden ? 0 : 1;
  }
  count.textContent = t(shown === all ? "overview.count" : "overview.some", { shown, count: all });
  empty.hidden = cards.size > 0;
  begin.hidden = cards.size > 0 || !mayControl;
  tidy();
}

function restore() {
  const parts = new URLSearchParams(location.hash.slice(1));
  words.value = parts.get("filter") ?? "";
  kinds.value = parts.get("show") ?? "";
  select();
}

function keep(wall) {
  address(wall, words.value, kinds.value);
}

restore();
addEventListener("hashchange", restore);
for (const [field, event] of [[words, "input"], [kinds, "change"]]) {
  field.addEventListener(event, () => {
    select();
    keep(isWall());
  });
}
document.querySelector("#wall").addEventListener("click", () => keep(true));
document.querySelector("#leave-wall").addEventListener("click", () => keep(false));
addEventListener("keydown", ({ key }) => {
  if (key === "Escape" && isWall()) {
    keep(false);
  }
});

// The card of a device, or undefined when it is new or has another name now.
function known(name) {
  const card = cards.get(name);
  if (card === undefined) {
    fill().catch(complain);
  }
  return card;
}

// What the page has asked for while it was loading; the stream's beginning asks for what came since.
fill().catch(complain);
follow({
  begin: fill,
  device: ({ device, former, ...news }) => {
    if (former !== null && former !== device) {
      remove(former);
    }
    const card = known(device);
    card?.show(news);
    if (card !== undefined) {
      look(device).catch(complain);
    }
    select();
  },
  removed: ({ device }) => {
    remove(device);
    select();
    fill.outdate();
  },
  arrangement: () => rearrange().catch(complain),
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
    card.device.heard = Date.now();
    card.refresh();
  },
  command: (command) => cards.get(command.device)?.tell(command),
  event: ({ kind }) => kind === "alert" && warn().catch(complain),
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
      look(card.name).catch(complain);
    }
  }
  select();
}, 10_000);
