// The side of the contenders in node of what bench/child.lua asks. A task is an async
// function(watch, count, ...) that returns a checksum, or { sum, latencies }.

'use strict';

const readline = require('node:readline');

function newWatch() {
  let wall = 0n;
  let cpu = 0;
  const used = () => {
    const { user, system } = process.cpuUsage();
    return user + system;
  };
  return {
    start() {
      cpu -= used();
      wall -= process.hrtime.bigint();
    },
    stop() {
      wall += process.hrtime.bigint();
      cpu += used();
    },
    read: () => `${wall} ${cpu * 1000}`,
  };
}

const percentile = (sorted, share) => Math.round(sorted[Math.max(0, Math.ceil(share * sorted.length) - 1)]);

function percentiles(latencies) {
  if (!latencies || latencies.length === 0) return '';
  const sorted = Float64Array.from(latencies).sort();
  return ` ${percentile(sorted, 0.5)} ${percentile(sorted, 0.99)} ${percentile(sorted, 0.999)}`;
}

async function perform(tasks, line) {
  const [name, ...words] = line.split(' ');
  const watch = newWatch();
  if (global.gc) global.gc();
  const result = await tasks[name](watch, ...words.map((word) => (/^\d+$/.test(word) ? Number(word) : word)));
  const { sum, latencies } = typeof result === 'object' ? result : { sum: result };
  return `${watch.read()} ${Math.floor(sum)}${percentiles(latencies)}`;
}

exports.answer = async function answer(versions, tasks) {
  console.log(`ready ${versions}`);
  for await (const line of readline.createInterface({ input: process.stdin })) {
    if (line === 'quit') break;
    try {
      console.log(await perform(tasks, line));
    } catch (error) {
      console.log(`error ${error.message}`);
    }
  }
  process.exit(0);
};

exports.sleep = (us) => new Promise((resolve) => setTimeout(resolve, us / 1000));

// As bench/contenders/crowd.lua: time counts while as many requests wait as the title says.
exports.crowd = async function crowd(watch, count, workers, request, timed) {
  const total = count + 2 * workers;
  const latencies = timed ? new Float64Array(count) : null;
  let begun = 0;
  let ended = 0;
  let sum = 0;

  async function borrowAgain() {
    while (begun < total) {
      const i = begun++;
      const from = timed ? process.hrtime() : null;
      const fetched = await request(i); // others run meanwhile, so nothing may be read of `sum` before
      sum += fetched;
      ended++;
      if (ended === workers) watch.start();
      else if (ended === workers + count) watch.stop();
      if (timed && ended > workers && ended <= workers + count) {
        const [seconds, ns] = process.hrtime(from);
        latencies[ended - workers - 1] = seconds * 1e9 + ns;
      }
    }
  }

  await Promise.all(Array.from({ length: workers }, borrowAgain));
  return { sum, latencies };
};
