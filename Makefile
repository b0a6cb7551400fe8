# The front of the build; Meson and Ninja do the work.
BUILD ?= build

.PHONY: all test asan bench-match clean docs format install
all: $(BUILD)/build.ninja
	ninja -C $(BUILD)

$(BUILD)/build.ninja:
	meson setup $(BUILD)

test: all
	tools/run_tests.sh $(BUILD)

# The whole test suite under AddressSanitizer and UBSan.
asan:
	test -d build-asan || meson setup build-asan -Db_sanitize=address,undefined -Db_lundef=false
	ninja -C build-asan
	ASAN_OPTIONS=detect_leaks=0 tools/run_tests.sh build-asan

# Matching against brute force (one minute or two): JSON lines.
bench-match: $(BUILD)/build.ninja
	ninja -C $(BUILD) benches/bench_match
	$(BUILD)/benches/bench_match

format:
	clang-format -i $$(git ls-files '*.c' '*.h')

# doc/math.md and doc/formats.md from their fragments.
docs:
	tools/assemble_docs.sh

install: all
	meson install -C $(BUILD)

clean:
	rm -rf $(BUILD) build-asan
