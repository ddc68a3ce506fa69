// Tokens of devices and programs.

import { button, copyable, none, onSubmit, row } from "./forms.js";
import { ask, change, complain, element, oneByOne } from "./hub.js";
import { dated, t } from "./words.js";

const DAY = 86_400_000;
const find = (selector) => document.querySelector(selector);

const list = oneByOne(async () => {
  const tokens = await ask("tokens");
  const rows = tokens.map(({ name, scopes, devices, expires }) => {
    const facts = [scopes.join(", "), devices.length > 0 ? devices.join(", ") : t("settings.all_devices")];
    if (expires !== null) {
      const end = Date.parse(expires);
      const over = end < Date.now();
      const text = t(over ? "settings.expired" : "settings.until", { time: dated(end) });
      facts.push(element("span", text, over ? "bad" : "quiet"));
    }
    const revoke = async () => {
      await change("DELETE", `tokens/${encodeURIComponent(name)}`);
      await list();
    };
    return row(name, facts, button(t("settings.revoke"), revoke, t("settings.revoke_ask", { name })));
  });
  find("#tokens").replaceChildren(...(rows.length > 0 ? rows : [none()]));
});

async function devices() {
  const all = await ask("devices");
  const ticks = all.map(({ name }) => {
    const label = element("label", "", "tick");
    const box = element("input");
    Object.assign(box, { type: "checkbox", name: "devices", value: name });
    label.append(box, ` ${name}`);
    return label;
  });
  find("#bound").replaceChildren(...(ticks.length > 0 ? ticks : [element("p", t("settings.none"), "quiet")]));
}

function show(token, scopes, bound) {
  const box = find("#made");
  const parts = [element("p", t("settings.token_text", { name: token.name })), copyable(token.secret, t("settings.copy_token"))];
  if (scopes.includes("write")) {
    const reading = JSON.stringify({ device: bound[0] ?? "my-sensor", metric: "temperature", value: 21.5, unit: "°C" });
    const line = `curl ${location.origin}/api/v1/readings -H 'Authorization: Bearer ${token.secret}' -d '${reading.replaceAll("'", "'\\''")}'`;
    parts.push(element("p", t("settings.token_try"), "quiet"), copyable(line, t("settings.copy_command")));
  }
  box.replaceChildren(...parts);
  box.hidden = false;
}

onSubmit(find("form"), async (fields, form) => {
  const body = { name: fields.get("name"), scopes: fields.getAll("scopes"), devices: fields.getAll("devices") };
  if (body.scopes.length === 0) {
    throw new Error(t("settings.scopes_none"));
  }
  if (fields.get("days") !== "") {
    body.expires = new Date(Date.now() + Number(fields.get("days")) * DAY).toISOString();
  }
  const token = await change("POST", "tokens", body);
  form.reset();
  show(token, body.scopes, body.devices);
  await list();
});

Promise.all([list(), devices()]).catch(complain);
