#!/usr/bin/env bash
# Runs the specs on other servers: servers.sh SERVER... One file of specs after another, each on a server of its own;
# what busted printed goes to build/servers/results/SERVER/FILE, of which servers_doc.lua makes doc/servers.md. SPECS
# names the files (default: all that are about a server). Ends with 1 where a spec failed; a server that cannot be had
# is skipped. servers.sh --files prints the names of the files.

set -u
cd "$(dirname "${BASH_SOURCE[0]}")/.." || exit
results=build/servers/results
# What these look at is no server: the sources, the documents, LuaJIT; the relay, and the specs' own servers.
about_none='^spec/(project|servers)/'
mapfile -t files < <(printf '%s\n' ${SPECS:-$(find spec -name '*_spec.lua' | grep -vE "$about_none" | sort)})
status=0
[[ ${1-} == --files ]] && printf '%s\n' "${files[@]}" && exit

run_file() {
  local server=$1 file=$2 result
  result=$results/$server/${file#spec/}
  mkdir -p "$(dirname "$result")"
  SERVER=$server timeout 900 "${LUA:-lua5.4}" "$(command -v busted)" --ignore-lua -o plainTerminal "$file" \
    >"$result.new" 2>&1 || status=1
  mv "$result.new" "$result"
  echo "$server $file: $(grep -a ' successes / ' "$result" || echo 'did not end')"
}

for server; do
  bash spec/servers/fetch.sh "$server" >/dev/null || { (($? == 3)) && continue || exit 1; }
  for file in "${files[@]}"; do run_file "$server" "$file"; done
done
exit "$status"
