"""The explorer on functions of all kinds: nothing goes wrong in the page, nothing is cut off, all is told."""

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from exploring import Open, node

import hopgrad as hg
from hopgrad import nn

if TYPE_CHECKING:
    from playwright.sync_api import Page

pytestmark = pytest.mark.browser

FITS = """() => {
  const found = [];
  const box = (e) => e.getBoundingClientRect();
  for (const node of document.querySelectorAll(".holder g.node")) {
    const room = box(node.querySelector(".body"));
    for (const text of node.querySelectorAll("text")) {
      const has = box(text);
      const over = has.width && (has.left < room.left - 1 || has.right > room.right + 1);
      if (over) found.push("text in a box: " + text.textContent);
    }
  }
  const labels = [...document.querySelectorAll(".holder g.label")];
  const others = [...labels, ...document.querySelectorAll(".holder g.node .body")];
  const hits = (a, b) => a.left < b.right - 1 && b.left < a.right - 1 && a.top < b.bottom - 1 && b.top < a.bottom - 1;
  for (let i = 0; i < labels.length && labels.length < 200; i++) {
    for (const other of others.slice(i + 1)) {
      if (hits(box(labels[i]), box(other))) found.push("label on something: " + labels[i].textContent);
    }
  }
  if (document.documentElement.scrollWidth > innerWidth) found.push("the page scrolls sideways");
  return found;
}"""
"""What is cut off or covered: text wider than its box, labels on each other, a page that scrolls sideways."""


def größe(α, βeta, 変数):
    Δ = α * βeta - 変数
    return np.sin(Δ) ** 2 / α


def integers(x, n):
    order = np.argsort(x)
    positive = x > 0
    return np.sum(x[order][:3] * n) + np.sum(np.where(positive, x, -x)[np.arange(4) % 2]) + np.count_nonzero(positive)


def turning(w):
    z = np.exp(1j * w)
    q = z**2 + 3 * z
    return np.abs(q) ** 2 + q.real


def spectrum(x):
    return np.sum(np.abs(np.fft.fft(x)) ** 2 * np.arange(8))


def training(parameters, data):
    h = data["x"]
    for layer in parameters["layers"]:
        h = np.tanh(h @ layer["W"] + layer["b"])
    return np.mean((h[:, 0] - data["y"]) ** 2) + parameters["decay"] * sum(
        np.sum(p["W"] ** 2) for p in parameters["layers"]
    )


def long_line(a_rather_long_name_of_a_parameter, another_quite_long_name_of_a_parameter):
    the_result_of_this_line = np.sin(a_rather_long_name_of_a_parameter * another_quite_long_name_of_a_parameter) + np.cos(a_rather_long_name_of_a_parameter / another_quite_long_name_of_a_parameter) ** 2  # fmt: skip # noqa: E501
    return the_result_of_this_line


def halving(x):
    turns = 0
    while abs(x) > 1e-3 and turns < 20:
        x = x - np.sin(x) * 0.7 if x > 0.5 else x * 0.5
        turns += 1
    return x * x if x > 0 else -x


def in_place(x):
    a = np.zeros(6)
    a[1:4] = x
    a[::2] += x * 2
    v = a[1:]
    v *= 3.0
    return np.sum(a**2)


def fibonacci(n, x):
    return x * (n + 1) if n < 2 else fibonacci(n - 1, x) * 0.7 + fibonacci(n - 2, np.sin(x))


def nested(x, n):
    return x if n == 0 else nested(np.sin(x) + x * 0.1, n - 1)


def root(a):
    def step(pair):
        return 0.5 * (pair[0] + a / pair[0]), pair[0]

    return hg.while_loop(lambda pair: np.abs(pair[0] - pair[1]) > 1e-9, step, (a, a + 1.0), max_steps=40)[0]


def scanned(x, coefficients):
    total, waves = hg.scan(lambda total, c: (total * x + c, np.sin(total)), np.zeros_like(x), coefficients)
    return total + np.sum(waves)


def without_source() -> Any:
    names: dict[str, Any] = {}
    exec("import numpy as np\ndef hidden(x):\n    y = x * x\n    return np.exp(-y) + y", names)
    return names["hidden"]


def parameters() -> Any:
    random = np.random.default_rng(0)
    first = {"W": random.standard_normal((3, 4)), "b": np.zeros(4)}
    second = {"W": random.standard_normal((4, 1)), "b": np.zeros(1)}
    data = {"x": random.standard_normal((5, 3)), "y": random.standard_normal(5)}
    return {"layers": [first, second], "decay": 0.01}, data


def block() -> Any:
    x = np.random.default_rng(0).standard_normal((1, 5, 8)).astype(np.float32)
    return hg.explain(lambda block, x: np.mean(block(x) ** 2), wrt="block")(nn.TransformerBlock(8, 2, rng=0), x)


def images() -> Any:
    model = nn.Sequential(
        nn.Conv2d(1, 4, 3, rng=0), nn.relu, lambda x: x.reshape(len(x), -1), nn.Linear(4 * 6 * 6, 3, rng=1)
    )
    x = np.random.default_rng(0).standard_normal((2, 1, 8, 8)).astype(np.float32)
    return hg.explain(lambda model, x, t: nn.cross_entropy(model(x), t), wrt="model")(model, x, np.array([0, 2]))


def value(name: str, text: str) -> Callable[["Page"], None]:
    """That a value is shown as this text."""

    def check(page: "Page") -> None:
        assert node(page, name).locator("text.value, text.bad").first.text_content() == text

    return check


def says(tab: str, words: str) -> Callable[["Page"], None]:
    """That a panel has these words in it."""

    def check(page: "Page") -> None:
        page.get_by_role("tab", name=tab).click()
        assert words in " ".join(page.locator(".side .panel:not([hidden])").inner_text().split())

    return check


def boxes(least: int, most: int) -> Callable[["Page"], None]:
    """That so many boxes are open at first."""

    def check(page: "Page") -> None:
        assert least <= page.locator("g.node").count() <= most

    return check


def case(
    make: Callable[[], Any], check: Callable[["Page"], None]
) -> tuple[Callable[[], Any], Callable[["Page"], None]]:
    return make, check


HOSTILE = {"<b>&amp;": 1.0, "</script>": 2.0, "'\"": 0.5}
ODD = np.array([np.nan, np.inf, -1.0, 0.0, 4.0])
LARGE = np.linspace(-1, 1, 100_000)

CASES = {
    "one hop": case(lambda: hg.explain(lambda x: np.sin(x))(-0.0), value("x", "−0")),
    "no hop": case(lambda: hg.explain(lambda x: x)(2.0), says("Paths", "by itself is 1")),
    "letters": case(lambda: hg.explain(größe)(1.5, 2.0, 0.3), value("変数", "0.3")),
    "markup": case(lambda: hg.explain(lambda d: sum(map(np.sin, d.values())))(HOSTILE), value("d[<b>&amp;]", "1")),
    "nothing in it": case(
        lambda: hg.explain(lambda x, y: np.sum(np.sin(x)) + np.prod(x) * y)(np.zeros((0, 3)), 2.0),
        value("x", "0×3: empty"),
    ),
    "not finite": case(
        lambda: hg.explain(lambda x: np.sum(np.sqrt(x) * np.log(x)))(ODD), says("Health", "NaN in the value y")
    ),
    "integers": case(
        lambda: hg.explain(integers)(np.array([3.0, -1.0, 2.0, 0.5]), 3), value("positive", "[true, false, true, true]")
    ),
    "complex": case(lambda: hg.explain(turning)(0.7), value("z", "0.764842 + 0.644218i")),
    "complex array": case(
        lambda: hg.explain(spectrum)(np.linspace(0, 1, 8)), says("Inputs", "the page does not compute")
    ),
    "structures": case(lambda: hg.explain(training, wrt="parameters")(*parameters()), value("b", "[0, 0, 0, 0]")),
    "long lines": case(lambda: hg.explain(long_line)(1.0, 2.0), says("Code", "np.sin(a_rather_long_name")),
    "no source": case(lambda: hg.explain(without_source())(0.5), says("Code", "could not be read")),
    "guards": case(lambda: hg.explain(halving)(2.0), says("Story", "> 0.5")),
    "in place": case(lambda: hg.explain(in_place)(np.array([1.0, 2.0, 3.0])), says("Code", "v *= 3.0")),
    "recursion": case(lambda: hg.explain(partial(fibonacci, 8))(0.3), says("Outline", "fibonacci")),
    "deep recursion": case(lambda: hg.explain(lambda x: nested(x, 150))(0.4), boxes(200, 300)),
    "loop": case(lambda: hg.explain(root)(2.0), says("List", "1.41421")),
    "scan": case(lambda: hg.explain(scanned)(0.7, np.array([1.0, -2.0, 0.5])), says("List", "scan")),
    "branch": case(lambda: hg.explain(lambda x: hg.cond(x > 1, np.square, np.cos, x) * x)(1.5), value("y", "3.375")),
    "mapped": case(
        lambda: hg.explain(lambda x, w: np.sum(hg.vmap(lambda r: np.tanh(r @ w))(x)))(np.ones((6, 3)), np.ones(3)),
        says("List", "tanh"),
    ),
    "second order": case(
        lambda: hg.explain(lambda x: np.sin(x * x), order=2)(0.5), says("Story", "finite differences")
    ),
    "several results": case(lambda: hg.explain(lambda x: np.sin(x) * x[::-1])(np.arange(3.0)), value("x", "[0, 1, 2]")),
    "flat": case(
        lambda: hg.explain(lambda x: np.floor(x) * 2 + hg.stop_gradient(x))(1.5), says("Derivation", "cut by floor")
    ),
    "overflow": case(
        lambda: hg.explain(lambda x: np.exp(x) * np.exp(-x) / 1e-300)(700.0), says("Health", "infinity is born")
    ),
    "many inputs": case(
        lambda: hg.explain(lambda *xs: sum(map(np.sin, xs)))(*np.linspace(0, 1, 26)),
        says("Derivation", "2 more inputs"),
    ),
    "block of a transformer": case(block, boxes(5, 300)),
    "images": case(images, boxes(5, 300)),
    "large arrays": case(
        lambda: hg.explain(lambda x, a: np.sum(np.tanh(x) * a))(LARGE, np.ones(100_000, np.float32)),
        says("Inputs", "more than 1000 elements"),
    ),
}


@pytest.mark.filterwarnings("ignore:.*:RuntimeWarning")
@pytest.mark.parametrize("name", CASES)
def test_any_function_is_shown(opened: Open, name: str) -> None:
    make, check = CASES[name]
    page = opened(make())
    page.wait_for_timeout(50)
    assert page.evaluate(FITS) == []
    for tab in page.get_by_role("tab").all():
        tab.click()
    check(page)
    # All steps can be taken, and each is told.
    page.get_by_label("Step of the sweeps").focus()
    page.keyboard.press("End")
    if page.locator(".step").is_visible():
        assert page.locator(".step").inner_text().strip()
    page.keyboard.press("Escape")
    page.set_viewport_size({"width": 390, "height": 844})
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
