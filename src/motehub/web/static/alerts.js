// Alerts, the rules that make them, and a form for the commonest rule.

import { button, none, onSubmit, row } from "./forms.js";
import { ask, change, complain, element, session } from "./hub.js";
import { moment, t, told } from "./words.js";

const HOUR = 3_600;
const MINUTE = 60;
const SHOWN = 50;
const find = (selector) => document.querySelector(selector);
const at = (time) => moment(Date.parse(time));

function alertRow(alert) {
  const over = alert.ended !== null;
  const state = element("span", t(`alerts.state_${alert.state.replace(" ", "_")}`), over ? "good" : "bad");
  const facts = [state, t(over ? "alerts.over" : "alerts.since", { time: at(over ? alert.ended : alert.began) })];
  facts.push(t("alerts.rule", { name: alert.rule }), t(`alerts.severity_${alert.severity}`));
  if (alert.acknowledged_by !== null) {
    facts.push(t("alerts.acknowledged", { name: alert.acknowledged_by }));
  }
  if (alert.snoozed_until !== null) {
    facts.push(t("alerts.snoozed", { time: at(alert.snoozed_until) }));
  }
  const actions = [];
  if (!over && session.role !== "viewer" && alert.acknowledged === null) {
    const answer = (path, body) => async () => {
      await change("POST", `alerts/${alert.id}/${path}`, body);
      // What was answered is known to those who look after alerts a moment later.
      setTimeout(() => listAlerts().catch(complain), 500);
    };
    actions.push(button(t("alerts.acknowledge"), answer("acknowledge")));
    actions.push(button(t("alerts.snooze"), answer("snooze", { seconds: 2 * HOUR })));
  }
  return row(told(alert.text), facts, ...actions);
}

async function listAlerts() {
  const rows = await ask(`alerts?all=true&limit=${SHOWN}`);
  rows.sort((one, other) => (one.ended !== null) - (other.ended !== null));
  const shown = rows.length > 0 ? rows.map(alertRow) : [element("li", t("alerts.clear"), "quiet")];
  find("#alerts").replaceChildren(...shown);
}

function ruleRow(rule) {
  const facts = [told(rule.when), ...rule.devices, ...rule.labels, t(`alerts.origin_${rule.origin}`)];
  const path = `rules/${encodeURIComponent(rule.name)}`;
  const actions = [];
  if (!rule.enabled) {
    facts.push(element("span", t("alerts.off"), "bad"));
  }
  if (session.role === "admin" && rule.origin !== "configuration") {
    const turn = async () => {
      await change("PATCH", path, { enabled: !rule.enabled });
      await listRules();
    };
    actions.push(button(t(rule.enabled ? "alerts.switch_off" : "alerts.switch_on"), turn));
    if (rule.origin === "added") {
      const remove = async () => {
        await change("DELETE", path);
        await listRules();
      };
      actions.push(button(t("alerts.remove"), remove, t("alerts.remove_ask", { name: rule.name })));
    }
  }
  return row(rule.name, facts, ...actions);
}

async function listRules() {
  const rules = await ask("rules");
  find("#rules").replaceChildren(...(rules.length > 0 ? rules.map(ruleRow) : [none()]));
}

async function offer() {
  const devices = await ask("devices");
  for (const { name } of devices) {
    find("[name=device]").append(new Option(name, name));
  }
  const all = await Promise.all(devices.slice(0, 20).map(({ name }) => ask(`devices/${encodeURIComponent(name)}/series`)));
  const metrics = new Set(all.flat().filter(({ kind }) => kind === "gauge").map(({ metric }) => metric));
  find("#metrics").replaceChildren(...[...metrics].sort().map((one) => new Option(one)));
}

function ruleOf(fields) {
  const device = fields.get("device");
  const limit = Number(fields.get("limit"));
  const hold = Number(fields.get("minutes")) * MINUTE;
  const side = fields.get("side");
  return {
    name: fields.get("name"),
    devices: device === "" ? [] : [device],
    metric: fields.get("metric"),
    ...(side === "stuck" ? { stuck: limit * HOUR } : { [side]: limit, for: hold }),
    severity: fields.get("severity"),
  };
}

if (session.role === "admin") {
  const form = find("form");
  find("#adding").hidden = false;
  onSubmit(form, async (fields) => {
    const { hint } = await change("POST", "rules", ruleOf(fields));
    form.reset();
    find("#previewed").textContent = told(hint);
    await listRules();
  });
  find("#preview").addEventListener("click", async () => {
    if (!form.reportValidity()) {
      return;
    }
    const wrong = form.querySelector("[role=alert]");
    wrong.textContent = "";
    try {
      const { count } = await change("POST", "rule-preview", { ...ruleOf(new FormData(form)), from: "-7d" });
      find("#previewed").textContent = t("alerts.previewed", { count });
    } catch (error) {
      wrong.textContent = error.message;
    }
  });
  offer().catch(complain);
}

Promise.all([listAlerts(), listRules()]).catch(complain);
