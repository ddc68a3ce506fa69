// What an administrator makes of a sensor's numbers: a factor, an offset, and the range that is valid.

import { onSubmit } from "./forms.js";
import { change, element, mayDecide, of, title, written } from "./hub.js";
import { t } from "./words.js";

// What a field means that is left empty.
const EMPTY = { scale: 1, offset: 0, low: null, high: null, deadband: 0, spacing: 0 };
const find = (selector) => document.querySelector(selector);
const form = find("#calibrating form");
const { metric, ...fields } = Object.fromEntries([...form.elements].map((one) => [one.name, one]));
const known = new Map();
let device;

// What is done to numbers, in words; nothing if they are taken as they are.
function said({ unit, calibration: { scale, offset, low, high, deadband, spacing } }) {
  return [
    scale === 1 ? "" : t("calibration.times", { value: written(scale) }),
    offset === 0 ? "" : t("calibration.plus", { value: written(offset, unit) }),
    low === null ? "" : t("calibration.from", { value: written(low, unit) }),
    high === null ? "" : t("calibration.to", { value: written(high, unit) }),
    deadband === 0 ? "" : t("calibration.changes", { value: written(deadband, unit) }),
    spacing === 0 ? "" : t("calibration.every", { value: written(spacing, "s") }),
  ].filter(Boolean).join(", ");
}

function list() {
  const rows = [...known.values()].map((one) => [title(one.metric), said(one)]).filter(([, text]) => text);
  find("#calibrated").replaceChildren(
    ...rows.map(([name, text]) => {
      const row = element("li");
      row.append(element("b", name), text);
      return row;
    }),
  );
}

function fill() {
  const { calibration, unit } = known.get(metric.value);
  for (const [one, empty] of Object.entries(EMPTY)) {
    fields[one].value = calibration[one] === empty ? "" : calibration[one];
  }
  for (const one of form.querySelectorAll("[data-unit]")) {
    one.textContent = unit === "" ? "" : `(${unit})`;
  }
}

metric.addEventListener("change", () => {
  find("#kept").textContent = "";
  fill();
});

onSubmit(form, async () => {
  find("#kept").textContent = "";
  const one = known.get(metric.value);
  const calibration = Object.fromEntries(
    Object.entries(EMPTY).map(([name, empty]) => [name, fields[name].value === "" ? empty : Number(fields[name].value)]),
  );
  await change("PUT", `${of(device)}/calibration`, { metric: one.metric, ...calibration });
  known.set(one.metric, { ...one, calibration });
  list();
  fill();
  find("#kept").textContent = t("calibration.saved");
});

// Shows the calibration of a device's series, as the API has them.
export function showCalibration(name, series) {
  device = name;
  const numbers = series.filter(({ kind }) => kind !== "text");
  find("#calibrating").hidden = !mayDecide || numbers.length === 0;
  if (find("#calibrating").hidden || form.contains(document.activeElement)) {
    return;
  }
  const chosen = metric.value;
  known.clear();
  for (const one of numbers) {
    known.set(one.metric, one);
  }
  metric.replaceChildren(
    ...numbers.map((one) => Object.assign(element("option", title(one.metric)), { value: one.metric })),
  );
  metric.value = known.has(chosen) ? chosen : numbers[0].metric;
  list();
  fill();
}
