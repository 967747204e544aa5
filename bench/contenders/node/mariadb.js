// node's mariadb connector: mariadb.js SOCKET USER PASSWORD DATABASE.

'use strict';

const contend = require('./tasks.js');

const numbers = { insertIdAsNumber: true, bigIntAsNumber: true };

function main() {
  const mariadb = require('mariadb');
  return contend({
    name: 'mariadb',
    createPool: ({ reset, ...options }) =>
      mariadb.createPool({ ...options, ...numbers, acquireTimeout: 600000, resetAfterUse: reset }),
    createConnection: (options) => mariadb.createConnection({ ...options, ...numbers }),
    rows: (rows) => rows,
    prepare: async (db, sql) => {
      const statement = await db.prepare(sql);
      return (values) => statement.execute(values);
    },
    stream: (db, sql) => ({ emitter: db.queryStream(sql), event: 'data' }),
    insertMany: (db, sql, rows) => db.batch(sql, rows),
  });
}

Promise.resolve()
  .then(main)
  .catch((error) => {
    console.log(error.message.split('\n')[0]);
    process.exit(1);
  });
