// Cards in groups by the first label of their devices, in an order that everybody chooses alone.

import { ask, change, complain, element } from "./hub.js";
import { t } from "./words.js";

const place = document.querySelector("#devices");
const told = document.querySelector("#moved");
const groups = new Map();
let order = new Map();
// What was moved here is kept when this is done.
let kept = Promise.resolve();
let moving;

const isMoving = () => moving?.isConnected;

function setOrder(names) {
  order = new Map(names.map((name, i) => [name, i]));
}

// Returns what takes the names of devices in the order that whoever is logged in has from now on,
// and tells whether it did: not if a row was moved here meanwhile.
export async function ordering() {
  let before;
  do {
    before = kept;
    await before;
  } while (before !== kept);
  return (names) => before === kept && !setOrder(names);
}

const rank = (card) => order.get(card.name) ?? Infinity;
const compare = (a, b) => rank(a) - rank(b) || a.name.localeCompare(b.name);

function group(label) {
  let one = groups.get(label);
  if (one === undefined) {
    one = { label, section: element("section"), list: element("ul", "", "cards") };
    one.heading = element("h3", label === "" ? t("overview.others") : label, "group");
    one.list.setAttribute("aria-label", one.heading.textContent);
    one.section.append(one.heading, one.list);
    groups.set(label, one);
    // Those without a label come last.
    const after = [...groups.values()]
      .filter((other) => other.label !== "" && (label === "" ? false : other.label.localeCompare(label) > 0))
      .sort((a, b) => a.label.localeCompare(b.label))[0];
    place.insertBefore(one.section, after?.section ?? (label === "" ? null : groups.get("")?.section ?? null));
  }
  return one;
}

// Puts the row of a card where it belongs.
export function arrange(card) {
  const { list } = group(card.device.labels?.[0] ?? "");
  if (card.row.parentElement === list && isMoving()) {
    return;
  }
  const after = [...list.children].find((row) => row !== card.row && compare(row.card, card) > 0);
  if (card.row.parentElement !== list || card.row.nextElementSibling !== (after ?? null)) {
    list.insertBefore(card.row, after ?? null);
  }
}

// Puts all rows where they belong since another page has moved one, unless one is being moved here.
export async function rearrange() {
  let take;
  do {
    take = await ordering();
  } while (!take((await ask("session/arrangement")).devices));
  if (!isMoving()) {
    for (const { list } of groups.values()) {
      const rows = [...list.children].sort((a, b) => compare(a.card, b.card));
      // What has the focus keeps it while nothing moves.
      if (rows.some((row, i) => list.children[i] !== row)) {
        list.append(...rows);
      }
    }
  }
}

// Shows the groups that have something to show.
export function tidy() {
  for (const [label, { section, heading, list }] of groups) {
    if (list.children.length === 0) {
      section.remove();
      groups.delete(label);
    } else {
      section.hidden = [...list.children].every((row) => row.hidden);
      heading.hidden = groups.size === 1 && label === "";
    }
  }
}

function keep() {
  const devices = [...place.querySelectorAll(".card")].map(({ card }) => card.name);
  setOrder(devices);
  kept = kept.then(() => change("PUT", "session/arrangement", { devices })).catch(complain);
}

// Moves a row before or after another one of its group.
function move(row, other) {
  const rows = [...row.parentElement.children];
  if (rows.indexOf(other) < rows.indexOf(row)) {
    other.before(row);
  } else {
    other.after(row);
  }
}

// Returns the handle by which a card is moved: with a pointer, or with the arrow keys.
export function handle(card) {
  const grip = element("button", "⠿", "grip");
  grip.type = "button";
  grip.setAttribute("aria-label", t("overview.move", { name: card.name }));
  grip.addEventListener("pointerdown", (event) => {
    grip.setPointerCapture(event.pointerId);
    moving = card.row;
    moving.classList.add("moving");
  });
  grip.addEventListener("pointermove", ({ clientX, clientY }) => {
    if (moving !== card.row) {
      return;
    }
    const other = document.elementFromPoint(clientX, clientY)?.closest(".card");
    if (other && other !== card.row && other.parentElement === card.row.parentElement) {
      move(card.row, other);
    }
  });
  grip.addEventListener("lostpointercapture", () => {
    card.row.classList.remove("moving");
    moving = undefined;
    keep();
  });
  grip.addEventListener("keydown", (event) => {
    const back = event.key === "ArrowLeft" || event.key === "ArrowUp";
    if (!back && event.key !== "ArrowRight" && event.key !== "ArrowDown") {
      return;
    }
    event.preventDefault();
    const rows = [...card.row.parentElement.children].filter((row) => !row.hidden);
    const other = rows[rows.indexOf(card.row) + (back ? -1 : 1)];
    if (other !== undefined) {
      move(card.row, other);
      grip.focus();
      const at = rows.indexOf(other) + 1;
      told.textContent = t("overview.moved", { name: card.name, at, count: rows.length });
      keep();
    }
  });
  return grip;
}
