-- The machine: on which cores programs run, and what it is.

local machine = {}

local function first_line(path)
  local file = io.open(path)
  local line = file and file:read()
  if file then
    file:close()
  end
  return line
end

local function field(path, pattern)
  for line in io.lines(path) do
    local value = line:match(pattern)
    if value then
      return value
    end
  end
end

function machine.own_pid()
  return math.tointeger(tonumber(first_line("/proc/self/stat"):match "^%d+"))
end

-- The cores that this process may use, in the words of taskset: "0-1".
function machine.cores()
  return field("/proc/self/status", "^Cpus_allowed_list:%s*(.*)")
end

-- The last of them: the first one gets more of the system's interrupts.
function machine.one_core(cores)
  return cores:match "%d+$"
end

-- Moves a process with all its threads, present and future.
function machine.pin(pid, cores)
  local ok = os.execute(("taskset -apc %s %d >/dev/null"):format(cores, pid))
  return ok or error("taskset failed")
end

-- Memory of a process that is in RAM, in KiB. smaps_rollup counts; status estimates.
function machine.resident_kib(pid)
  return tonumber(field(("/proc/%d/smaps_rollup"):format(pid), "^Rss:%s+(%d+)"))
end

local function count_cores()
  local count = 0
  for line in io.lines "/proc/cpuinfo" do
    count = count + (line:match "^processor" and 1 or 0)
  end
  return count
end

-- In words, without names.
function machine.describe()
  local system = field("/etc/os-release", '^PRETTY_NAME="(.*)"') or "Linux"
  local kernel = (first_line "/proc/sys/kernel/osrelease" or ""):match "^%d+%.%d+" or "?"
  local model = field("/proc/cpuinfo", "^model name%s*:%s*(.*)") or "unknown CPU"
  return ("%s, %d cores, %s, kernel %s"):format(model, count_cores(), system, kernel)
end

return machine
