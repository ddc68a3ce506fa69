// Back-ups: when the last one was made, and one to download.

import { bytes } from "./health.js";
import { onSubmit } from "./forms.js";
import { ask, change, complain, element } from "./hub.js";
import { dated, t } from "./words.js";

const find = (selector) => document.querySelector(selector);

async function show() {
  const { last, busy } = await ask("backups");
  const text = last === null ? t("settings.backup_none") : t("settings.backup_last", { time: dated(Date.parse(last.time)), size: bytes(last.size) });
  find("#last").textContent = busy ? t("settings.backup_busy") : text;
}

onSubmit(find("form"), async () => {
  find("#done").textContent = t("settings.backup_making");
  try {
    const { path } = await change("POST", "backups");
    // The browser writes it to the disk as it comes.
    Object.assign(element("a"), { href: path, download: "" }).click();
    find("#done").textContent = t("settings.backup_begun");
  } catch (error) {
    find("#done").textContent = "";
    throw error;
  }
});

show().catch(complain);
