// Reports: what is sent to whom and when, what became of it, and a form for the commonest ones.

import { button, none, onSubmit, row } from "./forms.js";
import { ask, change, complain, element } from "./hub.js";
import { locale, moment, t } from "./words.js";

const SHOWN = 20;
const find = (selector) => document.querySelector(selector);
const at = (time) => moment(Date.parse(time));
const path = (name) => `reports/${encodeURIComponent(name)}`;

// A page of its own that runs no script, in a tab of its own.
function look(text, name, format) {
  const made = element("a", text);
  made.href = `/api/v1/${path(name)}/preview?format=${format}`;
  made.target = "_blank";
  made.rel = "noopener";
  made.setAttribute("aria-label", `${text}: ${name}`);
  return made;
}

// The commonest schedules as people say them; others stay in the five fields of cron.
function often({ schedule, time_zone: zone }) {
  const found = /^(\d+) (\d+) (\*|1) \* (\*|[0-7])$/.exec(schedule);
  if (found === null || (found[3] === "1" && found[4] !== "*")) {
    return schedule;
  }
  const [, minute, hour, date, weekday] = found;
  // The seventh of January 2024 was a Sunday.
  const one = new Date(2024, 0, 7 + (Number(weekday) || 0), hour, minute);
  const time = one.toLocaleTimeString(locale, { hour: "numeric", minute: "2-digit" }) + (zone ? ` (${zone})` : "");
  if (weekday !== "*") {
    return t("reports.every_week", { time, day: one.toLocaleDateString(locale, { weekday: "long" }) });
  }
  return t(date === "1" ? "reports.every_month" : "reports.every_day", { time });
}

function facts(report) {
  const found = [often(report), report.recipients.join(", ")];
  if (report.next === null) {
    found.push(element("span", t("reports.off"), "bad"));
  } else {
    found.push(t("reports.next", { time: at(report.next) }));
  }
  const { last } = report;
  if (last?.time) {
    const text = t("reports.last", { time: at(last.time), result: last.result });
    found.push(element("span", text, last.ok ? "quiet" : "bad"));
  }
  if (last?.waiting) {
    found.push(element("span", t("reports.waiting", { count: last.waiting }), "pending"));
  }
  found.push(t(`reports.origin_${report.origin}`));
  return found;
}

function reportRow(report) {
  const { name } = report;
  const said = facts(report);
  const actions = [look(t("reports.preview"), name, "html"), look("PDF", name, "pdf")];
  const send = async () => {
    await change("POST", `${path(name)}/send`);
    // It takes a moment to be made.
    setTimeout(() => list().catch(complain), 4000);
  };
  actions.push(button(t("reports.send"), send));
  for (const { recipient, time } of report.left) {
    const back = async () => {
      await change("POST", `${path(name)}/recipients`, { recipient });
      await list();
    };
    said.push(element("span", t("reports.left", { name: recipient, time: at(time) }), "pending"));
    const again = button(t("reports.again"), back);
    again.setAttribute("aria-label", `${t("reports.again")}: ${recipient}`);
    actions.push(again);
  }
  if (report.origin === "added") {
    const turn = async () => {
      await change("PATCH", path(name), { enabled: !report.enabled });
      await list();
    };
    const remove = async () => {
      await change("DELETE", path(name));
      await list();
    };
    actions.push(button(t(report.enabled ? "reports.switch_off" : "reports.switch_on"), turn));
    actions.push(button(t("reports.remove"), remove, t("reports.remove_ask", { name })));
  }
  return row(name, said, ...actions);
}

function letterRow(letter) {
  const state = t(`reports.state_${letter.state.replace(" ", "_")}`);
  const kind = { delivered: "good", waiting: "pending" }[letter.state] ?? "bad";
  const said = [letter.report, at(letter.created), element("span", state, kind)];
  if (letter.trouble !== null) {
    said.push(letter.trouble);
  }
  return row(letter.recipient, said);
}

async function list() {
  const [reports, letters] = await Promise.all([ask("reports"), ask(`report-letters?limit=${SHOWN}`)]);
  find("#reports").replaceChildren(...(reports.length > 0 ? reports.map(reportRow) : [none()]));
  find("#letters").replaceChildren(...(letters.length > 0 ? letters.map(letterRow) : [none()]));
}

async function offer() {
  for (const { name } of await ask("devices")) {
    find("[name=device]").append(new Option(name, name));
  }
}

const own = find("#own");
find("[name=often]").addEventListener("change", ({ target }) => {
  own.hidden = target.value !== "";
  own.firstElementChild.required = !own.hidden;
});

onSubmit(find("form"), async (fields, form) => {
  const some = (key) => (fields.get(key) === "" ? [] : [fields.get(key)]);
  await change("POST", "reports", {
    name: fields.get("name"),
    schedule: fields.get("often") || fields.get("schedule"),
    recipients: fields.get("recipients").split(/[,;]\s*/).map((one) => one.trim()).filter(Boolean),
    devices: some("device"),
    metrics: some("metric"),
    language: fields.get("language"),
    csv: fields.get("csv") !== null,
  });
  form.reset();
  own.hidden = true;
  await list();
});

list().catch(complain);
offer().catch(complain);
