// All devices with their newest values, kept up to date by the hub's stream of events.

const list = document.querySelector("ul.cards");
const empty = document.querySelector("#empty");
const state = document.querySelector("#state");
const cards = new Map();
let session;

async function ask(path, options = {}) {
  const answer = await fetch(`/api/v1/${path}`, options);
  if (answer.status === 401) {
    location.replace("/login");
    throw new Error("not logged in");
  }
  if (!answer.ok) {
    throw new Error((await answer.json()).detail);
  }
  return answer.status === 204 ? undefined : answer.json();
}

function element(tag, text = "", kind = "") {
  const made = document.createElement(tag);
  made.textContent = text;
  made.className = kind;
  return made;
}

class Card {
  constructor(name) {
    this.values = new Map();
    this.row = element("li");
    this.about = element("p", "", "quiet");
    this.table = element("dl");
    this.row.append(element("h2", name), this.about, this.table);
    const after = [...cards.keys()].sort().find((other) => other > name);
    list.insertBefore(this.row, after === undefined ? null : cards.get(after).row);
    cards.set(name, this);
  }

  show(device) {
    const where = { true: "online", false: "offline" }[device.online];
    const waits = { pending: "waits for your approval", blocked: "blocked" }[device.admission];
    this.about.textContent = [waits, where].filter(Boolean).join(", ");
  }

  measure(metric, unit, time, value) {
    const key = `${metric} ${typeof value}`;
    const known = this.values.get(key) ?? { time: -Infinity };
    if (time < known.time) {
      return;
    }
    if (known.cell === undefined) {
      known.cell = element("dd");
      this.table.append(element("dt", metric.replaceAll("_", " ")), known.cell);
    }
    known.time = time;
    const shown = typeof value === "number" ? Number(value.toPrecision(6)) : value;
    known.cell.textContent = unit ? `${shown} ${unit}` : `${shown}`;
    known.cell.title = new Date(time * 1000).toLocaleString();
    this.values.set(key, known);
  }
}

function card(name) {
  empty.hidden = true;
  return cards.get(name) ?? new Card(name);
}

async function fill() {
  const devices = await ask("devices");
  for (const name of [...cards.keys()]) {
    if (!devices.some((device) => device.name === name)) {
      remove(name);
    }
  }
  for (const device of devices) {
    card(device.name).show(device);
    for (const one of await ask(`devices/${encodeURIComponent(device.name)}/series`)) {
      if (one.latest_time !== null) {
        const time = Date.parse(one.latest_time) / 1000;
        card(device.name).measure(one.metric, one.unit, time, one.latest);
      }
    }
  }
  empty.hidden = cards.size > 0;
}

function remove(name) {
  cards.get(name)?.row.remove();
  cards.delete(name);
}

function follow() {
  const stream = new EventSource("/api/v1/stream");
  const on = (kind, take) =>
    stream.addEventListener(kind, (event) => take(JSON.parse(event.data)));
  on("hello", ({ resumed }) => {
    state.textContent = "";
    // What happened before the stream began is in the history.
    if (!resumed) {
      fill().catch(complain);
    }
  });
  on("missed", () => fill().catch(complain));
  on("device", (device) => card(device.device).show(device));
  on("removed", (device) => remove(device.device));
  on("readings", ({ device, series }) => {
    for (const one of series) {
      card(device).measure(one.metric, one.unit, one.times.at(-1), one.values.at(-1));
    }
  });
  stream.onerror = () => {
    state.textContent = "The hub does not answer; trying again…";
    if (stream.readyState === EventSource.CLOSED) {
      setTimeout(() => ask("session").then(follow, complain), 2000);
    }
  };
}

function complain(error) {
  state.textContent = error.message;
}

document.querySelector("#leave").addEventListener("click", async () => {
  const headers = { "X-CSRF-Token": session.csrf };
  await ask("session", { method: "DELETE", headers }).catch(complain);
  location.replace("/login");
});

try {
  session = await ask("session");
  document.querySelector("#who").textContent = session.name;
  follow();
} catch (error) {
  complain(error);
}
