// What both contenders in node do, by a driver:
//   createPool(options), createConnection(options)   of the package; options.reset is true or false
//   rows(result)                                     of what await query() gave
//   prepare(db, sql)                                 a function of the parameters
//   stream(db, sql)                                  an emitter of rows, and the event's name
//   insertMany(db, sql, rows)

'use strict';

const fs = require('node:fs');
const path = require('node:path');
const { answer, crowd, sleep } = require('./answer.js');

const [socketPath, user, password, database] = process.argv.slice(2);
const account = { user, password, database, dateStrings: true };

const point = 'SELECT id, name, price, made FROM bench_rows WHERE id = ?';
const all = 'SELECT id, name, price, made FROM bench_rows';
const insert = 'INSERT INTO bench_inserts VALUES (?, ?, ?)';
const sumOfRow = (row) => row.id + row.name.length + row.price * 4;
const inserted = (i) => [i, `name number ${i}`, i * 1.25];

// Not every package lets itself be asked by require().
function version(name) {
  const file = path.join(process.env.NODE_PATH, name, 'package.json');
  return JSON.parse(fs.readFileSync(file, 'utf8')).version;
}

module.exports = async function contend(driver) {
  const pools = new Map();

  // One pool for each way to the server. Port 0 is the socket.
  function poolOf(port, size, reset) {
    const key = `${port} ${size} ${reset}`;
    if (!pools.has(key)) {
      const place = port ? { host: '127.0.0.1', port } : { socketPath };
      pools.set(key, driver.createPool({ ...account, ...place, connectionLimit: size, reset: reset === 'always' }));
    }
    return pools.get(key);
  }

  async function openSessions(pool, count) {
    const dbs = [];
    for (let i = 0; i < count; i++) {
      dbs.push(await pool.getConnection());
      await selectOne(dbs[i]);
    }
    for (const db of dbs) await db.release();
  }

  const first = (result) => driver.rows(result)[0];
  const selectOne = async (db) => first(await db.query('SELECT 1 AS one')).one;

  const uses = {
    point: async (db, i) => sumOfRow(first(await db.query(point, [(i % 10000) + 1]))),
    one: selectOne,
    none: async () => 1,
  };

  const held = await driver.createConnection({ ...account, socketPath });
  const tasks = {
    async held(watch, count) {
      let sum = 0;
      watch.start();
      for (let i = 0; i < count; i++) sum += await selectOne(held);
      watch.stop();
      return sum;
    },

    // loan COUNT PORT SESSIONS PAUSE_US RESET: the time between the loans does not count. Nobody has to
    // wait for what release() may promise.
    async loan(watch, count, port, sessions, pause, reset) {
      const pool = poolOf(port, sessions, reset);
      let sum = 0;
      await openSessions(pool, sessions);
      watch.start();
      for (let i = 0; i < count; i++) {
        const db = await pool.getConnection();
        sum += await selectOne(db);
        db.release();
        if (pause > 0) {
          watch.stop();
          await sleep(pause);
          watch.start();
        }
      }
      watch.stop();
      return sum;
    },

    async bookkeeping(watch, count) {
      const pool = poolOf(0, 1, 'never');
      await openSessions(pool, 1);
      watch.start();
      for (let i = 0; i < count; i++) (await pool.getConnection()).release();
      watch.stop();
      return count;
    },

    async point_text(watch, count) {
      let sum = 0;
      watch.start();
      for (let i = 0; i < count; i++) sum += await uses.point(held, i);
      watch.stop();
      return sum;
    },

    async point_prepared(watch, count) {
      let sum = 0;
      const execute = await driver.prepare(held, point);
      watch.start();
      for (let i = 0; i < count; i++) sum += sumOfRow(first(await execute([(i % 10000) + 1])));
      watch.stop();
      return sum;
    },

    async rows_kept(watch) {
      watch.start();
      const rows = driver.rows(await held.query(all));
      watch.stop();
      return rows.reduce((sum, row) => sum + sumOfRow(row) + Number(row.made.slice(14, 16)), 0);
    },

    async rows_streamed(watch) {
      let sum = 0;
      watch.start();
      await new Promise((resolve, reject) => {
        const { emitter, event } = driver.stream(held, all);
        emitter.on(event, (row) => (sum += row.id + row.name.length));
        emitter.on('end', resolve).on('error', reject);
      });
      watch.stop();
      return sum;
    },

    async insert_one(watch, count) {
      watch.start();
      await held.beginTransaction();
      for (let i = 1; i <= count; i++) await held.query(insert, inserted(i));
      await held.commit();
      watch.stop();
      return 0;
    },

    async insert_many(watch, count) {
      watch.start();
      await held.beginTransaction();
      await driver.insertMany(held, insert, Array.from({ length: count }, (_, i) => inserted(i + 1)));
      await held.commit();
      watch.stop();
      return 0;
    },

    async sessions(watch, count) {
      if (count > 0) await openSessions(poolOf(0, count, 'always'), count);
      global.gc();
      return count;
    },

    async crowd(watch, count, workers, what, reset) {
      const pool = poolOf(0, 8, reset);
      await openSessions(pool, 8);
      const use = uses[what];
      return crowd(watch, count, workers, request, what !== 'none');

      async function request(i) {
        const db = await pool.getConnection();
        const sum = await use(db, i);
        db.release();
        return sum;
      }
    },
  };

  await answer(`${driver.name} ${version(driver.name)}, node ${process.version}`, tasks);
};
