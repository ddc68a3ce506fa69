// What the hub's condition means, in words: what is wrong, and what to do.

import { dated, number, t, told } from "./words.js";

const LOW_DISK = 500_000_000;
const LATE = 60;

// How long something has lasted, of seconds.
export function lasting(seconds) {
  const [size, unit] =
    seconds < 120 ? [1, "second"] : seconds < 7200 ? [60, "minute"] : seconds < 172_800 ? [3600, "hour"] : [86_400, "day"];
  return number(Math.round(seconds / size), { style: "unit", unit, unitDisplay: "long" });
}

export function bytes(size) {
  const [unit, name] = size < 1e9 ? [1e6, "megabyte"] : [1e9, "gigabyte"];
  return number(size / unit, { style: "unit", unit: name, maximumFractionDigits: 1 });
}

const PERIODS = { s: "second", m: "minute", h: "hour", d: "day", w: "week", y: "year" };

// A period as the API writes it ("90d", "forever") in words.
export function period(text) {
  const [, count, unit] = /^([\d.]+)\s*([smhdwy])$/.exec(text) ?? [];
  if (unit === undefined) {
    return text === "forever" ? t("keeping.forever") : text;
  }
  return number(Number(count), { style: "unit", unit: PERIODS[unit], unitDisplay: "long" });
}

// What is to be said of a clock that the hub doubts: the key of the words, and what they name.
export function doubt({ clock, believed, hours }) {
  const [says, knows] = [Date.parse(clock), Date.parse(believed)];
  const values = { clock: dated(says), believed: dated(knows), time: lasting(hours * 3600) };
  return [says > knows ? "clock" : "clock_back", values];
}

// What is to be said of a hub, the worst first; nothing when all is well.
export function findings({ journal, consumers = {}, sizes, writer, devices_pending: pending }) {
  const found = [];
  const say = (level, what, values = {}) =>
    found.push({ level, text: t(`health.${what}`, values), mend: t(`health.${what}_mend`, values) });
  if (journal.held_back !== null) {
    say("problem", "held_back", { reason: told(journal.held_back) });
  }
  const archive = consumers.history?.retention?.archive;
  if (archive?.trouble) {
    say("warning", "archive", { reason: told(archive.trouble) });
  }
  for (const [name, { pid, trouble, behind, age, undelivered = [] }] of Object.entries(consumers)) {
    const history = name === "history";
    if (trouble !== null) {
      say(history ? "problem" : "warning", history ? "history_away" : "consumer_away", { name, reason: trouble });
    } else if (pid === null) {
      say("warning", "consumer_dead", { name });
    } else if (behind > 0 && (age ?? 0) > LATE) {
      say("warning", "consumer_late", { name, time: lasting(age) });
    }
    for (const one of undelivered) {
      say("warning", `undelivered_${one.kind}`, { name: one.name, reason: told(one.reason) });
    }
  }
  if (sizes !== undefined && sizes.free < LOW_DISK) {
    say("warning", "disk", { size: bytes(sizes.free) });
  }
  const { trouble, budget_cut: cut, clock } = writer?.retention ?? {};
  if (clock) {
    say("warning", ...doubt(clock));
  }
  if (trouble) {
    say("problem", "full");
  } else if (cut) {
    say("warning", "budget", { time: dated(Date.parse(cut)) });
  }
  if (pending > 0) {
    say("hint", "pending", { count: pending });
  }
  return found.sort((a, b) => LEVELS.indexOf(a.level) - LEVELS.indexOf(b.level));
}

const LEVELS = ["problem", "warning", "hint"];
