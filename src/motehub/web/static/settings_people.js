// People: who they are, what they may do, and invitations.

import { button, copyable, onSubmit, row } from "./forms.js";
import { ask, change, complain, element, oneByOne, session } from "./hub.js";
import { dated, t, told } from "./words.js";

const ROLES = ["viewer", "operator", "admin"];
const find = (selector) => document.querySelector(selector);
const path = (name) => `users/${encodeURIComponent(name)}`;

function hand({ name, code, mailed, trouble }) {
  const box = find("#invitation");
  const link = `${location.origin}/invitation#${code}`;
  const parts = [element("p", t("settings.invitation_text", { name })), copyable(link, t("settings.copy_link"))];
  if (mailed) {
    parts.unshift(element("p", t("settings.mailed", { name }), "good"));
  } else if (trouble !== null) {
    parts.unshift(element("p", t("settings.not_mailed", { reason: told(trouble) }), "bad"));
  }
  box.replaceChildren(...parts);
  box.hidden = false;
}

let mails = false;

// Whether the hub can send an invitation, and does so if it is wanted.
const byMail = (email) => mails && email !== "" && confirm(t("settings.mail_ask", { email }));

async function address(user) {
  const email = prompt(t("settings.email_of", { name: user.name }), user.email);
  if (email !== null) {
    await change("PATCH", path(user.name), { email });
    await list();
  }
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

const list = oneByOne(async () => {
  const users = await ask("users");
  const rows = users.map((user) => {
    const { name } = user;
    const facts = [t("settings.since", { time: dated(Date.parse(user.created)) })];
    if (user.email !== "") {
      facts.push(user.email);
    }
    if (user.invited) {
      facts.push(element("span", t("settings.invited"), "pending"));
    }
    const invite = button(t(user.invited ? "settings.invite_again" : "settings.reset_password"), async () =>
      hand(await change("POST", `${path(name)}/invitation${byMail(user.email) ? "?mail=true" : ""}`)),
    );
    const email = button(t("settings.change_email"), () => address(user));
    const actions = [roles(user), invite, email];
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
});

onSubmit(find("form"), async (fields, form) => {
  const { mail, ...body } = Object.fromEntries(fields);
  const made = await change("POST", mail === undefined ? "users" : "users?mail=true", body);
  form.reset();
  hand(made);
  await list();
});

async function look() {
  mails = (await ask("notifications")).settings.mail !== null;
  find("#mailing").hidden = !mails;
}

Promise.all([list(), look()]).catch(complain);
