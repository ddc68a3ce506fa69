// Devices of whose alerts nobody is told for a while.

import { button, none, onSubmit, row } from "./forms.js";
import { ask, change, complain, mayControl, of, oneByOne } from "./hub.js";
import { moment, t } from "./words.js";

const HOUR = 3_600;
const find = (selector) => document.querySelector(selector);

async function maintain(device, seconds) {
  await change("PUT", `${of(device)}/maintenance`, { seconds });
  await list();
}

const list = oneByOne(async () => {
  const rows = (await ask("maintenance")).map(({ device, until }) => {
    const end = button(t("alerts.maintain_end"), () => maintain(device, 0));
    return row(device, [t("alerts.maintained", { time: moment(Date.parse(until)) })], ...(mayControl ? [end] : []));
  });
  find("#maintained").replaceChildren(...(rows.length > 0 ? rows : [none()]));
});

async function offer() {
  const devices = await ask("devices");
  find("#maintain select").replaceChildren(...devices.map(({ name }) => new Option(name, name)));
}

export function showMaintenance() {
  if (mayControl) {
    find("#maintain").hidden = false;
    onSubmit(find("#maintain"), (fields) => maintain(fields.get("device"), Number(fields.get("hours")) * HOUR));
    offer().catch(complain);
  }
  list().catch(complain);
}
