// Commands to devices: pending until the hub says what has become of them.

import { ask, change, element, of } from "./hub.js";
import { known, t } from "./words.js";

export function give(device, body) {
  return change("POST", `${of(device)}/commands`, body);
}

// Where a command stands: a word for the style, and a text.
export function standing({ state, over, reason }) {
  if (!over) {
    return ["pending", t(state === "sent" ? "command.sent" : "command.unsent")];
  }
  if (state === "failed" || state === "expired") {
    return ["bad", t("command.failed", { reason })];
  }
  return ["good", known(`command.done_${state}`, state)];
}

// Whether `next` is later than `known`, both of one device.
export function isLater(next, known) {
  if (known === undefined || next.id !== known.id) {
    return known === undefined || next.id > known.id;
  }
  return next.changed >= known.changed && !known.over;
}

// A switch shows what the device reports, and its note what is under way.
export class Switch {
  constructor(device, metric, label) {
    this.device = device;
    this.metric = metric;
    this.button = element("button");
    this.button.type = "button";
    this.button.setAttribute("role", "switch");
    this.button.setAttribute("aria-label", label);
    this.note = element("span", "", "note");
    this.note.setAttribute("role", "status");
    this.button.addEventListener("click", () => this.turn());
    this.report(0);
  }

  report(value) {
    this.on = value !== 0;
    this.button.setAttribute("aria-checked", `${this.on}`);
    this.button.textContent = t(this.on ? "command.on" : "command.off");
  }

  async turn() {
    this.button.disabled = true;
    this.say("pending", t("command.pending"));
    try {
      this.tell(await give(this.device, { name: this.metric, value: this.on ? 0 : 1 }));
    } catch (error) {
      this.button.disabled = false;
      this.say("bad", error.message);
    }
  }

  tell(command) {
    if (command.name !== this.metric || !isLater(command, this.command)) {
      return;
    }
    this.command = command;
    this.button.disabled = !command.over;
    const [kind, text] = standing(command);
    this.say(kind, text);
  }

  // Asks what became of a command while nobody listened.
  async recheck() {
    if (this.command !== undefined && !this.command.over) {
      this.tell(await ask(`commands/${this.command.id}`));
    }
  }

  say(kind, text) {
    this.note.className = `note ${kind}`;
    this.note.textContent = text;
  }
}

// What the boards of device sessions switch. Others are commanded on their own page.
export const isSwitch = (metric) => metric === "led";
