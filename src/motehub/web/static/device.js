// One device, whose name is behind the # of the address: its series, commands and events.

import { showCalibration } from "./calibration.js";
import { Bands } from "./bands.js";
import { Chart, library } from "./chart.js";
import { Colour, controlOf, give, isLater, standing } from "./commands.js";
import {
  ask, complain, element, follow, mayControl, moment, of, oneByOne, presence, reading, successor, title,
} from "./hub.js";
import { showKeeping } from "./keeping.js";
import { showProfile } from "./profile.js";
import { showAlerts, showQuality } from "./quality.js";
import { TimeSpan } from "./timespan.js";
import { dated, known, number, t, telling, told } from "./words.js";

const POINTS = 600;
const MOST_EVENTS = 50;
const MOST_COMMANDS = 20;
const FRESH = 60_000;
const STORED_EVERY = 3600;

const find = (selector) => document.querySelector(selector);
const name = decodeURIComponent(location.hash.slice(1));
const charts = new Map();
const cells = new Map();
const given = new Map();
let series = [];
let lamp;
let over = false;
const device = { name, admission: "accepted", online: null, heard: Date.now() };

const span = new TimeSpan(find(".ranges"), draw, () => {
  oldest = asked + 1;
  load().catch(complain);
});
let fetched = 0;

// --- values and charts

function cell({ metric, kind }) {
  const key = `${metric} ${kind}`;
  let one = cells.get(key);
  if (one === undefined) {
    one = { value: element("dd"), time: -Infinity };
    const group = element("div");
    group.append(element("dt", title(metric)), one.value);
    find("#now").append(group);
    cells.set(key, one);
  }
  return one;
}

function measure(series, time, value) {
  const one = cell(series);
  if (time < one.time) {
    return;
  }
  one.time = time;
  if (mayControl && one.control === undefined) {
    one.control = controlOf(name, series, title(series.metric));
    if (one.control !== undefined) {
      one.value.replaceChildren(one.control.button, one.control.note);
    }
  }
  if (one.control !== undefined) {
    one.control.report(value);
    return;
  }
  one.value.textContent = reading(series, value);
  one.value.title = dated(time * 1000);
}

// The chart of a series: a line, or bands for what has states.
function chart(series, Shape) {
  const key = `${series.metric} ${series.kind}`;
  let one = charts.get(key);
  if (one !== undefined && !(one instanceof Shape)) {
    // It was only 0 and 1 until now.
    one.figure.remove();
    one = undefined;
  }
  if (one === undefined) {
    const figure = element("figure");
    const caption = element("figcaption", title(series.metric));
    const links = element("span", "", "links");
    const copy = element("a", "CSV");
    copy.setAttribute("download", `${name} ${series.metric}.csv`);
    const compare = element("a", t("device.compare"));
    const show = `${name}/${series.metric}`;
    compare.href = `/history#${new URLSearchParams({ show })}`;
    links.append(...(Shape === Chart ? [compare, copy] : [copy]));
    caption.append(links);
    const box = element("div");
    figure.append(caption, box);
    find("#charts").append(figure);
    one = new Shape(box, series, span);
    one.copy = copy;
    one.figure = figure;
    charts.set(key, one);
    offer(one);
  }
  return one;
}

// For how long (s) nothing may be stored of a metric while it comes and does not change.
function stillFor(metric) {
  const own = series.find((one) => one.metric === metric && one.kind !== "text");
  const { deadband = 0, spacing = 0 } = own?.calibration ?? {};
  return deadband > 0 || spacing > 0 ? 2 * Math.max(STORED_EVERY, spacing) : 0;
}

let asked = 0;
// Answers to questions before this one are not used: another time is shown, or a later answer.
let oldest = 0;
let whole;
// What has come since the question: the answer may not know it.
let news = [];

// The file is of the time that was chosen last, be its answer still on the way.
function offer({ copy, metric }) {
  const own = new URLSearchParams({ series: `${name}/${metric}` });
  copy.href = `/api/v1/export?${whole}&${own}`;
}

// Asks for what is to be shown, the first time as the page has done already (early/first.js).
function question() {
  const [from, to] = span.bounds();
  fetched = Date.now();
  news = [];
  whole = new URLSearchParams({ from: new Date(from * 1000).toISOString() });
  if (!span.live) {
    whole.set("to", new Date(to * 1000).toISOString());
  }
  charts.forEach(offer);
  const time = span.live ? `from=-${span.length}s` : whole;
  const answer = ask(`readings?device=${encodeURIComponent(name)}&${time}&points=${POINTS}&states=true`);
  // Who waits for it is told.
  answer.catch(() => {});
  return [(asked += 1), answer];
}

// Shows the answer, unless it comes too late.
async function load([mine, answer] = question()) {
  const [{ series }] = await Promise.all([answer, library()]);
  if (mine < oldest) {
    return;
  }
  oldest = mine;
  for (const one of series) {
    const shown = chart(one, one.form === "states" ? Bands : Chart);
    shown.still = stillFor(one.metric);
    shown.set(one);
  }
  news.forEach(extend);
  draw();
}

// Goes on with the chart of a series.
function extend(one) {
  const shown = charts.get(`${one.metric} ${one.kind}`) ?? (one.kind === "text" ? undefined : chart(one, Chart));
  if (shown !== undefined && span.live) {
    one.times.forEach((time, i) => shown.add(time, one.values[i]));
  }
}

function draw() {
  for (const one of charts.values()) {
    one.draw(...span.bounds());
  }
}

// --- the device itself

function describe(news) {
  Object.assign(device, news);
  if (news.last_seen !== undefined) {
    device.heard = Date.parse(news.last_seen);
  }
  const [kind, text] = presence(device);
  find("#about").textContent = text;
  find(".head").dataset.kind = kind;
  find("#commanding").hidden = !mayControl || device.admission !== "accepted";
  find("#labels").replaceChildren(...(device.labels ?? []).map((label) => element("li", label)));
}

async function count(answer = ask(of(name))) {
  const shown = await answer;
  describe(shown);
  const rows = ["received", "stored", "duplicate", "rejected", "discarded", "waiting"].map((what) => {
    const group = element("div");
    group.append(element("dt", t(`device.count_${what}`)), element("dd", number(shown[what])));
    return group;
  });
  find("#counts").replaceChildren(...rows);
  await showProfile(shown, series);
}

function happened(event) {
  const row = element("li");
  row.append(when(event.time), element("b", known(`event.${event.kind}`, event.kind)), ` ${told(event.text)}`);
  return row;
}

function when(time) {
  const shown = element("time", moment(Date.parse(time)), "quiet");
  shown.dateTime = time;
  return shown;
}

const events = oneByOne(async () => {
  const rows = await ask(`events?device=${encodeURIComponent(name)}&limit=${MOST_EVENTS}`);
  find("#happened").replaceChildren(...list(rows, happened, t("device.nothing")));
});

async function refusals() {
  const rows = await ask(`rejected?device=${encodeURIComponent(name)}&limit=${MOST_EVENTS}`);
  const why = rows.length > 0 ? await telling("reasons") : undefined;
  const shown = (one) => {
    const row = element("li");
    row.append(when(one.time), element("b", why(one.reason)), element("code", one.payload));
    return row;
  };
  find("#refusals").replaceChildren(...list(rows, shown, t("device.none")));
}

function list(rows, shown, none) {
  return rows.length > 0 ? rows.map(shown) : [element("li", none, "quiet")];
}

// Shows the device, its values and charts; nothing if it is not there any more.
async function show() {
  const early = question();
  let shown;
  try {
    [shown, series] = await Promise.all([ask(of(name)), ask(`${of(name)}/series`)]);
  } catch (error) {
    if (error.status === 404 && (await lost())) {
      return;
    }
    throw error;
  }
  describe(shown);
  for (const one of series) {
    if (one.latest_time !== null) {
      measure(one, Date.parse(one.latest_time) / 1000, one.latest);
    }
  }
  load(early).catch(complain);
  return shown;
}

// The stream's beginning asks for what came since, and for all that is below.
async function begin() {
  const shown = await show();
  if (shown) {
    showCalibration(name, series);
    await Promise.all([count(shown), events(), refusals(), commands(), showQuality(name), showKeeping(name, series)]);
  }
}

// --- commands

async function commands() {
  if (!mayControl) {
    return;
  }
  if (device.lamp && lamp === undefined) {
    lamp = new Colour(name, undefined, t("command.colour", { name }));
    const group = element("div");
    const value = element("dd");
    value.append(lamp.button, lamp.note);
    group.append(element("dt", title("colour")), value);
    find("#now").append(group);
  }
  for (const command of (await ask(`${of(name)}/commands`)).reverse()) {
    tell(command);
  }
}

function tell(command) {
  lamp?.tell(command);
  for (const { control } of cells.values()) {
    control?.tell(command);
  }
  let one = given.get(command.id);
  if (one === undefined) {
    one = { row: element("li") };
    given.set(command.id, one);
    one.row.number = command.id;
    const list = find("#given");
    // Those of before may be answered after one that has just been given.
    list.insertBefore(one.row, [...list.children].find(({ number }) => number < command.id) ?? null);
    if (given.size > MOST_COMMANDS) {
      given.delete(list.lastChild.number);
      list.lastChild.remove();
    }
  } else if (!isLater(command, one.command)) {
    return;
  }
  one.command = command;
  const what = command.payload ?? `${command.name} = ${command.value}`;
  const [kind, text] = standing(command);
  one.row.replaceChildren(when(command.changed), element("b", what), element("span", text, `note ${kind}`));
}

// What somebody has typed, as what they mean: a number, yes or no, or a text.
function meant(text) {
  if (text === "true" || text === "false") {
    return text === "true";
  }
  return text.trim() !== "" && Number.isFinite(Number(text)) ? Number(text) : text;
}

for (const form of document.querySelectorAll("#commanding form")) {
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    find("#refused").textContent = "";
    const body = Object.fromEntries(new FormData(form));
    if (body.value === "") {
      delete body.value;
    } else if (body.value !== undefined) {
      body.value = meant(body.value);
    }
    try {
      tell(await give(name, body));
    } catch (error) {
      find("#refused").textContent = error.message;
    }
  });
}

// --- all of it

addEventListener("hashchange", () => location.reload());
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => {
  for (const one of charts.values()) {
    one.build();
  }
});

document.title = `${name} · motehub`;
find("#name").textContent = name;

const heard = {
  begin,
  device: ({ device: now, ...news }) => {
    if (now !== name) {
      // It was renamed, here or elsewhere.
      location.replace(`#${encodeURIComponent(now)}`);
      return;
    }
    describe(news);
    count().catch(complain);
  },
  removed: () => gone(t("device.removed", { name })),
  // The stream of a device that has gone is refused.
  refused: lost,
  readings: ({ series: all }) => {
    for (const one of all) {
      measure(one, one.times.at(-1), one.values.at(-1));
      extend(one);
      if (Date.now() - fetched < FRESH) {
        news.push(one);
      }
    }
    describe({ heard: Date.now() });
  },
  command: tell,
  event: ({ kind }) => {
    events().catch(complain);
    if (kind === "alert") {
      showAlerts().catch(complain);
    }
  },
};

// Says why there is nothing to see, and leaves the way back.
function gone(text) {
  over = true;
  find("main").replaceChildren(find("main nav"), element("p", text, "bad"));
}

// Tells whether the device is not there any more, and goes on with its present name if it has one.
async function lost() {
  const devices = await ask("devices");
  if (devices.some((one) => one.name === name)) {
    return false;
  }
  const now = device.first_seen && successor(device, devices);
  if (now) {
    location.replace(`#${encodeURIComponent(now)}`);
  } else {
    gone(t(device.first_seen ? "device.removed" : "device.unknown", { name }));
  }
  return true;
}

async function start() {
  if (name === "") {
    gone(t("device.unnamed"));
    return;
  }
  // Where the hub can't be asked now, the stream begins when it can.
  const there = await show().catch((error) => !complain(error));
  if (there) {
    // What the stream tells may want a chart.
    await library().catch(complain);
    follow(heard, `?device=${encodeURIComponent(name)}`);
  }
}

start().catch(complain);

setInterval(() => {
  if (over || document.hidden) {
    return;
  }
  draw();
  // What has come since is reduced with the rest.
  if (span.live && Date.now() - fetched > FRESH) {
    load().catch(complain);
  }
}, 1000);
setInterval(() => {
  if (!over && !document.hidden) {
    Promise.all([count(), refusals()]).catch(complain);
  }
}, 10_000);
