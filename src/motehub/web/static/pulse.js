// The line at the foot of each page: how the hub is.

import { findings } from "./health.js";
import { number, t } from "./words.js";

const SECONDS = 15;
const line = document.querySelector("#pulse");

async function look() {
  if (document.hidden) {
    return;
  }
  try {
    const answer = await fetch("/api/v1/health");
    if (!answer.ok) {
      return;
    }
    const health = await answer.json();
    const [worst] = findings(health).filter(({ level }) => level !== "hint");
    const rate = number(health.speed?.readings_per_second ?? 0);
    line.textContent = worst?.text ?? t("health.line", { rate });
    line.dataset.level = worst?.level ?? "well";
    line.hidden = false;
  } catch {
    // That the hub is away, the page says at its top.
  }
}

if (line !== null) {
  look();
  setInterval(look, SECONDS * 1000);
  document.addEventListener("visibilitychange", look);
}
