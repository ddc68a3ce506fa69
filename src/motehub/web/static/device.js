// One device, whose name is behind the # of the address: its series, commands and events.

import { Chart } from "./chart.js";
import { give, isLater, standing } from "./commands.js";
import { Colour, control, isLamp, isSet } from "./controls.js";
import {
  ask, change, complain, element, follow, mayControl, mayDecide, moment, of, presence, title, written,
} from "./hub.js";

const POINTS = 600;
const MOST_EVENTS = 50;
const MOST_REJECTED = 1000;
const MOST_COMMANDS = 20;
const FRESH = 60;
const SHORTEST = 10;
const LONGEST = 10 * 366 * 86_400;

const find = (selector) => document.querySelector(selector);
const name = decodeURIComponent(location.hash.slice(1));
const charts = new Map();
const cells = new Map();
const given = new Map();
const device = { name, admission: "accepted", online: null, heard: Date.now() };

// What is shown: `span` seconds until now, or until `end` when that is set (s since 1970).
const view = { span: 86_400, end: undefined, fetched: 0 };

const now = () => Date.now() / 1000;
const bounds = () => {
  const end = view.end ?? now();
  return [end - view.span, end];
};

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
  if (mayControl && isSet(series)) {
    if (one.control === undefined) {
      settable(one, control(name, series, title(series.metric)));
    }
    one.control.report(value);
    return;
  }
  one.value.textContent = written(value, series.unit);
  one.value.title = new Date(time * 1000).toLocaleString();
}

function settable(one, control) {
  one.control = control;
  one.value.replaceChildren(control.button, control.note);
}

function chart(series) {
  let one = charts.get(series.metric);
  if (one === undefined) {
    const figure = element("figure");
    const caption = element("figcaption", title(series.metric));
    const copy = element("a", "CSV", "copy");
    copy.setAttribute("download", `${name} ${series.metric}.csv`);
    caption.append(copy);
    const box = element("div");
    figure.append(caption, box);
    find("#charts").append(figure);
    one = new Chart(box, series, look, () => choose(86_400));
    one.copy = copy;
    charts.set(series.metric, one);
  }
  return one;
}

let asked = 0;

// Fetches what is to be shown; an answer that comes after a later question is not used.
async function load() {
  const mine = (asked += 1);
  const [from, to] = bounds();
  view.fetched = now();
  const part = new URLSearchParams({ device: name, from: new Date(from * 1000).toISOString() });
  if (view.end !== undefined) {
    part.set("to", new Date(to * 1000).toISOString());
  }
  const { series } = await ask(`readings?${part}&points=${POINTS}`);
  if (mine !== asked) {
    return;
  }
  for (const one of series) {
    const shown = chart(one);
    shown.set(one);
    const rows = new URLSearchParams(part);
    rows.set("metric", one.metric);
    shown.copy.href = `/api/v1/readings?${rows}&format=csv&limit=100000`;
  }
  draw();
}

function draw() {
  for (const one of charts.values()) {
    one.draw(...bounds());
  }
}

// --- the time shown

function choose(span, end) {
  set(span, end);
  return load().catch(complain);
}

function set(span, end) {
  view.span = Math.min(LONGEST, Math.max(SHORTEST, span));
  // The future is not measured yet: there, the newest is shown as it comes.
  view.end = end === undefined || end >= now() ? undefined : end;
  for (const button of document.querySelectorAll("[data-seconds]")) {
    const pressed = view.end === undefined && Number(button.dataset.seconds) === view.span;
    button.setAttribute("aria-pressed", `${pressed}`);
  }
  const [from, to] = bounds().map((time) => new Date(time * 1000).toLocaleString());
  find("#shown").textContent = view.end === undefined ? "" : `${from} – ${to}`;
}

function look(from, to) {
  choose(to - from, to);
}

find(".ranges").addEventListener("click", ({ target }) => {
  const { seconds, move, zoom } = target.dataset;
  const [from, to] = bounds();
  if (seconds !== undefined) {
    choose(Number(seconds));
  } else if (move !== undefined) {
    choose(view.span, to + Number(move) * view.span);
  } else if (zoom !== undefined) {
    const span = view.span * Number(zoom);
    choose(span, view.end === undefined ? undefined : (from + to + span) / 2);
  }
});

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
  if (mayControl && isLamp(device) && !cells.has("colour text")) {
    settable(cell({ metric: "colour", kind: "text" }), new Colour(name, undefined, "colour"));
  }
}

async function count() {
  const shown = await ask(of(name));
  describe(shown);
  const rows = ["received", "stored", "duplicate", "rejected", "discarded", "waiting"].map((what) => {
    const group = element("div");
    group.append(element("dt", what), element("dd", shown[what].toLocaleString()));
    return group;
  });
  find("#counts").replaceChildren(...rows);
}

function happened(event) {
  const row = element("li");
  row.append(when(event.time), element("b", event.kind), ` ${event.text}`);
  return row;
}

function when(time) {
  const shown = element("time", moment(Date.parse(time)), "quiet");
  shown.dateTime = time;
  return shown;
}

async function events() {
  const rows = await ask(`events?device=${encodeURIComponent(name)}&limit=${MOST_EVENTS}`);
  find("#happened").replaceChildren(...list(rows, happened, "Nothing so far."));
}

async function refusals() {
  const rows = await ask(`rejected?limit=${MOST_REJECTED}`);
  const mine = rows.filter((one) => one.device === name).slice(0, MOST_EVENTS);
  const shown = (one) => {
    const row = element("li");
    row.append(when(one.time), element("b", one.reason), element("code", one.payload));
    return row;
  };
  find("#refusals").replaceChildren(...list(mine, shown, "None."));
}

function list(rows, shown, none) {
  return rows.length > 0 ? rows.map(shown) : [element("li", none, "quiet")];
}

async function begin() {
  const all = await ask(`${of(name)}/series`);
  for (const one of all) {
    if (one.latest_time !== null) {
      measure(one, Date.parse(one.latest_time) / 1000, one.latest);
    }
  }
  await Promise.all([count(), load(), events(), refusals()]);
  for (const { control } of cells.values()) {
    await control?.recheck();
  }
  for (const { command } of given.values()) {
    if (!command.over) {
      tell(await ask(`commands/${command.id}`));
    }
  }
}

// --- commands

function tell(command) {
  for (const { control } of cells.values()) {
    control?.tell(command);
  }
  let one = given.get(command.id);
  if (one === undefined) {
    one = { row: element("li") };
    given.set(command.id, one);
    find("#given").prepend(one.row);
    if (given.size > MOST_COMMANDS) {
      const [oldest] = given.keys();
      given.get(oldest).row.remove();
      given.delete(oldest);
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

// --- renaming

find("#renaming").hidden = !mayDecide;
find("#renaming form").addEventListener("submit", async (event) => {
  event.preventDefault();
  const wrong = find("#renaming [role=alert]");
  wrong.hidden = true;
  try {
    const renamed = await change("PATCH", of(name), { name: event.target.elements.name.value });
    location.hash = encodeURIComponent(renamed.name);
  } catch (error) {
    wrong.textContent = error.message;
    wrong.hidden = false;
  }
});

// --- all of it

addEventListener("hashchange", () => location.reload());
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => {
  for (const one of charts.values()) {
    one.build();
  }
});

document.title = `${name} · motehub`;
find("#name").textContent = name;
find("#renaming input").value = name;
set(view.span);

const heard = {
  begin,
  device: describe,
  removed: () => complain(new Error(`${name} has been removed.`)),
  readings: ({ series }) => {
    for (const one of series) {
      measure(one, one.times.at(-1), one.values.at(-1));
      if (one.kind !== "text" && view.end === undefined) {
        const shown = chart(one);
        one.times.forEach((time, i) => shown.add(time, one.values[i]));
      }
    }
    describe({ heard: Date.now(), received: undefined });
  },
  command: tell,
  event: (event) => {
    find("#happened .quiet:not(time)")?.remove();
    find("#happened").prepend(happened(event));
    find("#happened").children[MOST_EVENTS]?.remove();
  },
};

try {
  describe(await ask(of(name)));
  follow(heard, `?device=${encodeURIComponent(name)}`);
} catch (error) {
  complain(error);
}

setInterval(() => {
  if (document.hidden) {
    return;
  }
  draw();
  // What has come since is reduced with the rest.
  if (view.end === undefined && now() - view.fetched > FRESH) {
    load().catch(complain);
  }
}, 1000);
setInterval(() => {
  if (!document.hidden) {
    Promise.all([count(), refusals()]).catch(complain);
  }
}, 10_000);
