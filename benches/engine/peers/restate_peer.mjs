// Restate: a service of which each invocation has steps that do nothing. Takes the addresses of ingress and admin.
Promise.withResolvers ??= () => {
  const all = {};
  all.promise = new Promise((resolve, reject) => Object.assign(all, { resolve, reject }));
  return all;
};
const restate = await import("@restatedev/restate-sdk");
const [ingress, admin, port] = process.argv.slice(2);

const flow = restate.service({
  name: "flow",
  handlers: {
    run: async (cx, steps) => {
      let total = 0;
      for (let n = 0; n < steps; n += 1) total += await cx.run("nothing", () => n);
      return total;
    },
  },
});
await restate.serve({ services: [flow], port: Number(port) });

const post = async (url, body) => {
  const answer = await fetch(url, {
    method: "POST", headers: { "content-type": "application/json" }, body: JSON.stringify(body),
  });
  if (!answer.ok) throw new Error(`${url}: ${answer.status} ${await answer.text()}`);
  return answer.json();
};
for (let attempt = 0; ; attempt += 1) {
  try {
    await post(`${admin}/deployments`, { uri: `http://127.0.0.1:${port}`, force: true });
    break;
  } catch (error) {
    if (attempt > 100) throw error;
    await new Promise((resolve) => setTimeout(resolve, 300));
  }
}
const many = async (runs, steps) => {
  const began = performance.now();
  const totals = await Promise.all(Array.from({ length: runs }, () => post(`${ingress}/flow/run`, steps)));
  if (totals.some((total) => total !== (steps * (steps - 1)) / 2)) throw new Error("wrong result");
  return (runs * steps * 1000) / (performance.now() - began);
};
await many(4, 20);
for (const [runs, steps] of [[1, 300], [256, 40]]) {
  console.log(`restate: ${runs} runs of ${steps} steps: ${(await many(runs, steps)).toFixed(0)} steps/s`);
}
process.exit(0);
