// What people did, newest first.

import { none } from "./forms.js";
import { ask, complain, element } from "./hub.js";
import { known, moment, t, told } from "./words.js";

const words = document.querySelector("#words");

// The rest of what was done: names of fields, and what they are.
const FIELD = /(^|, )(\w+): (\w*)/g;
const field = (_, before, key, value) =>
  before + known(`deed.of_${key}`, `${key}: `) + known(`deed.${key}_is_${value}`, value);

function shown({ time, who, way, deed, subject, detail }) {
  const made = element("li");
  const when = element("time", moment(Date.parse(time)), "quiet");
  when.dateTime = time;
  const how = t(`settings.way_${way.replace(" ", "_")}`);
  const did = known(`deed.${deed}`, deed.replaceAll("_", " "));
  made.append(when, " ", element("b", told(who)), ` ${did} `, element("b", subject), ` ${detail.replace(FIELD, field)} `);
  made.append(element("span", `(${how})`, "quiet"));
  return made;
}

function select() {
  const parts = words.value.toLowerCase().split(/\s+/).filter(Boolean);
  for (const one of document.querySelectorAll("#deeds li")) {
    const text = one.textContent.toLowerCase();
    one.hidden = !parts.every((part) => text.includes(part));
  }
}

async function list() {
  const rows = await ask("audit?limit=1000");
  document.querySelector("#deeds").replaceChildren(...(rows.length > 0 ? rows.map(shown) : [none()]));
}

words.addEventListener("input", select);
list().catch(complain);
