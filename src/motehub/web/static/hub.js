// What the pages share: asking the hub, following it, and how things are written.

import { known, moment, number, t, told } from "./words.js";

export { moment };

export function element(tag, text = "", kind = "") {
  const made = document.createElement(tag);
  made.textContent = text;
  made.className = kind;
  return made;
}

// What the page has asked for before its scripts were there, once for each path.
const early = (globalThis.early ??= {});

export async function ask(path, options = {}) {
  let answer = early[path];
  delete early[path];
  try {
    answer = await (answer ?? fetch(`/api/v1/${path}`, options));
  } catch {
    throw new Error(t("common.away"));
  }
  if (answer.status === 401) {
    const here = location.pathname + location.hash;
    location.replace(here === "/" ? "/login" : `/login#${encodeURIComponent(here)}`);
    throw new Error(t("common.nobody"));
  }
  if (!answer.ok) {
    const problem = await answer.json().catch(() => ({}));
    const error = new Error(problem.detail ? told(problem.detail) : t("common.answers", { status: `${answer.status}` }));
    throw Object.assign(error, { status: answer.status });
  }
  return answer.status === 204 ? undefined : answer.json();
}

export const of = (name) => `devices/${encodeURIComponent(name)}`;

const state = document.querySelector("#state");

export function complain(error) {
  state.textContent = error.message;
}

const pause = () => new Promise((done) => setTimeout(done, 2000));

async function whoeverIsHere() {
  for (;;) {
    try {
      return await ask("session");
    } catch (error) {
      complain(error);
      await pause();
    }
  }
}

// Who is logged in: everything on a page waits for that.
export const session = await whoeverIsHere();
// The line at the foot may come last.
import("./pulse.js");
export const mayControl = session.role !== "viewer";
export const mayDecide = session.role === "admin";

export function change(method, path, body) {
  const headers = { "X-CSRF-Token": session.csrf };
  if (body !== undefined) {
    headers["Content-Type"] = "application/json";
    return ask(path, { method, headers, body: JSON.stringify(body) });
  }
  return ask(path, { method, headers });
}

// A page that is open for weeks stays logged in.
setInterval(() => ask("session").catch(() => {}), 86_400_000);

let stream;
let version;

// Calls what `handlers` has for an event of the hub's stream with its data, and `handlers.begin`
// when what happened before is to be fetched. Whatever happens to the hub, it comes back.
export function follow(handlers, query = "") {
  stream?.close();
  const mine = new EventSource(`/api/v1/stream${query}`);
  stream = mine;
  for (const kind of ["device", "removed", "readings", "command", "event", "arrangement"]) {
    mine.addEventListener(kind, (event) => handlers[kind]?.(JSON.parse(event.data)));
  }
  const begin = () => Promise.resolve(handlers.begin()).catch(complain);
  mine.addEventListener("hello", (event) => {
    state.textContent = "";
    const hello = JSON.parse(event.data);
    version ??= hello.version;
    if (version !== hello.version) {
      location.reload();
    }
    if (!hello.resumed) {
      begin();
    }
  });
  mine.addEventListener("missed", begin);
  mine.onerror = async () => {
    state.textContent = t("common.trying");
    if (mine.readyState === EventSource.CLOSED && stream === mine) {
      await pause();
      // A browser does not say why a stream was refused; this leads to the log-in if it must.
      await whoeverIsHere();
      if (stream === mine && !(await handlers.refused?.())) {
        follow(handlers, query);
      }
    }
  };
  again = () => follow(handlers, query);
}

// Returns what does `act`: never twice at once, and once more if it was called meanwhile.
export function oneByOne(act) {
  let running;
  let again = false;
  const run = () => {
    if (running !== undefined) {
      again = true;
      return running;
    }
    running = act().finally(() => {
      running = undefined;
      if (again) {
        again = false;
        run().catch(complain);
      }
    });
    return running;
  };
  // What it is doing now may be of before.
  run.outdate = () => {
    again = running !== undefined;
  };
  return run;
}

// A computer that has slept may hold on to a connection that the hub has given up long ago.
const SLEPT = 150_000;
let again = () => {};
let awake = Date.now();
setInterval(() => {
  if (Date.now() - awake > SLEPT) {
    again();
  }
  awake = Date.now();
}, 5000);
addEventListener("online", () => again());

// The name that a device has now which had another one when it was looked at last, if there is
// one: `devices` are all that there are, and no two have been first seen in the same microsecond.
export function successor({ first_seen: since, dialect }, devices) {
  const [one, other] = devices.filter((it) => it.first_seen === since && it.dialect === dialect);
  return other === undefined ? one?.name : undefined;
}

// A value as people read it, with its unit.
export function written(value, unit) {
  if (typeof value !== "number") {
    return `${value}`;
  }
  const text = number(Number(value.toPrecision(6)), { maximumFractionDigits: 6 });
  return unit ? `${text} ${unit}` : text;
}

const STATES = { button: ["common.released", "common.pressed"], led: ["command.off", "command.on"] };

// A value of a series, as people read it.
export function reading({ metric, kind, unit }, value) {
  if (metric in STATES && kind !== "text") {
    return t(STATES[metric][value === 0 ? 0 : 1]);
  }
  return written(value, unit);
}

export const title = (metric) => known(`metric.${metric}`, metric.replaceAll("_", " "));

const SILENT = 10 * 60_000;
// So many times what is expected of a device it may keep silent.
const PATIENCE = 3;

// How a device is: a word for the style, and a text. `heard` is in ms since 1970, `interval` in s.
export function presence({ admission, online, heard, interval, dialect }) {
  if (admission === "pending") {
    return ["waiting", t("common.waits")];
  }
  if (admission === "blocked") {
    return ["blocked", t("common.blocked")];
  }
  if (online === true) {
    return ["online", t("common.online")];
  }
  if (online === false) {
    return ["silent", t("common.offline", { time: moment(heard) })];
  }
  if (dialect === "units") {
    // A unit that is only told something says nothing: nobody knows how it is.
    return ["told", ""];
  }
  const still = Date.now() - heard;
  if (still > (interval ? PATIENCE * interval * 1000 : SILENT)) {
    return ["silent", t("common.silent", { time: moment(heard) })];
  }
  const minutes = Math.floor(still / 60_000);
  return ["online", minutes < 1 ? t("common.just_now") : t("common.minutes_ago", { minutes })];
}

document.querySelector("#who").textContent = session.name;
for (const link of document.querySelectorAll("#pages a, #settings a")) {
  const within = link.pathname !== "/" && location.pathname.startsWith(`${link.pathname}/`);
  if (link.pathname === location.pathname || (within && link.closest("#pages") !== null)) {
    link.setAttribute("aria-current", "page");
  }
}
for (const one of document.querySelectorAll("[data-admin]")) {
  one.hidden = !mayDecide;
}
for (const one of document.querySelectorAll("[data-control]")) {
  one.hidden = !mayControl;
}
// On a phone the menu is a row that goes on.
const menu = document.querySelector("#pages");
menu.scrollLeft = menu.querySelector("[aria-current]")?.offsetLeft - menu.clientWidth / 2;
document.querySelector("#leave").addEventListener("click", async () => {
  stream?.close();
  try {
    await change("DELETE", "session");
    location.replace("/login");
  } catch (error) {
    complain(error);
  }
});
// Nobody presses, chooses or looks for anything before there is somebody to hear it.
for (const one of document.querySelectorAll(":disabled")) {
  one.disabled = false;
}
