-- What a pool asks of each new connection, as a server that is made up answers it.

local settings = {}

local order = {
  "sql_mode", "autocommit", "character_set_client", "wait_timeout", "character_set_connection", "tx_read_only",
  "init_connect", "max_allowed_packet", "collation_connection", "connection_id", "role", "roles",
  "innodb_rollback_on_timeout", "identity",
}

local usual = {
  sql_mode = "",
  autocommit = "1",
  character_set_client = "utf8mb4",
  wait_timeout = "28800",
  character_set_connection = "utf8mb4",
  tx_read_only = "0",
  init_connect = "",
  max_allowed_packet = "16777216",
  collation_connection = "utf8mb4_general_ci",
  connection_id = "1",
  role = false,
  roles = "0",
  innodb_rollback_on_timeout = "0",
  identity = "nowhere 3306 1",
}

-- What begins such a question, and no other.
settings.question = "^SELECT @@sql_mode, .*@@init_connect"

-- The cells of the answer, false for NULL; `changes` by the names above.
function settings.row(changes)
  local row = {}
  for i, name in ipairs(order) do
    local value = changes and changes[name]
    row[i] = value == nil and usual[name] or value
  end
  return row
end

return settings
