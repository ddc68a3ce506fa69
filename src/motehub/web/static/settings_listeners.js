// What listens and what connects, and where each is configured.

import { none, row } from "./forms.js";
import { ask, complain, element } from "./hub.js";
import { dated, t } from "./words.js";

const SECONDS = 5;
const find = (selector) => document.querySelector(selector);

function port([name, { host, port, tls }]) {
  const literal = host.includes(":") ? `[${host}]` : host;
  return t(tls ? "listeners.port_tls" : "listeners.port", { name, address: `${literal}:${port}` });
}

const written = (value) => (typeof value === "string" ? JSON.stringify(value) : `${value}`);

function shape({ section, runs, ports, connections, refused, trouble, trouble_at: when, settings }) {
  const told = Object.entries(ports).map(port);
  if (connections !== null) {
    told.push(t("listeners.connections", { count: connections }));
  }
  if (refused) {
    told.push(element("span", t("listeners.refused", { count: refused }), "pending"));
  }
  if (trouble !== null) {
    told.push(element("span", t("listeners.trouble", { time: dated(Date.parse(when)), reason: trouble }), "bad"));
  }
  if (runs) {
    const lines = Object.entries(settings).map(([key, value]) => `${key} = ${written(value)}`);
    told.push(element("code", [`[${section}]`, ...lines].join("  ")));
  }
  return row(runs ? section.replace("transport.", "") : `[${section}]`, told);
}

async function look() {
  const all = await ask("listeners");
  for (const [where, runs] of [["#running", true], ["#others", false]]) {
    const rows = all.filter((one) => one.runs === runs).map(shape);
    find(where).replaceChildren(...(rows.length > 0 ? rows : [none()]));
  }
}

for (;;) {
  if (!document.hidden) {
    await look().then(() => (find("#state").textContent = ""), complain);
  }
  await new Promise((done) => setTimeout(done, SECONDS * 1000));
}
