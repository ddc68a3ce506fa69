// The condition of the hub, looked at again and again.

import { bytes, findings, lasting } from "./health.js";
import { ask, complain, element, mayDecide } from "./hub.js";
import { dated, known, moment, number, t } from "./words.js";

const SECONDS = 2;
const SOON = 30 * 86_400_000;
const find = (selector) => document.querySelector(selector);

function advice({ level, text, mend }) {
  const made = element("li", "", level);
  made.append(element("b", text), element("span", mend));
  return made;
}

function facts(...pairs) {
  return pairs.map(([what, value]) => {
    const group = element("div");
    group.append(element("dt", t(`health.${what}`)), element("dd", value ?? "–"));
    return group;
  });
}

function cell(content) {
  const made = element("td");
  made.append(content);
  return made;
}

function table(where, heads, rows) {
  const head = element("tr");
  head.append(...heads.map((one) => Object.assign(element("th", t(`health.${one}`)), { scope: "col" })));
  const lines = rows.map(([name, ...cells]) => {
    const line = element("tr");
    line.append(Object.assign(element("th", name), { scope: "row" }), ...cells.map(cell));
    return line;
  });
  find(where).replaceChildren(head, ...lines);
}

// Seconds of a commit, which are few.
const short = (seconds) =>
  seconds === null ? "–" : number(seconds * 1000, { style: "unit", unit: "millisecond", maximumSignificantDigits: 3 });

const size = (count) => (count === null || count === undefined ? undefined : bytes(count));

function show(health) {
  const { speed, sizes, growth, journal, consumers, listeners, connections, transports, troubles, versions, backup } = health;
  const found = findings(health);
  const well = element("li", "", "well");
  well.append(element("b", t("health.well")));
  find("#findings").replaceChildren(...(found.length > 0 ? found.map(advice) : [well]));
  find("#numbers").replaceChildren(
    ...facts(
      ["rate", number(speed.readings_per_second)],
      ["commit", short(speed.commit_median)],
      ["commit_longest", short(speed.commit_longest)],
      ["journal_size", size(sizes.journal)],
      ["history_size", size(sizes.history)],
      ["growth", size(growth?.history)],
      ["archive_size", size(consumers.history?.retention?.archive?.bytes)],
      ["free", size(sizes.free)],
      ["backup", backup ? dated(Date.parse(backup.time)) : undefined],
      ["journal_head", number(journal.head)],
      ["up", lasting((Date.now() - Date.parse(health.since)) / 1000)],
    ),
  );
  table(
    "#consumers",
    ["name", "behind", "age", "restarts", "trouble"],
    Object.entries(consumers).map(([name, one]) => [
      known(`health.consumer_${name}`, name),
      number(one.behind),
      one.age === null ? "–" : lasting(one.age),
      number(one.restarts),
      one.trouble ?? t("health.no_trouble"),
    ]),
  );
  // The ports of a transport share its counters.
  const of = (name) => connections[name] ?? (transports[name] === undefined ? undefined : 0);
  const refused = (name) =>
    Object.entries(transports[name] ?? {}).reduce((sum, [what, count]) => sum + (what.startsWith("refused") ? count : 0), 0);
  table(
    "#listeners",
    ["name", "port", "tls", "open", "refused"],
    Object.entries(listeners).map(([name, { port, tls }]) => [
      name,
      `${port}`,
      t(tls ? "health.yes" : "health.no"),
      of(name) === undefined ? t("health.shared") : number(of(name)),
      transports[name] === undefined ? "" : number(refused(name)),
    ]),
  );
  find("#troubled").hidden = troubles === undefined;
  const rows = (troubles ?? []).map((one) => {
    const made = element("li");
    const when = element("time", moment(Date.parse(one.time)), "quiet");
    made.append(when, element("b", one.event, one.level === "warning" ? "pending" : "bad"), element("span", one.detail));
    return made;
  });
  find("#troubles").replaceChildren(...(rows.length > 0 ? rows : [element("li", t("settings.none"), "quiet")]));
  find("#versions").replaceChildren(
    ...facts(["motehub", health.version], ["python", versions.python], ["sqlite", versions.sqlite], ["system", versions.system], ["store", health.store]),
  );
}

async function look() {
  if (document.hidden) {
    return;
  }
  try {
    show(await ask("health"));
    find("#state").textContent = "";
  } catch (error) {
    complain(error);
  }
}

// Until when certificates are good: those that end first.
async function expiries() {
  const all = await ask("certificates");
  all.sort((a, b) => a.not_after.localeCompare(b.not_after));
  find("#expiring").hidden = false;
  table(
    "#expiries",
    ["name", "expires", "left"],
    all.map(({ kind, name, not_after: end }) => {
      const left = (Date.parse(end) - Date.now()) / 1000;
      const cell = element("span", left > 0 ? lasting(left) : t("health.over"));
      cell.className = left <= 0 ? "bad" : left * 1000 < SOON ? "pending" : "";
      return [kind === "client" ? name : t(`settings.kind_${kind}`), dated(Date.parse(end)), cell];
    }),
  );
}

if (mayDecide) {
  expiries().catch(complain);
}

for (;;) {
  await look();
  await new Promise((done) => setTimeout(done, SECONDS * 1000));
}
