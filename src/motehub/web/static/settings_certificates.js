// Certificates: of the hub's authority, of the hub, and with which devices log in.

import { button, download, onSubmit, row } from "./forms.js";
import { ask, change, complain, element, oneByOne } from "./hub.js";
import { dated, t } from "./words.js";

const SOON = 30 * 86_400_000;
const find = (selector) => document.querySelector(selector);

// For whom a certificate has just been made, and whether its key is still nowhere else.
let made = "";
let unsaved = false;

addEventListener("beforeunload", (event) => {
  if (unsaved) {
    event.preventDefault();
  }
});

function until(end) {
  const left = end - Date.now();
  const kind = left < 0 ? "bad" : left < SOON ? "pending" : "quiet";
  return element("span", t(left < 0 ? "settings.expired" : "settings.until", { time: dated(end) }), kind);
}

const list = oneByOne(async () => {
  const all = await ask("certificates");
  const rows = all.map(({ kind, name, not_after: end, fingerprint, covers }) => {
    const print = element("code", `SHA-256 ${fingerprint}`);
    const facts = [until(Date.parse(end)), ...(covers.length > 0 ? [covers.join(", ")] : []), print];
    if (kind !== "client") {
      return row(t(`settings.kind_${kind}`), facts);
    }
    const revoke = async () => {
      await change("DELETE", `certificates/${encodeURIComponent(name)}`);
      if (name === made) {
        find("#made").hidden = true;
        unsaved = false;
      }
      await list();
    };
    return row(name, facts, button(t("settings.revoke"), revoke, t("settings.revoke_ask", { name })));
  });
  find("#certificates").replaceChildren(...rows);
});

onSubmit(find("form"), async (fields, form) => {
  const { name, certificate, key, ca } = await change("POST", "certificates", { name: fields.get("name") });
  const files = element("div", "", "buttons");
  const saving = download(t("settings.download_key"), `${name}.key`, key);
  saving.addEventListener("click", () => {
    unsaved = false;
  });
  made = name;
  unsaved = true;
  files.append(
    saving,
    download(t("settings.download_certificate"), `${name}.crt`, certificate),
    download(t("settings.authority"), "ca.crt", ca),
  );
  find("#made").replaceChildren(element("p", t("settings.certificate_text", { name })), files);
  find("#made").hidden = false;
  form.reset();
  await list();
});

async function names() {
  const all = await ask("devices");
  find("#names").replaceChildren(...all.map(({ name }) => new Option(name, name)));
}

async function authority() {
  const { ca } = await ask("certificates/authority");
  find("#authority").append(download(t("settings.authority"), "ca.crt", ca));
}

Promise.all([list(), names(), authority()]).catch(complain);
