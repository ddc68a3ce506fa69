// How many of a device's expected readings are there, day by day, and the gaps.

import { button } from "./forms.js";
import { ask, change, element, of, oneByOne, session, title } from "./hub.js";
import { dated, locale, spoken, t, telling } from "./words.js";

const MOST_GAPS = 10;
const FINE = 99;
const BAD = 90;
// Shorter times without the hub (s), in which nothing is missing, are those of an update.
const WORTH_SAYING = 60;
const AGAIN = 5 * 60_000;

const find = (selector) => document.querySelector(selector);
let device;

// What else there is to say of a day: why readings are missing, and what became of others.
function notesOf({ hub_down, hub_missing, arrived }) {
  const notes = [];
  if (hub_down >= WORTH_SAYING || hub_missing) {
    notes.push(t("quality.hub_down", { time: spoken(hub_down) }));
  }
  for (const what of ["duplicate", "rejected", "discarded"]) {
    if (arrived?.[what]) {
      notes.push(t(`quality.${what}`, { count: arrived[what] }));
    }
  }
  return notes.map((one) => element("span", one, "note"));
}

function dayOf(found) {
  const { date, received, expected, missing, share } = found;
  const row = element("li");
  const day = new Date(`${date}T12:00`);
  const short = { weekday: "short", day: "numeric", month: "short" };
  row.append(element("span", day.toLocaleDateString(locale, short), "quiet"));
  const notes = notesOf(found);
  if (share === null) {
    const count = element("span", t("quality.received", { count: received }), "note");
    row.append(element("b", "–"), count, ...notes);
    return row;
  }
  const bar = element("meter");
  Object.assign(bar, { max: 100, low: BAD, high: FINE, optimum: 100, value: share });
  const counts = { there: expected - missing, expected };
  const shown = t("quality.share", { share });
  bar.setAttribute("aria-hidden", "true");
  row.append(element("b", shown), bar, element("span", t("quality.counts", counts), "note"), ...notes);
  return row;
}

function gapOf(gap) {
  const to = gap.to === null ? t("quality.now") : dated(Date.parse(gap.to));
  const row = element("li");
  row.append(element("span", `${dated(Date.parse(gap.from))} – ${to}`, "quiet"));
  if (gap.missing) {
    row.append(element("b", t("quality.missing", { count: gap.missing })));
  }
  if (gap.hub_missing) {
    row.append(element("span", t("quality.hub_missing", { count: gap.hub_missing }), "quiet"));
  }
  return row;
}

// What is wrong now, as rules have found: nobody should have to look for it among events.
export const showAlerts = oneByOne(async () => {
  const open = (await ask("alerts")).filter((one) => one.device === device && one.ended === null);
  const told = open.length > 0 ? await telling("rules") : undefined;
  find("#firing").replaceChildren(...open.map(({ own_words, text }) => element("li", own_words ? text : told(text), "bad")));
});

async function show() {
  await showAlerts();
  const found = await ask(`${of(device)}/quality`);
  const metric = found.metric === null ? t("quality.nothing") : title(found.metric);
  const interval = found.interval === null ? "" : spoken(found.interval);
  const basis = find("#basis");
  basis.textContent = t(`quality.${found.basis}`, { metric, interval });
  if (found.basis === "estimated" && session.role === "admin") {
    const expect = async () => {
      await change("PATCH", of(device), { interval: Number(found.interval.toPrecision(3)) });
      await show();
    };
    basis.append(" ", button(t("quality.expect"), expect));
  }
  find("#days").replaceChildren(...found.days.map(dayOf));
  const weight = (gap) => gap.missing + gap.hub_missing;
  const worst = [...found.gaps].sort((a, b) => weight(b) - weight(a)).slice(0, MOST_GAPS);
  find("#gaps").replaceChildren(...worst.map(gapOf));
  find("#gap-count").textContent = t("quality.gaps", { count: found.gap_count });
  find("#gap-list").hidden = worst.length === 0;
  find("#completeness").hidden = found.metric === null;
}

let timer;

// Shows it now, and every few minutes while somebody looks.
export async function showQuality(name) {
  device = name;
  timer ??= setInterval(() => document.hidden || show().catch(() => {}), AGAIN);
  await show();
}
