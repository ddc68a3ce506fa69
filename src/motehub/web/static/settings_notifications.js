// Through whom people are told: what the configuration says, how it goes, and tests.

import { button, none, row } from "./forms.js";
import { ask, change, complain, element } from "./hub.js";
import { dated, number, t, told } from "./words.js";

const find = (selector) => document.querySelector(selector);
const at = (time) => dated(Date.parse(time));

function facts(where, pairs) {
  const rows = pairs.map(([what, value]) => {
    const line = element("tr");
    line.append(Object.assign(element("th", what), { scope: "row" }), element("td", value));
    return line;
  });
  find(where).replaceChildren(...rows);
}

// What became of the messages of a channel; nothing where it was never needed.
function fate(one) {
  if (one === undefined) {
    return [t("notify.unused")];
  }
  const lines = [t("notify.sent", { count: one.delivered ?? one.sent })];
  if (one.waiting > 0) {
    lines.push(element("span", t("notify.waiting", { count: one.waiting }), "pending"));
  }
  if (one.last_success !== null) {
    lines.push(t("notify.last_success", { time: at(one.last_success) }));
  }
  if (one.trouble !== null) {
    const when = one.last_failure === null ? "" : at(one.last_failure);
    lines.push(element("span", t("notify.trouble", { time: when, reason: told(one.trouble) }), "bad"));
  }
  return lines;
}

function tested(item, text, kind) {
  item.querySelector(".result")?.remove();
  item.firstChild.append(element("span", text, `result ${kind}`));
}

// A row with a button that sends a test by `run`, which returns why it has not arrived.
function channel(name, lines, run) {
  const test = button(t("notify.test"), async () => {
    tested(item, t("notify.testing"), "quiet");
    try {
      const trouble = await run();
      tested(item, trouble === null ? t("notify.taken") : t("notify.failed", { reason: told(trouble) }), trouble === null ? "good" : "bad");
    } catch (error) {
      tested(item, error.message, "bad");
    }
  });
  const item = row(name, lines, ...(run === undefined ? [] : [test]));
  item.setAttribute("aria-live", "polite");
  return item;
}

const trial = (name) => async () =>
  (await change("POST", `alert-channels/${encodeURIComponent(name)}/test`)).trouble;

const pause = (seconds) => new Promise((done) => setTimeout(done, seconds * 1000));

// The test of a webhook is a message like others: its log says what came of it.
const hook = (name) => async () => {
  const path = `webhooks/${encodeURIComponent(name)}`;
  const { message } = await change("POST", `${path}/test`);
  for (let tries = 0; tries < 30; tries += 1) {
    const found = (await ask(`${path}/log`)).find((one) => one.message === message);
    if (found !== undefined) {
      return found.state === "delivered" ? null : found.outcome;
    }
    await pause(1);
  }
  return t("notify.no_answer");
};

const off = () => element("span", t("notify.off"), "pending");

function show({ settings, people, channels }, hooks) {
  const known = (name) => channels.find((one) => one.name === name);
  const { mail, notifiers, webhooks } = settings;
  const items = (rows) => (rows.length > 0 ? rows : [none()]);
  if (mail === null) {
    find("#mail").replaceChildren();
    find("#mails").replaceChildren(element("li", t("notify.no_mail"), "quiet"));
  } else {
    facts("#mail", [
      [t("notify.server"), `${mail.host}:${number(mail.port, { useGrouping: false })}`],
      [t("notify.privacy"), t(`notify.tls_${mail.tls}`)],
      [t("notify.user"), mail.user || t("notify.nobody")],
      [t("notify.sender"), mail.sender],
      [t("notify.recipients"), mail.recipients.join(", ") || t("notify.nobody")],
    ]);
    find("#mails").replaceChildren(
      ...(mail.recipients.length > 0 ? [channel(t("notify.to_recipients"), fate(known("mail")), trial("mail"))] : []),
      channel(t("notify.to_people"), fate(people)),
    );
  }
  find("#services").replaceChildren(
    ...items(
      notifiers.map(({ name, service, enabled }) =>
        channel(name, [service, ...(enabled ? fate(known(name)) : [off()])], enabled ? trial(name) : undefined),
      ),
    ),
  );
  find("#webhooks").replaceChildren(
    ...items(
      webhooks.map(({ name, host, events, enabled }) => {
        const now = hooks.find((one) => one.name === name);
        const lines = [host, events.join(", "), ...(enabled ? fate(now) : [off()])];
        return channel(name, lines, enabled ? hook(name) : undefined);
      }),
    ),
  );
  const guessed = settings.link_is_set ? "" : ` (${t("notify.guessed")})`;
  facts("#alerts", [
    [t("notify.rules"), t(settings.alerts ? "notify.on" : "notify.off")],
    [t("notify.rate"), number(settings.rate)],
    [t("notify.link"), `${settings.link || "–"}${guessed}`],
  ]);
}

async function look() {
  show(...(await Promise.all([ask("notifications"), ask("webhooks")])));
}

look().catch(complain);
