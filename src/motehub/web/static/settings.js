// One's own account: the language, the password, and where one is logged in.

import { button, none, onSubmit, row } from "./forms.js";
import { ask, change, complain, element, session } from "./hub.js";
import { dated, t, told } from "./words.js";

const find = (selector) => document.querySelector(selector);

// --- language

find("#language").value = session.language;
find("#language").addEventListener("change", async ({ target }) => {
  try {
    await change("PATCH", "session", { language: target.value });
    location.reload();
  } catch (error) {
    complain(error);
  }
});

// --- password

find("#password").elements.name.value = session.name;

// Not as everything else: here 401 is about the password.
async function put(path, what) {
  const headers = { "Content-Type": "application/json", "X-CSRF-Token": session.csrf };
  const answer = await fetch(`/api/v1/session/${path}`, { method: "PUT", headers, body: JSON.stringify(what) });
  const document = await answer.json();
  if (answer.status === 429) {
    throw new Error(t("people.too_many", { count: Number(answer.headers.get("retry-after")) }));
  }
  if (!answer.ok) {
    throw new Error(answer.status === 401 ? t("settings.wrong_password") : told(document.detail));
  }
  session.csrf = document.csrf;
}

onSubmit(find("#password"), async (fields, form) => {
  find("#changed").textContent = "";
  await put("password", { old: fields.get("old"), new: fields.get("new") });
  form.reset();
  find("#changed").textContent = t("settings.password_changed");
  await list();
});

// --- mail address

find("#email").elements.email.defaultValue = session.email;
onSubmit(find("#email"), async (fields, form) => {
  find("#moved").textContent = "";
  await put("email", Object.fromEntries(fields));
  form.elements.password.value = "";
  find("#moved").textContent = t("settings.email_changed");
});

// --- sessions

// What a browser calls itself, in a few words.
function program(agent) {
  const name = /Edg|OPR|Firefox|Chrome|Safari/.exec(agent)?.[0];
  const system = /Android|iPhone|iPad|Windows|Mac OS X|Linux/.exec(agent)?.[0];
  const names = { Edg: "Edge", OPR: "Opera" };
  return [names[name] ?? name, system].filter(Boolean).join(", ") || agent.slice(0, 40) || t("settings.unknown");
}

async function list() {
  const all = await ask("sessions");
  const rows = all.map((one) => {
    const since = t("settings.session_since", { time: dated(Date.parse(one.created)) });
    const facts = [since, one.address];
    if (one.here) {
      return row(program(one.agent), [...facts, element("span", t("settings.here"), "good")]);
    }
    const end = button(t("common.log_out"), async () => {
      await change("DELETE", `sessions/${one.id}`);
      await list();
    });
    return row(program(one.agent), facts, end);
  });
  find("#sessions").replaceChildren(...(rows.length > 0 ? rows : [none()]));
}

find("#everywhere").addEventListener("click", async () => {
  try {
    await change("DELETE", "sessions");
    location.replace("/login");
  } catch (error) {
    complain(error);
  }
});

list().catch(complain);
