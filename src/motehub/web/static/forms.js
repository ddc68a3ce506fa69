// What forms and lists of settings have in common.

import { bytes, period } from "./health.js";
import { change, element } from "./hub.js";
import { dated, number, t } from "./words.js";

// Calls `act(fields, form)` when a form is sent; what goes wrong stands beside its button.
export function onSubmit(form, act) {
  const wrong = form.querySelector("[role=alert]");
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    const send = form.querySelector("button");
    wrong.textContent = "";
    send.disabled = true;
    try {
      await act(new FormData(form), form);
    } catch (error) {
      wrong.textContent = error.message;
    }
    send.disabled = false;
  });
}

// A button that does something at once, or after `question` is answered with yes.
export function button(text, act, question) {
  const made = element("button", text, "plain");
  made.type = "button";
  made.addEventListener("click", async () => {
    if (question !== undefined && !confirm(question)) {
      return;
    }
    const wrong = document.querySelector("#wrong");
    made.disabled = true;
    try {
      if (wrong) {
        wrong.textContent = "";
      }
      await act();
    } catch (error) {
      if (!wrong) {
        throw error;
      }
      wrong.textContent = error.message;
    }
    made.disabled = false;
  });
  return made;
}

// A row of a list: what it is about, what is said of it, and what can be done.
export function row(name, facts, ...actions) {
  const made = element("li");
  const head = element("div");
  head.append(element("b", name));
  for (const fact of facts) {
    head.append(fact instanceof Node ? fact : element("span", fact, "quiet"));
  }
  const buttons = element("div", "", "buttons");
  buttons.append(...actions);
  made.append(head, buttons);
  return made;
}

export const none = () => element("li", t("settings.none"), "quiet");

// Copies the text of `code`, which is selected then, and says so on `made`.
export async function copy(code, made) {
  getSelection().selectAllChildren(code);
  // Over plain HTTP there is no clipboard, except by the old way.
  const done = await (navigator.clipboard?.writeText(code.textContent).then(() => true, () => false) ?? document.execCommand("copy"));
  made.textContent = t(done ? "settings.copied" : "settings.copy");
}

export const TIERS = ["raw", "minute", "hour", "day"];

// For how long a rule keeps what, in words.
export function periods(rule) {
  const said = TIERS.filter((tier) => rule[tier]);
  return said.map((tier) => t(`keeping.${tier}_for`, { period: period(rule[tier]) })).join(", ");
}

// Keeps a rule: tells before what goes by it, and whether it was kept then.
export async function keep(path, rule, device) {
  const { going, excess, archived } = await change("POST", "retention-preview", { ...rule, ...device });
  const goes = going.map(({ tier, before, readings }) => {
    const count = number(readings, { maximumSignificantDigits: 2 });
    const how = archived && tier === "raw" ? "archive" : tier;
    return t(`keeping.goes_${how}`, { time: dated(Date.parse(before)), count });
  });
  if (excess) {
    goes.push(t("keeping.goes_budget", { size: bytes(excess) }));
  }
  if (goes.length > 0 && !confirm([...goes, t("keeping.sure")].join("\n"))) {
    return undefined;
  }
  const kept = await change("PUT", path, rule);
  document.querySelector("#held").textContent = t("keeping.saved");
  return kept;
}

// What is written in fields, null where one is empty.
export const written = (fields) => Object.fromEntries([...fields].map(([key, value]) => [key, value.trim() || null]));

// A text that somebody takes along, with a button that copies it.
export function copyable(text, label) {
  const box = element("div", "", "copyable");
  const code = element("code", text);
  const made = element("button", t("settings.copy"));
  made.type = "button";
  made.setAttribute("aria-label", label);
  made.addEventListener("click", () => copy(code, made));
  box.append(code, made);
  return box;
}

// A button that hands `text` out as a file.
export function download(label, name, text) {
  const made = element("button", label);
  made.type = "button";
  made.addEventListener("click", () => {
    const link = document.createElement("a");
    link.href = URL.createObjectURL(new Blob([text], { type: "application/x-pem-file" }));
    link.download = name;
    link.click();
    setTimeout(() => URL.revokeObjectURL(link.href), 60_000);
  });
  return made;
}
