# make demo: segments the sample CT with the bundled model.  make test: lints and tests.  Both set themselves up.

PYTHON ?= python3
# The version that the figures were measured with. On Linux, PyPI's torch brings CUDA along; for the smaller CPU build:
#   make demo TORCH="torch --index-url https://download.pytorch.org/whl/cpu"
TORCH ?= torch==2.13.0

BIN := .venv/bin
SAMPLE := SpineFractureSeg/Resources/SampleData/verse014_L3_simulated_wedge

# Test processes at once, each with one thread.
JOBS ?= 2

# What the tests of the scene need exists for this Python alone.
SCENE_PYTHON := 3.11

.PHONY: demo test test-engine test-scene test-packaging screenshot lint clean

demo: .venv/installed
	mkdir -p demo-output
	$(BIN)/spine-fracture-seg segment $(SAMPLE)_ct.nii.gz --reference $(SAMPLE)_fracture.seg.nrrd \
		--output demo-output/fractures.seg.nrrd --report demo-output/findings.json --preview demo-output/preview.png

test: lint test-engine test-scene test-packaging

test-engine: .venv/installed-test
	$(BIN)/python -m pytest --numprocesses $(JOBS) Testing/Engine
	$(BIN)/python -m pytest SpineFractureSeg/SpineFractureSegLib/engine  # the examples in the docstrings

# On real MRML and a stand-in of Slicer's application, which is why they have a process of their own.
test-scene: .venv/installed-test
	@if [ "$$($(BIN)/python -c 'import sys; print("%d.%d" % sys.version_info[:2])')" = "$(SCENE_PYTHON)" ]; then \
		echo "$(BIN)/python -m pytest --numprocesses $(JOBS) Testing/Logic Testing/Panel Testing/StandIn"; \
		$(BIN)/python -m pytest --numprocesses $(JOBS) Testing/Logic Testing/Panel Testing/StandIn; \
	else \
		echo "SKIPPED: the tests of logic and panel need Python $(SCENE_PYTHON) (slicer-core has no other):"; \
		echo "         make clean && make test PYTHON=python$(SCENE_PYTHON)"; \
	fi

test-packaging: .venv/installed-test
	$(BIN)/python -m pytest Testing/Packaging

# Resources/Screenshots/panel.png, from a real run on the sample CT.
screenshot: .venv/installed-test
	$(BIN)/python Testing/Screenshot/make_screenshot.py

lint: .venv/installed-test
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

clean:
	rm -rf .venv demo-output

.venv/python:
	@$(PYTHON) -c 'import sys; v = sys.version_info[:2]; sys.exit(0 if (3, 10) <= v <= (3, 13) else "Python 3.10 to 3.13 is needed, this is %d.%d: set PYTHON=python3.12, for example." % v)'
	$(PYTHON) -m venv .venv
	touch $@

.venv/installed: pyproject.toml .venv/python
	$(BIN)/python -m pip install --quiet $(TORCH)
	$(BIN)/python -m pip install --quiet --editable .
	touch $@

.venv/installed-test: .venv/installed
	$(BIN)/python -m pip install --quiet --editable ".[test,scene-test]"
	touch $@
