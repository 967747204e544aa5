---@meta mypool

-- What editors show of mypool (LuaLS annotations); never loaded. A spec compares it with the module.

---@class mypool.Options
---@field application_name? string
---@field audit? boolean
---@field autocommit? boolean
---@field balance? string
---@field charset? string
---@field checkout_timeout? number
---@field collation? string
---@field connect_timeout? number
---@field database? string
---@field errors? "return"|"raise"
---@field found_rows? boolean
---@field host? string
---@field hosts? table
---@field idle_timeout? number
---@field init_sql? string|string[]
---@field leak_after? number
---@field max_lifetime? number
---@field max_result_bytes? integer
---@field max_size? integer
---@field max_waiting? integer
---@field min_idle? integer
---@field name? string
---@field need? "write"|"read"
---@field null? any
---@field on_connect? fun(conn: mypool.Connection): any, any
---@field on_event? fun(event: string, details: table)
---@field on_statement? fun(statement: mypool.StatementDetails)
---@field password? string|fun(): string?
---@field port? integer
---@field query_timeout? number
---@field reset? "always"|"never"
---@field reset_together? boolean
---@field retries? integer
---@field rows? "table"|"array"
---@field server_public_key? string
---@field show_values? boolean
---@field silence? number
---@field slow_after? number
---@field socket? string
---@field tls? boolean|mypool.TlsOptions
---@field types? table<string, fun(value: any, column: string): any>
---@field user? string
---@field wait? function|table

---@class mypool.StatementDetails
---@field affected_rows? integer
---@field began number
---@field error? any
---@field id integer
---@field place? string
---@field pool? string
---@field rows? integer
---@field seconds number
---@field sql string

---@class mypool.TlsOptions
---@field ca? string
---@field cert? string
---@field cleartext_password? boolean
---@field fingerprint? string
---@field key? string
---@field verify? boolean|"ca"

---@class mypool.ReaderOptions
---@field checkout_timeout? number
---@field max_size? integer
---@field name? string
---@field query_timeout? number
---@field rows? "table"|"array"

---@class mypool.StatementOptions
---@field [1] string the statement
---@field idempotent? boolean
---@field max_result_bytes? integer
---@field rows? "table"|"array"
---@field timeout? number
---@field types? table<string, false|fun(value: any, column: string): any>

---@class mypool.TransactionOptions
---@field isolation? "read uncommitted"|"read committed"|"repeatable read"|"serializable"
---@field read_only? boolean
---@field retries? integer
---@field snapshot? boolean

---@class mypool.Error
---@field errno? integer
---@field executed "no"|"unknown"|"yes"
---@field fatal boolean
---@field first_row? integer
---@field kind "server"|"connect"|"lost"|"timeout"|"exhausted"|"closed"|"commit_unknown"|"protocol"
---@field last_row? integer
---@field message string
---@field place? string
---@field retryable boolean
---@field row? integer
---@field sql? string
---@field sqlstate? string

---@class mypool.Result
---@field [integer] table
---@field affected_rows? integer|string
---@field column_types? string[]
---@field columns? string[]
---@field info? string
---@field insert_id? integer|string
---@field warning_count integer

---@class mypool.Stats
---@field abandoned integer
---@field checkouts integer
---@field closed integer
---@field connect_failures integer
---@field connect_time number
---@field discarded integer
---@field expired integer
---@field forgotten integer
---@field hosts table
---@field idle integer
---@field left_open integer
---@field lent integer
---@field lent_time number
---@field max_size integer
---@field opened integer
---@field opening integer
---@field recovering integer
---@field refused integer
---@field reset_wait number
---@field resets_failed integer
---@field resets_hidden integer
---@field resets_sent integer
---@field resets_together integer
---@field resets_waited integer
---@field retired integer
---@field retries integer
---@field size integer
---@field stale integer
---@field statements integer
---@field timeouts integer
---@field transactions_rerun integer
---@field wait_time number
---@field waiting integer
---@field waits integer

---@class mypool.Stream
---@field columns? string[]
---@field column_types? string[]
---@overload fun(): table?
local Stream = {}

function Stream:close() end

---@class mypool.Statement
local Statement = {}

---@param ... any
---@return mypool.Result? result
---@return mypool.Error? err
---@return integer? errno
---@return string? sqlstate
function Statement:execute(...) end

---@param ... any
---@return table? row
---@return mypool.Error? err
---@return integer? errno
---@return string? sqlstate
function Statement:one(...) end

---@param ... any
---@return any value
---@return mypool.Error? err
---@return integer? errno
---@return string? sqlstate
function Statement:value(...) end

---@param ... any
---@return mypool.Stream? stream
---@return mypool.Error? err
---@return integer? errno
---@return string? sqlstate
function Statement:rows(...) end

---@param options mypool.StatementOptions
---@return mypool.Statement
function Statement:with(options) end

function Statement:close() end

---@class mypool.Transaction
local Transaction = {}

---@param sql string|mypool.StatementOptions
---@param ... any
---@return mypool.Result? result
---@return mypool.Error? err
---@return integer? errno
---@return string? sqlstate
function Transaction:query(sql, ...) end

---@param sql string|mypool.StatementOptions
---@param ... any
---@return table? row
---@return mypool.Error? err
---@return integer? errno
---@return string? sqlstate
function Transaction:one(sql, ...) end

---@param sql string|mypool.StatementOptions
---@param ... any
---@return any value
---@return mypool.Error? err
---@return integer? errno
---@return string? sqlstate
function Transaction:value(sql, ...) end

---@param sql string|mypool.StatementOptions
---@param ... any
---@return mypool.Stream? stream
---@return mypool.Error? err
---@return integer? errno
---@return string? sqlstate
function Transaction:rows(sql, ...) end

---@param sql string
---@param rows table|function
---@return { affected_rows: integer, rows: integer }? done
---@return mypool.Error? err
---@return integer? errno
---@return string? sqlstate
function Transaction:execute_many(sql, rows) end

---@param sql string
---@return mypool.Statement? statement
---@return mypool.Error? err
---@return integer? errno
---@return string? sqlstate
function Transaction:prepare(sql) end

---@return mypool.Transaction? tx
---@return mypool.Error? err
---@return integer? errno
---@return string? sqlstate
function Transaction:begin() end

---@param fn fun(tx: mypool.Transaction): any
---@return any
function Transaction:transaction(fn) end

---@return boolean? ok
---@return mypool.Error? err
---@return integer? errno
---@return string? sqlstate
function Transaction:commit() end

---@return boolean? ok
---@return mypool.Error? err
---@return integer? errno
---@return string? sqlstate
function Transaction:rollback() end

---@class mypool.Connection
local Connection = {}

---@param sql string|mypool.StatementOptions
---@param ... any
---@return mypool.Result? result
---@return mypool.Error? err
---@return integer? errno
---@return string? sqlstate
function Connection:query(sql, ...) end

---@param sql string|mypool.StatementOptions
---@param ... any
---@return table? row
---@return mypool.Error? err
---@return integer? errno
---@return string? sqlstate
function Connection:one(sql, ...) end

---@param sql string|mypool.StatementOptions
---@param ... any
---@return any value
---@return mypool.Error? err
---@return integer? errno
---@return string? sqlstate
function Connection:value(sql, ...) end

---@param sql string|mypool.StatementOptions
---@param ... any
---@return mypool.Stream? stream
---@return mypool.Error? err
---@return integer? errno
---@return string? sqlstate
function Connection:rows(sql, ...) end

---@param sql string
---@param rows table|function
---@return { affected_rows: integer, rows: integer }? done
---@return mypool.Error? err
---@return integer? errno
---@return string? sqlstate
function Connection:execute_many(sql, rows) end

---@param sql string
---@return mypool.Statement? statement
---@return mypool.Error? err
---@return integer? errno
---@return string? sqlstate
function Connection:prepare(sql) end

---@param options? mypool.TransactionOptions
---@return mypool.Transaction? tx
---@return mypool.Error? err
---@return integer? errno
---@return string? sqlstate
function Connection:begin(options) end

---@param options mypool.TransactionOptions|fun(tx: mypool.Transaction): any
---@param fn? fun(tx: mypool.Transaction): any
---@return any
function Connection:transaction(options, fn) end

---@return boolean? ok
---@return mypool.Error? err
---@return integer? errno
---@return string? sqlstate
function Connection:ping() end

---@return boolean? ok
---@return mypool.Error? err
---@return integer? errno
---@return string? sqlstate
function Connection:reset() end

---@return { level: string, code: integer, message: string }[]? warnings
---@return mypool.Error? err
---@return integer? errno
---@return string? sqlstate
function Connection:warnings() end

---@return integer? id
function Connection:id() end

---@return string? host
function Connection:host() end

---@return boolean
function Connection:is_held() end

---@return boolean
function Connection:in_transaction() end

---@param options? { reset: boolean }
function Connection:release(options) end

function Connection:discard() end

---@class mypool.Pool
local Pool = {}

---@param sql string|mypool.StatementOptions
---@param ... any
---@return mypool.Result? result
---@return mypool.Error? err
---@return integer? errno
---@return string? sqlstate
function Pool:query(sql, ...) end

---@param sql string|mypool.StatementOptions
---@param ... any
---@return table? row
---@return mypool.Error? err
---@return integer? errno
---@return string? sqlstate
function Pool:one(sql, ...) end

---@param sql string|mypool.StatementOptions
---@param ... any
---@return any value
---@return mypool.Error? err
---@return integer? errno
---@return string? sqlstate
function Pool:value(sql, ...) end

---@param sql string|mypool.StatementOptions
---@param ... any
---@return mypool.Stream? stream
---@return mypool.Error? err
---@return integer? errno
---@return string? sqlstate
function Pool:rows(sql, ...) end

---@param sql string
---@param rows table|function
---@return { affected_rows: integer, rows: integer }? done
---@return mypool.Error? err
---@return integer? errno
---@return string? sqlstate
function Pool:execute_many(sql, rows) end

---@param options? mypool.TransactionOptions
---@return mypool.Transaction? tx
---@return mypool.Error? err
---@return integer? errno
---@return string? sqlstate
function Pool:begin(options) end

---@param options mypool.TransactionOptions|fun(tx: mypool.Transaction): any
---@param fn? fun(tx: mypool.Transaction): any
---@return any
function Pool:transaction(options, fn) end

---@param seconds? number
---@return mypool.Connection? conn
---@return mypool.Error? err
---@return integer? errno
---@return string? sqlstate
function Pool:checkout(seconds) end

---@param fn fun(conn: mypool.Connection): any
---@return any
function Pool:with(fn) end

---@return boolean? ok
---@return mypool.Error? err
---@return integer? errno
---@return string? sqlstate
function Pool:ping() end

---@return mypool.Stats
function Pool:stats() end

---@return string text
function Pool:describe() end

function Pool:evict() end

---@param ... any
function Pool:avoid(...) end

---@param options? mypool.ReaderOptions
---@return mypool.Pool reader
function Pool:reader(options) end

---@param grace? number
---@return boolean ok
function Pool:close(grace) end

---@class mypool
---@field _VERSION string
---@field null lightuserdata
local mypool = {}

---@param options mypool.Options|string a table, or a DSN
---@param above? mypool.Options above what the DSN says
---@return mypool.Pool
function mypool.new(options, above) end

---@param values table
---@return table
function mypool.list(values) end

---@param values table<string, any>
---@return table
function mypool.named(values) end

---@param bytes string
---@return table
function mypool.binary(bytes) end

---@param name string
---@param ... string
---@return table
function mypool.ident(name, ...) end

---@param value any
---@return boolean
function mypool.is_error(value) end

return mypool
