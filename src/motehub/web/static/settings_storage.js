// What is kept for how long, and how much room it needs.

import { bytes, period } from "./health.js";
import { none, row } from "./forms.js";
import { ask, complain, element, title } from "./hub.js";
import { dated, number, t } from "./words.js";

const TIERS = ["raw", "minute", "hour", "day"];
const find = (selector) => document.querySelector(selector);

function facts(where, pairs) {
  const groups = pairs.map(([key, value]) => {
    const group = element("div");
    group.append(element("dt", t(key)), element("dd", value));
    return group;
  });
  find(where).replaceChildren(...groups);
}

function showRules({ default: usual, rules }) {
  facts("#usual", TIERS.map((tier) => [`keeping.${tier}`, period(usual[tier])]));
  const shown = rules.map((one) => {
    const name = one.metric === null ? one.device : t("keeping.of", { metric: title(one.metric), device: one.device });
    const periods = TIERS.filter((tier) => one[tier]).map((tier) => t(`keeping.${tier}_for`, { period: period(one[tier]) }));
    const link = Object.assign(element("a", t("keeping.go")), { href: `/device#${encodeURIComponent(one.device)}` });
    link.setAttribute("aria-label", `${t("keeping.go")}: ${one.device}`);
    return row(name, [periods.join(", "), link]);
  });
  find("#own").replaceChildren(...(shown.length > 0 ? shown : [none()]));
}

function showSpace({ disk_budget: budget }, { sizes, writer }) {
  const { used, deleted, budget_cut: cut, trouble } = writer.retention ?? {};
  // A server says only how much it uses.
  const free = used === undefined ? 0 : Math.max(0, sizes.history - used);
  facts("#space", [
    ["keeping.used", used === undefined ? "–" : bytes(used)],
    ["keeping.budget", budget === null ? t("keeping.budget_none") : bytes(budget)],
    ["health.history_size", sizes.history === null ? "–" : bytes(sizes.history)],
    ...(free > 0 ? [["keeping.free", bytes(free)]] : []),
    ["health.free", bytes(sizes.free)],
    ["keeping.deleted", number(deleted ?? 0)],
  ]);
  find("#cut").textContent = trouble ? t("health.full") : cut ? t("keeping.cut", { time: dated(Date.parse(cut)) }) : "";
}

async function show() {
  const [rules, health] = await Promise.all([ask("retention"), ask("health")]);
  showRules(rules);
  showSpace(rules, health);
}

show().catch(complain);
