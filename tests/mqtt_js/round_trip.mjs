// Publishes and subscribes at every quality of service, and prints what came as JSON.
// The argument is a JSON object: url, version (4 or 5), topic, and further options of MQTT.js.
import mqtt from "mqtt";

const { url, version, topic, ...options } = JSON.parse(process.argv[2]);
const client = await mqtt.connectAsync(url, {
  protocolVersion: version,
  reconnectPeriod: 0,
  connectTimeout: 20_000,
  ...options,
});
const got = [];
const all = new Promise((resolve) => {
  client.on("message", (name, payload, packet) => {
    got.push([name, payload.toString(), packet.qos]);
    if (got.length === 9) resolve();
  });
});
const granted = [];
for (const qos of [0, 1, 2]) {
  granted.push((await client.subscribeAsync(`${topic}/${qos}/+`, { qos }))[0].qos);
}
for (const own of [0, 1, 2]) {
  for (const qos of [0, 1, 2]) await client.publishAsync(`${topic}/${qos}/${own}`, `é${own}`, { qos: own });
}
await all;
await client.endAsync();
console.log(JSON.stringify({ granted, got: got.sort() }));
