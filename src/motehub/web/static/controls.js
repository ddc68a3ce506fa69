// What people set on a page: switches and colours.

import { Switch, give, isLater, isSwitch, standing } from "./commands.js";
import { ask, element } from "./hub.js";

const COLOUR = /^#[0-9a-f]{6}$/i;
const NAMES = ["colour", "color"];

// A colour shows what the device reports, or else what it was told last; its note what is under way.
export class Colour {
  // Without `metric` the device gets the colour as a payload, and reports nothing.
  constructor(device, metric, label) {
    this.device = device;
    this.metric = metric;
    this.button = element("input");
    this.button.type = "color";
    this.button.setAttribute("aria-label", label);
    this.note = element("span", "", "note");
    this.note.setAttribute("role", "status");
    this.button.addEventListener("change", () => this.paint());
    this.report("#ffffff");
  }

  report(value) {
    if (COLOUR.test(value)) {
      this.button.value = value.toLowerCase();
      this.shown = this.button.value;
    }
  }

  async paint() {
    const value = this.button.value;
    this.say("pending", "pending…");
    try {
      const body = this.metric === undefined ? { payload: value } : { name: this.metric, value };
      this.tell(await give(this.device, body));
    } catch (error) {
      this.button.value = this.shown;
      this.say("bad", error.message);
    }
  }

  tell(command) {
    const value = this.metric === undefined ? command.payload : command.name === this.metric && command.value;
    if (!COLOUR.test(value) || !isLater(command, this.command)) {
      return;
    }
    this.command = command;
    const [kind, text] = standing(command);
    this.say(kind, text);
    if (kind === "bad") {
      this.button.value = this.shown;
    } else if (command.over && this.metric === undefined) {
      this.report(value);
    }
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

// Whether people set what is measured here, and with what.
export const isSet = ({ metric, kind }) => (kind === "text" ? NAMES.includes(metric) : isSwitch(metric));

export const control = (device, { metric, kind }, label) =>
  kind === "text" ? new Colour(device, metric, label) : new Switch(device, metric, label);

// Boards that the hub connects to, only to tell them something: lamps, as far as anybody knows.
export const isLamp = ({ dialect, online, admission }) =>
  dialect === "units" && online === null && admission === "accepted";
