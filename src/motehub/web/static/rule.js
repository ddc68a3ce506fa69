// The form of a rule: fields become what the API takes, and a rule that is there becomes fields.

import { onSubmit } from "./forms.js";
import { ask, change, complain, element, of } from "./hub.js";
import { t, telling } from "./words.js";

const NOBODY = "-";
const WITHIN = 600;
const KINDS = ["below", "above", "rises", "falls", "changes", "equals", "stuck", "silent", "offline"];

const find = (selector) => document.querySelector(selector);
const form = find("#rule");
const { kind, name: called } = form.elements;
const previewed = find("#previewed");
const wrong = form.querySelector("[role=alert]");
const words = telling("rules");
let channels = [];
// The name of the rule that is being changed; null while one is added.
let changed = null;

const fields = () => [...form.elements].filter((one) => one.name && one !== kind && one.type !== "checkbox");

// Shows the fields that a rule of the kind that is chosen has; others say nothing.
function arrange() {
  for (const part of form.querySelectorAll("[data-of]")) {
    part.hidden = !part.dataset.of.split(" ").includes(kind.value);
    part.querySelector("input").disabled = part.hidden;
  }
  // Silence may be about anything that a device sends.
  form.elements.metric.required = kind.value !== "silent";
}

// What can be ticked: whoever can be told, and who is told already by this rule.
function offerChannels(chosen) {
  const names = new Set([...channels, ...chosen]);
  names.delete(NOBODY);
  const rows = [...names, NOBODY].map((name) => {
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
  // A limit may be 0; what else is 0 is not said.
  const said = KINDS.filter((one) => rule[one] || (rule[one] === 0 && one !== "stuck")).join();
  return said === "below,above" ? "outside" : KINDS.find((one) => one === said);
}

function written(value, { unit }) {
  if (typeof value === "number") {
    // As many digits as somebody has written.
    return String(Number((value / (unit ?? 1)).toPrecision(12)));
  }
  return Array.isArray(value) ? value.join(", ") : (value ?? "");
}

function read({ disabled, value, type, dataset }) {
  const text = disabled ? "" : value.trim();
  if ("several" in dataset) {
    return text.split(",").map((one) => one.trim()).filter(Boolean);
  }
  if (type !== "number") {
    return text;
  }
  // No time and no hysteresis is 0, no limit is null.
  return text === "" && !dataset.unit ? null : Number(text) * (dataset.unit ?? 1);
}

// What the API takes: everything that a rule of this kind says, and that it says nothing else.
function ruleOf() {
  const rule = { notify: new FormData(form).getAll("notify"), offline: kind.value === "offline" };
  for (const one of fields()) {
    rule[one.name] = read(one);
  }
  rule.within ||= WITHIN;
  if (kind.value === "silent") {
    rule.silent ||= "auto";
  }
  return rule;
}

// Has the form change `rule`, or add one.
export function begin(rule) {
  changed = rule?.name ?? null;
  form.reset();
  if (rule) {
    kind.value = kindOf(rule);
    for (const one of fields()) {
      one.value = written(rule[one.name], one.dataset);
    }
    form.querySelector("details").open = true;
    form.scrollIntoView();
  }
  offerChannels(rule?.notify ?? []);
  arrange();
  // A rule keeps its name.
  called.readOnly = changed !== null;
  find("#add").textContent = rule ? t("alerts.changing", { name: changed }) : t("alerts.add");
  find("#keep").textContent = rule ? t("alerts.change_do") : t("alerts.add_do");
  find("#cancel").hidden = changed === null;
  previewed.textContent = wrong.textContent = "";
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

async function send(method, path, body) {
  try {
    return await change(method, path, body);
  } catch (error) {
    throw new Error((await words)(error.message));
  }
}

async function tryRule() {
  if (!form.reportValidity()) {
    return;
  }
  wrong.textContent = previewed.textContent = "";
  try {
    const { count, series } = await send("POST", "rule-preview", { ...ruleOf(), from: "-7d" });
    previewed.textContent = series > 0 ? t("alerts.previewed", { count }) : t("alerts.about_nothing");
  } catch (error) {
    wrong.textContent = error.message;
  }
}

// Lets an administrator use the form; `look` shows what came of it.
export function setUp(look) {
  find("#adding").hidden = false;
  onSubmit(form, async () => {
    const { name, ...rest } = ruleOf();
    const { hint } = await (changed === null
      ? send("POST", "rules", { name, ...rest })
      : send("PATCH", `rules/${encodeURIComponent(changed)}`, rest));
    begin();
    previewed.textContent = (await words)(hint);
    await look();
  });
  kind.addEventListener("change", arrange);
  find("#preview").addEventListener("click", tryRule);
  find("#cancel").addEventListener("click", () => begin());
  begin();
  offer().catch(complain);
}
