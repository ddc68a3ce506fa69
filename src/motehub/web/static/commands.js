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

// Says beside a control what is under way.
function note() {
  const made = element("span", "", "note");
  made.setAttribute("role", "status");
  return made;
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
    this.note = note();
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

const pen = document.createElement("canvas").getContext("2d");

// A colour that somebody has written, as #rrggbb, or undefined.
function colourOf(text) {
  const found = ["#000000", "#ffffff"].map((ground) => {
    pen.fillStyle = ground;
    pen.fillStyle = text;
    return pen.fillStyle;
  });
  return found[0] === found[1] ? found[0] : undefined;
}

// A colour that is sent to a lamp. Lamps report nothing: what they were told last is shown.
export class Colour {
  constructor(device, label) {
    this.device = device;
    this.input = element("input");
    this.input.type = "color";
    this.input.setAttribute("aria-label", label);
    this.note = note();
    this.input.addEventListener("change", () => this.turn());
  }

  async load() {
    for (const command of (await ask(`${of(this.device)}/commands`)).reverse()) {
      this.tell(command);
    }
  }

  async turn() {
    this.say("pending", t("command.pending"));
    try {
      this.tell(await give(this.device, { payload: this.input.value }));
    } catch (error) {
      this.say("bad", error.message);
    }
  }

  tell(command) {
    const colour = command.payload === null ? undefined : colourOf(command.payload);
    if (colour === undefined || !isLater(command, this.command)) {
      return;
    }
    this.command = command;
    this.input.value = colour;
    const [kind, text] = standing(command);
    this.say(kind, text);
  }

  say(kind, text) {
    this.note.className = `note ${kind}`;
    this.note.textContent = text;
  }
}
