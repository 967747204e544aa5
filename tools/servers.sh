#!/usr/bin/env bash
# Runs the specs on other servers: servers.sh SERVER... Each file of specs runs on a server of its own, two of SERVER at
# a time (JOBS: so many). What busted printed goes to build/servers/results/SERVER/FILE, of which servers_doc.lua makes
# doc/servers.md. SPECS names the files (default: all that are about a server). Ends with 1 where a spec failed; a
# server that cannot be had is skipped, and why is told. servers.sh --files prints the names of the files.

set -u
cd "$(dirname "${BASH_SOURCE[0]}")/.." || exit
results=build/servers/results
# What these look at is no server: the sources, the documents, LuaJIT; the relay, and the specs' own servers.
about_none='^spec/(project|servers)/'
mapfile -t files < <(printf '%s\n' ${SPECS:-$(find spec -name '*_spec.lua' | grep -vE "$about_none" | sort)})
[[ ${1-} == --files ]] && printf '%s\n' "${files[@]}" && exit

run_file() {
  local server=$1 file=$2 result
  result=$results/$server/${file#spec/}
  mkdir -p "$(dirname "$result")"
  SERVER=$server MYPOOL_MATRIX=$results/$server/matrix timeout 900 "${LUA:-lua5.4}" "$(command -v busted)" \
    --ignore-lua -o plainTerminal "$file" >"$result.new" 2>&1
  local ended=$?
  mv "$result.new" "$result"
  echo "$server $file: $(grep -aE ' success(es)? / ' "$result" || echo 'did not end')"
  return "$ended"
}

# Ends with 1 where a spec failed.
run_server() {
  local server=$1 file status=0
  mkdir -p "$results/$server" && rm -f "$results/$server/unavailable"
  if [[ $server != system ]] && ! bash spec/servers/fetch.sh "$server" >/dev/null 2>"$results/$server/unavailable"; then
    echo "$server is skipped: $(<"$results/$server/unavailable")"
    return
  fi
  rm -f "$results/$server/unavailable"
  for file in "${files[@]}"; do run_file "$server" "$file" || status=1; done
  return "$status"
}

for server; do bash spec/servers/fetch.sh --check "$server" || exit; done
status=0 running=0
for server; do
  if ((running == ${JOBS:-2})); then
    wait -n || status=1
    ((running--))
  fi
  run_server "$server" &
  ((++running))
done
for ((; running > 0; running--)); do wait -n || status=1; done
exit "$status"
