// For how long readings of a device are kept, and what they come to: an administrator's rules.

import { onSubmit } from "./forms.js";
import { period } from "./health.js";
import { ask, change, element, mayDecide, title } from "./hub.js";
import { t } from "./words.js";

const TIERS = ["raw", "minute", "hour", "day"];
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
  const said = (one) => TIERS.filter((tier) => one[tier]).map((tier) => t(`keeping.${tier}_for`, { period: period(one[tier]) }));
  find("#rules").replaceChildren(
    ...rules.map((one) => {
      const name = one.metric === null ? t("keeping.all") : title(one.metric);
      return element("li", t("keeping.about", { metric: name, periods: said(one).join(", ") }));
    }),
  );
  fill();
}

const route = () => `retention/${encodeURIComponent(device)}`;

metric.addEventListener("change", () => {
  find("#held").textContent = "";
  fill();
});

onSubmit(form, async () => {
  find("#held").textContent = "";
  const rule = Object.fromEntries(TIERS.map((tier) => [tier, fields[tier].value.trim() || null]));
  show(await change("PUT", route(), { metric: metric.value || null, ...rule }));
  find("#held").textContent = t("keeping.saved");
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
