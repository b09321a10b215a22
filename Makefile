# make demo: segments the sample CT with the bundled model.  make test: lints and tests.  Both set themselves up.

PYTHON ?= python3
# The version that the figures were measured with. On Linux, PyPI's torch brings CUDA along; for the smaller CPU build:
#   make demo TORCH="torch --index-url https://download.pytorch.org/whl/cpu"
TORCH ?= torch==2.13.0

BIN := .venv/bin
SAMPLE := Resources/SampleData/verse014_L3_simulated_wedge

.PHONY: demo test lint clean

demo: .venv/installed
	mkdir -p demo-output
	$(BIN)/spine-fracture-seg segment $(SAMPLE)_ct.nii.gz --reference $(SAMPLE)_fracture.seg.nrrd \
		--output demo-output/fractures.seg.nrrd --report demo-output/findings.json --preview demo-output/preview.png

test: .venv/installed-test lint
	$(BIN)/python -m pytest

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
	$(BIN)/python -m pip install --quiet --editable ".[test]"
	touch $@
