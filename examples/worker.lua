-- A worker that does jobs from a table. Any number of workers may run beside each other: SKIP LOCKED (MariaDB 10.6,
-- MySQL 8) gives each its own jobs. What a job does and that it is done are one transaction, so each takes effect
-- once, also when a worker or the database dies in the middle. A job that fails is tried again later, three times.
--
--   DATABASE_URL=mariadb://app:secret@db/shop lua5.4 examples/worker.lua          until SIGTERM
--   DATABASE_URL=mariadb://app:secret@db/shop lua5.4 examples/worker.lua drain    until there is no job left
--
-- Needs cqueues (Debian: lua-cqueues).

local condition = require "cqueues.condition"
local cqueues = require "cqueues"
local mypool = require "mypool"
local signal = require "cqueues.signal"

local hands, tries = 4, 3
local pause = 0.2 -- seconds until an idle worker looks again

local schema = {
  [[CREATE TABLE IF NOT EXISTS jobs (
      id BIGINT AUTO_INCREMENT PRIMARY KEY,
      account INT NOT NULL,
      amount INT NOT NULL,
      state ENUM('ready', 'done', 'failed') NOT NULL DEFAULT 'ready',
      attempts INT NOT NULL DEFAULT 0,
      run_at DATETIME(3) NOT NULL DEFAULT CURRENT_TIMESTAMP(3),
      error VARCHAR(200),
      KEY (state, run_at))]],
  "CREATE TABLE IF NOT EXISTS balances (account INT PRIMARY KEY, amount BIGINT NOT NULL)",
}

local pool = mypool.new(os.getenv "DATABASE_URL", {
  name = "jobs",
  max_size = hands,
  checkout_timeout = 20,
  wait = require "mypool.wait.cqueues",
})

local stopped, changed = false, condition.new()

-- What a job does; it fails by raising.
local function perform(tx, job)
  local booked = assert(tx:query("UPDATE balances SET amount = amount + ? WHERE account = ?", job.amount, job.account))
  if booked.affected_rows == 0 then
    error(("there is no account %d"):format(job.account), 0)
  end
end

-- A transaction within the transaction is a savepoint: what a failed job did is undone, and its failure is noted.
local function do_job(tx, job)
  local ok, why = pcall(tx.transaction, tx, function(inner)
    perform(inner, job)
  end)
  if ok then
    assert(tx:query("UPDATE jobs SET state = 'done' WHERE id = ?", job.id))
  elseif mypool.is_error(why) and (why.kind ~= "server" or why.retryable) then
    error(why, 0) -- the database's failure, not the job's: all is undone, and the job is still to be done
  else
    assert(tx:query(
      [[UPDATE jobs SET attempts = attempts + 1, error = LEFT(?, 200), state = IF(attempts < ?, 'ready', 'failed'),
          run_at = NOW(3) + INTERVAL attempts * 0.1 SECOND WHERE id = ?]],
      tostring(why),
      tries,
      job.id
    ))
  end
end

local next_job = [[SELECT id, account, amount FROM jobs
  WHERE state = 'ready' AND run_at <= NOW(3) ORDER BY run_at LIMIT 1 FOR UPDATE SKIP LOCKED]]

-- Whether there was a job to do.
local function work()
  local had_job, err = pool:transaction(function(tx)
    local job, why = tx:one(next_job)
    if why then
      error(why, 0)
    end
    if job then
      do_job(tx, job)
    end
    return job ~= nil
  end)
  if had_job == nil then
    io.stderr:write("worker: ", tostring(err), "\n")
  end
  return had_job
end

local function is_drained()
  return arg[1] == "drain" and pool:value "SELECT COUNT(*) FROM jobs WHERE state = 'ready'" == 0
end

local function hand()
  while not stopped do
    local ok, had_job = pcall(work)
    if not ok then
      io.stderr:write("worker: ", tostring(had_job), "\n")
    end
    if not (ok and had_job) then
      stopped = stopped or is_drained()
      if not stopped then
        cqueues.poll(changed, pause)
      end
    end
  end
  changed:signal()
end

local loop = cqueues.new()

loop:wrap(function()
  for _, sql in ipairs(schema) do
    assert(pool:query(sql))
  end
  for _ = 1, hands do
    loop:wrap(hand)
  end
  local ending = signal.listen(signal.SIGTERM, signal.SIGINT)
  while not stopped do
    stopped = cqueues.poll(ending, changed) == ending or stopped
  end
  changed:signal() -- the job under way is done before its hand ends
end)

signal.block(signal.SIGTERM, signal.SIGINT)
assert(loop:loop())
pool:close()
