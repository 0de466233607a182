# Sets everything up on a machine that has make and Python 3.11, 3.12 or 3.13:
#   make demo   doubles the frame rate of a short clip and says where the result is
#   make test   installs the development tools too and runs the tests
# Both work in .venv; a second run installs nothing unless a pin or a dependency has changed.

VENV    := .venv
BIN     := $(VENV)/bin
# The first of these that runs and is of a version we support; `make demo PYTHON=...` overrides.
PYTHONS := python3 python3.13 python3.12 python3.11 python
PYTHON  ?= $(shell for p in $(PYTHONS); do \
	$$p -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] < (3, 14))' 2>/dev/null \
	&& echo $$p && break; done)
PIP     := $(BIN)/python -m pip --disable-pip-version-check --quiet
PINNED  := -c constraints.txt --build-constraint constraints.txt

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
	@echo "Installing interp and what it needs into $(VENV) (a few minutes the first time)"
	@$(PIP) install $(PINNED) -e .
	@touch $@

$(BIN)/.installed-tools: $(BIN)/.installed
	@echo "Installing the development tools into $(VENV)"
	@$(PIP) install $(PINNED) -e '.[train,plot]' --group dev
	@touch $@

clean:
	rm -rf $(VENV) build dist out
