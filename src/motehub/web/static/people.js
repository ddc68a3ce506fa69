// The forms of setting up, logging in, accepting an invitation and forgotten passwords.

import { t, told } from "./words.js";

const paths = {
  setup: "setup",
  login: "session",
  invitation: "invitation",
  forgotten: "forgotten-password",
  reset: "new-password",
};

const form = document.querySelector("form");
const alert = form.querySelector("[role=alert]");
const what = form.dataset.what;

async function refusal(answer) {
  if (answer.status === 429 && what === "forgotten") {
    return t("people.too_many_links", { count: Math.ceil(Number(answer.headers.get("retry-after")) / 60) });
  }
  if (answer.status === 429) {
    return t("people.too_many", { count: Number(answer.headers.get("retry-after")) });
  }
  // What is wrong with a name or a password, the hub says in its own words.
  return answer.status === 401 ? t(`people.wrong_${what}`) : told((await answer.json()).detail);
}

// Where somebody wanted to go who had to log in first; a new hub is without devices.
function wanted() {
  if (what === "setup") {
    return "/connect";
  }
  // Browsers leave these out of addresses: "/", a tab and "/evil.example" would lead to another site.
  const there = what === "login" ? decodeURIComponent(location.hash.slice(1)).replace(/[\t\n\r]/g, "") : "/";
  return /^\/(?![/\\])/.test(there) ? there : "/";
}

form.addEventListener("submit", async (event) => {
  event.preventDefault();
  alert.hidden = true;
  const body = Object.fromEntries(new FormData(form));
  if (what !== "login" && what !== "forgotten") {
    // Behind the # it never reaches a server's log.
    body.code = decodeURIComponent(location.hash.slice(1));
  }
  const button = form.querySelector("button");
  button.disabled = true;
  try {
    const answer = await fetch(`/api/v1/${paths[what]}`, {
      method: "POST",
      headers: { "Content-Type": "application/json" },
      body: JSON.stringify(body),
    });
    if (answer.ok && what === "forgotten") {
      form.hidden = true;
      document.querySelector("#sent").textContent = t("people.link_sent");
      return;
    }
    if (answer.ok) {
      location.replace(wanted());
      return;
    }
    alert.textContent = await refusal(answer);
  } catch {
    alert.textContent = t("people.away");
  } finally {
    button.disabled = false;
  }
  alert.hidden = false;
});

// Nobody sends a form before there is somebody to hear it.
form.querySelector("button").disabled = false;
