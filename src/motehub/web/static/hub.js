// What the pages share: asking the hub, following it, and how things are written.

export function element(tag, text = "", kind = "") {
  const made = document.createElement(tag);
  made.textContent = text;
  made.className = kind;
  return made;
}

export async function ask(path, options = {}) {
  let answer;
  try {
    answer = await fetch(`/api/v1/${path}`, options);
  } catch {
    throw new Error("The hub does not answer.");
  }
  if (answer.status === 401) {
    location.replace("/login");
    throw new Error("Nobody is logged in here.");
  }
  if (!answer.ok) {
    const problem = await answer.json().catch(() => ({}));
    const error = new Error(problem.detail ?? `The hub answers ${answer.status}.`);
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

let stream;

// Calls what `handlers` has for an event of the hub's stream with its data, and `handlers.begin`
// when what happened before is to be fetched. Whatever happens to the hub, it comes back.
export function follow(handlers, query = "") {
  stream?.close();
  const mine = new EventSource(`/api/v1/stream${query}`);
  stream = mine;
  for (const kind of ["device", "removed", "readings", "command", "event"]) {
    mine.addEventListener(kind, (event) => handlers[kind]?.(JSON.parse(event.data)));
  }
  const begin = () => Promise.resolve(handlers.begin()).catch(complain);
  mine.addEventListener("hello", (event) => {
    state.textContent = "";
    if (!JSON.parse(event.data).resumed) {
      begin();
    }
  });
  mine.addEventListener("missed", begin);
  mine.onerror = async () => {
    state.textContent = "The hub does not answer; trying again…";
    if (mine.readyState === EventSource.CLOSED && stream === mine) {
      await pause();
      // A browser does not say why a stream was refused; this leads to the log-in if it must.
      await whoeverIsHere();
      follow(handlers, query);
    }
  };
}

// A value as people read it, with its unit.
export function written(value, unit) {
  if (typeof value !== "number") {
    return `${value}`;
  }
  const text = Number(value.toPrecision(6)).toLocaleString(undefined, { maximumFractionDigits: 6 });
  return unit ? `${text} ${unit}` : text;
}

export const title = (metric) => metric.replaceAll("_", " ");

// A moment (ms since 1970): the time alone when it is today's.
export function moment(time) {
  const when = new Date(time);
  const today = when.toDateString() === new Date().toDateString();
  return today ? when.toLocaleTimeString() : when.toLocaleString();
}

const SILENT = 10 * 60_000;

// How a device is: a word for the style, and a text. `heard` is in ms since 1970.
export function presence({ admission, online, heard, received }) {
  if (admission === "pending") {
    return ["waiting", "waits for approval"];
  }
  if (admission === "blocked") {
    return ["blocked", "blocked"];
  }
  if (online === true) {
    return ["online", "online"];
  }
  if (online === false) {
    return ["silent", `offline, last heard ${moment(heard)}`];
  }
  if (received === 0) {
    return ["silent", "has said nothing so far"];
  }
  const still = Date.now() - heard;
  if (still > SILENT) {
    return ["silent", `silent since ${moment(heard)}`];
  }
  return ["online", still < 60_000 ? "heard just now" : `heard ${Math.floor(still / 60_000)} min ago`];
}

document.querySelector("#who").textContent = session.name;
document.querySelector("#leave").addEventListener("click", async () => {
  stream?.close();
  try {
    await change("DELETE", "session");
    location.replace("/login");
  } catch (error) {
    complain(error);
  }
});
