// How a device is connected, and what arrives from it while somebody looks on.

import { decision } from "./decision.js";
import { copy } from "./forms.js";
import {
  ask, change, complain, element, follow, mayControl, mayDecide, of, oneByOne, presence, reading, title,
} from "./hub.js";
import { t } from "./words.js";

const PLACE = "PUT-THE-TOKEN-HERE";
const MOST_TRIES = 20;
const MOST_SHOWN = 20;
const SETTLED = 15_000;
const BOARDS = ["esp32_records", "esp32_mqtt", "micropython", "raspberry_pi"];
const TERMINAL = ["curl", "mosquitto_pub", "openssl"];

const find = (selector) => document.querySelector(selector);
const input = find("#naming input");
const chosen = { way: "curl", device: input.value, token: "", tokenOf: "" };
let facts;

// --- the code

function buttons(box, ways) {
  for (const way of ways) {
    const button = element("button", t(`connect.way_${way}`));
    button.dataset.way = way;
    button.addEventListener("click", () => choose(way));
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
  find("#note").textContent = t(`connect.way_${chosen.way}_text`);
  const snippet = facts?.snippets.find(({ id }) => id === chosen.way);
  if (snippet === undefined) {
    return;
  }
  const { code, needs_token: needsToken, section } = snippet;
  find("#naming").hidden = !needsToken || code === null;
  find("#missing").hidden = !needsToken || code === null || chosen.token !== "";
  find("#text").hidden = find("#copy").hidden = code === null;
  find("#text code").replaceChildren(...parts(code ?? ""));
  find("#copy").textContent = t("settings.copy");
  find("#off").hidden = code !== null;
  find("#off code").textContent = `[${section}]`;
  find("#local").hidden = !snippet.local;
  find("#local").textContent = t("connect.local", { section: `[${section}]` });
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

find("#copy").addEventListener("click", ({ target }) => copy(find("#text code"), target));
find("#copy-ca").addEventListener("click", ({ target }) => copy(find("#ca code"), target));

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
    if (old === undefined) {
      ours.add(device);
    }
    const row = element("p", "", "token");
    const again = element("button", t("settings.copy"), "plain");
    again.addEventListener("click", () => copy(row.firstChild, again));
    row.append(element("code", made.secret), again);
    const text = t(made.name === device ? "connect.made" : "connect.made_as", { device, name: made.name });
    find("#made").replaceChildren(row, element("p", text, "quiet"));
    show();
  } catch (error) {
    find("#wrong").textContent = error.message;
  }
  button.disabled = false;
});

// --- what arrives

const shown = new Map();
// What had spoken before this page was opened, as soon as that is known, and what is connected on it nevertheless.
let old;
const ours = new Set();

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

  measure(series, value) {
    const { metric } = series;
    let cell = this.values.get(metric);
    if (cell === undefined) {
      cell = element("dd", "", "value");
      const group = element("div");
      group.append(element("dt", title(metric)), cell);
      this.table.append(group);
      this.values.set(metric, cell);
    }
    cell.textContent = reading(series, value);
  }

  async load() {
    for (const one of await ask(`${of(this.device.name)}/series`)) {
      if (one.latest_time !== null && !(this.heard && this.values.has(one.metric))) {
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
      admission === "pending" ||
      (admission === "accepted" && received > 0 && (!old.has(name) || ours.has(name))) ||
      shown.has(name),
  );
  const names = new Set(wanted.map(({ name }) => name));
  for (const [name, one] of shown) {
    // What has just spoken may not be in the history yet.
    if (!names.has(name) && !(Date.now() - one.heard < SETTLED)) {
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
  const found = names ? t("connect.arrived", { names, count: accepted.length }) : t("connect.waiting");
  find("#waiting").textContent = waits && !names ? t("connect.accept_it") : found;
  find("#waiting").className = names ? "good" : "pending";
}

const refresh = oneByOne(fill);

// Shows at once what has spoken, whatever the history knows by now.
function heard({ device, series }) {
  let one = shown.get(device);
  if (one === undefined && (device === chosen.device || (old !== undefined && !old.has(device)))) {
    ours.add(device);
    one = new Arrival(device);
    one.show({ name: device, admission: "accepted", last_seen: new Date().toISOString() });
    one.row.scrollIntoView({ block: "nearest" });
    tell();
  }
  if (one !== undefined) {
    one.heard = Date.now();
    for (const each of series) {
      one.measure(each, each.values.at(-1));
    }
  }
}

buttons(find("#boards"), BOARDS);
buttons(find("#terminal"), TERMINAL);
const wanted = location.hash.slice(1);
chosen.way = [...BOARDS, ...TERMINAL].find((way) => way === wanted) ?? "curl";
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
  complain(new Error(t("connect.no_viewer")));
}
