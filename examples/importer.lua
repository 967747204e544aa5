-- Imports a CSV file into the table `products`, a thousand rows at a time, and tells how far it has come. Rows that
-- are malformed, or that the server refuses, go to FILE.rejects with their line and the reason; all others are
-- imported. Running it again does no harm: a row that is there already is brought up to date.
--
--   DATABASE_URL=mariadb://app:secret@db/shop lua5.4 examples/importer.lua products.csv
--
-- The first line names the columns. Needs lpeg (Debian: lua-lpeg).

local lpeg = require "lpeg"
local mypool = require "mypool"

local chunk_size = 1000
local columns = { "sku", "name", "price", "stock" }

local schema = [[CREATE TABLE IF NOT EXISTS products (
  sku VARCHAR(20) PRIMARY KEY, name VARCHAR(80) NOT NULL, price DECIMAL(10, 2) NOT NULL, stock INT UNSIGNED NOT NULL)]]

local upsert = [[INSERT INTO products (sku, name, price, stock) VALUES (?, ?, ?, ?)
  ON DUPLICATE KEY UPDATE name = VALUES(name), price = VALUES(price), stock = VALUES(stock)]]

-- ---- CSV ----

local quoted = '"' * lpeg.Cs((1 - lpeg.P '"' + lpeg.P '""' / '"') ^ 0) * '"'
local field = quoted + lpeg.C((1 - lpeg.S ',"') ^ 0)
local record = lpeg.Ct(field * ("," * field) ^ 0) * -1

local function has_open_quote(text)
  local _, quotes = text:gsub('"', "")
  return quotes % 2 == 1
end

-- For a `for`: each record of the file without the end of its last line (it is of several lines when a field is), and
-- the number of its first line.
local function records(file)
  local line = 0
  local function read_line()
    line = line + 1
    return file:read "L"
  end
  return function()
    local text, first = read_line(), line
    local more = text and has_open_quote(text) and read_line()
    while more do
      text = text .. more
      more = has_open_quote(text) and read_line()
    end
    return text and text:match "^(.-)\r?\n?$", first
  end
end

-- ---- the import ----

local Import = {}
Import.__index = Import

function Import:reject(row, why)
  self.rejected = self.rejected + 1
  self.rejects:write(("line %d: %s\n  %s\n"):format(row.line, why, row.text))
end

local function values_of(rows, first, last)
  local values = {}
  for i = first, last do
    values[#values + 1] = rows[i].values
  end
  return values
end

-- All rows from `first` to `last`, or none. What a lost connection, a restart or a deadlock undid is tried again:
-- an upsert may run twice.
function Import:store(rows, first, last)
  for attempt = 1, 10 do
    local ok, err = self.pool:transaction(function(tx)
      return tx:execute_many(upsert, values_of(rows, first, last))
    end)
    if ok or err.kind == "server" and not err.retryable or attempt == 10 then
      return ok, err
    end
  end
end

-- A part that has bad rows in it is halved until they stand alone.
function Import:import(rows, first, last)
  local ok, err = self:store(rows, first, last)
  if ok then
    self.imported = self.imported + last - first + 1
  elseif err.kind ~= "server" then
    error(("stopped after %d rows: %s"):format(self.imported, err), 0)
  elseif first == last then
    self:reject(rows[first], err.message)
  else
    local middle = (first + last) // 2
    self:import(rows, first, middle)
    self:import(rows, middle + 1, last)
  end
end

function Import:import_chunk(rows)
  if #rows > 0 then
    self:import(rows, 1, #rows)
    io.stderr:write(("%d rows imported, %d rejected\n"):format(self.imported, self.rejected))
  end
end

function Import:run(file)
  local next_record, rows = records(file), {}
  assert(next_record() == table.concat(columns, ","), "the first line should be " .. table.concat(columns, ","))
  for text, line in next_record do
    local row = { values = record:match(text) or {}, text = text, line = line }
    if #row.values == #columns then
      rows[#rows + 1] = row
    else
      self:reject(row, ("%d fields expected"):format(#columns))
    end
    if #rows == chunk_size then
      self:import_chunk(rows)
      rows = {}
    end
  end
  self:import_chunk(rows)
end

local path = assert(arg[1], "usage: importer.lua FILE")
local pool = mypool.new(os.getenv "DATABASE_URL")
assert(pool:query(schema))
local file <close> = assert(io.open(path))
local rejects <close> = assert(io.open(path .. ".rejects", "w"))
local import = setmetatable({ pool = pool, rejects = rejects, imported = 0, rejected = 0 }, Import)
import:run(file)
print(("%d rows imported, %d rejected"):format(import.imported, import.rejected))
pool:close()
