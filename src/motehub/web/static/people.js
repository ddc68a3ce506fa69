// The forms of setting up, logging in and accepting an invitation.

const paths = { setup: "setup", login: "session", invitation: "invitation" };

const form = document.querySelector("form");
const alert = form.querySelector("[role=alert]");
const what = form.dataset.what;

form.addEventListener("submit", async (event) => {
  event.preventDefault();
  alert.hidden = true;
  const body = Object.fromEntries(new FormData(form));
  if (what !== "login") {
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
    if (answer.ok) {
      location.replace(what === "setup" ? "/connect" : "/");
      return;
    }
    alert.textContent = (await answer.json()).detail;
  } catch {
    alert.textContent = "The hub does not answer. Try again in a moment.";
  } finally {
    button.disabled = false;
  }
  alert.hidden = false;
});
