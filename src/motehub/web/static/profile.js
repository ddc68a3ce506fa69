// What the hub knows about a device, and what an administrator says and decides about it.

import { ask, change, element, mayDecide, of, title } from "./hub.js";
import { dated, t } from "./words.js";

const find = (selector) => document.querySelector(selector);
const deciding = find("#deciding");
const [naming, telling] = deciding.querySelectorAll("form");
const EACH = [86_400, 3600, 60, 1];

let name;
let keys;
// What was shown before somebody began to change it.
let untouched = true;

deciding.addEventListener("input", () => {
  untouched = false;
});

function fact(key, text) {
  const group = element("div");
  group.append(element("dt", t(key)), element("dd", text));
  return group;
}

// What lets a device in: names, and until when each does, with the page on which it is revoked.
function keysOn(page, found) {
  const group = fact(`device.${page}`, found.length > 0 ? "" : "–");
  found.forEach(({ name: key, end }, i) => {
    const link = element("a", key);
    link.href = `/settings/${page}`;
    const until = end ? ` (${t("settings.until", { time: dated(Date.parse(end)) })})` : "";
    group.lastChild.append(i > 0 ? ", " : "", link, until);
  });
  return group;
}

async function findKeys({ identities }) {
  const [tokens, certificates] = await Promise.all([ask("tokens"), ask("certificates").catch(() => [])]);
  // By its fingerprint where a certificate is the device, else by the name in it.
  const is = ({ name: other, fingerprint }) =>
    [`certificate:${fingerprint}`, `json_socket:${other}`, `json_socket.flat:${other}`].some((one) => identities.includes(one));
  return {
    tokens: tokens.filter((one) => one.devices.includes(name)).map((one) => ({ ...one, end: one.expires })),
    certificates: certificates.filter((one) => one.kind === "client" && is(one)).map((one) => ({ ...one, end: one.not_after })),
  };
}

// Tells an interval in the largest unit of which it is a whole number.
function showInterval({ interval, each }, seconds) {
  const unit = EACH.find((one) => seconds % one === 0) ?? 1;
  each.value = `${seconds ? unit : 60}`;
  interval.value = seconds ? `${seconds / unit}` : "";
}

// Shows a device as the API does, and its series, whose units may be given.
export async function showProfile(device, series) {
  name = device.name;
  const facts = [
    fact("device.dialect", device.dialect),
    fact("device.first_seen", dated(Date.parse(device.first_seen))),
    fact("device.last_seen", dated(Date.parse(device.last_seen))),
  ];
  if (mayDecide) {
    keys ??= await findKeys(device);
    facts.push(
      fact("device.identities", device.identities.join(", ") || "–"),
      ...Object.entries(keys).map(([page, found]) => keysOn(page, found)),
    );
  }
  const box = find("#facts");
  facts.forEach((one, i) => {
    const there = box.children[i];
    if (there === undefined) {
      box.append(one);
    } else if (!one.isEqualNode(there)) {
      // Nobody's press on a link is lost while it stays the same.
      there.replaceWith(one);
    }
  });
  deciding.hidden = !mayDecide;
  find("#accept").hidden = device.admission === "accepted";
  find("#block").hidden = device.admission === "blocked";
  if (mayDecide && untouched && !deciding.contains(document.activeElement)) {
    fill(device, series);
  }
}

function fill(device, series) {
  naming.elements.name.value = device.name;
  telling.elements.labels.value = device.labels.join(", ");
  showInterval(telling.elements, device.interval);
  const fields = series
    .filter(({ kind }) => kind !== "text")
    .map(({ metric, unit }) => {
      const label = element("label", `${title(metric)} `);
      const input = element("input");
      input.value = input.defaultValue = unit;
      input.maxLength = 16;
      // What a device says itself is not for others to say.
      input.disabled = unit !== "" && !device.units.includes(metric);
      input.autocomplete = "off";
      input.metric = metric;
      label.append(input);
      return label;
    });
  const units = find("#units");
  units.replaceChildren(units.firstElementChild, ...fields);
  units.hidden = fields.length === 0;
}

// Does something that may be refused, and says why beside it.
async function attempt(place, act) {
  const wrong = place.querySelector("[role=alert]");
  wrong.hidden = true;
  try {
    await act();
  } catch (error) {
    wrong.textContent = error.message;
    wrong.hidden = false;
  }
}

function submit(form, act) {
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    attempt(form, () => act(form.elements));
  });
}

submit(naming, async (fields) => {
  const renamed = await change("PATCH", of(name), { name: fields.name.value });
  location.hash = encodeURIComponent(renamed.name);
});

submit(telling, async ({ labels, interval, each }) => {
  const given = [...find("#units").querySelectorAll("input")].filter(
    (one) => one.value !== one.defaultValue,
  );
  const body = {
    labels: labels.value.split(",").map((one) => one.trim()).filter(Boolean),
    interval: Number(interval.value) > 0 ? Number(interval.value) * Number(each.value) : null,
  };
  if (given.length > 0) {
    body.units = Object.fromEntries(given.map((one) => [one.metric, one.value]));
  }
  const said = telling.querySelector("[role=status]");
  said.textContent = "";
  await change("PATCH", of(name), body);
  if (given.length > 0) {
    // Values and charts are shown in these units from the beginning.
    location.reload();
  }
  untouched = true;
  said.textContent = t("device.saved");
});

const last = deciding.lastElementChild;
for (const how of ["accept", "block"]) {
  find(`#${how}`).addEventListener("click", () => {
    attempt(last, () => change("POST", `${of(name)}/${how}`));
  });
}
find("#remove").addEventListener("click", () => {
  attempt(last, async () => {
    await change("DELETE", of(name));
    location.replace("/");
  });
});
