# Everything a developer does with this checkout. `make help` lists it.

VENV ?= .venv
MNT ?= mnt
PORT_BASE ?= 9000
ROUNDS ?= 3
LINES ?=
LINE ?= create
SCALE ?= 1
GROWTH ?=
EXTENT ?= small
PEERS ?=
VARIANTS ?=
MINUTES ?= 5
SEED ?=
RUNS ?= 100
FIRST ?= 1
WITHOUT ?=
UNIT ?= tests/unit
PYTHON := $(VENV)/bin/python
CLUSTER := $(PYTHON) -m dfs.cli.local_cluster
CHECKED := dfs tests scripts
# Packages. DEBS: where `make deb` leaves them. DESTDIR, PREFIX, UNITDIR, SYSTEM_PYTHON: for `make install`.
VERSION := $(shell sed -n 's/^__version__ = "\(.*\)"/\1/p' dfs/__init__.py)
DEBS ?= build/deb
STAGE = $(DEBS)/dfs-$(VERSION)
SHIPPED := dfs conf docs packaging scripts pyproject.toml Makefile README.md CHANGELOG.md ARCHITECTURE.md LICENSE
DESTDIR ?=
PREFIX ?= /usr
SYSTEM_PYTHON ?= /usr/bin/python3
UNITDIR ?= $(shell pkg-config --variable=systemdsystemunitdir systemd || echo $(PREFIX)/lib/systemd/system)
MAN := $(patsubst packaging/man/%.scd,build/man/%,$(wildcard packaging/man/*.scd))

.PHONY: help machine packager up down check lint unit test test-mounts test-others sim mutants fuzz bench bench-growth profile bench-peers torture format deb shipped man install install-files clean
.DEFAULT_GOAL := help

help: ## Show this list
	@sed -n 's/^\([a-z-]*\):[^#]*## \(.*\)/  make \1\t\2/p' $(firstword $(MAKEFILE_LIST)) | expand -t 16
	@echo "Variables: VENV=$(VENV) MNT=$(MNT) PORT_BASE=$(PORT_BASE)"

machine:
	@scripts/setup-machine.sh $(VENV)

up: machine ## Install what is missing, start 1 meta-server and 4 data servers on loopback, mount MNT
	@$(CLUSTER) up --base-port $(PORT_BASE) --folder run --mount $(MNT)

down: ## Unmount MNT and stop all servers; the data stays in ./run
	@test ! -x $(PYTHON) || $(CLUSTER) down --base-port $(PORT_BASE) --folder run --mount $(MNT)

check: lint unit ## Lint, types and unit tests, in under a minute

lint: machine
	@$(VENV)/bin/ruff check $(CHECKED)
	@$(VENV)/bin/ruff format --check $(CHECKED)
	@$(VENV)/bin/mypy

unit: machine
	@$(PYTHON) -m pytest -q $(UNIT)

test: packager lint ## Everything: lint, types, and all tests, those with real processes and mounts too
	@$(MAKE) --no-print-directory --keep-going --jobs=2 --output-sync=target $(LANES:%=test-%)

# Two runs side by side, as many a test waits; each shows its lines when it has ended. What is in no list is in the second. That one
# has mounts of its own where it can: what boots containers there must not keep the first one's mounts alive beyond their end.
LANES := mounts others
SLOW := tests/probe/test_programs.py
MOUNTS := tests/fuse/ tests/probe/
OTHERS := $(filter-out $(MOUNTS) tests/__pycache__/,$(wildcard tests/*/)) $(SLOW)
test-mounts: WHERE := $(MOUNTS) --ignore=$(SLOW)
test-others: WHERE := $(OTHERS)
test-others: APART := $(if $(filter 0,$(shell id -u)),unshare --mount --propagation private)
$(LANES:%=test-%):
	@$(APART) $(PYTHON) -m pytest -q --durations=25 $(WHERE)

sim: machine ## Replay a run of the simulator (SEED=n), or search for runs that fail (RUNS=n FIRST=n)
	@$(PYTHON) -m tests.sim $(SEED) --runs $(RUNS) --first $(FIRST) --without "$(WITHOUT)"

mutants: machine ## Put known bugs back, one at a time, into a copy of the tree: each must be caught
	@$(PYTHON) -m tests.sim.mutants

fuzz: machine ## Give the parsers of the wire and of the disk random bytes for MINUTES=5 altogether, with atheris
	@$(PYTHON) -c 'import atheris' 2>/dev/null || $(PYTHON) -m pip install --quiet --disable-pip-version-check --editable .[fuzz]
	@$(PYTHON) -m tests.fuzz --minutes $(MINUTES)

bench: machine ## Measure beside the null file system and the stock XML-RPC server (LINES=sequential,wire ROUNDS=1 WITH=key)
	@$(PYTHON) -m tests.bench --rounds $(ROUNDS) --lines "$(LINES)" --with "$(WITH)" --json build/bench.json

bench-peers: machine ## Measure beside MooseFS and GlusterFS (LINES=write,create ROUNDS=1 PEERS=moosefs VARIANTS=dfs-4)
	@$(PYTHON) -m tests.bench.peers --rounds $(ROUNDS) --lines "$(LINES)" --peers "$(PEERS)" --variants "$(VARIANTS)" --json build/bench-peers.json

bench-growth: machine ## Show what grows with what is not touched (GROWTH=tree,inodes EXTENT=full)
	@$(PYTHON) -m tests.bench.growth --experiments "$(GROWTH)" --extent $(EXTENT) --json build/bench-growth.json

profile: machine ## Show where the time of one line of the bench goes, in all programs (LINE=create SCALE=0.5)
	@$(PYTHON) -m pip install --quiet --disable-pip-version-check -e ".[profile]" || echo "no py-spy: steps are timed, nothing is sampled"
	@$(PYTHON) -m tests.bench.profile --line "$(LINE)" --scale $(SCALE) --json build/profile.json

torture: machine ## Break a cluster in every way for MINUTES=5 while it is written to; tells what was lost (SEED=n ONLY="disk full")
	@$(PYTHON) -m tests.torture --minutes $(MINUTES) $(if $(SEED),--seed $(SEED)) $(if $(ONLY),--only "$(ONLY)")

format: machine ## Lay the code out and mend what can be mended without thinking
	@$(VENV)/bin/ruff check --fix $(CHECKED)
	@$(VENV)/bin/ruff format $(CHECKED)

packager:
	@scripts/setup-machine.sh --packages

deb: packager ## Build the Debian packages into DEBS=build/deb
	@rm -rf $(DEBS) && mkdir -p $(STAGE)
	@tar --create --exclude=__pycache__ --exclude=*.egg-info $(SHIPPED) | tar --extract --directory $(STAGE)
	@cp -a packaging/debian $(STAGE)/debian
	@cd $(STAGE) && env -u MAKEFLAGS -u MAKEOVERRIDES -u MFLAGS PATH=/usr/sbin:/usr/bin:/sbin:/bin dpkg-buildpackage -us -uc -b
	@ls $(DEBS)/*.deb

shipped:
	@echo $(SHIPPED)

man: $(MAN)

build/man/%: packaging/man/%.scd
	@mkdir -p build/man
	scdoc <$< >$@

install: man install-files ## Install into DESTDIR=/ as other distributions' packages want it (PREFIX=/usr UNITDIR SYSTEM_PYTHON)
	rm -rf build/wheel
	$(SYSTEM_PYTHON) -m build --wheel --no-isolation --skip-dependency-check --outdir build/wheel . >build/wheel.log
	DEB_PYTHON_INSTALL_LAYOUT=deb_system $(SYSTEM_PYTHON) -m installer --destdir "$(DESTDIR)/" --prefix "$(PREFIX)" build/wheel/*.whl

# All but the Python library and its programs, which a packager's own tools install.
install-files: man
	install -D -m 644 conf/dfs.conf "$(DESTDIR)/etc/dfs/dfs.conf"
	install -d "$(DESTDIR)/etc/dfs/dfs.conf.d"
	install -d -m 750 "$(DESTDIR)/etc/dfs/tls"
	install -D -m 644 -t "$(DESTDIR)$(UNITDIR)" $(wildcard $(foreach kind,service socket slice target,packaging/systemd/*.$(kind)))
	install -D -m 644 packaging/systemd/dfs.sysusers "$(DESTDIR)$(PREFIX)/lib/sysusers.d/dfs.conf"
	install -D -m 644 packaging/systemd/dfs.tmpfiles "$(DESTDIR)$(PREFIX)/lib/tmpfiles.d/dfs.conf"
	install -D -m 644 -t "$(DESTDIR)$(PREFIX)/lib/systemd/logind.conf.d" packaging/logind/*.conf
	install -D -m 644 -t "$(DESTDIR)/etc/needrestart/conf.d" packaging/needrestart/*.conf
	for page in $(MAN); do install -D -m 644 -t "$(DESTDIR)$(PREFIX)/share/man/man$${page##*.}" $$page || exit; done
	for program in dfsctl dfs-meta dfs-data dfs-inhibit dfs-mount; do \
		install -D -m 644 packaging/completion/dfs "$(DESTDIR)$(PREFIX)/share/bash-completion/completions/$$program" || exit; done
	install -D -m 644 -t "$(DESTDIR)$(PREFIX)/lib/systemd/catalog" packaging/dfs.catalog
	install -D -m 755 -t "$(DESTDIR)$(PREFIX)/lib/systemd/system-generators" $(wildcard packaging/systemd/*-generator)
	install -D -m 755 -t "$(DESTDIR)$(PREFIX)/sbin" scripts/mount.dfs
	ln -sf mount.dfs "$(DESTDIR)$(PREFIX)/sbin/mount.fuse.dfs"
	ln -sf mount.dfs.8 "$(DESTDIR)$(PREFIX)/share/man/man8/mount.fuse.dfs.8"

clean: ## Remove caches and build products; the data in ./run stays
	@rm -rf build dist *.egg-info .mypy_cache .ruff_cache .pytest_cache .hypothesis
	@find $(CHECKED) -name __pycache__ -prune -exec rm -rf {} +
