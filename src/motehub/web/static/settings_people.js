// People: who they are, what they may do, and invitations.

import { button, copyable, onSubmit, row } from "./forms.js";
import { ask, change, complain, element, session } from "./hub.js";
import { dated, t } from "./words.js";

const ROLES = ["viewer", "operator", "admin"];
const find = (selector) => document.querySelector(selector);
const path = (name) => `users/${encodeURIComponent(name)}`;

function hand(name, code) {
  const box = find("#invitation");
  const link = `${location.origin}/invitation#${code}`;
  const text = element("p", t("settings.invitation_text", { name }));
  box.replaceChildren(text, copyable(link, t("settings.copy_link")));
  box.hidden = false;
}

function roles(user) {
  const made = element("select");
  made.setAttribute("aria-label", t("settings.role_of", { name: user.name }));
  made.append(...ROLES.map((role) => new Option(t(`settings.role_${role}`), role, false, role === user.role)));
  made.addEventListener("change", async () => {
    find("#wrong").textContent = "";
    try {
      await change("PATCH", path(user.name), { role: made.value });
    } catch (error) {
      find("#wrong").textContent = error.message;
    }
    await list();
  });
  return made;
}

async function list() {
  const users = await ask("users");
  const rows = users.map((user) => {
    const { name } = user;
    const facts = [t("settings.since", { time: dated(Date.parse(user.created)) })];
    if (user.invited) {
      facts.push(element("span", t("settings.invited"), "pending"));
    }
    const invite = button(t(user.invited ? "settings.invite_again" : "settings.reset_password"), async () =>
      hand(name, (await change("POST", `${path(name)}/invitation`)).code),
    );
    const actions = [roles(user), invite];
    if (name !== session.name) {
      const out = button(t("settings.log_out_user"), () => change("DELETE", `${path(name)}/sessions`));
      const gone = async () => {
        await change("DELETE", path(name));
        await list();
      };
      actions.push(out, button(t("settings.remove"), gone, t("settings.remove_ask", { name })));
    }
    return row(name, facts, ...actions);
  });
  find("#people").replaceChildren(...rows);
}

onSubmit(find("form"), async (fields, form) => {
  const made = await change("POST", "users", Object.fromEntries(fields));
  form.reset();
  hand(made.name, made.code);
  await list();
});

list().catch(complain);
