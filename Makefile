# make demo    the whole job on drawn photos, in some minutes
# make test    everything that needs no Debian packages; `make quick` is its first minute
PYTHON ?= python3
# `rm -rf .venv; make setup PINS=` takes the newest versions that requirements.txt allows
PINS ?= -c constraints.txt
RUN := .venv/bin/python

.PHONY: demo setup system test quick lint
demo: setup
	$(RUN) demo/run.py

setup: .venv/repaired data/demo

.venv/installed: requirements.txt constraints.txt
	$(PYTHON) -c 'import sys; sys.exit(None if (3, 11) <= sys.version_info < (3, 14) else "Python 3.11 to 3.13 is needed (NNI); name one with PYTHON=")'
	$(PYTHON) -m venv .venv
	$(RUN) -m pip install -r requirements.txt $(PINS)
	touch $@

# NNI 3.0 is the last there will be: its faults are mended in .venv, and `--undo` takes that back
.venv/repaired: .venv/installed $(wildcard search/repairs/*.patch)
	$(RUN) search/nni_repair.py --apply
	touch $@

data/demo: | .venv/installed
	$(RUN) demo/draw.py data/demo

# Debian packages: chromium for the tests marked browser, openssh-server and iproute2 for those marked ssh
system:
	apt-get update -q
	DEBIAN_FRONTEND=noninteractive apt-get install -q -y --no-install-recommends chromium openssh-server iproute2

lint: setup
	$(RUN) -m ruff format --check .
	$(RUN) -m ruff check .

quick: setup
	$(RUN) -m pytest -m "not slow and not browser and not ssh"

test: lint
	$(RUN) -m pytest -m "not browser and not ssh"
