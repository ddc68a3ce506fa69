// Commands to devices: pending until the hub says what has become of them.

import { ask, change, element, of } from "./hub.js";
import { known, t, told } from "./words.js";

export function give(device, body) {
  return change("POST", `${of(device)}/commands`, body);
}

// Where a command stands: a word for the style, and a text.
export function standing({ state, over, reason }) {
  if (!over) {
    return ["pending", t(state === "sent" ? "command.sent" : "command.unsent")];
  }
  if (state === "failed" || state === "expired") {
    return ["bad", t("command.failed", { reason: told(reason) })];
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

// What people set on a page, and its note: what is under way.
class Control {
  constructor(device, metric, tag, label) {
    this.device = device;
    this.metric = metric;
    this.button = element(tag);
    this.button.setAttribute("aria-label", label);
    this.note = element("span", "", "note");
    this.note.setAttribute("role", "status");
  }

  async order(body) {
    this.say("pending", t("command.pending"));
    try {
      this.tell(await give(this.device, body));
      return true;
    } catch (error) {
      this.say("bad", error.message);
      return false;
    }
  }

  // Takes note of a command that is about this; tells whether it is news.
  follow(command) {
    if (!isLater(command, this.command)) {
      return false;
    }
    this.command = command;
    const [kind, text] = standing(command);
    this.say(kind, text);
    return true;
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

// A switch shows what the device reports.
class Switch extends Control {
  constructor(device, metric, label) {
    super(device, metric, "button", label);
    this.button.type = "button";
    this.button.setAttribute("role", "switch");
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
    if (!(await this.order({ name: this.metric, value: this.on ? 0 : 1 }))) {
      this.button.disabled = false;
    }
  }

  tell(command) {
    if (command.name === this.metric && this.follow(command)) {
      this.button.disabled = !command.over;
    }
  }
}

const pen = document.createElement("canvas").getContext("2d");

// A colour that somebody has written, as #rrggbb, or undefined.
function colourOf(text) {
  const found = ["#000000", "#ffffff"].map((ground) => {
    pen.fillStyle = ground;
    pen.fillStyle = text;
    return pen.fillStyle;
  });
  return typeof text === "string" && found[0] === found[1] ? found[0] : undefined;
}

// A colour: what the device reports as `metric`. A lamp without one gets it as a payload and reports
// nothing; what has last arrived there is shown.
export class Colour extends Control {
  constructor(device, metric, label) {
    super(device, metric, "input", label);
    this.button.type = "color";
    this.button.addEventListener("change", () => this.paint());
    this.report("#ffffff");
  }

  report(value) {
    this.shown = colourOf(value) ?? this.shown;
    this.button.value = this.shown;
  }

  async paint() {
    const { value } = this.button;
    const body = this.metric === undefined ? { payload: value } : { name: this.metric, value };
    if (!(await this.order(body))) {
      this.report(this.shown);
    }
  }

  // Hears of all commands that the device has been given.
  async load() {
    for (const command of (await ask(`${of(this.device)}/commands`)).reverse()) {
      this.tell(command);
    }
  }

  tell(command) {
    const mine = this.metric === undefined || command.name === this.metric;
    const colour = colourOf(this.metric === undefined ? command.payload : command.value);
    if (!mine || colour === undefined || !this.follow(command)) {
      return;
    }
    if (!command.over) {
      this.button.value = colour;
    } else if (this.metric === undefined && standing(command)[0] === "good") {
      this.report(colour);
    } else {
      this.report(this.shown);
    }
  }
}

// Returns what sets a series, if it is one that people set on a page.
export function controlOf(device, { metric, kind }, label) {
  if (kind === "text") {
    return metric === "colour" || metric === "color" ? new Colour(device, metric, label) : undefined;
  }
  return metric === "led" ? new Switch(device, metric, label) : undefined;
}
