// The form of a rule: fields become what the API takes, and a rule that is there becomes fields.

import { onSubmit } from "./forms.js";
import { ask, change, complain, element, of } from "./hub.js";
import { t } from "./words.js";

const HOUR = 3_600;
const MINUTE = 60;
const NOBODY = "-";
const AMOUNTS = ["rises", "falls", "changes"];

const find = (selector) => document.querySelector(selector);
const form = find("#rule");
let channels = [];
// The name of the rule that is being changed; null while one is added.
let changed = null;

const field = (name) => form.elements.namedItem(name);
const several = (text) => text.split(",").map((one) => one.trim()).filter(Boolean);
// As many digits as somebody has written.
const number = (value) => (value === null ? "" : String(Number(value.toPrecision(12))));

// Shows the fields that a rule of the kind that is chosen has; others are not sent.
function arrange() {
  const kind = field("kind").value;
  for (const part of form.querySelectorAll("[data-of]")) {
    part.hidden = !part.dataset.of.split(" ").includes(kind);
    const input = part.querySelector("input");
    if (input) {
      input.disabled = part.hidden;
    }
  }
  // Silence may be about anything that a device sends.
  field("metric").required = kind !== "silent";
}

// What can be ticked: whoever can be told, and who is told already by this rule.
function offerChannels(chosen = []) {
  const rows = [...new Set([...channels, ...chosen.filter((one) => one !== NOBODY), NOBODY])].map((name) => {
    const label = element("label", "", "tick");
    const tick = Object.assign(element("input"), { type: "checkbox", name: "notify", value: name });
    tick.checked = chosen.includes(name);
    label.append(tick, name === NOBODY ? t("alerts.nobody") : name);
    return label;
  });
  find("#channels").replaceChildren(...rows);
}

// The kind of a rule in this form; undefined of one that it can't show.
export function kindOf(rule) {
  const amounts = AMOUNTS.filter((one) => rule[one] !== null);
  if (amounts.length > 0) {
    return amounts.length === 1 ? amounts[0] : undefined;
  }
  if (rule.above !== null && rule.below !== null) {
    return "outside";
  }
  const kinds = ["above", "below"].filter((one) => rule[one] !== null);
  return [...kinds, ...["equals", "stuck", "silent", "offline"].filter((one) => rule[one])][0];
}

// `90` or `15m` and the like, in minutes; what is silence may be written so.
function minutesOf(silent) {
  const [, count, unit] = /^([\d.]+)\s*(ms|s|m|h|d|w|y)?$/.exec(silent) ?? [];
  const seconds = { ms: 0.001, s: 1, m: 60, h: 3_600, d: 86_400, w: 604_800, y: 31_536_000 }[unit ?? "s"];
  return count === undefined ? "" : number((count * seconds) / MINUTE);
}

// Puts a rule into the fields.
function fill(rule) {
  form.reset();
  const kind = kindOf(rule);
  const amount = AMOUNTS.includes(kind) ? number(rule[kind]) : "";
  const values = {
    name: rule.name, devices: rule.devices.join(", "), labels: rule.labels.join(", "), kind, amount,
    metric: rule.metric, below: number(rule.below), above: number(rule.above),
    within: number(rule.within / MINUTE), equals: rule.equals, stuck: number(rule.stuck / HOUR),
    silent: minutesOf(rule.silent), for: number(rule.for / MINUTE), severity: rule.severity,
    hysteresis: number(rule.hysteresis), clear_for: number(rule.clear_for / MINUTE),
    repeat: number(rule.repeat / MINUTE), quiet: rule.quiet, message: rule.message,
  };
  for (const [name, value] of Object.entries(values)) {
    field(name).value = value;
  }
  offerChannels(rule.notify);
  arrange();
}

// What the API takes: everything that a rule of this kind says, and that it says nothing else.
function ruleOf() {
  const fields = new FormData(form);
  const kind = fields.get("kind");
  const text = (name) => fields.get(name) ?? "";
  const limit = (name) => (fields.has(name) ? Number(fields.get(name)) : null);
  const time = (name, unit = MINUTE) => Number(fields.get(name) ?? 0) * unit;
  const amounts = Object.fromEntries(AMOUNTS.map((one) => [one, one === kind ? limit("amount") : null]));
  const silence = text("silent") === "" ? "auto" : String(time("silent"));
  return {
    name: text("name"), devices: several(text("devices")), labels: several(text("labels")),
    metric: text("metric").trim(), above: limit("above"), below: limit("below"), ...amounts,
    ...(fields.has("within") ? { within: time("within") } : {}),
    equals: text("equals"), stuck: time("stuck", HOUR), silent: kind === "silent" ? silence : "",
    offline: kind === "offline", for: time("for"), clear_for: time("clear_for"),
    hysteresis: limit("hysteresis") ?? 0, severity: text("severity"), repeat: time("repeat"),
    quiet: text("quiet").trim(), notify: fields.getAll("notify"), message: text("message"),
  };
}

// Has the form change `rule`, or add one.
export function begin(rule) {
  changed = rule?.name ?? null;
  if (rule === undefined) {
    form.reset();
    offerChannels();
    arrange();
  } else {
    fill(rule);
    form.querySelector("details").open = true;
  }
  // A rule keeps its name.
  form.elements.name.readOnly = changed !== null;
  find("#add").textContent = changed === null ? t("alerts.add") : t("alerts.changing", { name: changed });
  find("#keep").textContent = t(changed === null ? "alerts.add_do" : "alerts.change_do");
  find("#cancel").hidden = changed === null;
  find("#previewed").textContent = "";
  form.querySelector("[role=alert]").textContent = "";
  if (changed !== null) {
    form.scrollIntoView();
    form.elements.devices.focus();
  }
}

const options = (texts) => [...new Set(texts)].sort().map((one) => new Option(one));

async function offer() {
  const [devices, told] = await Promise.all([ask("devices"), ask("alert-channels")]);
  channels = told.map(({ name }) => name);
  // What was ticked meanwhile stays so.
  offerChannels(new FormData(form).getAll("notify"));
  find("#devices").replaceChildren(...options(devices.map(({ name }) => name)));
  find("#known").replaceChildren(...options(devices.flatMap(({ labels }) => labels ?? [])));
  const all = await Promise.all(devices.slice(0, 20).map(({ name }) => ask(`${of(name)}/series`)));
  find("#metrics").replaceChildren(...options(all.flat().map(({ metric }) => metric)));
}

async function tryRule() {
  if (!form.reportValidity()) {
    return;
  }
  const wrong = form.querySelector("[role=alert]");
  wrong.textContent = "";
  find("#previewed").textContent = "";
  try {
    const { count, series } = await change("POST", "rule-preview", { ...ruleOf(), from: "-7d" });
    find("#previewed").textContent = series > 0 ? t("alerts.previewed", { count }) : t("alerts.about_nothing");
  } catch (error) {
    wrong.textContent = error.message;
  }
}

// Lets an administrator use the form; `listRules` shows what came of it.
export function setUp(listRules) {
  find("#adding").hidden = false;
  onSubmit(form, async () => {
    const { name, ...rest } = ruleOf();
    if (changed === null) {
      await change("POST", "rules", { name, ...rest });
    } else {
      await change("PATCH", `rules/${encodeURIComponent(changed)}`, rest);
    }
    begin();
    await listRules();
  });
  form.elements.kind.addEventListener("change", arrange);
  find("#preview").addEventListener("click", tryRule);
  find("#cancel").addEventListener("click", () => begin());
  begin();
  offer().catch(complain);
}
