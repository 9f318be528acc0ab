# Thin front for CMake.  Settings go through: make CMAKE_ARGS="-DISB_CUDA=OFF".
# For another build, see `cmake --list-presets`: make PRESET=asan test.
PRESET ?= release
BUILD := $(if $(filter release,$(PRESET)),build,build-$(PRESET))
SOURCES = $(shell git ls-files '*.c' '*.h' '*.cu')

all: configure
	cmake --build $(BUILD) -j $$(nproc)

configure:
	@cmake --preset $(PRESET) $(CMAKE_ARGS) >$(BUILD).log 2>&1 || { cat $(BUILD).log; exit 1; }
	@grep '^-- isobit ' $(BUILD).log

test: all
	ctest --test-dir $(BUILD) --output-on-failure

# One line per case; see bench/.
bench: all
	@for program in $(BUILD)/bench/bench_*; do echo "== $$program"; "$$program" || exit 1; done

# Each target for a minute; what libFuzzer finds stays in build-fuzz/found.
fuzz:
	$(MAKE) PRESET=fuzz all
	@for program in build-fuzz/fuzz/fuzz_*; do subject=$${program##*fuzz_}; echo "== $$subject"; \
	    mkdir -p build-fuzz/found/$$subject; \
	    "$$program" -max_total_time=60 build-fuzz/found/$$subject fuzz/corpus/$$subject || exit 1; done

install: all
	cmake --install $(BUILD)

format:
	clang-format -i $(SOURCES)

clean:
	rm -rf $(BUILD) $(BUILD).log

.PHONY: all configure test bench fuzz install format clean
