// The words of the reader's language, and how numbers and times are written in it.

export const language = document.documentElement.lang;

const { default: messages, said } = await import(`./languages/${language}.js`);

// What the browser prefers of that language (fr-CH), or the language itself.
export const locale = navigator.languages.find((one) => one.split("-")[0] === language) ?? language;

const plural = new Intl.PluralRules(language);
const place = /\{(\w+)\}/g;

export const number = (value, how) => value.toLocaleString(locale, how);

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
let patterns;

function pattern(text) {
  const parts = text.split("{}").map((part) => part.replace(/[.*+?^${}()|[\]\\]/g, "\\$&"));
  // Some texts are said as sentences of their own, with a full stop.
  return new RegExp(`^${parts.join("(.*?)")}(\\.?)$`, "s");
}

// What the hub says in English, in the reader's language as far as it is known there.
export function told(text) {
  if (said[text] !== undefined || text.length > LONGEST) {
    return said[text] ?? text;
  }
  if (text.endsWith(".") && said[text.slice(0, -1)] !== undefined) {
    return `${said[text.slice(0, -1)]}.`;
  }
  // What leaves least open comes first.
  patterns ??= Object.keys(said)
    .filter((one) => one.includes("{}"))
    .sort((a, b) => b.replaceAll("{}", "").length - a.replaceAll("{}", "").length)
    .map((one) => [pattern(one), said[one]]);
  for (const [shape, words] of patterns) {
    const found = shape.exec(text);
    if (found !== null) {
      return words.replace(/\{(\d)\}/g, (_, i) => told(found[i].replace(/^(['"])(.*)\1$/s, "$2"))) + found.at(-1);
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
