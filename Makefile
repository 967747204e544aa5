# make, make demo, make test: each does all it needs by itself. See README.md.

PREFIX ?= /usr/local
DESTDIR ?=
INST_LUADIR ?= $(PREFIX)/share/lua/$(LUA_VERSION)
INST_LIBDIR ?= $(PREFIX)/lib/lua/$(LUA_VERSION)
INST_DOCDIR ?= $(PREFIX)/share/doc/mypool
# The first Lua there is that is 5.4 or 5.5; lua5.4, which would be installed, where there is none.
ifndef LUA
LUA := $(shell for lua in lua5.4 lua-5.4 lua54 lua; do $$lua -e 'os.exit(_VERSION >= "Lua 5.4")' 2>/dev/null && \
  echo $$lua && exit; done; echo lua5.4)
endif
# Of a Lua that is yet to be installed its name tells.
ifndef LUA_VERSION
LUA_VERSION := $(or $(shell $(LUA) -e 'io.write(_VERSION:match "%d.%d")' 2>/dev/null),$(patsubst lua%,%,$(filter \
  lua5.%,$(notdir $(LUA)))),5.4)
endif
export LUA
CC ?= cc
CFLAGS ?= -O2 -g
SECONDS ?= 60
MINUTES ?= 10
LEAST ?= 95
# A folder for each version of Lua, so that none loads what was built for another.
BUILD ?= build$(if $(findstring luajit,$(LUA)),/luajit,$(if $(filter-out 5.4,$(LUA_VERSION)),/lua$(LUA_VERSION)))

# pkg-config's names for a Lua called $(LUA) or, as on Arch, Fedora and others, otherwise.
LUA_PACKAGE ?= $(shell for name in $(LUA) lua$(LUA_VERSION) lua-$(LUA_VERSION) lua; do \
  pkg-config --exists $$name && echo $$name && exit; done)
LUA_CFLAGS ?= $(shell pkg-config --cflags $(LUA_PACKAGE))
LUA_LIBS ?= $(shell pkg-config --libs $(LUA_PACKAGE))
# MARIADB_INCDIR and MARIADB_LIBDIR come before what pkg-config says; the headers may lie in a folder below.
ifdef MARIADB_INCDIR
MARIADB_CFLAGS ?= $(patsubst %,-I$(MARIADB_INCDIR)%,/mariadb /mysql) -I$(MARIADB_INCDIR)
else
MARIADB_CFLAGS ?= $(shell pkg-config --cflags libmariadb)
endif
MARIADB_LIBS ?= $(if $(MARIADB_LIBDIR),-L$(MARIADB_LIBDIR) -lmariadb,$(shell pkg-config --libs libmariadb))
# Every new compiler warns of something new: only `make lint` takes a warning for an error.
WARNINGS = -Wall -Wextra -Wshadow -Wstrict-prototypes -Wmissing-prototypes $(if $(WERROR),-Werror)
SPEC_CFLAGS = -std=c11 -D_GNU_SOURCE -O2 $(WARNINGS)
ALL_CFLAGS = -std=c11 -D_GNU_SOURCE -fPIC -fvisibility=hidden -pthread $(WARNINGS) $(CFLAGS) -MMD -MP

# With the invariants of the pool checked at the end of each call.
ifdef CHECK
BUILD := $(BUILD)/check
CFLAGS += -DMYPOOL_CHECK
endif

ifdef SANITIZE
BUILD := $(BUILD)/sanitize
CFLAGS += -DMYPOOL_CHECK -O1 -fsanitize=address,undefined -fno-sanitize-recover=undefined -fno-omit-frame-pointer
PRELOAD = $$($(CC) -print-file-name=libasan.so):$$($(CC) -print-file-name=libubsan.so):$(CURDIR)/$(UNPRELOAD)
SANITIZED = env LD_PRELOAD="$(PRELOAD)" MYPOOL_PRELOAD="$(PRELOAD)" \
  LSAN_OPTIONS=suppressions=$(CURDIR)/spec/support/lsan.txt:print_suppressions=0
endif

# Processes that end by a signal or by _exit write no counts: those of other specs have to do.
ifdef COVERAGE
BUILD := $(BUILD)/coverage
CFLAGS += -O0 --coverage -fprofile-update=atomic
endif

# What only other systems than SYSTEM have, and how it is told that a library stays loaded when Lua closes it: those
# that libmariadb loads cannot bear being unloaded. On macOS src/os/fork.c sees to it.
SYSTEM ?= $(shell uname -s)
FOREIGN = src/os/readiness_epoll.c src/os/wakeup_eventfd.c
SHARED = -shared -Wl,-z,nodelete
ifeq ($(SYSTEM),Linux)
FOREIGN = src/os/readiness_kqueue.c src/os/wakeup_pipe.c
endif
ifeq ($(SYSTEM),Darwin)
SHARED = -shared -undefined dynamic_lookup
endif

LUA_RUN = LUA_PATH="./lua/?.lua;./lua/?/init.lua;./?.lua;;" LUA_CPATH="./$(BUILD)/?.so;./build/?.so;;" $(LUA)
SOURCES = $(filter-out $(FOREIGN),$(wildcard src/*.c src/*/*.c))
OBJECTS = $(SOURCES:src/%.c=$(BUILD)/obj/%.o)
CORE = $(BUILD)/mypool/core.so
# What is rules, not I/O: its specs need no server.
RULES = $(wildcard src/*.c src/sql/*.c)
C_SPEC = $(BUILD)/spec/c
C_SPEC_SOURCES = $(wildcard spec/c/*.c src/pool/*.c) $(RULES)
RELAY = build/spec/relay
PLAIN = build/spec/plain.so
PROCESS = build/spec/process.so build/spec/names.so
UNPRELOAD = build/spec/unpreload.so
BENCH = build/bench
ROUNDS ?= 11
# With a decimal comma, with a decimal mark of two bytes, and where i is not I; LOCPATH says where they are.
LOCALES = $(patsubst %,build/locale/%.UTF-8,de_DE ps_AF tr_TR)
# Lua with the checks of its API, and of itself, on: where C misuses it the program ends, in words.
CHECKED = build/checked/lua5.4
# Programs that embed Lua.
EMBEDDED = $(BUILD)/spec/allocator $(BUILD)/spec/states
SOAKED = $(patsubst %,spec/faults/%_spec.lua,random_calls damaged_packets process closed_coroutines half_transaction \
  strangers)

all: $(CORE)

# Each folder sees only what it may use.
$(BUILD)/obj/%.o: INCLUDES = -Isrc
$(BUILD)/obj/mariadb/%.o: INCLUDES = -Isrc $(MARIADB_CFLAGS)
$(BUILD)/obj/lua/%.o: INCLUDES = -Isrc $(LUA_CFLAGS)

$(BUILD)/obj/%.o: src/%.c Makefile
	@mkdir -p $(@D)
	$(CC) $(ALL_CFLAGS) $(INCLUDES) -c $< -o $@

$(CORE): $(OBJECTS)
	@mkdir -p $(@D)
	$(CC) $(SHARED) -pthread $(CFLAGS) $(LDFLAGS) $^ $(MARIADB_LIBS) -lm -o $@

$(C_SPEC): $(C_SPEC_SOURCES) $(wildcard spec/c/*.h src/*.h src/*/*.h) Makefile
	@mkdir -p $(@D)
	$(CC) $(filter-out -MMD -MP,$(ALL_CFLAGS)) -DMYPOOL_CHECK -Isrc -iquote src/pool $(C_SPEC_SOURCES) -lm -o $@

$(RELAY): $(wildcard spec/servers/relay/*.c spec/servers/relay/*.h) Makefile
	@mkdir -p $(@D)
	$(CC) $(SPEC_CFLAGS) $(wildcard spec/servers/relay/*.c) -o $@

# libmariadb bare, to compare with.
$(PLAIN): spec/programs/plain.c Makefile
	@mkdir -p $(@D)
	$(CC) $(SPEC_CFLAGS) -fPIC -shared -Wl,-z,nodelete $(LUA_CFLAGS) $(MARIADB_CFLAGS) $< $(MARIADB_LIBS) -o $@

$(PROCESS): build/spec/%.so: spec/programs/%.c Makefile
	@mkdir -p $(@D)
	$(CC) $(SPEC_CFLAGS) -fPIC -shared -Wl,-z,nodelete $(LUA_CFLAGS) $< -o $@

$(EMBEDDED): $(BUILD)/spec/%: spec/programs/%.c Makefile
	@mkdir -p $(@D)
	$(CC) $(SPEC_CFLAGS) $(CFLAGS) -pthread $(LUA_CFLAGS) $< $(LUA_LIBS) -o $@

$(UNPRELOAD): spec/programs/unpreload.c
	@mkdir -p $(@D)
	$(CC) -fPIC -shared $< -o $@

$(LOCALES): build/locale/%.UTF-8:
	@mkdir -p $(@D)
	localedef -i $* -f UTF-8 $@

$(CHECKED): spec/servers/fetch.sh
	@mkdir -p $(@D)
	source=$$(spec/servers/fetch.sh lua-5.4-source)/root/src && $(CC) -std=gnu99 -O2 -g -DLUA_USE_LINUX \
	  -DLUA_USE_APICHECK -include assert.h -Dlua_assert=assert \
	  $$(ls $$source/*.c | grep -v /luac.c) -Wl,-E -lm -ldl -o $@

demo: install-build install-server
	@$(MAKE) --no-print-directory all >/dev/null
	@$(LUA_RUN) examples/tour.lua

demo-handlers: install-build install-server install-handlers
	@$(MAKE) --no-print-directory all >/dev/null
	@$(LUA_RUN) examples/handlers/demo.lua

demo-cluster: install-build install-server install-cluster
	@tools/install.sh cqueues
	@$(MAKE) --no-print-directory all >/dev/null
	@$(LUA_RUN) examples/cluster.lua

demo-openresty: install-build install-server install-handlers
	@tools/install.sh nginx
	@$(MAKE) --no-print-directory all >/dev/null
	@$(LUA_RUN) examples/openresty/demo.lua

# The benchmark: prints, and leaves its results in build/bench. A contender that cannot be had is skipped.
bench: install-build install-server
	@for group in test cqueues bench-lua bench-go bench-node; do tools/install.sh $$group || true; done
	@$(MAKE) --no-print-directory all $(RELAY) $(BENCH)/c $(BENCH)/clock.so >/dev/null
	@$(MAKE) --no-print-directory -k $(BENCH)/go_sql $(BENCH)/node/installed >/dev/null || true
	@ROUNDS=$(ROUNDS) ONLY="$(ONLY)" $(LUA_RUN) bench/run.lua

# What a request costs in nginx, beside the least that a client on a cosocket does; RESTY_MYSQL names a folder with
# lua-resty-mysql to compare with instead.
bench-openresty: install-build install-server install-handlers
	@tools/install.sh nginx
	@$(MAKE) --no-print-directory all >/dev/null
	@$(LUA_RUN) bench/openresty/run.lua

# The tables and charts of doc/why/performance.md, from the results of the last `make bench`.
doc-performance:
	@tools/install.sh bench-charts
	@$(LUA_RUN) bench/document.lua

$(BENCH)/c: $(wildcard bench/contenders/*.c bench/contenders/*.h) Makefile
	@mkdir -p $(@D)
	$(CC) $(SPEC_CFLAGS) $(MARIADB_CFLAGS) $(filter %.c,$^) $(MARIADB_LIBS) -o $@

$(BENCH)/clock.so: bench/clock.c Makefile
	@mkdir -p $(@D)
	$(CC) $(SPEC_CFLAGS) -fPIC -shared $(LUA_CFLAGS) $< -o $@

# Debian's packages of Go libraries are source, for the time before modules.
$(BENCH)/go_sql: bench/contenders/go/main.go
	@mkdir -p $(@D)
	GO111MODULE=off GOPATH=/usr/share/gocode GOCACHE=$(CURDIR)/$(BENCH)/go-cache go build -o $@ $<

$(BENCH)/node/installed: bench/contenders/node/package.json bench/contenders/node/package-lock.json
	@mkdir -p $(@D)
	cp $^ $(@D)
	cd $(@D) && npm ci --silent --no-audit --no-fund && touch installed

# Each for so many SECONDS. What brings one down is left in build/fuzz.
FUZZ = mkdir -p build/fuzz/corpus-$1 && $2 build/fuzz/$1 -max_total_time=$(SECONDS) -artifact_prefix=build/fuzz/
FUZZ_CC = clang -std=c11 -D_GNU_SOURCE -O1 -g $(WARNINGS) -pthread -fsanitize=fuzzer,address,undefined \
  -fno-sanitize-recover=all -Isrc

fuzz: install-build install-fuzz build/fuzz/encode build/fuzz/scan
	@for t in encode scan; do $(call FUZZ,$$t) -max_len=400 build/fuzz/corpus-$$t spec/fuzz/seeds/$$t || exit 1; done
	@$(MAKE) --no-print-directory fuzz-client

# The client, from what a real server sent. libmariadb allocates as much as a server says, which must then fail.
FUZZ_OPTIONS = ASAN_OPTIONS=suppressions=spec/fuzz/asan.txt:allocator_may_return_null=1:max_allocation_size_mb=600 \
  LSAN_OPTIONS=suppressions=spec/support/lsan.txt:print_suppressions=0
fuzz-client: install-build install-server install-fuzz all build/fuzz/client
	@mkdir -p build/fuzz/seeds-client
	@$(LUA_RUN) spec/fuzz/record.lua build/fuzz/client build/fuzz/seeds-client/recorded
	@$(call FUZZ,client,$(FUZZ_OPTIONS)) -max_len=30000 -malloc_limit_mb=1000000 \
	  build/fuzz/corpus-client build/fuzz/seeds-client

build/fuzz/client: spec/fuzz/client.c spec/fuzz/fuzz.h $(RULES) $(wildcard src/*.h src/*/*.h) $(filter src/os/% src/pool/% src/mariadb/%,$(SOURCES)) Makefile
	@mkdir -p $(@D)
	$(FUZZ_CC) $(MARIADB_CFLAGS) $(filter %.c,$^) $(MARIADB_LIBS) -lm -rdynamic -o $@

build/fuzz/%: spec/fuzz/%.c spec/fuzz/fuzz.h $(RULES) Makefile
	@mkdir -p $(@D)
	$(FUZZ_CC) $(filter %.c,$^) -lm -o $@

test: install-build install-server install-test
	$(MAKE) --no-print-directory all $(RELAY) $(PLAIN) $(PROCESS) $(EMBEDDED) $(if $(SANITIZE),$(UNPRELOAD)) check-exports test-c
	$(SANITIZED) $(LUA) $$(command -v busted) --ignore-lua --cpath='./$(BUILD)/?.so;./build/?.so' $(BUSTED_FLAGS)

# The specs of spec/faults alone, with all their faults where `make test` makes some of them, and what they counted.
test-faults: install-build install-server install-test
	@$(MAKE) --no-print-directory all $(RELAY) $(PLAIN) $(PROCESS) $(EMBEDDED) >/dev/null
	@rm -f build/ledger
	@MYPOOL_THOROUGH=1 MYPOOL_LEDGER=$(CURDIR)/build/ledger $(LUA) $$(command -v busted) --ignore-lua $(BUSTED_FLAGS) spec/faults; \
	  status=$$?; $(LUA) tools/ledger.lua build/ledger && exit $$status

# Real clusters with real faults under load, and a table of what each way to reach them lost. CHAOS=100 takes longer.
CHAOS ?= 20
test-cluster: install-build install-server install-test install-cluster
	@$(MAKE) --no-print-directory all >/dev/null
	@rm -f build/figures
	@MYPOOL_CHAOS=$(CHAOS) MYPOOL_FIGURES=$(CURDIR)/build/figures $(LUA) $$(command -v busted) --run=cluster --ignore-lua \
	  $(BUSTED_FLAGS); status=$$?; cat build/figures 2>/dev/null; exit $$status

# The specs of what src/lua shows, or others (SPECS=spec: all), under a Lua that checks whatever C does to it.
test-checked: SPECS ?= $(patsubst %,spec/%_spec.lua,connection/handle error/message parameter/arrays \
  parameter/unchanged pool/calls pool/checkout pool/close pool/options pool/server_down pool/stats process/reentry \
  result/stream result/types statement/bulk statement/prepared statement/query transaction/again transaction/by_hand \
  transaction/commit_unknown transaction/function)
test-checked: install-build install-server install-test install-checked
	@$(MAKE) --no-print-directory all $(RELAY) $(PLAIN) $(PROCESS) $(EMBEDDED) $(CHECKED) test-c >/dev/null
	LUA=$(CURDIR)/$(CHECKED) $(CHECKED) $$(command -v busted) --ignore-lua $(BUSTED_FLAGS) $(SPECS)

# That src/ compiles for other systems and processors, and by clang without a warning.
check-systems: install-build
	@tools/install.sh systems || true
	@LUA_CFLAGS="$(LUA_CFLAGS)" tools/systems.sh

check-clang: install-build
	@tools/install.sh clang || { echo "skipped: there is no clang"; exit; }; rm -rf build/clang && \
	  $(MAKE) --no-print-directory CC=clang WERROR=1 BUILD=build/clang all build/clang/spec/c $(EMBEDDED:$(BUILD)/%=build/clang/%)

# A fresh Debian in which a copy of this checkout runs `make demo` and `make test`.
SUITE ?= trixie
check-debian:
	@tools/debian.sh $(SUITE)

# The specs on each of SERVERS, JOBS at a time, and doc/servers.md from what came of them; SPECS names some files of specs
# only.
SERVERS ?= system mariadb-10.5 mariadb-11.8 mysql-9.7 mysql-5.6
test-servers: install-build install-server install-test install-locale
	@$(MAKE) --no-print-directory all $(RELAY) $(PLAIN) $(PROCESS) $(EMBEDDED) $(LOCALES) >/dev/null
	@tools/servers.sh $(SERVERS); status=$$?; $(LUA_RUN) tools/servers_doc.lua >build/servers.md && \
	  mv build/servers.md doc/servers.md && exit $$status

# The same for two of them, with the specs of what is said to a server alone.
test-other-servers: install-build install-server install-test install-locale
	@$(MAKE) --no-print-directory all $(RELAY) $(PLAIN) $(PROCESS) $(EMBEDDED) $(LOCALES) >/dev/null
	@SPECS="$$(ls $(patsubst %,spec/%/*_spec.lua,connection error parameter pool reset result statement transaction))" \
	  tools/servers.sh mariadb-11.8 mysql-9.7

# What takes long: load with a fault every second, then random programs, transactions, ended coroutines, time limits and
# damaged packets, with new seeds.
soak: install-build install-server install-test
	@$(MAKE) --no-print-directory CHECK=1 MINUTES=$(MINUTES) soak-checked

soak-checked:
	@$(MAKE) --no-print-directory all $(RELAY) $(PLAIN) $(PROCESS) $(EMBEDDED) >/dev/null
	@rm -f build/soak.ledger
	@export MYPOOL_CYCLES=100000 MYPOOL_LEDGER=$(CURDIR)/build/soak.ledger MYPOOL_SECONDS=$$(($(MINUTES) * 12)) MYPOOL_FIRST_SEED=$$(date +%s); \
	  status=0; \
	  $(LUA_RUN) tools/soak.lua $(MINUTES) || status=1; \
	  $(LUA) $$(command -v busted) --ignore-lua --cpath='./$(BUILD)/?.so;./build/?.so' $(SOAKED) || status=1; \
	  $(LUA) tools/ledger.lua $$MYPOOL_LEDGER && exit $$status

test-c: install-build install-locale $(C_SPEC)
	@$(MAKE) --no-print-directory $(LOCALES)
	LOCPATH=build/locale $(C_SPEC)

test-valgrind: install-build install-locale install-valgrind $(C_SPEC)
	@$(MAKE) --no-print-directory $(LOCALES)
	LOCPATH=build/locale valgrind -q --leak-check=full --error-exitcode=1 $(C_SPEC)

# What the specs run of src/, by line; fails below LEAST per cent.
coverage: install-build install-server install-test install-coverage
	@rm -rf build/coverage
	@$(MAKE) --no-print-directory COVERAGE=1 all $(RELAY) $(PLAIN) $(PROCESS) \
	  $(EMBEDDED:$(BUILD)/%=$(BUILD)/coverage/%) test-c >/dev/null
	@$(LUA) $$(command -v busted) --ignore-lua --cpath='./build/coverage/?.so;./build/?.so' \
	  --filter-out='exports luaopen_mypool_core' $(BUSTED_FLAGS); \
	  status=$$?; mkdir -p build/coverage/report; \
	  gcovr --root . --filter 'src/' --print-summary --txt \
	  --html-details build/coverage/report/index.html --fail-under-line $(LEAST) build/coverage && exit $$status

check-exports: $(CORE)
	@nm -D --defined-only $(CORE) | awk '$$2 ~ /[A-Z]/ {print $$3}' | diff - spec/project/exports.txt

lint: install-lint install-build
	luacheck -q lua spec tools examples bench
	clang-format --dry-run --Werror $$(find src spec bench -name '*.[ch]')
	$(MAKE) --no-print-directory WERROR=1 BUILD=build/lint build/lint/mypool/core.so
	$(LUA) tools/includes.lua src build/lint/obj

format: install-lint
	clang-format -i $$(find src spec bench -name '*.[ch]')

LUA_FILES = mypool.d.lua $$(cd lua && find mypool -name '*.lua')
DOC_FILES = README.md LICENSE CHANGELOG.md CONTRIBUTING.md SECURITY.md $$(find doc -type f)

# Where the Lua that it was built for does not look, the two lines to set are printed.
install: all
	@for file in $(LUA_FILES); do \
	  mkdir -p "$(DESTDIR)$(INST_LUADIR)/$$(dirname $$file)" && \
	  install -m 644 lua/$$file "$(DESTDIR)$(INST_LUADIR)/$$file" || exit; done
	@for file in $(DOC_FILES); do \
	  mkdir -p "$(DESTDIR)$(INST_DOCDIR)/$$(dirname $$file)" && \
	  install -m 644 $$file "$(DESTDIR)$(INST_DOCDIR)/$$file" || exit; done
	@mkdir -p "$(DESTDIR)$(INST_LIBDIR)/mypool"
	install -m 755 $(CORE) "$(DESTDIR)$(INST_LIBDIR)/mypool/core.so"
	@$(LUA) -e 'function has(path, file) return path:find("$(PREFIX)" .. file, 1, true) end' \
	  -e 'os.exit(has(package.path, "/share/lua/") and has(package.cpath, "/lib/lua/") and 0 or 1)' || \
	  printf '%s\n' 'export LUA_PATH="$(INST_LUADIR)/?.lua;$(INST_LUADIR)/?/init.lua;;"' \
	    'export LUA_CPATH="$(INST_LIBDIR)/?.so;;"'

# What install wrote, and the folders of mypool's own that are empty then.
uninstall:
	@for file in $(LUA_FILES); do rm -f "$(DESTDIR)$(INST_LUADIR)/$$file" || exit; done
	@for file in $(DOC_FILES); do rm -f "$(DESTDIR)$(INST_DOCDIR)/$$file" || exit; done
	@rm -f "$(DESTDIR)$(INST_LIBDIR)/mypool/core.so"
	@for folder in "$(INST_LUADIR)/mypool" "$(INST_LIBDIR)/mypool" "$(INST_DOCDIR)"; do \
	  [ ! -d "$(DESTDIR)$$folder" ] || find "$(DESTDIR)$$folder" -depth -type d -empty -delete || exit; done

# A release, of what is committed: its archive, and the rockspec for it, which says where the archive will lie.
VERSION = $(shell sed -n 's/.*_VERSION = "\([^"]*\)".*/\1/p' lua/mypool/init.lua)
ARCHIVE = build/dist/mypool-$(VERSION).tar.gz
URL ?= file://$(CURDIR)/$(ARCHIVE)
dist:
	@mkdir -p $(dir $(ARCHIVE))
	git archive --format=tar --prefix=mypool-$(VERSION)/ HEAD >$(ARCHIVE:.gz=)
	gzip -nf $(ARCHIVE:.gz=)
	$(LUA) tools/dist.lua rockspec/mypool-$(VERSION)-1.rockspec "$(URL)" \
	  $$({ md5sum <$(ARCHIVE) || md5 -q $(ARCHIVE); } 2>/dev/null | cut -c 1-32) >$(ARCHIVE:.tar.gz=-1.rockspec)

doc: install-build install-server install-test
	@$(MAKE) --no-print-directory all $(PLAIN) >/dev/null
	$(LUA_RUN) tools/isolation_doc.lua >build/isolation.md
	mv build/isolation.md doc/why/isolation.md

install-build:
	@tools/install.sh build run
install-checked:
	@tools/install.sh checked
install-locale:
	@tools/install.sh locale
install-server:
	@tools/install.sh server
install-test:
	@tools/install.sh test cqueues luv openssl haproxy luajit nginx
install-cluster:
	@tools/install.sh cluster
install-handlers:
	@tools/install.sh cqueues handlers
install-fuzz:
	@tools/install.sh fuzz
install-lint:
	@tools/install.sh lint
install-coverage:
	@tools/install.sh coverage
install-valgrind:
	@tools/install.sh valgrind

clean:
	rm -rf build

.PHONY: all demo test test-checked test-cluster test-faults test-servers soak soak-checked coverage test-c test-valgrind check-exports check-clang check-debian check-systems test-other-servers demo-handlers demo-cluster demo-openresty bench bench-openresty doc-performance fuzz fuzz-client lint format install uninstall dist doc clean install-build install-checked install-locale install-server \
  install-test install-cluster install-handlers install-fuzz install-lint install-coverage install-valgrind
-include $(OBJECTS:.o=.d)
