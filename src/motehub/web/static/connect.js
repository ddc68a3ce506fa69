// How a device is connected, and what arrives from it while somebody looks on.

import { decision } from "./decision.js";
import {
  ask, change, complain, element, follow, mayControl, mayDecide, of, presence, title, written,
} from "./hub.js";

const PLACE = "PUT-THE-TOKEN-HERE";
const MOST_TRIES = 20;
const MOST_SHOWN = 20;
const boards = {
  esp32_records: [
    "ESP32, text records",
    "Arduino, with a DHT11 or DHT22: text records over TLS. The board trusts this hub by the certificate in the sketch. " +
      "It has no key, so it shows up below as a new device, and you accept it.",
  ],
  esp32_mqtt: ["ESP32, MQTT", "Arduino: MQTT over TLS. Publishing succeeds when the reading is stored."],
  micropython: [
    "MicroPython",
    "ESP32, ESP8266, Pico W: over HTTP. If requests is missing there: mpremote mip install requests",
  ],
  raspberry_pi: ["Raspberry Pi", "Python 3, there or on any other computer, with nothing to install."],
};
const terminal = {
  curl: ["curl", "A reading over HTTP from any terminal: the quickest way to see one here."],
  mosquitto_pub: ["mosquitto_pub", "A reading over MQTT, with the client of the package mosquitto-clients."],
  openssl: [
    "openssl",
    "A text record over TLS, as ESP32 boards send it. It shows no key, so it comes from a new device, and you accept it.",
  ],
};
const sections = { web: "[web]" };

const find = (selector) => document.querySelector(selector);
const input = find("#naming input");
const chosen = { way: "curl", device: input.value, token: "", tokenOf: "" };
let facts;

// --- the code

function buttons(box, ways) {
  for (const [id, [text]] of Object.entries(ways)) {
    const button = element("button", text);
    button.dataset.way = id;
    button.addEventListener("click", () => choose(id));
    box.append(button);
  }
}

function choose(way) {
  chosen.way = way;
  history.replaceState(null, "", `#${way}`);
  show();
}

// Text with the token's place marked, or with the token.
function parts(code) {
  if (chosen.token) {
    return [code.replaceAll(PLACE, chosen.token)];
  }
  const [first, ...others] = code.split(PLACE);
  return [first, ...others.flatMap((other) => [element("mark", PLACE), other])];
}

function show() {
  for (const button of document.querySelectorAll("[data-way]")) {
    button.setAttribute("aria-pressed", `${button.dataset.way === chosen.way}`);
  }
  find("#note").textContent = (boards[chosen.way] ?? terminal[chosen.way])[1];
  const snippet = facts?.snippets.find(({ id }) => id === chosen.way);
  if (snippet === undefined) {
    return;
  }
  const { code, needs_token: needsToken, section } = snippet;
  find("#naming").hidden = !needsToken || code === null;
  find("#missing").hidden = !needsToken || code === null || chosen.token !== "";
  find("#text").hidden = find("#copy").hidden = code === null;
  find("#text code").replaceChildren(...parts(code ?? ""));
  find("#off").hidden = code !== null;
  find("#off code").textContent = sections[section] ?? `[${section}]`;
  find("#local").hidden = !snippet.local;
  find("#local").textContent =
    `This port listens on the hub's own machine only. For devices elsewhere, take host out of [${section}] in the ` +
    "configuration and start the hub again.";
}

let asked = 0;

async function load() {
  const mine = (asked += 1);
  const query = new URLSearchParams({ origin: location.origin, device: chosen.device });
  const answer = await ask(`connect?${query}`);
  if (mine !== asked) {
    return;
  }
  facts = answer;
  find("#fingerprint").textContent = facts.fingerprint;
  find("#ports").textContent = facts.ports
    .map(({ name, port, tls }) => `${title(name)} ${port}${tls && !name.endsWith("_tls") ? " (TLS)" : ""}`)
    .join(", ");
  find("#ca code").textContent = facts.ca;
  show();
}

// Pages over plain HTTP have no clipboard of their own but this one.
function copied(text) {
  if (navigator.clipboard) {
    return navigator.clipboard.writeText(text);
  }
  const field = element("textarea");
  field.value = text;
  document.body.append(field);
  field.select();
  const done = document.execCommand("copy");
  field.remove();
  return done ? Promise.resolve() : Promise.reject(new Error("This browser does not copy: select the text."));
}

async function copy(button, text) {
  try {
    await copied(text);
    button.textContent = "Copied";
    setTimeout(() => (button.textContent = "Copy"), 2000);
  } catch (error) {
    complain(error);
  }
}

find("#copy").addEventListener("click", () => copy(find("#copy"), find("#text code").textContent));
find("#copy-ca").addEventListener("click", () => copy(find("#copy-ca"), facts.ca));

// --- name and token

find("#make").hidden = !mayDecide;
find("#ask").hidden = mayDecide;

input.addEventListener("input", async () => {
  find("#wrong").textContent = "";
  chosen.device = input.value.trim();
  if (chosen.tokenOf !== chosen.device) {
    chosen.token = "";
    find("#made").replaceChildren();
  }
  if (chosen.device !== "") {
    await load().catch(({ message }) => (find("#wrong").textContent = message));
  }
});

// The token is called like its device, with a number behind it if there is one of that name.
async function makeToken(device) {
  for (let number = 1; ; number += 1) {
    try {
      const name = number === 1 ? device : `${device}-${number}`;
      return await change("POST", "tokens", { name, scopes: ["write"], devices: [device] });
    } catch (error) {
      if (error.status !== 409 || number === MOST_TRIES) {
        throw error;
      }
    }
  }
}

find("#naming form").addEventListener("submit", async (event) => {
  event.preventDefault();
  find("#wrong").textContent = "";
  if (!mayDecide) {
    return;
  }
  const device = input.value.trim();
  const button = find("#make");
  button.disabled = true;
  try {
    const made = await makeToken(device);
    chosen.token = made.secret;
    chosen.tokenOf = device;
    const row = element("p", "", "token");
    const again = element("button", "Copy", "plain");
    again.addEventListener("click", () => copy(again, made.secret));
    row.append(element("code", made.secret), again);
    const called = made.name === device ? "" : `, called ${made.name}`;
    const text = `This is the token of ${device}${called}. It is in the code below, and is not shown again.`;
    find("#made").replaceChildren(row, element("p", text, "quiet"));
    show();
  } catch (error) {
    find("#wrong").textContent = error.message;
  }
  button.disabled = false;
});

// --- what arrives

const shown = new Map();
let old;

class Arrival {
  constructor(name) {
    this.values = new Map();
    this.row = element("li", "", "card");
    const heading = element("h4");
    this.link = element("a", name);
    this.link.href = `/device#${encodeURIComponent(name)}`;
    heading.append(this.link);
    this.about = element("p", "", "about");
    this.table = element("dl");
    this.row.append(heading, this.about, this.table);
    find("#arrived").prepend(this.row);
    shown.set(name, this);
  }

  show(device) {
    this.device = { ...this.device, ...device };
    const [kind, text] = presence({ ...this.device, heard: Date.parse(this.device.last_seen) });
    this.row.dataset.kind = kind;
    this.about.textContent = text;
    const waits = this.device.admission === "pending";
    if (waits && mayDecide && this.form === undefined) {
      const suggested = find("#naming").hidden ? this.device.name : chosen.device || this.device.name;
      this.form = decision({ name: this.device.name, pending: true, suggested }, refresh);
      this.row.append(this.form);
    } else if (!waits) {
      this.form?.remove();
      this.form = undefined;
    }
  }

  measure({ metric, unit }, value) {
    let cell = this.values.get(metric);
    if (cell === undefined) {
      cell = element("dd", "", "value");
      const group = element("div");
      group.append(element("dt", title(metric)), cell);
      this.table.append(group);
      this.values.set(metric, cell);
    }
    cell.textContent = written(value, unit);
  }

  async load() {
    for (const one of await ask(`${of(this.device.name)}/series`)) {
      if (one.latest_time !== null) {
        this.measure(one, one.latest);
      }
    }
  }
}

// Who waits for approval, and who has come since this page was opened.
async function fill() {
  const devices = await ask("devices");
  // Whoever has said nothing yet is as good as not there.
  old ??= new Set(devices.filter(({ received }) => received > 0).map(({ name }) => name));
  const wanted = devices.filter(
    ({ name, admission, received }) =>
      admission === "pending" || (admission === "accepted" && received > 0 && !old.has(name)) || shown.has(name),
  );
  const names = new Set(wanted.map(({ name }) => name));
  for (const [name, one] of shown) {
    if (!names.has(name)) {
      one.row.remove();
      shown.delete(name);
    }
  }
  const first = shown.size === 0;
  for (const device of wanted.slice(0, MOST_SHOWN)) {
    const one = shown.get(device.name) ?? new Arrival(device.name);
    one.show(device);
    await one.load();
  }
  tell();
  if (first && shown.size > 0) {
    find("#arrived").scrollIntoView({ block: "nearest" });
  }
}

function tell() {
  const accepted = [...shown.values()].filter(({ device }) => device.admission === "accepted");
  const waits = [...shown.values()].some(({ device }) => device.admission === "pending");
  const names = accepted.map(({ device }) => device.name).join(", ");
  const found = names ? `It works: ${names} has sent readings.` : "Waiting for its first reading…";
  find("#waiting").textContent = waits && !names ? "A new device waits until you accept it." : found;
  find("#waiting").className = names ? "good" : "pending";
}

let filling;
let again = false;

// Once more if need be, never twice at once.
function refresh() {
  if (filling !== undefined) {
    again = true;
    return filling;
  }
  filling = fill().finally(() => {
    filling = undefined;
    if (again) {
      again = false;
      refresh().catch(complain);
    }
  });
  return filling;
}

function heard({ device, series }) {
  const one = shown.get(device);
  if (one !== undefined) {
    for (const { metric, unit, values } of series) {
      one.measure({ metric, unit }, values.at(-1));
    }
  } else if (!old?.has(device) || device === chosen.device) {
    // One that is known already shows up when it is the one that was asked about.
    old?.delete(device);
    refresh().catch(complain);
  }
}

buttons(find("#boards"), boards);
buttons(find("#terminal"), terminal);
const wanted = location.hash.slice(1);
chosen.way = wanted in boards || wanted in terminal ? wanted : "curl";
show();
if (mayControl) {
  load().catch(complain);
  const look = () => refresh().catch(complain);
  follow({ begin: refresh, device: look, removed: look, readings: heard });
  // What is held of a device that waits is told to nobody but those who ask.
  setInterval(() => {
    if (!document.hidden && [...shown.values()].some(({ device }) => device.admission === "pending")) {
      look();
    }
  }, 10_000);
} else {
  complain(new Error("A viewer connects no devices: ask an operator or an administrator."));
}
