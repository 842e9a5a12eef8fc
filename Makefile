# make demo: the main job on the example network. make test: everything that CI runs. Both set themselves up.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
DIGITS := examples/digits

.PHONY: demo test quick slow lint clean

$(VENV)/.installed: pyproject.toml
	$(PYTHON) -c 'import sys; sys.version_info >= (3, 11) or sys.exit("Python 3.11 or newer is needed: make PYTHON=python3.11")'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --disable-pip-version-check --editable '.[dev]'
	touch $@

demo: $(VENV)/.installed
	$(BIN)/lutwright inspect $(DIGITS)/digits.onnx
	$(BIN)/lutwright simulate $(DIGITS)/digits.onnx --inputs $(DIGITS)/test.npz --with verilator --board icebreaker
	$(BIN)/lutwright build $(DIGITS)/digits.onnx --board icebreaker --inputs $(DIGITS)/test.npz -o build/digits_icebreaker

lint: $(VENV)/.installed
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy -p lutwright

quick: $(VENV)/.installed
	$(BIN)/pytest -q -n auto --dist worksteal -m 'not slow'

slow: $(VENV)/.installed
	$(BIN)/pytest -q -n 2 --dist worksteal -m slow

test: lint quick slow

clean:
	rm -rf build $(VENV) .mypy_cache .ruff_cache .pytest_cache *.egg-info
