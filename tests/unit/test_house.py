"""Rules of the house that no linter knows: sizes, layers of weight, freshness of documents, forbidden calls and paths."""

import ast
import importlib
import json
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PACKAGES = ("core", "readers", "metrics", "prompts", "models", "tools", "agent", "ui", "benchmarks")
MODULES = sorted(p for package in PACKAGES for p in (ROOT / package).rglob("*.py"))
WRITTEN = [
    *MODULES, *(ROOT / "tests").rglob("*.py"), *(ROOT / "samples").rglob("*.py"), *(ROOT / "docs").rglob("*.md"), *ROOT.glob("*.md"),
    ROOT / "Makefile", ROOT / ".ci" / "run", ROOT / "pyproject.toml",
]  # fmt: skip


def _run(code, *, environment=None):
    return subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT, env=environment
    ).stdout


@pytest.mark.parametrize("package", PACKAGES)
def test_each_package_is_ours(package):
    """A dependency may ship a stray top-level `tools` or `benchmarks`."""
    found = importlib.import_module(package)
    assert Path(found.__file__).resolve().parent == ROOT / package


def test_every_package_is_in_the_wheel_and_in_the_layers():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    assert set(project["tool"]["hatch"]["build"]["targets"]["wheel"]["packages"]) == set(PACKAGES)
    assert set(project["tool"]["importlinter"]["root_packages"]) == set(PACKAGES)


def test_no_module_is_longer_than_500_lines():
    lengths = {str(p.relative_to(ROOT)): len(p.read_text(encoding="utf-8").splitlines()) for p in MODULES}
    assert {name: n for name, n in lengths.items() if n > 500} == {}


def test_no_grab_bag_modules():
    assert [p.name for p in MODULES if p.stem in {"utils", "helpers", "common", "manager", "misc"}] == []


def test_every_module_says_what_it_is():
    assert [
        str(p.relative_to(ROOT)) for p in MODULES if p.name != "__init__.py" and not ast.get_docstring(ast.parse(p.read_text()))
    ] == []


def test_light_packages_never_load_the_heavy_ones():
    """Importing all of core, readers, metrics, prompts and every detector's module loads no torch."""
    light = [p for p in MODULES if p.relative_to(ROOT).parts[0] in {"core", "readers", "metrics", "prompts", "tools"}]
    names = [".".join(p.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__") for p in light]
    heavy = ("torch", "torchvision", "timm", "transformers", "sklearn", "matplotlib", "gradio", "langgraph")
    out = _run(
        f"import importlib, sys\nfor n in {names!r}: importlib.import_module(n)\nprint([m for m in {heavy!r} if m in sys.modules])"
    )
    assert out.strip() == "[]"


def test_help_is_quick_and_without_torch():
    code = (
        "import resource, subprocess, sys;"
        "run = subprocess.run([sys.executable, '-X', 'importtime', '-m', 'ui.cli', '--help'], capture_output=True, text=True, check=True);"
        "used = resource.getrusage(resource.RUSAGE_CHILDREN);"
        "import json; print(json.dumps([used.ru_utime + used.ru_stime, run.stdout, run.stderr]))"
    )
    runs = [json.loads(_run(code)) for _ in range(4)]
    seconds, text, imports = min(runs)
    assert "detectors" in text
    loaded = {line.rsplit("|", 1)[-1].strip().split(".")[0] for line in imports.splitlines()}
    assert loaded.isdisjoint({"torch", "gradio", "transformers", "langgraph", "polars", "cv2", "scipy", "matplotlib"})
    assert seconds < 0.5  # processor time of the best of four, so that a busy machine does not decide


def _calls(tree):
    for node in ast.walk(tree):
        if isinstance(node, ast.Call):
            yield ast.unparse(node.func), node
        elif isinstance(node, ast.Import):
            yield from ((f"import {alias.name}", node) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield f"import {node.module}", node
        elif isinstance(node, ast.ExceptHandler):
            yield ("bare except" if node.type is None else "except"), node


FORBIDDEN = {
    "eval", "exec", "os.system", "os.popen", "import pickle", "import dill", "import marshal", "import shelve", "import joblib",
    "bare except", "yaml.load", "input",
}  # fmt: skip


@pytest.mark.parametrize("path", MODULES, ids=lambda p: str(p.relative_to(ROOT)))
def test_no_forbidden_calls(path):
    tree = ast.parse(path.read_text(encoding="utf-8"))
    for name, node in _calls(tree):
        assert name not in FORBIDDEN, f"{name} in line {node.lineno}"
        keywords = {k.arg: ast.unparse(k.value) for k in getattr(node, "keywords", [])}
        assert keywords.get("shell", "False") == "False", f"shell in line {node.lineno}"
        assert keywords.get("allow_pickle", "False") == "False", f"pickle in line {node.lineno}"
        assert name != "torch.load" or keywords.get("weights_only") == "True", f"torch.load in line {node.lineno}"


@pytest.mark.parametrize("path", WRITTEN, ids=lambda p: str(p.relative_to(ROOT)))
def test_nothing_unfinished_and_no_machine_paths(path):
    text = path.read_text(encoding="utf-8")
    unfinished = re.findall(r"\b(?:TO" + r"DO|FIX" + r"ME|XX" + r"X|NotImplemented" + r"Error)\b", text)
    machine = re.findall(r"(?<![\w.])/(?:wo" + r"rk|ro" + r"ot)/[\w./-]*", text)
    assert unfinished == []
    assert machine == []


def test_readme_and_detector_page_are_fresh():
    """`make docs` renews both."""
    from tools.catalog_docs import page, readme

    text = (ROOT / "README.md").read_text(encoding="utf-8")
    assert text == readme(text)
    assert (ROOT / "docs" / "detectors.md").read_text(encoding="utf-8") == page()


def test_readme_names_every_detector_and_only_real_files():
    from tools.catalog import ROWS

    text = (ROOT / "README.md").read_text(encoding="utf-8")
    assert all(f"[`{row.name}`]" in text for row in ROWS)
    linked = {target for target in re.findall(r"\]\(([^)#:]+?)(?:#[^)]*)?\)", text) if not target.startswith("http")}
    assert {target for target in linked if not (ROOT / target).exists()} == set()
