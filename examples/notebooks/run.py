"""Runs the notebooks of this folder, and keeps in them what they show: ``python examples/notebooks/run.py [NAME …]``.

It needs no Jupyter. Of what a value can show itself as, HTML is kept if there is such, else a picture, else text.
"""

from __future__ import annotations

import ast
import contextlib
import io
import json
import linecache
import sys
from pathlib import Path
from typing import Any

FOLDER = Path(__file__).parent


def shown(value: Any) -> dict[str, Any]:
    """What a notebook keeps of a value."""
    for kind, method in (("text/html", "_repr_html_"), ("image/svg+xml", "_repr_svg_")):
        words = value._repr_mimebundle_().get(kind) if hasattr(value, "_repr_mimebundle_") else None
        words = words or (getattr(value, method)() if hasattr(value, method) else None)
        if words:
            return {kind: words.splitlines(True), "text/plain": repr(value).splitlines(True)[:1]}
    return {"text/plain": repr(value).splitlines(True)}


def execute(path: Path) -> dict[str, Any]:
    """The notebook with what its cells show, run from the first to the last.

    Raises:
        Exception: Whatever a cell raises.
    """
    notebook: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    names: dict[str, Any] = {"__name__": "__main__"}
    count = 0
    for cell in notebook["cells"]:
        if cell["cell_type"] != "code":
            continue
        count += 1
        source = "".join(cell["source"])
        place = f"<{path.stem}[{count}]>"
        linecache.cache[place] = len(source), None, source.splitlines(True), place
        *body, last = ast.parse(source, place).body
        printed = io.StringIO()
        value = None
        with contextlib.redirect_stdout(printed):
            if isinstance(last, ast.Expr):
                exec(compile(ast.Module(body, []), place, "exec"), names)
                value = eval(compile(ast.Expression(last.value), place, "eval"), names)
            else:
                exec(compile(ast.Module([*body, last], []), place, "exec"), names)
        cell["execution_count"] = count
        cell["outputs"] = []
        if printed.getvalue():
            text = printed.getvalue().splitlines(True)
            cell["outputs"].append({"name": "stdout", "output_type": "stream", "text": text})
        if value is not None:
            result = {"data": shown(value), "execution_count": count, "metadata": {}, "output_type": "execute_result"}
            cell["outputs"].append(result)
    return notebook


def main() -> None:
    """Run the notebooks that are named, or all."""
    for path in [FOLDER / f"{name}.ipynb" for name in sys.argv[1:]] or sorted(FOLDER.glob("*.ipynb")):
        words = json.dumps(execute(path), indent=1, ensure_ascii=False)
        path.write_text(words + "\n", encoding="utf-8")
        print(f"wrote {path}")


if __name__ == "__main__":
    main()
