// A client with pusher-js (or Laravel Echo on top of it), driven by lines of JSON on standard input.
// What it hears is printed as lines of JSON. The first line says how to connect.
import readline from "node:readline";
import Echo from "laravel-echo";
import Pusher from "pusher-js";

const tell = (what) => console.log(JSON.stringify(what));
let pusher, echo;

const commands = {
  connect({ key, echo: withEcho, ...options }) {
    const all = { cluster: "mt1", disableStats: true, enabledTransports: ["ws", "wss"], ...options };
    if (withEcho) {
      echo = new Echo({ broadcaster: "pusher", key, client: new Pusher(key, all), ...all });
      pusher = echo.connector.pusher;
    } else {
      pusher = new Pusher(key, all);
    }
    pusher.connection.bind("state_change", ({ current }) => {
      tell({ state: current, socket: pusher.connection.socket_id ?? null });
    });
    pusher.connection.bind("error", (error) => tell({ error: error?.data ?? error?.error?.data ?? String(error) }));
    pusher.bind_global((event, data) => tell({ global: event, data: data ?? null }));
  },
  subscribe({ channel }) {
    const one = pusher.subscribe(channel);
    one.bind_global((event, data) => tell({ channel, event, data: data ?? null }));
    one.bind("client-typing", (data, extra) => tell({ typed: channel, data, by: extra?.user_id ?? null }));
  },
  listen({ channel, kind, event }) {
    echo[kind](channel).listen(event, (data) => tell({ echo: channel, event, data }));
  },
  join({ channel }) {
    echo.join(channel)
      .here((users) => tell({ here: users }))
      .joining((user) => tell({ joining: user }))
      .leaving((user) => tell({ leaving: user }));
  },
  trigger({ channel, event, data }) {
    tell({ triggered: pusher.channel(channel).trigger(event, data) });
  },
  unsubscribe({ channel }) {
    pusher.unsubscribe(channel);
  },
  signin() {
    pusher.user.bind_global((event, data) => tell({ user: event, data: data ?? null }));
    pusher.signin();
  },
  members({ channel }) {
    const { members } = pusher.channel(channel);
    tell({ members: Object.keys(members.members), count: members.count, me: members.me });
  },
  send({ event, data }) {
    pusher.send_event(event, data);
  },
  disconnect() {
    pusher.disconnect();
  },
};

readline
  .createInterface({ input: process.stdin })
  .on("line", (line) => {
    const { do: what, ...rest } = JSON.parse(line);
    commands[what](rest);
  })
  .on("close", () => process.exit(0));
