# Sets everything up on a machine that has make and Python 3.11, 3.12 or 3.13:
#   make demo   doubles the frame rate of a short clip and prints where the result is
#   make test   installs the development tools too and runs the tests
# Both work in .venv. A second run installs nothing unless a pin or a dependency has changed.
# torch's CPU build is installed where no NVIDIA GPU is found. TORCH=cpu or TORCH=cuda overrides this.

VENV    := .venv
BIN     := $(VENV)/bin
# The first of these that runs and is of a version we support; `make demo PYTHON=...` overrides.
PYTHONS := python3 python3.13 python3.12 python3.11 python
PYTHON  ?= $(shell for p in $(PYTHONS); do \
	$$p -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] < (3, 14))' 2>/dev/null \
	&& echo $$p && break; done)
PIP     := $(BIN)/python -m pip --disable-pip-version-check --quiet
PINNED  := -c constraints.txt --build-constraint constraints.txt

# PyPI's torch for Linux is the CUDA build. Its CPU build comes from an index of its own, as version
# 2.13.0+cpu: pip keeps it afterwards, since the pin 2.13.0 allows it. PyPI's torch for macOS has no CUDA.
TORCH_PIN     := $(shell sed -n 's/^\(torch==[0-9.]*\).*/\1/p' constraints.txt)
TORCH_INDEX   := https://download.pytorch.org/whl/cpu
NVIDIA_DRIVER := /proc/driver/nvidia/version
ifneq ($(shell uname -s),Linux)
override TORCH := default
else ifndef TORCH
TORCH := $(shell { test -e $(NVIDIA_DRIVER) || nvidia-smi -L 2>/dev/null | grep -q '^GPU'; } \
	&& echo cuda || echo cpu)
endif
# The sizes are those of docs/install.md.
DOWNLOAD_cpu     := torch for machines without an NVIDIA GPU, 390 MB to download (TORCH=cuda: 2.9 GB)
DOWNLOAD_cuda    := torch for NVIDIA GPUs, 2.9 GB to download (TORCH=cpu: 390 MB)
DOWNLOAD_default := 230 MB to download

CLIP    := examples/clip.mp4
DOUBLED := out/clip_doubled.mp4

.PHONY: demo test check setup clean

demo: $(BIN)/.installed $(CLIP)
	@mkdir -p $(dir $(DOUBLED))
	$(BIN)/interp double $(CLIP) $(DOUBLED) --overwrite
	@echo
	@echo "The clip:   $(CURDIR)/$(CLIP)"
	@echo "The result: $(CURDIR)/$(DOUBLED) (the same clip at twice the frame rate)"

test: setup
	scripts/test

check: setup
	scripts/check

# Everything that checking and testing need, without running either.
setup: $(BIN)/.installed-tools

# Only where it is missing: a checkout's file times say nothing about what is newer.
$(CLIP): | $(BIN)/.installed
	$(BIN)/python examples/render_clip.py $@

$(BIN)/python:
	@test -n "$(PYTHON)" || { echo "interp needs Python 3.11, 3.12 or 3.13 and found none of \
	them. Install one, or name it: make demo PYTHON=/path/to/python3.12" >&2; exit 1; }
	"$(PYTHON)" -m venv $(VENV)

# pip comes first: the one that a Python brings along may know neither dependency groups nor
# constraints for the build.
$(BIN)/.pip: constraints.txt | $(BIN)/python
	@$(PIP) install --upgrade -c constraints.txt pip
	@touch $@

$(BIN)/.installed: pyproject.toml constraints.txt $(BIN)/.pip
	@test -n "$(DOWNLOAD_$(TORCH))" || { echo "TORCH=$(TORCH): expected cpu or cuda" >&2; exit 1; }
	@echo "Installing interp into $(VENV): $(DOWNLOAD_$(TORCH)). This takes a few minutes."
ifeq ($(TORCH),cpu)
	@$(PIP) install $(PINNED) --no-deps --retries 2 --extra-index-url $(TORCH_INDEX) \
	"$(TORCH_PIN)+cpu" || echo "No CPU build of torch was found in pip's indexes or in $(TORCH_INDEX)." \
	"Installing the build that pip finds, up to 2.9 GB to download. Press Ctrl-C to stop."
endif
	@$(PIP) install $(PINNED) -e .
	@touch $@

$(BIN)/.installed-tools: $(BIN)/.installed
	@echo "Installing the development tools into $(VENV): 85 MB to download"
	@$(PIP) install $(PINNED) -e '.[train,plot]' --group dev
	@touch $@

clean:
	rm -rf $(VENV) build dist out
