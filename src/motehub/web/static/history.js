// Every device that was ever seen with its last values, and a chart that compares any of them.
// What is compared stands behind the # of the address, so that it can be shared.

import { Comparison, MOST_SERIES } from "./comparison.js";
import { ask, complain, element, follow, moment, of, oneByOne, presence, reading, successor, title } from "./hub.js";
import { TimeSpan } from "./timespan.js";
import { dated, t } from "./words.js";

const LAST = 10;
const POINTS = 600;
const FRESH = 60_000;
const AT_ONCE = 3;
const RECENT = 120_000;

const find = (selector) => document.querySelector(selector);
const rows = new Map();
const words = find("#words");
let chosen = [];
let fetched = 0;
let asked = 0;
// What has come since it was asked for: the answer may not know it.
let news = [];
// Answers to questions before this one are not used: they are of another choice, or older.
let oldest = 0;
let following = false;

// --- what is chosen, and the address

const span = new TimeSpan(find(".ranges"), moved, change);
const comparison = new Comparison(find("#chart"), find("#legend"), span, (key) => toggle(key, false));

function moved() {
  comparison.draw();
  keep();
}

// Writes what is shown into the address.
function keep() {
  const parts = new URLSearchParams(chosen.map((key) => ["show", key]));
  if (chosen.length > 0) {
    parts.set("span", `${Math.round(span.length)}`);
    if (!span.live) {
      parts.set("until", new Date(span.end * 1000).toISOString());
    }
  }
  if (words.value !== "") {
    parts.set("filter", words.value);
  }
  const text = `${parts}`;
  history.replaceState(null, "", text === "" ? location.pathname : `#${text}`);
}

function restore() {
  const parts = new URLSearchParams(location.hash.slice(1));
  const until = Date.parse(parts.get("until") ?? "") / 1000;
  span.set(Number(parts.get("span")) || 86_400, Number.isFinite(until) ? until : undefined);
  words.value = parts.get("filter") ?? "";
  show(parts.getAll("show").filter((key) => key.indexOf("/") > 0));
}

function show(keys) {
  chosen = [...new Set(keys)].slice(0, MOST_SERIES);
  find("#comparing").hidden = chosen.length === 0;
  find("#hint").hidden = chosen.length > 0;
  comparison.choose(chosen);
  find("#jump").textContent = t("history.jump", { count: chosen.length });
  for (const row of rows.values()) {
    row.check();
  }
  change();
}

function toggle(key, on) {
  show(on ? [...chosen, key] : chosen.filter((one) => one !== key));
  keep();
}

function change() {
  oldest = asked + 1;
  load().catch(complain);
}

// Fetches what is to be shown.
async function load() {
  const mine = (asked += 1);
  const [from, to] = span.bounds();
  const time = { from: new Date(from * 1000).toISOString() };
  const end = new Date(to * 1000).toISOString();
  fetched = Date.now();
  news = [];
  exports(new URLSearchParams({ ...time, to: end }));
  const part = new URLSearchParams(span.live ? time : { ...time, to: end });
  const devices = Map.groupBy(chosen, (key) => key.slice(0, key.indexOf("/")));
  await Promise.all(
    [...devices].map(async ([device, keys]) => {
      const query = new URLSearchParams([["device", device], ...part, ["points", `${POINTS}`]]);
      for (const key of keys) {
        query.append("metric", key.slice(device.length + 1));
      }
      const { series } = await ask(`readings?${query}`);
      if (mine >= oldest) {
        oldest = mine;
        for (const one of series) {
          comparison.set(`${device}/${one.metric}`, one);
        }
      }
    }),
  );
  if (mine >= oldest) {
    news.forEach(extend);
    comparison.draw();
  }
}

function extend([device, { metric, times, values }]) {
  times.forEach((time, i) => comparison.add(`${device}/${metric}`, time, values[i]));
}

function exports(time) {
  const query = new URLSearchParams([...chosen.map((key) => ["series", key]), ...time]);
  find("#whole").href = `/api/v1/export?${query}`;
  find("#drawn").href = `/api/v1/export?${query}&points=${POINTS}`;
}

find("#picture").addEventListener("click", async () => {
  const link = element("a");
  link.href = URL.createObjectURL(await comparison.picture());
  link.download = "motehub.png";
  link.click();
  URL.revokeObjectURL(link.href);
});
// Who ticks something far down gets to the chart with one touch.
const jump = find("#jump");
new IntersectionObserver(([{ isIntersecting }]) => {
  jump.hidden = isIntersecting || chosen.length === 0;
}).observe(find("#chart"));
jump.addEventListener("click", () => find("#compared").scrollIntoView());

find("#nothing").addEventListener("click", () => {
  show([]);
  keep();
});

// --- devices and their last values

class Row {
  constructor(name) {
    this.name = name;
    this.device = { name, online: null, heard: 0 };
    this.series = new Map();
    this.newest = [];
    this.item = element("li", "", "card");
    this.item.row = this;
    const heading = element("h3");
    const link = element("a", name);
    link.href = `/device#${encodeURIComponent(name)}`;
    heading.append(link);
    this.about = element("p", "", "about");
    this.times = element("p", "", "quiet times");
    this.list = element("div", "", "series");
    this.item.append(heading, this.about, this.times, this.list);
    rows.set(name, this);
    seen.observe(this.item);
  }

  show(news) {
    Object.assign(this.device, news);
    if (news.last_seen !== undefined) {
      this.device.heard = Math.max(this.device.heard, Date.parse(news.last_seen));
    }
    this.refresh();
  }

  refresh() {
    const [kind, text] = presence(this.device);
    this.item.dataset.kind = kind;
    this.about.textContent = text;
    const { first_seen: first, heard } = this.device;
    if (first !== undefined) {
      this.times.textContent = t("history.seen", { first: dated(Date.parse(first)), last: dated(heard) });
    }
  }

  // What is shown of a series, which is new at first.
  of({ metric, kind, unit }) {
    const id = `${metric} ${kind}`;
    let one = this.series.get(id);
    if (one === undefined) {
      one = { key: `${this.name}/${metric}`, metric, values: element("ol") };
      const group = element("div");
      const label = element("label");
      if (kind !== "text") {
        one.box = element("input");
        one.box.type = "checkbox";
        one.box.checked = chosen.includes(one.key);
        one.box.addEventListener("change", () => toggle(one.key, one.box.checked));
        label.append(one.box);
      }
      label.append(element("span", title(metric)));
      // Who has no pointer scrolls with the arrow keys.
      one.values.tabIndex = 0;
      one.values.setAttribute("aria-label", t("history.last", { metric: title(metric) }));
      group.append(label, one.values);
      this.list.append(group);
      this.series.set(id, one);
      this.check();
    }
    one.unit = unit;
    return one;
  }

  check() {
    for (const { box, key } of this.series.values()) {
      if (box !== undefined) {
        box.checked = chosen.includes(key);
        box.disabled = !box.checked && chosen.length >= MOST_SERIES;
      }
    }
  }

  add(series, time, value) {
    const { values, unit } = this.of(series);
    const item = element("li");
    const when = element("time", moment(time * 1000), "quiet");
    when.dateTime = new Date(time * 1000).toISOString();
    item.append(element("span", reading({ ...series, unit }, value)), when);
    values.prepend(item);
    values.children[LAST]?.remove();
  }

  // Shows what is known of it without a question: the newest value of each series.
  begin() {
    for (const one of this.device.admission === "pending" ? [] : this.newest) {
      const { values } = this.of(one);
      if (values.children.length < 2 && one.latest_time !== null) {
        values.replaceChildren();
        this.add(one, Date.parse(one.latest_time) / 1000, one.latest);
      }
    }
  }

  async load() {
    if (this.loaded || this.device.admission === "pending") {
      return;
    }
    this.loaded = true;
    for (const one of await ask(`${of(this.name)}/newest?count=${LAST}`)) {
      const { values } = this.of(one);
      // What has come meanwhile stays.
      const later = [...values.children].filter(({ lastChild }) => Date.parse(lastChild.dateTime) > one.times.at(-1) * 1000);
      values.replaceChildren();
      one.times.forEach((time, i) => this.add(one, time, one.values[i]));
      values.prepend(...later);
      [...values.children].slice(LAST).forEach((item) => item.remove());
    }
  }
}

// The others of its last values are fetched when a device comes into sight, and the stream tells more.
const seen = new IntersectionObserver((entries) => {
  const there = entries.filter((one) => one.isIntersecting).map(({ target }) => target.row);
  there.forEach((row) => row.begin());
  waiting.push(...(following ? there : []));
  for (let i = 0; i < AT_ONCE; i += 1) {
    work();
  }
});
const waiting = [];
let working = 0;

async function work() {
  if (working >= AT_ONCE) {
    return;
  }
  working += 1;
  for (let row = waiting.shift(); row !== undefined; row = waiting.shift()) {
    await row.load().catch(complain);
  }
  working -= 1;
}

// The most recently seen first; those that speak all the time stand still, by their names.
function sort() {
  const recent = Date.now() - RECENT;
  const order = [...rows.values()].sort(
    (a, b) =>
      Math.max(recent, b.device.heard) - Math.max(recent, a.device.heard) || a.name.localeCompare(b.name),
  );
  const list = find("#devices");
  order.forEach(({ item }, i) => {
    if (list.children[i] !== item) {
      list.insertBefore(item, list.children[i] ?? null);
    }
  });
  select();
}

function select() {
  const parts = words.value.toLowerCase().split(/\s+/).filter(Boolean);
  let shown = 0;
  for (const { item, name, device, series } of rows.values()) {
    const metrics = new Set([...(device.metrics ?? []), ...[...series.values()].map(({ metric }) => metric)]);
    const said = [...metrics].flatMap((metric) => [metric, title(metric)]);
    const text = [name, device.dialect, ...(device.labels ?? []), ...said].join(" ").toLowerCase();
    item.hidden = !parts.every((part) => text.includes(part));
    shown += item.hidden ? 0 : 1;
  }
  find("#count").textContent = t(shown === rows.size ? "history.count" : "history.some", {
    shown,
    count: rows.size,
  });
  find("#empty").hidden = rows.size > 0;
}

words.addEventListener("input", () => {
  select();
  keep();
});

const fill = oneByOne(async () => {
  const devices = await ask("overview");
  const names = new Set(devices.map(({ name }) => name));
  for (const [name, row] of [...rows].filter(([one]) => !names.has(one))) {
    const now = successor(row.device, devices);
    if (now !== undefined) {
      // It was renamed while nobody listened.
      rename(name, now);
    }
    remove(name);
  }
  const there = chosen.filter((key) => names.has(key.slice(0, key.indexOf("/"))));
  if (there.length < chosen.length) {
    show(there);
    keep();
  }
  for (const { series, ...device } of devices) {
    // Words are looked for in what is not in sight yet, too.
    const metrics = series.map(({ metric }) => metric);
    const row = rows.get(device.name) ?? new Row(device.name);
    row.newest = series;
    row.show({ ...device, metrics });
  }
  for (const row of rows.values()) {
    row.loaded = false;
    seen.unobserve(row.item);
    seen.observe(row.item);
  }
  sort();
  if (following) {
    await load();
  }
});

// Goes on with what is chosen of a device under its present name.
function rename(former, now) {
  if (chosen.some((key) => key.startsWith(`${former}/`))) {
    show(chosen.map((key) => (key.startsWith(`${former}/`) ? now + key.slice(former.length) : key)));
    keep();
  }
}

function remove(name) {
  rows.get(name)?.item.remove();
  rows.delete(name);
}

restore();
addEventListener("hashchange", restore);
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => comparison.build());

// What the page has asked for while it was loading; the stream's beginning asks for what came since.
fill().catch(complain);
follow({
  begin: () => {
    following = true;
    return fill();
  },
  device: ({ device, former, ...news }) => {
    if (former !== null && former !== device) {
      rename(former, device);
      remove(former);
    }
    const row = rows.get(device);
    if (row === undefined) {
      fill().catch(complain);
    } else {
      row.show(news);
    }
  },
  removed: ({ device }) => {
    remove(device);
    show(chosen.filter((key) => !key.startsWith(`${device}/`)));
    keep();
    select();
  },
  readings: ({ device, series }) => {
    const row = rows.get(device);
    for (const one of series) {
      if (row?.loaded) {
        one.times.forEach((time, i) => row.add(one, time, one.values[i]));
      }
      if (span.live) {
        extend([device, one]);
        if (Date.now() - fetched < FRESH) {
          news.push([device, one]);
        }
      }
    }
    row?.show({ heard: Date.now() });
  },
});

setInterval(() => {
  if (document.hidden || chosen.length === 0) {
    return;
  }
  comparison.draw();
  // What has come since is reduced with the rest.
  if (span.live && Date.now() - fetched > FRESH) {
    load().catch(complain);
  }
}, 1000);
setInterval(() => {
  for (const row of rows.values()) {
    row.refresh();
  }
  if (!find("#devices").matches(":hover, :focus-within")) {
    sort();
  }
}, 30_000);
