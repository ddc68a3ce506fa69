// Where a recipient leaves a report: the link says which, and nothing happens without the button.

import { t } from "./words.js";

const find = (selector) => document.querySelector(selector);
const path = `/api/v1/unsubscribe/${encodeURIComponent(location.hash.slice(1))}`;

async function ask(address, options) {
  const answer = await fetch(address, options);
  const said = await answer.json();
  if (!answer.ok) {
    throw new Error(answer.status === 404 ? t("reports.leave_unknown") : said.detail);
  }
  return said;
}

function show({ report, left }) {
  find("#said").textContent = t(left ? "reports.leave_done" : "reports.leave_ask", { name: report });
  find("form").hidden = left;
}

find("form").addEventListener("submit", async (event) => {
  event.preventDefault();
  find("button").disabled = true;
  try {
    show(await ask(path, { method: "POST" }));
  } catch (error) {
    find("[role=alert]").textContent = error.message;
  }
  find("button").disabled = false;
});

try {
  show(await ask(`${path}/report`));
} catch (error) {
  find("#said").textContent = error.message;
}
