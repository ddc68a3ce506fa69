// The overview on a screen at the wall: large, nothing to press, and awake. The address says so,
// and the filter too, so that such a screen may begin with it.

const root = document.documentElement;
const leave = document.querySelector("#leave-wall");
const REST = 3000;
let lock;
let timer;

export const isWall = () => new URLSearchParams(location.hash.slice(1)).has("wall");

async function stayAwake() {
  // Only pages in sight may ask, and only over HTTPS or on the hub's own machine.
  if (!isWall() || document.hidden || navigator.wakeLock === undefined) {
    return;
  }
  lock = await navigator.wakeLock.request("screen").catch(() => undefined);
}

function apply() {
  root.classList.toggle("wall", isWall());
  if (isWall()) {
    stayAwake();
  } else {
    lock?.release();
    lock = undefined;
  }
}

// Writes into the address what is shown: `wall` or not, and what the filter says.
export function address(wall, filter, kind) {
  const parts = new URLSearchParams();
  if (wall) {
    parts.set("wall", "");
  }
  if (filter !== "") {
    parts.set("filter", filter);
  }
  if (kind !== "") {
    parts.set("show", kind);
  }
  const text = `${parts}`.replace("wall=", "wall");
  history.replaceState(null, "", text === "" ? location.pathname : `#${text}`);
  apply();
}

document.addEventListener("visibilitychange", stayAwake);
addEventListener("hashchange", apply);
addEventListener("pointermove", () => {
  root.classList.add("stirred");
  clearTimeout(timer);
  timer = setTimeout(() => root.classList.remove("stirred"), REST);
});
document.querySelector("#wall").addEventListener("click", () => {
  root.requestFullscreen?.().catch(() => {});
});
leave.addEventListener("click", () => {
  if (document.fullscreenElement !== null) {
    document.exitFullscreen();
  }
});
apply();
