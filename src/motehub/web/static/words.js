// The words of the reader's language, and how numbers and times are written in it.

export const language = document.documentElement.lang;

const { default: messages, said } = await import(`./languages/${language}.js`);

// What the browser prefers of that language (fr-CH), or the language itself.
export const locale = navigator.languages.find((one) => one.split("-")[0] === language) ?? language;

const plural = new Intl.PluralRules(language);
const place = /\{(\w+)\}/g;

export const number = (value, how) => value.toLocaleString(locale, how);

const UNITS = { millisecond: 1, second: 120, minute: 7200, hour: 172_800, day: Infinity };
const EACH = [0.001, 1, 60, 3600, 86_400];

// A time in seconds as people say it.
export function spoken(seconds, unitDisplay = "long") {
  const i = Object.values(UNITS).findIndex((end) => seconds < end);
  const unit = Object.keys(UNITS)[i];
  return number(seconds / EACH[i], { style: "unit", unit, unitDisplay, maximumSignificantDigits: 3 });
}

// A message, with `values` put in where it has their names; `count` chooses among its forms.
export function t(key, values = {}) {
  const message = messages[key] ?? key;
  const text = typeof message === "string" ? message : (message[plural.select(values.count)] ?? message.other);
  return text.replace(place, (_, name) => {
    const value = values[name];
    return typeof value === "number" ? number(value) : value;
  });
}

// A message if there is one, or else `text`: for words that come from elsewhere.
export const known = (key, text) => (messages[key] === undefined ? text : t(key));

// Longer texts are not looked up: what a device has said may be in them.
const LONGEST = 1000;
const patterns = new Map();

// What stands in a text between the parts of a shape, and the full stop behind: some texts are said
// as sentences of their own. Undefined of another text.
function putInto([first, ...others], text) {
  const found = [text];
  const last = others.pop();
  let begin = first.length;
  let end = text.startsWith(first) ? 0 : -1;
  for (const part of others) {
    end = end < 0 ? end : text.indexOf(part, begin);
    found.push(text.slice(begin, end));
    begin = end + part.length;
  }
  const stop = end < 0 ? undefined : [".", ""].find((one) => text.slice(begin).endsWith(last + one));
  return stop === undefined ? stop : [...found, text.slice(begin, text.length - (last + stop).length), stop];
}

// What leaves least open comes first.
const shapes = (words) =>
  Object.keys(words)
    .filter((one) => one.includes("{}"))
    .sort((a, b) => b.replaceAll("{}", "").length - a.replaceAll("{}", "").length)
    .map((one) => [one.split("{}"), words[one]]);

// Tells also why payloads are rejected ("reasons") or when rules fire ("rules"), which few need.
export async function telling(about) {
  const { default: more } = await import(`./languages/${language}.${about}.js`);
  const words = { ...said, ...more };
  return (text) => told(text, words);
}

// What the hub says in English, in the reader's language as far as it is known there.
export function told(text, words = said) {
  if (words[text] !== undefined || text.length > LONGEST) {
    return words[text] ?? text;
  }
  if (text.endsWith(".") && words[text.slice(0, -1)] !== undefined) {
    return `${words[text.slice(0, -1)]}.`;
  }
  if (!patterns.has(words)) {
    patterns.set(words, shapes(words));
  }
  for (const [shape, there] of patterns.get(words)) {
    const found = putInto(shape, text);
    if (found !== undefined) {
      const part = (i) => told(found[i].replace(/^(['"])(.*)\1$/s, "$2"), words);
      return there.replace(/\{(\d)\}/g, (_, i) => part(i)) + found.at(-1);
    }
  }
  return text;
}

// A moment (ms since 1970) with its day.
export const dated = (time) => new Date(time).toLocaleString(locale);

// A moment (ms since 1970): the time alone when it is today's.
export function moment(time) {
  const when = new Date(time);
  const today = when.toDateString() === new Date().toDateString();
  return today ? when.toLocaleTimeString(locale) : when.toLocaleString(locale);
}
