# SPDX-License-Identifier: GPL-3.0-or-later
# The front of the build; Meson and Ninja do the work.
BUILD ?= build

.PHONY: all test asan tsan copies lint coverage api bench-nufft bench-merge bench-match clean docs format install
all: $(BUILD)/build.ninja
	ninja -C $(BUILD)

$(BUILD)/build.ninja:
	meson setup $(BUILD)

test: all
	tools/run_tests.sh $(BUILD)

# The whole test suite under AddressSanitizer, LeakSanitizer and UBSan (an hour on 2 cores).
# No plugins of hwloc (StarPU asks hwloc): it unloads them with what they hold, and a leak of a
# module that is gone has no name that tools/leaks.supp could give.
asan:
	test -d build-asan || meson setup build-asan -Db_sanitize=address,undefined -Db_lundef=false
	ninja -C build-asan
	ASAN_OPTIONS=detect_leaks=1 LSAN_OPTIONS=suppressions=$(CURDIR)/tools/leaks.supp:print_suppressions=0 \
		UBSAN_OPTIONS=halt_on_error=1 HWLOC_PLUGINS_PATH=/nonexistent tools/run_tests.sh build-asan 10

# The tests of tasks and those from end to end under ThreadSanitizer, without StarPU, which is not
# instrumented.  Nor is src/kernel: pure functions, whose callers are (two hours on 2 busy cores).
tsan:
	test -d build-tsan || meson setup build-tsan -Db_sanitize=thread -Db_lundef=false -Dstarpu=disabled
	ninja -C build-tsan
	TSAN_OPTIONS=halt_on_error=1:ignore_noninstrumented_modules=1 HWLOC_PLUGINS_PATH=/nonexistent \
		tools/run_tests.sh build-tsan 60 --suite task --suite e2e

# The end-to-end tests with every task on copies of the arrays it names: what a task reaches without
# naming it ends the program with one line (src/task/copies.h).
copies: all
	SPI_ENGINE=copies tools/run_tests.sh $(BUILD) 10 --suite e2e

# clang-tidy and clang's analyzer over all sources (.clang-tidy; Debian: clang-tidy).
lint: $(BUILD)/build.ninja
	git ls-files 'src/*.c' | xargs -P $$(nproc) -n 4 clang-tidy -p $(BUILD) --quiet

# What lines the tests reach: a table, least first, and build-coverage/coverage.html (Debian: gcovr).
coverage:
	test -d build-coverage || meson setup build-coverage -Db_coverage=true
	ninja -C build-coverage
	tools/run_tests.sh build-coverage 3
	gcovr -r . --filter src/ --sort-uncovered --html build-coverage/coverage.html --txt build-coverage

# Nonuniform transforms beside the machine's bound and FINUFFT (meson -Dfinufft=PREFIX,...):
# JSON lines; TABLE=1 prints a table.  ARGS="--op slice --modes 81" for some cases only.
bench-nufft: $(BUILD)/build.ninja
	@ninja -C $(BUILD) --quiet benches/bench_nufft
	@$(BUILD)/benches/bench_nufft $(ARGS) $(if $(TABLE),| benches/table.sh)

# Merging by parts, the L-curve and a step of the solution beside the published ways: JSON lines.
bench-merge: $(BUILD)/build.ninja
	@ninja -C $(BUILD) --quiet benches/bench_merge
	@$(BUILD)/benches/bench_merge $(ARGS)

# Matching against brute force (one minute or two): JSON lines.
bench-match: $(BUILD)/build.ninja
	ninja -C $(BUILD) benches/bench_match
	$(BUILD)/benches/bench_match

# Pages of the headers: build/api/html/index.html (Debian: doxygen).  A warning is an error.
api:
	mkdir -p build
	doxygen

format:
	clang-format -i $$(git ls-files '*.c' '*.h' | grep -v formfactor_table.h)

# doc/math.md and doc/formats.md from their fragments, the tables of doc/performance.md from their rows.
docs:
	tools/assemble_docs.sh
	benches/speed_table.py benches/results/speed.jsonl doc/performance.md

install: all
	meson install -C $(BUILD)

clean:
	rm -rf $(BUILD) build-asan
