// For how long readings of a device are kept, and what they come to: an administrator's rules.

import { TIERS, keep, onSubmit, periods, written } from "./forms.js";
import { ask, element, mayDecide, title } from "./hub.js";
import { t } from "./words.js";

const find = (selector) => document.querySelector(selector);
const form = find("#keeping form");
const { metric, ...fields } = Object.fromEntries([...form.elements].map((one) => [one.name, one]));
let device;
let rules = [];
let usual = {};

const ruleOf = (name) => rules.find((one) => (one.metric ?? "") === name) ?? {};

function fill() {
  const own = ruleOf(metric.value);
  const others = metric.value === "" ? {} : ruleOf("");
  for (const tier of TIERS) {
    fields[tier].value = own[tier] ?? "";
    fields[tier].placeholder = others[tier] ?? usual[tier];
  }
}

function show(found) {
  usual = found.default;
  rules = found.rules.filter((one) => one.device === device);
  find("#rules").replaceChildren(
    ...rules.map((one) => {
      const name = one.metric === null ? t("keeping.all") : title(one.metric);
      return element("li", t("keeping.about", { metric: name, periods: periods(one) }));
    }),
  );
  fill();
}

metric.addEventListener("change", () => {
  find("#held").textContent = "";
  fill();
});

onSubmit(form, async (said) => {
  find("#held").textContent = "";
  const found = await keep(`retention/${encodeURIComponent(device)}`, written(said), { device });
  if (found) {
    show(found);
  }
});

// Shows the rules of a device and of its series, as the API has them.
export async function showKeeping(name, series) {
  if (!mayDecide) {
    return;
  }
  const found = await ask("retention");
  find("#keeping").hidden = false;
  // Nobody's choice is changed while it is made.
  if (form.contains(document.activeElement)) {
    return;
  }
  device = name;
  const chosen = metric.value;
  const all = new Option(t("keeping.all"), "");
  metric.replaceChildren(all, ...series.map((one) => new Option(title(one.metric), one.metric)));
  metric.value = series.some((one) => one.metric === chosen) ? chosen : "";
  show(found);
}
