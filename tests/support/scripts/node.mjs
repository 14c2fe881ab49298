// Node's own fetch and http: `node node_ask.mjs PORT` prints what it heard.
import http from "node:http";

const port = process.argv[2], url = `http://127.0.0.1:${port}/v1/arrival`;
const ask = async (row) => {
  const answer = await fetch(url, {method: "POST", headers: {"content-type": "application/json"}, body: JSON.stringify(row)});
  return {status: answer.status, prediction: answer.headers.has("funade-prediction"), body: await answer.json()};
};
const heard = {one: await ask({km: 1.5}), many: await ask([{km: 1}, {km: 2}]), wrong: await ask([{km: 1}, {km: "far"}])};

const agent = new http.Agent({keepAlive: true, maxSockets: 1});
const ports = new Set();
for (let i = 0; i < 20; i++) {
  await new Promise((resolve, reject) => {
    const request = http.request(url, {method: "POST", agent, headers: {"content-type": "application/json"}}, (answer) => {
      ports.add(answer.socket.localPort);
      answer.resume().on("end", resolve);
    });
    request.on("error", reject).end(JSON.stringify({km: i}));
  });
}
agent.destroy();
heard.connections = ports.size;
console.log(JSON.stringify(heard));
