// Alerts, and the rules that make them.

import { button, none, row } from "./forms.js";
import { ask, change, complain, element, follow, oneByOne, session } from "./hub.js";
import { showMaintenance } from "./maintenance.js";
import { begin, kindOf, setUp } from "./rule.js";
import { moment, t, telling } from "./words.js";

const HOUR = 3_600;
const SHOWN = 50;
const AGAIN = 15_000;
const find = (selector) => document.querySelector(selector);
const at = (time) => moment(Date.parse(time));

const words = telling("rules");

function alertRow(alert, told) {
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
      setTimeout(() => look().catch(complain), 500);
    };
    actions.push(button(t("alerts.acknowledge"), answer("acknowledge")));
    actions.push(button(t("alerts.snooze"), answer("snooze", { seconds: 2 * HOUR })));
  }
  return row(alert.own_words ? alert.text : told(alert.text), facts, ...actions);
}

let known;
let knownRules;

async function listAlerts() {
  const [rows, told] = await Promise.all([ask(`alerts?all=true&limit=${SHOWN}`), words]);
  // A button that has the focus keeps it while nothing changes.
  if (known === (known = JSON.stringify(rows))) {
    return;
  }
  rows.sort((one, other) => (one.ended !== null) - (other.ended !== null));
  const shown = rows.length > 0 ? rows.map((one) => alertRow(one, told)) : [element("li", t("alerts.clear"), "quiet")];
  find("#alerts").replaceChildren(...shown);
}

function ruleRow(rule, told) {
  const facts = [told(rule.when), ...rule.devices, ...rule.labels, t(`alerts.origin_${rule.origin}`)];
  const path = `rules/${encodeURIComponent(rule.name)}`;
  const actions = [];
  if (rule.pending) {
    facts.push(element("span", t("alerts.pending", { count: rule.pending }), "bad"));
  }
  if (!rule.enabled) {
    facts.push(element("span", t("alerts.off"), "bad"));
  }
  if (session.role === "admin" && rule.origin !== "configuration") {
    const turn = async () => {
      await change("PATCH", path, { enabled: !rule.enabled });
      await look();
    };
    if (kindOf(rule) !== undefined) {
      actions.push(button(t("alerts.change"), () => begin(rule)));
    }
    actions.push(button(t(rule.enabled ? "alerts.switch_off" : "alerts.switch_on"), turn));
    if (rule.origin === "added") {
      const remove = async () => {
        await change("DELETE", path);
        await look();
      };
      actions.push(button(t("alerts.remove"), remove, t("alerts.remove_ask", { name: rule.name })));
    }
  }
  return row(rule.name, facts, ...actions);
}

async function listRules() {
  const [rules, told] = await Promise.all([ask("rules"), words]);
  if (knownRules === (knownRules = JSON.stringify(rules))) {
    return;
  }
  const rows = rules.map((one) => ruleRow(one, told));
  find("#rules").replaceChildren(...(rows.length > 0 ? rows : [none()]));
}

const look = oneByOne(() => Promise.all([listRules(), listAlerts()]));
if (session.role === "admin") {
  setUp(look);
}
showMaintenance();

follow({
  begin: look,
  event: ({ kind }) => kind === "alert" && look().catch(complain),
});
// Nobody is told when somebody answers one.
setInterval(() => document.hidden || look().catch(complain), AGAIN);
