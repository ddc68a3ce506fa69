// What an administrator decides about a device that may not write: a form for its card.

import { change, element, of } from "./hub.js";
import { t } from "./words.js";

// `done` is called when the hub has carried it out; `suggested` is a name for the device.
export function decision({ name, pending, suggested = name }, done) {
  const form = element("form", "", "decision");
  const label = element("label", t("overview.name"));
  const input = element("input");
  input.value = suggested;
  input.maxLength = 64;
  input.required = true;
  label.append(input);
  const wrong = element("p", "", "bad");
  wrong.setAttribute("role", "alert");
  const buttons = element("div", "", "buttons");
  const accept = element("button", t("overview.accept"));
  const block = element("button", t("overview.block"), "plain");
  block.type = "button";
  buttons.append(accept, ...(pending ? [block] : []));
  form.append(label, buttons, wrong);
  const decide = async (how, body) => {
    accept.disabled = block.disabled = true;
    try {
      await change("POST", `${of(name)}/${how}`, body);
      await done();
    } catch (error) {
      wrong.textContent = error.message;
    }
    accept.disabled = block.disabled = false;
  };
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    decide("accept", input.value === name ? {} : { name: input.value });
  });
  block.addEventListener("click", () => decide("block"));
  return form;
}
