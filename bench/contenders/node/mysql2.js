// node's mysql2: mysql2.js SOCKET USER PASSWORD DATABASE.

'use strict';

const contend = require('./tasks.js');

// Texts of 1000 rows each: it has no other way.
async function insertMany(db, sql, rows) {
  const text = sql.replace('(?, ?, ?)', '?');
  for (let i = 0; i < rows.length; i += 1000) await db.query(text, [rows.slice(i, i + 1000)]);
}

function main() {
  const mysql = require('mysql2/promise');
  return contend({
    name: 'mysql2',
    createPool: ({ reset, ...options }) => mysql.createPool({ ...options, charset: 'utf8mb4', resetOnRelease: reset }),
    createConnection: (options) => mysql.createConnection({ ...options, charset: 'utf8mb4' }),
    rows: ([rows]) => rows,
    prepare: async (db, sql) => {
      await db.prepare(sql); // kept by its text
      return (values) => db.execute(sql, values);
    },
    stream: (db, sql) => ({ emitter: db.connection.query(sql), event: 'result' }),
    insertMany,
  });
}

Promise.resolve()
  .then(main)
  .catch((error) => {
    console.log(error.message.split('\n')[0]);
    process.exit(1);
  });
