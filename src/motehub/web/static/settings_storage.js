// What is kept for how long, and how much room it needs.

import { bytes, doubt, period } from "./health.js";
import { TIERS, button, keep, none, onSubmit, periods, row, written } from "./forms.js";
import { ask, change, complain, element, title } from "./hub.js";
import { dated, number, t, told } from "./words.js";

const find = (selector) => document.querySelector(selector);
const form = find("#choose");

function facts(where, pairs) {
  const groups = pairs.map(([key, value]) => {
    const group = element("div");
    group.append(element("dt", t(key)), element("dd", value));
    return group;
  });
  find(where).replaceChildren(...groups);
}

const room = (budget) => (budget === null ? t("keeping.budget_none") : bytes(budget));

function showRules({ default: usual, configured, chosen, rules }) {
  const time = dated(Date.parse(chosen?.time));
  find("#source").textContent = chosen ? t("keeping.chosen", { who: told(chosen.who), time }) : t("keeping.default_text");
  form.querySelector("[type=reset]").hidden = !chosen;
  for (const one of form.querySelectorAll("input")) {
    one.value = chosen?.[one.name] ?? "";
    one.placeholder = one.name in usual ? configured[one.name] : room(configured.disk_budget);
  }
  facts("#usual", TIERS.map((tier) => [`keeping.${tier}`, period(usual[tier])]));
  const shown = rules.map((one) => {
    const name = one.metric === null ? one.device : t("keeping.of", { metric: title(one.metric), device: one.device });
    const link = Object.assign(element("a", t("keeping.go")), { href: `/device#${encodeURIComponent(one.device)}` });
    link.setAttribute("aria-label", `${t("keeping.go")}: ${one.device}`);
    return row(name, [periods(one), link]);
  });
  find("#own").replaceChildren(...(shown.length > 0 ? shown : [none()]));
}

function showSpace({ disk_budget: budget }, { sizes, writer }) {
  const { used, deleted, budget_cut: cut, trouble } = writer.retention ?? {};
  // A server says only how much it uses.
  const free = used === undefined ? 0 : Math.max(0, sizes.history - used);
  facts("#space", [
    ["keeping.used", used === undefined ? "–" : bytes(used)],
    ["keeping.budget", room(budget)],
    ["health.history_size", sizes.history === null ? "–" : bytes(sizes.history)],
    ...(free > 0 ? [["keeping.free", bytes(free)]] : []),
    ["health.free", bytes(sizes.free)],
    ["keeping.deleted", number(deleted ?? 0)],
  ]);
  find("#cut").textContent = trouble ? t("health.full") : cut ? t("keeping.cut", { time: dated(Date.parse(cut)) }) : "";
}

// What is wrong with the clock, and the owner's word that nothing is.
function showClock({ writer }) {
  const { clock } = writer.retention ?? {};
  if (!clock) {
    find("#clock").replaceChildren();
    return;
  }
  const [what, values] = doubt(clock);
  const question = t("keeping.confirm_clock_sure", values);
  const confirmed = async () => {
    await change("POST", "clock");
    find("#clock").replaceChildren(element("p", t("keeping.confirmed")));
  };
  find("#clock").replaceChildren(
    element("p", t(`health.${what}`, values), "bad"),
    element("p", t(`keeping.${what}_mend`, values)),
    button(t("keeping.confirm_clock"), confirmed, question),
  );
}

// Nobody writes where the answer will be written.
function hold(held) {
  for (const one of form.elements) {
    one.disabled = held;
  }
}

async function show() {
  const [rules, health] = await Promise.all([ask("retention"), ask("health")]);
  showClock(health);
  showRules(rules);
  showSpace(rules, health);
}

onSubmit(form, async (fields) => {
  find("#held").textContent = "";
  hold(true);
  try {
    await keep("retention", written(fields));
    await show();
  } finally {
    hold(false);
  }
});
// Empty fields: as the configuration has it.
form.addEventListener("reset", () => setTimeout(() => form.requestSubmit()));
hold(true);
show().then(() => hold(false), complain);
