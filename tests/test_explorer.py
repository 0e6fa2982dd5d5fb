"""The explorer in a real browser: each of its interactions, by what it shows."""

import json
import re
import time
import unicodedata
import xml.etree.ElementTree as ET
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest
from exploring import AUDIT, AXE, Open, document, node, number, state, texts

import hopgrad as hg
from hopgrad import nn
from hopgrad.gallery.examples import EXAMPLES
from hopgrad.gallery.pages import explained
from hopgrad.show.schema import from_json

if TYPE_CHECKING:
    from playwright.sync_api import Page

pytestmark = pytest.mark.browser


def wave(x):
    z = x + 1
    h = z**2
    y = np.sin(h)
    return y


def twice(x, w):
    u = np.sin(x) * w
    v = np.cos(x) + u
    return u * v


def kinked(x):
    r = np.sqrt(x)
    return r**2 + np.log(x)


def layer(h, W):
    z = W @ h
    return np.tanh(z)


def network(x, W):
    h = x
    for _ in range(3):
        h = layer(h, W)
    return np.sum(h * h)


def steps(x):
    for _ in range(400):
        x = np.sin(x) * 1.01
    return x


def fading(x):
    for _ in range(30):
        x = 1 / (1 + np.exp(-4 * x)) * 0.3
    return x


# -- 1. the sweeps ---------------------------------------------------------------------------------------------------


def test_values_appear_forward_and_adjoints_backward(opened: Open) -> None:
    page = opened(hg.explain(wave)(0.5))
    page.get_by_label("To the beginning").click()
    assert "forward 1 of 3" in page.locator(".phase").inner_text()
    assert "= 1.5" in page.locator(".step").inner_text()
    assert node(page, "h").locator("text.value").text_content() == "·", "not computed yet"
    page.get_by_label("Step forward").click()
    assert node(page, "h").locator("text.value").text_content() == "2.25"
    page.get_by_label("To the backward sweep").click()
    assert "= 1, the derivative of the result by itself" in page.locator(".step").inner_text()
    assert node(page, "h").locator("text.adjoint").text_content() == "·"
    page.get_by_label("Step forward").click()
    # The active edge: local × incoming = outgoing, in the picture and below it.
    assert page.locator("g.edge.active").count() == 1
    assert page.locator("g.over text").text_content() == "−0.62817 × 1 = −0.62817"
    page.get_by_label("Step forward").click()
    assert page.locator("g.over text").text_content() == "3 × (−0.62817) = −1.8845"
    assert "power rule" in page.locator(".step").inner_text()
    assert node(page, "z").locator("text.adjoint").text_content() == "z̄ = −1.8845"
    assert "gives z 3 times −0.62817" in page.locator("[aria-live]").inner_text()


def test_a_sum_over_uses_appears_term_by_term(opened: Open) -> None:
    page = opened(hg.explain(lambda x: np.sin(x) * x)(2.0))
    slider = page.get_by_label("Step of the sweeps")
    slider.focus()
    slider.press("End")
    sums = page.locator(".step .sum").inner_text()
    first, second = np.sin(2.0), 2.0 * np.cos(2.0)
    assert f"{first:.5g}" in sums
    assert f"{abs(second):.5g}" in sums
    assert f"{first + second:.6g}".replace("-", "−") in sums
    slider.press("ArrowLeft")
    assert "one term to come" in page.locator(".step .sum").inner_text()
    assert "+ …" in node(page, "x").locator("text.adjoint").text_content()


def test_the_sweeps_play_by_themselves(opened: Open) -> None:
    page = opened(hg.explain(wave)(0.5))
    page.get_by_label("Play").click()
    for _ in range(50):
        if state(page).get("step") == "2":
            break
        page.wait_for_timeout(100)
    page.get_by_label("Pause").click()
    at = state(page)["step"]
    page.wait_for_timeout(1100)
    assert state(page)["step"] == at


# -- 2. linking ------------------------------------------------------------------------------------------------------


def test_formula_picture_and_code_are_linked(opened: Open) -> None:
    page = opened(hg.explain(wave)(0.5))
    factor = page.locator(".derivation .factor").nth(1)
    assert factor.get_attribute("title") == "power rule"
    factor.hover()
    assert page.locator("g.edge.hot").count() == 1
    assert sorted(texts(page.locator("g.node.hot text.name"))) == ["h = z²", "z = x + 1"]
    factor.click()
    assert state(page)["pin"] == "e" + str(factor.get_attribute("data-use"))
    page.mouse.move(5, 5)
    assert page.locator("g.edge.pinned").count() == 1, "what is clicked stays"
    page.get_by_role("tab", name="Code").click()
    assert page.locator(".span.pinned").inner_text() == "z**2"
    assert page.locator("li.pinned code").inner_text().strip() == "h = z**2"
    # And from the code to the picture and the derivation.
    page.locator(".span", has_text="np.sin(h)").click()
    assert texts(page.locator("g.node.pinned text.name")) == ["y = sin(h)"]
    page.get_by_role("tab", name="Derivation").click()
    assert page.locator(".factor.pinned").count() == 1
    assert page.locator(".factor.pinned").get_attribute("title") == "sine"
    node(page, "z").click()
    assert page.locator(".factor.pinned").get_attribute("title") == "sum rule"


def test_a_line_that_is_run_often_leads_to_each_of_its_values(opened: Open) -> None:
    page = opened(hg.explain(network)(np.array([1.0, -2.0]), np.eye(2) * 0.3), "#tab=code")
    line = page.locator("li", has_text="return np.tanh(z)").locator("button")
    pins = []
    for _ in range(4):
        line.click()
        pins.append(state(page)["pin"])
    assert len(set(pins)) == 3
    assert pins[3] == pins[0]


# -- 3. levels -------------------------------------------------------------------------------------------------------


def test_four_levels_of_the_derivation(opened: Open) -> None:
    page = opened(hg.explain(wave)(0.5), permissions=["clipboard-read", "clipboard-write"])
    line = page.locator(".derivation .line").first

    def formulas() -> list[str]:
        return [re.sub(r"[\s\u2061\u2062]", "", words) for words in line.locator(".factor").all_text_contents()]

    assert formulas() == ["dydh", "dhdz", "dzdx"]
    page.get_by_role("radio", name="spelled out").click()
    assert formulas() == ["dsin((x+1)2)d(x+1)2", "d(x+1)2d(x+1)", "d(x+1)dx"]
    page.get_by_role("radio", name="multiplied out").click()
    assert formulas() == ["cos((x+1)2)", "2(x+1)", "1"]
    page.get_by_role("radio", name="numbers").click()
    assert formulas() == ["(−0.628174)", "3", "1"]
    assert "= −1.884520868" in line.inner_text()
    page.get_by_role("button", name="Copy LaTeX").click()
    page.locator(".bar [role=status]", has_text="copied").wait_for()
    copied = page.evaluate("navigator.clipboard.readText()")
    assert r"\frac{\mathrm{d} y}{\mathrm{d}x} &= (-0.628174) \cdot 3 \cdot 1 = -1.884520868" in copied


def test_several_paths_are_summed_and_arrays_have_their_adjoints(opened: Open) -> None:
    page = opened(hg.explain(twice)(0.7, 1.3))
    first = page.locator(".derivation .line").first
    assert "sum over 3 paths" in first.inner_text()
    assert first.locator(".factor").count() == 2 + 3 + 3 or first.locator(".factor").count() > 6
    page = opened(hg.explain(network)(np.array([1.0, -2.0]), np.eye(2) * 0.3), "#level=numbers")
    lines = page.locator(".derivation .line")
    assert lines.count() > 6
    assert "sum over 3 uses" in "".join(texts(lines)), "W is used three times"


def small_network() -> hg.Explanation:
    model = nn.Sequential(nn.Linear(2, 3, rng=0), nn.gelu, nn.Linear(3, 2, rng=1))
    labels = np.array([0, 1, 1])

    def loss(model, x):
        return nn.cross_entropy(model(x), labels)

    return hg.explain(loss)(model, np.ones((3, 2), np.float32))


def plain(words: str) -> str:
    return unicodedata.normalize("NFKC", re.sub(r"[\s\u2061\u2062]", "", words))


def test_the_derivation_of_a_network_is_by_layers_which_open(opened: Open) -> None:
    page = opened(small_network(), permissions=["clipboard-read", "clipboard-write"])
    lines = page.locator(".derivation .line")
    heads = page.locator(".derivation .line.layer .title")
    assert texts(heads) == ["cross_entropy", "model: Sequential", "model[2]: Linear", "gelu", "model[0]: Linear"]
    last = lines.filter(has=page.locator(".title", has_text="model[2]: Linear"))
    assert plain(last.inner_text()) == "▸model[2]:Linear∂y∂v8=∂y∂v11·∂v11∂v8"
    # What goes into the layer, and its two parameters: three derivatives for each Linear, one for each function.
    assert lines.count() == 1 + 1 + 3 + 1 + 3
    notes = texts(page.locator(".derivation .note"))
    assert notes == ["model[2].bias", "model[2].weight", "model[0].bias", "model[0].weight"]
    # The factor is the layer's derivative: it marks the layer in the picture.
    last.locator(".factor").hover()
    assert page.locator("g.node.hot text.name").all_text_contents() == ["model[2]: Linear"]
    # Opened, the layer is seen hop by hop, in the picture as in the derivation.
    boxes = page.locator("g.node").count()
    last.get_by_role("button", name="Open model[2]: Linear").click()
    assert page.locator("g.node").count() == boxes + 4
    assert page.get_by_role("button", name="Close model[2]: Linear").evaluate("e => e === document.activeElement")
    assert lines.count() == 1 + 1 + 1 + 5 + 1 + 3
    assert page.locator(".derivation .factor[data-use]").count() == 5
    for level, row in {
        "Leibniz": "∂y∂weight1=∂y∂v9·∂v9∂weight1model[2].weight",
        "spelled out": "∂y∂weight1=∂y∂v9·∂weight1⊤∂weight1model[2].weight",
        "multiplied out": "weight¯1=v¯9⊤transpose",
        "numbers": "weight¯1=2×3:−0.1703…0.1703transpose",
    }.items():
        page.get_by_role("radio", name=level).click()
        assert lines.count() == 1 + 1 + 1 + 5 + 1 + 3
        assert plain(lines.nth(7).inner_text()) == plain(row)
    assert plain(lines.last.inner_text()).endswith(plain("=3×2:−0.06449…−0.01142model[0].weight"))
    page.get_by_role("button", name="Copy LaTeX").click()
    page.locator(".bar [role=status]", has_text="copied").wait_for()
    copied = page.evaluate("navigator.clipboard.readText()")
    assert copied.count(r"\frac{\partial y}") >= 5
    if AXE.exists():
        page.evaluate(AXE.read_text(encoding="utf-8"))
        assert page.evaluate(AUDIT) == []


def test_what_goes_past_a_layer_is_told_where_its_sum_is_complete(opened: Open) -> None:
    block = nn.TransformerBlock(4, 2, 8, norm_first=True, rng=0)
    page = opened(hg.explain(block)(np.ones((1, 3, 4), np.float32)))
    lines = page.locator(".derivation .line")
    parts = lines.filter(has_text="a term of the sum below")
    assert parts.count() == 2  # the two ways past
    norm = lines.filter(has=page.locator(".title", has_text="norm2"))
    assert " + " in norm.inner_text()


def test_the_steps_of_a_loop_open_in_derivation_and_picture(opened: Open) -> None:
    model = nn.LSTM(2, 3, rng=0)

    def loss(model, x):
        return np.mean(model(x)[0] ** 2)

    page = opened(hg.explain(loss, wrt="model")(model, np.ones((4, 1, 2), np.float32)))
    page.get_by_role("button", name="Open model: LSTM").click()
    for k in range(1, 5):
        step = page.locator("g.node.group").filter(has=page.locator("text.name", has_text=f"step {k} of 4"))
        assert texts(step.locator("text.value"))[0].startswith("1×3: ")  # its state, not the row that is kept of it
    page.get_by_role("button", name="Open step 4 of 4").click()
    assert page.locator(".derivation .factor[data-use]").count() > 10
    assert (
        page.locator("g.node text.name", has_text="tanh").count() == 2
    )  # of the new memory, and of what is shown of it


# -- 4. live inputs --------------------------------------------------------------------------------------------------


def test_values_adjoints_and_tangent_follow_what_is_typed(opened: Open) -> None:
    page = opened(hg.explain(wave)(0.5), "#tab=inputs")
    page.get_by_label("x, value").fill("1.3")
    x = 1.3
    assert node(page, "h").locator("text.value").text_content() == "5.29"
    shown = node(page, "x").locator("text.adjoint").text_content()
    assert shown is not None
    assert number(shown.split("=")[1]) == pytest.approx(hg.grad(wave)(x), rel=1e-4)
    value, slope = re.findall(r"[−\d.]+$|(?<== )[−\d.]+", page.locator(".inputs > p.number").inner_text())
    assert number(value) == pytest.approx(wave(x), rel=1e-7)
    assert number(slope) == pytest.approx(hg.grad(wave)(x), rel=1e-7)
    # The tangent touches the curve: its slope on the plot is the curve's own there.
    ends = [tuple(map(float, re.findall(r"[-\d.]+", part))) for part in tangent(page).split("L")]
    ((x0, y0), (x1, y1)) = ends
    curve = [tuple(map(float, re.findall(r"[-\d.]+", part))) for part in path_of(page, ".curve.result").split("L")]
    here = float(page.locator("circle.here").get_attribute("cx") or 0)
    at = min(range(len(curve)), key=lambda k: abs(curve[k][0] - here))
    (ax, ay), (bx, by) = curve[at - 1], curve[at + 1]
    assert (y1 - y0) / (x1 - x0) == pytest.approx((by - ay) / (bx - ax), rel=0.1)
    page.get_by_role("tab", name="Derivation").click()
    page.get_by_role("radio", name="numbers").click()
    assert "4.6" in page.locator(".derivation").inner_text()
    page.wait_for_timeout(100)
    assert json.loads(state(page)["inputs"]) == {"x": [1.3]}


def tangent(page: "Page") -> str:
    return path_of(page, ".curve.tangent")


def path_of(page: "Page", selector: str) -> str:
    return page.locator(selector).get_attribute("d") or ""


def test_what_is_dragged_moves_everything(opened: Open) -> None:
    page = opened(hg.explain(wave)(0.5), "#tab=inputs")
    slider = page.get_by_label("x, drag")
    slider.focus()
    before = node(page, "z").locator("text.value").text_content()
    slider.press("ArrowRight")
    assert node(page, "z").locator("text.value").text_content() != before
    box = page.locator(".inputs .plot").bounding_box()
    assert box
    page.mouse.move(box["x"] + box["width"] * 0.5, box["y"] + 60)
    page.mouse.down()
    page.mouse.move(box["x"] + box["width"] * 0.8, box["y"] + 60)
    page.mouse.up()
    assert float(page.get_by_label("x, value").input_value()) > 1.2
    page.get_by_role("button", name="Back to what was recorded").click()
    assert node(page, "z").locator("text.value").text_content() == "1.5"


def test_another_branch_is_told(opened: Open) -> None:
    page = opened(hg.explain(lambda x: x * x if x > 0 else -x)(2.0), "#tab=inputs")
    page.get_by_label("x, value").fill("-1")
    assert "another branch here: no longer true is x > 0" in page.locator(".inputs").inner_text()


def test_two_inputs_are_compared(opened: Open) -> None:
    page = opened(hg.explain(wave)(0.5), "#tab=inputs")
    page.get_by_role("button", name="Keep these numbers").click()
    page.get_by_label("x, value").fill("1")
    row = texts(page.locator("table.compared tr", has=page.locator("th", has_text="x")).first.locator("td"))
    assert [number(words) for words in row[:2]] == [0.5, 1.0]
    assert [number(words) for words in row[2:]] == pytest.approx([hg.grad(wave)(v) for v in (0.5, 1.0)], rel=1e-4)
    page.get_by_role("tab", name="Value").click()
    node(page, "x").click()
    assert "kept: 0.5, difference 0.5" in page.locator(".card").inner_text()


def test_inputs_without_elements_cannot_be_changed(opened: Open) -> None:
    page = opened(hg.explain(lambda x: np.sum(np.sin(x)))(np.zeros(0)), "#tab=inputs")
    assert "no elements" in page.locator(".recorded").inner_text()
    page = opened(hg.explain(lambda x, w: np.sum(np.sin(x)) + w**2)(np.zeros(0), 0.5), "#tab=inputs")
    assert "slope by w: 1" in page.locator(".inputs").inner_text()


def test_a_large_computation_says_that_its_numbers_are_recorded(opened: Open) -> None:
    page = opened(hg.explain(lambda x: np.sum(x * x))(np.ones(2000)), "#tab=inputs")
    assert "more than 1000 elements" in page.locator(".recorded").inner_text()


# -- descent ---------------------------------------------------------------------------------------------------------


def valley(x, y):
    return (1 - x) ** 2 + 5 * (y - x**2) ** 2


@pytest.mark.parametrize("method", ["gradient descent", "momentum", "Adam"])
def test_descent_takes_the_steps_that_python_takes(opened: Open, method: str) -> None:
    page = opened(hg.explain(valley)(-1.0, 1.5), "#tab=descend")
    page.get_by_label("Method").select_option(method)
    page.get_by_label("Rate").fill("0.01")
    for _ in range(12):
        page.get_by_role("button", name="One step").click()
    found = json.loads(
        page.evaluate(
            "new Promise(r => setTimeout(() => r(new URLSearchParams(location.hash.slice(1)).get('inputs')), 200))"
        )
    )
    p, m, v = np.array([-1.0, 1.5]), np.zeros(2), np.zeros(2)
    for t in range(1, 13):
        g = np.array(hg.grad(valley, (0, 1))(*p))
        if method == "gradient descent":
            p = p - 0.01 * g
        elif method == "momentum":
            v = 0.9 * v + g
            p = p - 0.01 * v
        else:
            m, v = 0.9 * m + 0.1 * g, 0.999 * v + 0.001 * g**2
            p = p - 0.01 * (m / (1 - 0.9**t)) / (np.sqrt(v / (1 - 0.999**t)) + 1e-8)
    np.testing.assert_allclose([found["x"][0], found["y"][0]], p, rtol=1e-10)
    words = page.locator(".descend [role=status]").inner_text()
    assert words.startswith("step 12: loss ")
    assert number(words.split()[-1]) == pytest.approx(valley(*p), rel=1e-6)
    contours = page.locator("canvas.contours")
    assert "the way leads from (−1, 1.5) to" in (contours.get_attribute("aria-label") or "")
    colours = contours.evaluate("c => new Set(c.getContext('2d').getImageData(0, 0, c.width, c.height).data).size")
    assert colours > 10


def test_descent_runs_and_stops_by_itself(opened: Open) -> None:
    page = opened(hg.explain(lambda x: (x - 3) ** 2)(0.0), "#tab=descend")
    page.get_by_label("Rate").fill("0.4")
    page.get_by_role("button", name="Run").click()
    page.locator(".descend [role=status]", has_text="nothing changes any more").wait_for()
    assert float(page.evaluate("document.querySelector('g.node.input text.value').textContent")) == 3.0
    page.get_by_label("Rate").fill("1e200")
    page.get_by_role("button", name="From the beginning").click()
    page.get_by_label("Rate").fill("1e200")
    for _ in range(4):
        page.get_by_role("button", name="One step").click()
    assert "a smaller rate may help" in page.locator(".descend [role=status]").inner_text()


def test_the_decision_of_a_classifier(opened: Open) -> None:
    points = np.random.default_rng(0).standard_normal((30, 2))
    labels = (points[:, 0] > 0).astype(float)

    def loss(w, points, labels):
        score = points @ w
        return np.mean(np.logaddexp(0, score) - labels * score)

    page = opened(hg.explain(loss, wrt="w")(np.array([2.0, 0.0]), points, labels), "#tab=descend")
    plane = page.locator("canvas.contours").nth(1)
    assert "divided by score into 2 kinds" in (plane.get_attribute("aria-label") or "")
    row = plane.evaluate("c => [...c.getContext('2d').getImageData(0, 3, 420, 1).data]")
    left, right = row[4 * 5 : 4 * 6], row[4 * 410 : 4 * 411]
    assert left != right


def test_the_network_of_the_gallery_learns_to_tell_the_corners_apart(opened: Open) -> None:
    (example,) = [example for example in EXAMPLES if example.name == "two-layers"]
    page = opened(explained(example), "#tab=descend")
    page.get_by_label("Method").select_option("Adam")
    page.get_by_role("button", name="Run").click()
    loss = page.locator(".descend [role=status]")
    for _ in range(100):
        page.wait_for_timeout(200)
        if number(loss.inner_text().split("loss ")[1].split(";")[0]) < 1e-4:
            break
    page.get_by_role("button", name="Pause").click()
    plane = page.locator("canvas.contours")
    assert plane.count() == 1, "six parameters and more have no contours"
    assert "divided by score into 2 kinds" in (plane.get_attribute("aria-label") or "")
    # Exclusive or: places beside the points, of which the corners across are of one kind.
    beside = [(62, 47), (358, 47), (62, 273), (358, 273)]
    colours = plane.evaluate(
        """(c, places) => {
          const { data } = c.getContext("2d").getImageData(0, 0, c.width, c.height);
          return places.map(([x, y]) => data.slice(4 * (y * c.width + x)).slice(0, 4).join());
        }""",
        [list(place) for place in beside],
    )
    assert colours[0] == colours[3] != colours[1] == colours[2]


# -- 5. paths --------------------------------------------------------------------------------------------------------


def test_paths_with_products_shares_and_counts(opened: Open) -> None:
    x, w = 0.7, 1.3
    page = opened(hg.explain(twice)(x, w), "#tab=paths")
    rows = page.locator("table.paths tbody tr")
    assert rows.count() == 3
    products = [float(t.split("=")[-1].replace("−", "-")) for t in texts(rows.locator("td:nth-child(2)"))]
    u, v = np.sin(x) * w, np.cos(x) + np.sin(x) * w
    expected = [v * w * np.cos(x), u * w * np.cos(x), -u * np.sin(x)]
    np.testing.assert_allclose(sorted(products), sorted(expected), rtol=1e-5)
    shares = [float(t.rstrip(" %")) for t in texts(rows.locator("td:nth-child(3)"))]
    assert abs(sum(shares) - 100) < 0.2
    gradient = hg.grad(twice)(x, w)
    assert f"{gradient:.9g}"[:9] in page.locator(".panel-paths").inner_text()
    counts = texts(page.locator("table.counts td"))
    explanation = json.loads(hg.explain(twice, wrt="x")(x, w).json())["cost"]
    assert counts == [explanation["paths"], explanation["naive"], explanation["done"]]
    page.get_by_label("From the input").select_option(label="w")
    assert rows.count() == 2
    rows.first.hover()
    assert page.locator("g.edge.path").count() == len(texts(rows.locator("td:first-child"))[0].split("←")) - 1


def test_orders_of_elimination_side_by_side(opened: Open) -> None:
    def many(a, b, c, d):
        s = a * b
        t = c * d
        p = s * t
        q = np.sin(p)
        return np.exp(q)

    page = opened(hg.explain(many)(1.0, 2.0, 3.0, 0.1), "#tab=paths")
    names = [t.split(":")[0] for t in texts(page.locator(".orders figcaption"))]
    assert names == ["forward", "reverse", "best order"]
    totals = [int(re.findall(r"\d+", t)[0]) for t in texts(page.locator(".orders figcaption"))]
    # By hand: forward s 2, t 2, p 4, q 4; reverse q 1, p 2, s 2, t 2, the best there is.
    assert totals == [12, 7, 7]
    slider = page.get_by_label("Values eliminated")
    slider.focus()
    slider.press("End")
    assert "7 of 7" in page.locator(".orders").inner_text()
    assert page.locator(".orders figure").first.locator("path").count() == 4, "one derivative for each input is left"


# -- 6. health -------------------------------------------------------------------------------------------------------


def test_births_of_nan_and_what_they_poison(opened: Open) -> None:
    page = opened(hg.explain(kinked)(0.0), "#tab=health")
    born = texts(page.locator(".health li.born"))
    assert any("infinity is born in the value" in words for words in born)
    assert any(re.search(r"NaN is born in the adjoint of x: \S+ has the local derivative ∞ by x", w) for w in born)
    assert page.locator("g.node.sick").count() >= 2
    assert page.locator(".health li.poisoned").count() >= 1
    page.keyboard.press("n")
    first = state(page)["pin"]
    page.keyboard.press("n")
    assert state(page)["pin"] != first
    assert page.locator(".health li.pinned").count() >= 1


def test_vanishing_adjoints_are_listed_and_seen_as_heat(opened: Open) -> None:
    page = opened(hg.explain(fading)(0.5))
    page.keyboard.press("h")
    assert page.locator(".legend").is_visible()
    cold, even = page.locator("g.edge.heat0 .line"), page.locator("g.edge.heat3 .line")
    assert cold.count() > 5
    assert even.count() >= 3
    style = "e => [getComputedStyle(e).strokeDasharray, getComputedStyle(e).strokeWidth, getComputedStyle(e).stroke]"
    assert all(a != b for a, b in zip(cold.first.evaluate(style), even.first.evaluate(style), strict=True))
    page.get_by_role("tab", name="Health").click()
    assert "all but vanished" in page.locator(".health li").first.inner_text()


# -- 7. scopes -------------------------------------------------------------------------------------------------------


def test_calls_and_loops_are_closed_and_opened(opened: Open) -> None:
    page = opened(hg.explain(network)(np.array([1.0, -2.0]), np.eye(2) * 0.3), "#tab=outline")
    assert "layer × 3" in page.locator(".outline").inner_text()
    before = page.locator("g.node").count()
    place = node(page, "x").bounding_box()
    page.get_by_label("Close layer × 3").click()
    group = page.locator("g.node.group")
    assert texts(group.locator("text")) == ["layer × 3", "6 values"]
    assert page.locator("g.node").count() == before - 5
    group.dblclick()
    assert page.locator("g.node").count() == before
    page.get_by_label("Close layer × 3").click()
    assert group.count() == 1
    assert place is not None
    group.click()
    page.keyboard.press("Enter")
    assert page.locator("g.node").count() == before


def test_a_network_is_seen_by_layers_which_open_to_hops(opened: Open) -> None:
    block = nn.TransformerBlock(4, 2, 8, activation=nn.gelu, norm_first=True, rng=0)
    page = opened(hg.explain(block)(np.ones((1, 3, 4), np.float32), causal=True), "#tab=outline")
    seen = texts(page.locator("g.node text.name"))
    assert [name for name in seen if " = " not in name] == [
        "x", "model.norm1: LayerNorm", "model.self_attn: MultiheadAttention", "model.norm2: LayerNorm",
        "model.linear1: Linear", "gelu", "model.linear2: Linear",
    ]  # fmt: skip
    assert len(seen) == 9  # and two sums
    assert page.locator("g.node.sick").count() == 0  # the −∞ of the mask is meant
    linear = page.locator("g.node.group").filter(has=page.locator("text.name", has_text="model.linear1: Linear"))
    assert "1×3×8" in texts(linear.locator("text"))[1]  # what it gives, and its adjoint
    before = page.locator("g.node").count()
    linear.dblclick()
    assert page.locator("g.node").count() == before + 4  # three hops and two parameters in its place
    assert "model.linear1.weight" in texts(page.locator("g.node text.soft"))
    page.get_by_role("tab", name="Health").click()
    assert page.locator(".health li.born").count() == 0


def assert_same_place(now: dict[str, float], before: dict[str, float]) -> None:
    assert abs(now["x"] - before["x"]) < 2
    assert abs(now["y"] - before["y"]) < 2


def test_a_long_loop_begins_closed_and_what_is_searched_opens(opened: Open) -> None:
    page = opened(hg.explain(steps)(0.5), "#tab=outline")
    assert page.locator("g.node").count() <= 300
    assert "for 801 values" in page.locator(".count").inner_text()
    assert "loop × 400" in page.locator(".outline").inner_text()
    # What is opened begins where it was closed, and what stands before it does not move, nor when it is closed again.
    group = page.locator("g.node.group").first
    group.click()
    before, closed = node(page, "x").bounding_box(), group.bounding_box()
    first = page.locator("g.node").nth(1)
    assert first.get_attribute("data-key") == group.get_attribute("data-key")
    page.keyboard.press("Enter")
    after, opened_ = node(page, "x").bounding_box(), first.bounding_box()
    assert page.locator("g.node").count() > 60
    assert_same_place(after, before)
    assert abs(opened_["y"] - closed["y"]) < 30
    page.keyboard.press("Enter")
    assert_same_place(node(page, "x").bounding_box(), before)
    assert_same_place(group.bounding_box(), closed)
    page.get_by_role("searchbox").fill("op:sin")
    assert "400 values found" in page.locator(".results").inner_text()
    page.keyboard.press("Shift+Enter")
    pinned = page.locator("g.node.pinned")
    assert pinned.count() == 1, "the group that holds it has been opened"
    assert page.locator(".crumbs button").count() >= 2


# -- 8. search -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ("op:sin", ["z"]),
        ("cos", ["h"]),
        ("name:w", ["w"]),
        ("value < 0.7", ["z"]),
        ("|adjoint| >= 1 op:multiply", ["u", "y"]),
        ("op:sin op:cos", []),
        ("shape:2x3", []),
        ("dtype:float64 value > 1.4", ["v"]),
    ],
)
def test_queries(opened: Open, query: str, found: list[str]) -> None:
    page = opened(hg.explain(twice)(0.7, 1.3))
    page.keyboard.press("/")
    page.keyboard.type(query)
    assert texts(page.locator(".results .link")) == found
    assert page.locator("g.node.match").count() == len(found)


def test_the_neighbourhood_alone(opened: Open) -> None:
    page = opened(hg.explain(steps)(0.5))
    page.get_by_role("searchbox").fill("op:sin")
    page.keyboard.press("Enter")
    page.get_by_label("How much is shown").select_option("1 hop around")
    assert page.locator("g.node").count() == 3
    assert page.locator("canvas.minimap").count() == 1


def test_a_query_that_is_not_understood_says_so(opened: Open) -> None:
    page = opened(hg.explain(wave)(0.5))
    page.get_by_role("searchbox").fill("colour:red")
    assert "“colour:red” is not understood" in page.locator(".results").inner_text()


# -- 9. cards --------------------------------------------------------------------------------------------------------


def test_the_card_of_an_array(opened: Open) -> None:
    x = np.arange(12.0).reshape(3, 4) - 4
    x[1, 2] = np.nan
    page = opened(hg.explain(lambda x: np.sum(np.tanh(x)))(x), "#tab=card")
    node(page, "x").click()
    card = page.locator(".card").inner_text()
    assert "3 × 4" in card
    assert "float64" in card
    value = page.locator(".card .numbers").first
    facts = dict(zip(texts(value.locator("dt")), texts(value.locator("dd")), strict=True))
    assert facts["NaN"] == "1"
    assert facts["elements"] == "12"
    assert facts["range"] == "−4 … 7"
    assert value.locator(".histogram rect").count() == 24
    pixels = value.locator("canvas").evaluate(
        "c => [c.width, c.height, ...c.getContext('2d').getImageData(2, 1, 1, 1).data]"
    )
    assert pixels == [4, 3, 0, 0, 0, 255], "NaN is black"


def test_large_arrays_have_histogram_and_picture(opened: Open) -> None:
    x = np.random.default_rng(0).standard_normal((300, 50))
    page = opened(hg.explain(lambda x: np.sum(x * x))(x), "#tab=card")
    node(page, "x").click()
    value = page.locator(".card .numbers").first
    assert "15,000" in value.inner_text()
    assert "32 of 300 rows and 32 of 50 columns" in value.inner_text()
    heights = value.locator(".histogram rect").evaluate_all("all => all.map(r => r.getAttribute('height') * 1)")
    counts = np.histogram(x, 24)[0]
    np.testing.assert_allclose(np.array(heights) / 58, counts / counts.max(), atol=1e-9)


def test_the_gradient_is_checked_by_finite_differences(opened: Open) -> None:
    page = opened(hg.explain(wave)(0.5), "#tab=card")
    node(page, "x").click()
    row = page.locator(".check tbody tr").first
    exact, numeric, error = map(number, texts(row.locator("td")))
    assert abs(exact - hg.grad(wave)(0.5)) < 1e-8
    assert abs(exact - numeric) < 1e-6
    assert error < 1e-6


# -- 10. state and files ---------------------------------------------------------------------------------------------


def test_a_link_shows_what_its_sender_saw(opened: Open) -> None:
    page = opened(hg.explain(wave)(0.5))
    page.get_by_role("radio", name="numbers").click()
    node(page, "h").click()
    page.get_by_label("To the backward sweep").click()
    page.get_by_label("Theme").select_option("dark")
    assert state(page)["theme"] == "dark"
    link = page.evaluate("location.hash")
    other = opened(hg.explain(wave)(0.5), link)
    assert other.get_by_role("radio", name="numbers").get_attribute("aria-checked") == "true"
    assert texts(other.locator("g.node.pinned text.name")) == ["h = z²"]
    assert "backward 1 of 4" in other.locator(".phase").inner_text()
    assert other.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(22, 25, 29)"


def test_all_that_is_chosen_is_in_the_link(opened: Open) -> None:
    explanation = hg.explain(network)(np.array([1.0, -2.0]), np.eye(2) * 0.3)
    page = opened(explanation, "#tab=outline")
    page.get_by_label("Close layer 2 of 3").click()
    page.get_by_role("tab", name="Inputs").click()
    page.get_by_label("x[1], value").fill("0.75")
    page.get_by_role("tab", name="Paths").click()
    page.get_by_label("From the input").select_option(label="W")
    page.get_by_label("to the value").select_option(label="u")
    page.get_by_role("searchbox").fill("op:tanh")
    page.keyboard.press("Enter")
    page.get_by_label("How much is shown").select_option("5 hops around")
    page.locator(".holder").focus()
    page.keyboard.press("h")
    sent = state(page)
    assert sent.keys() == {"toggled", "inputs", "tab", "from", "to", "search", "pin", "near", "heat"}
    other = opened(explanation, page.evaluate("location.hash"))
    assert state(other) == sent
    for what in ("g.node text", "g.edge", ".results .link", ".panel-paths td", ".crumbs"):
        assert texts(other.locator(what)) == texts(page.locator(what)), what
    assert other.get_by_role("tab", name="Paths").get_attribute("aria-selected") == "true"
    assert other.locator(".legend").is_visible()
    # Without the link everything is as it was at first.
    other.evaluate("location.hash = ''")
    assert texts(other.locator("g.node text")) == texts(opened(explanation).locator("g.node text"))


def test_a_link_with_nonsense_is_harmless(opened: Open) -> None:
    page = opened(
        hg.explain(wave)(0.5), "#level=<img>&step=9e9&pin=e99&toggled=[%22x%22]&theme=pink&inputs={&__proto__=1&tab=zz"
    )
    assert page.locator(".derivation .factor").count() == 3
    assert page.locator("g.node").count() == 4


def assert_is_pdf(data: bytes) -> None:
    """A page of lines and text, in which every object is where the table says."""
    assert data.startswith(b"%PDF-1.4")
    start = int(data.rsplit(b"startxref\n", 1)[1].split()[0])
    assert data[start : start + 4] == b"xref"
    count = int(data[start:].split(b"\n")[1].split()[1])
    for k, line in enumerate(data[start:].split(b"\n")[3 : 2 + count], 1):
        assert data[int(line[:10]) :].startswith(b"%d 0 obj" % k)
    for length, body in re.findall(rb"/Length (\d+)>>\nstream\n(.*?)\nendstream", data, re.DOTALL):
        assert len(body) == int(length)
    (content,) = re.findall(rb"^<</Length \d+>>\nstream\n(.*?)\nendstream", data, re.DOTALL | re.MULTILINE)
    operators = {line.split()[-1] for line in content.split(b"\n") if line}
    assert operators <= {b"rg", b"d", b"B", b"f", b"S", b"ET", b"Q"}
    written = bytes(int(code, 16) for code in re.findall(rb"/T .*? <(..)> Tj", content)).decode("cp1252")
    assert "y=sin(h)" in written.replace(" ", "")
    assert content.count(b" c ") >= 3, "arrows are curves"
    assert b"DCTDecode" not in data


def assert_same_explanation(words: str, expected: str) -> None:
    """What is saved is read back as the explanation itself."""
    mine, theirs = from_json(words), from_json(expected)
    assert str(mine.graph) == str(theirs.graph)
    assert mine.values == theirs.values
    assert mine.adjoints == theirs.adjoints
    assert mine.uses == theirs.uses
    assert mine.sections == theirs.sections


def test_saved_numbers_are_those_that_are_shown(opened: Open) -> None:
    page = opened(hg.explain(wave)(0.5), "#tab=inputs")
    page.get_by_label("x, value").fill("1.25")
    with page.expect_download() as waiting:
        page.get_by_label("Save what is on screen").select_option("JSON")
    found = from_json(Path(waiting.value.path()).read_text(encoding="utf-8"))
    expected = from_json(hg.explain(wave)(1.25).json())
    assert found.values == pytest.approx(expected.values, rel=1e-14)
    assert found.adjoints == pytest.approx(expected.adjoints, rel=1e-14)
    assert [use.value for use in found.uses] == pytest.approx([use.value for use in expected.uses], rel=1e-14)
    assert found.sections == (), "the story tells other numbers"


@pytest.mark.parametrize("format_", ["SVG", "PNG", "PDF", "TikZ", "DOT", "LaTeX", "JSON"])
def test_files_of_what_is_on_screen(opened: Open, format_: str) -> None:
    page = opened(hg.explain(wave)(0.5), "#level=multiplied&pin=n2")
    with page.expect_download() as waiting:
        page.get_by_label("Save what is on screen").select_option(format_)
    data = Path(waiting.value.path()).read_bytes()
    if format_ == "PNG":
        assert data.startswith(b"\x89PNG")
        assert len(data) > 5000
        return
    if format_ == "PDF":
        assert_is_pdf(data)
        return
    words = data.decode()
    if format_ == "JSON":
        assert_same_explanation(words, hg.explain(wave)(0.5).json())
        screen = json.loads(words)["screen"]
        assert [box["node"] for box in screen["boxes"]] == json.loads(words)["shown"]
        assert (screen["state"]["level"], screen["state"]["pin"]) == ("multiplied", "n2")
        return
    expected = {
        "SVG": ["<svg", "y = sin(h)", "dh/dz = 2z", "</svg>"],
        "TikZ": [r"\begin{tikzpicture}", r"\node[result]", r"$y = \sin(h)$", r"{$2z$}"],
        "DOT": ["digraph {", "rankdir=TB", "n2 -> n3", "dh/dz = 2z"],
        "LaTeX": [r"\begin{align*}", r"\cdot 2(x + 1)"],
    }[format_]
    for part in expected:
        assert part.replace(" ", "") in words.replace(" ", ""), (part, words)


DOT = re.compile(
    r"""digraph\ \{\n
        (\ \ (rankdir=(LR|TB)|node\ \[[^\]"]*\]);\n)*
        (\ \ n\d+(\ ->\ n\d+)?\ \[label="([^"\\]|\\.)*"(,\ (peripheries=2|style=dotted))?\];\n)*
        \}\n""",
    re.VERBOSE,
)
"""What Graphviz reads of what is written: https://graphviz.org/doc/info/lang.html."""


def test_no_name_breaks_a_file(opened: Open) -> None:
    hostile = {
        'say "hi"': 1.0,
        "back\\slash": 2.0,
        "a & b < c": 0.5,
        "$x_1^2$ {%#~": 0.25,
        "\u0000": 3.0,
        "größe ∂ 変": 4.0,
    }
    explanation = hg.explain(lambda d: sum(np.sin(v) * v for v in d.values()))(hostile)
    page = opened(explanation)
    files = {}
    for format_ in ("SVG", "PDF", "TikZ", "DOT", "LaTeX", "JSON"):
        with page.expect_download() as waiting:
            page.get_by_label("Save what is on screen").select_option(format_)
        files[format_] = Path(waiting.value.path()).read_bytes()
    assert DOT.fullmatch(files["DOT"].decode())
    texts_ = "".join(element.text or "" for element in ET.fromstring(files["SVG"].decode()).iter())
    assert "a & b < c" in texts_
    assert "back\\slash" in texts_
    for format_ in ("TikZ", "LaTeX"):
        bare = re.sub(r"\\([\\{}$%#&_]|[a-zA-Z]+)", "", files[format_].decode())
        for c in "%#":
            assert c not in bare, f"{c} would begin a comment or a parameter"
        depth = 0
        for c in bare:
            depth += (c == "{") - (c == "}")
            assert depth >= 0
        assert depth == 0
        assert bare.count("$") % 2 == 0
    assert from_json(files["JSON"].decode()).values == from_json(explanation.json()).values


# -- scale -----------------------------------------------------------------------------------------------------------


def mesh(x, size):
    """Values without a pattern, somewhat more than twice as many as `size`."""
    pick = np.random.default_rng(1).integers(0, 40, size=(size, 2))
    values = [x * (1 + 0.01 * i) for i in range(40)]
    for a, b in pick:
        values = [*values, np.tanh(values[-1 - a] + values[-1 - b] * 0.5)][-40:]
    return sum(values)


@pytest.mark.slow
def test_ten_thousand_values_are_laid_out_and_moved(opened: Open) -> None:
    page = opened(hg.explain(mesh)(0.5, 4600), "#tab=outline")
    count = int(re.findall(r"for ([\d,]+) values", page.locator(".count").inner_text())[0].replace(",", ""))
    assert count > 9_500
    # Other work on the machine takes its share of the time: the best of three tries is what the page needs.
    opening = """button => { const start = performance.now(); button.click(); return performance.now() - start; }"""
    took = []
    for _ in range(3):
        page.get_by_role("button", name="Close all", exact=True).click()
        took.append(page.get_by_role("button", name="Open all", exact=True).evaluate(opening))
    assert min(took) < 3_000
    assert page.locator("canvas.picture").count() == 1
    assert page.locator(".count").inner_text() == "", "every value is on the canvas"
    moving = """async () => {
      const holder = document.querySelector(".holder");
      let frames = 0;
      const start = performance.now();
      while (performance.now() - start < 1000) {
        holder.dispatchEvent(new WheelEvent("wheel", {deltaY: 30, shiftKey: true, cancelable: true}));
        await new Promise(requestAnimationFrame);
        frames++;
      }
      return 1000 * frames / (performance.now() - start);
    }"""
    assert max(page.evaluate(moving) for _ in range(3)) > 30
    # What is on the canvas can be pinned as well.
    page.locator(".holder").focus()
    page.keyboard.press("ArrowRight")
    page.keyboard.press("ArrowDown")
    assert state(page)["pin"].startswith("n")
    assert len(page.evaluate("location.hash")) < 2_000
    # And so can its uses: beside the middle of the window there is an arrow somewhere.
    window = page.locator(".holder").bounding_box()
    assert window is not None
    page.keyboard.press("+")
    for row in range(0, 200, 4):
        page.mouse.click(window["x"] + window["width"] / 2, window["y"] + window["height"] / 2 - 100 + row)
        if state(page).get("pin", "").startswith("e"):
            break
    use = document(page)["uses"][int(state(page)["pin"][1:])]
    page.get_by_role("tab", name="Value").click()
    names = [document(page)["graph"]["nodes"][use[end]]["name"] for end in ("source", "target")]
    assert page.locator(".card h2").first.inner_text() == " → ".join(names)


def test_the_canvas_is_used_as_the_picture_is(opened: Open) -> None:
    page = opened(hg.explain(steps)(0.5), "#tab=code")
    page.set_viewport_size({"width": 1280, "height": 900})
    page.get_by_role("tab", name="Outline").click()
    page.get_by_role("button", name="Open all", exact=True).click()
    assert page.locator("g.node").count() == 801, "as many are still drawn as a picture"
    took = page.evaluate(
        """async () => {
          const found = [];
          for (const box of [...document.querySelectorAll(".holder g.node")].slice(0, 30)) {
            const start = performance.now();
            box.dispatchEvent(new PointerEvent("pointermove", {bubbles: true, pointerType: "mouse"}));
            found.push(performance.now() - start);
            await new Promise(requestAnimationFrame);
          }
          return found;
        }"""
    )
    assert sorted(took)[15] < 30, "milliseconds in which the mouse is followed: a frame"
    page = opened(hg.explain(mesh)(0.5, 800), "#tab=code")
    count = len(document(page)["shown"])
    assert 1_000 < count < 3_000
    page.get_by_role("tab", name="Outline").click()
    page.get_by_role("button", name="Open all", exact=True).click()
    canvas = page.locator("canvas.picture")
    assert canvas.count() == 1
    page.get_by_role("tab", name="Code").click()
    window = page.locator(".holder").bounding_box()
    assert window is not None

    def drawn() -> str:
        page.wait_for_timeout(60)
        pixels: str = canvas.evaluate("c => c.toDataURL()")
        return pixels

    # Somewhere there is a value; what the mouse is over is marked on the canvas and in the code, and a click pins it.
    page.mouse.move(window["x"] + 3, window["y"] + window["height"] / 2)
    plain = drawn()
    for row in range(60, 400, 12):
        page.mouse.move(window["x"] + window["width"] / 2, window["y"] + row)
        if page.locator(".span.hot").count():
            break
    assert page.locator(".span.hot").count() >= 1
    assert drawn() != plain, "the value under the mouse is marked"
    line = page.locator("li.hot code").first.inner_text()
    page.mouse.down()
    page.mouse.up()
    pin = state(page)["pin"]
    assert page.locator("li.pinned code").first.inner_text() == line
    page.mouse.move(window["x"] + 3, window["y"] + window["height"] / 2)
    assert page.locator(".span.hot").count() == 0
    # Dragging moves the picture and pins nothing else; the wheel and keys change its size.
    before = drawn()
    page.mouse.move(window["x"] + 300, window["y"] + 300)
    page.mouse.down()
    page.mouse.move(window["x"] + 220, window["y"] + 260, steps=4)
    page.mouse.up()
    moved = drawn()
    assert moved != before
    assert state(page)["pin"] == pin
    page.locator(".holder").focus()
    for key in "+-0":
        page.keyboard.press(key)
        now = drawn()
        assert now != moved
        moved = now
    # Arrows follow uses from the pinned value, and what is come to is told.
    uses = document(page)["uses"]
    node_ = int(pin[1:]) if pin.startswith("n") else uses[int(pin[1:])]["target"]
    page.keyboard.press("ArrowUp")
    above = int(state(page)["pin"][1:])
    assert {"source": above, "target": node_}.items() <= max(
        uses, key=lambda use: (use["source"] == above) + (use["target"] == node_)
    ).items()
    assert page.locator("[aria-live]").inner_text().startswith(document(page)["graph"]["nodes"][above]["name"])
    page.keyboard.press("Escape")
    assert "pin" not in state(page)


def test_an_arrow_between_groups_leads_to_each_of_its_uses(opened: Open) -> None:
    def pair(a, b):
        return a * b, a - b

    def join(a, b, c):
        return np.sin(a) * b + c

    def both(x):
        a, b = pair(x, x + 1)
        return join(a, b, x)

    page = opened(hg.explain(both)(0.5), "#tab=outline")
    page.get_by_role("button", name="Close all", exact=True).click()
    page.locator("g.label", has_text="2 uses").first.click()
    page.get_by_role("tab", name="Value").click()
    card = page.locator(".card")
    first = card.locator("h2").first.inner_text()
    assert "1 other use on the same arrow" in card.inner_text()
    other = card.locator("section", has_text="on the same arrow").get_by_role("button")
    words = other.inner_text()
    assert words != first
    other.click()
    assert card.locator("h2").first.inner_text() == words
    assert other.inner_text() == first


@pytest.mark.slow
def test_a_hundred_thousand_values_open_closed(opened: Open) -> None:
    def long(x):
        for _ in range(50_000):
            x = np.sin(x) * 1.01
        return x

    explanation = hg.explain(long)(0.5)
    start = time.process_time()
    explanation.html()
    written = time.process_time() - start
    took = []
    for _ in range(3):
        page = opened(explanation)
        took.append(page.evaluate("performance.getEntriesByType('navigation')[0].domComplete"))
    assert min(took) < 5_000
    assert 1_000 * written + min(took) < 8_000, "5 s where the machine has nothing else to do"
    assert "for 100,001 values" in page.locator(".count").inner_text()
    assert page.locator("g.node").count() <= 300
    page.get_by_label("Step of the sweeps").focus()
    page.keyboard.press("End")
    assert "backward 100,001 of 100,001" in page.locator(".phase").inner_text().replace(" ", " ")


# -- for everyone ----------------------------------------------------------------------------------------------------


def test_arrows_follow_uses(opened: Open) -> None:
    page = opened(hg.explain(wave)(0.5))
    page.locator(".holder").focus()
    pinned = []
    for key in ("ArrowDown", "ArrowDown", "ArrowDown", "ArrowUp"):
        page.keyboard.press(key)
        pinned.append(page.locator("g.node.pinned text.name").text_content())
    assert pinned == ["x", "z = x + 1", "h = z²", "z = x + 1"]
    assert "z = x + 1, 1.5, adjoint −1.8845" in page.locator("[aria-live]").inner_text()


def test_a_whole_session_by_keyboard(opened: Open) -> None:
    page = opened(hg.explain(network)(np.array([1.0, -2.0]), np.eye(2) * 0.3))

    def reach(selector: str) -> None:
        """Press the tabulator until something has the focus; a keyboard finds nothing else."""
        for _ in range(60):
            page.keyboard.press("Tab")
            if page.evaluate("s => document.activeElement.matches(s)", selector):
                return
        raise AssertionError(f"{selector} is not reached")

    def focused(style: str) -> str:
        found: str = page.evaluate("s => getComputedStyle(document.activeElement)[s]", style)
        return found

    # Find a value, and see it pinned.
    page.keyboard.press("/")
    page.keyboard.type("op:tanh")
    page.keyboard.press("Enter")
    first = state(page)["pin"]
    page.keyboard.press("Enter")
    assert state(page)["pin"] != first
    page.keyboard.press("Escape")
    assert page.locator(".results").is_hidden()
    # Through the picture, along a use, to a group, which is closed and opened.
    page.keyboard.press("Shift+Tab")
    reach(".holder")
    assert focused("outlineStyle") != "none", "where the focus is can be seen"
    page.keyboard.press("ArrowUp")
    assert state(page)["pin"] not in ("", first)
    boxes = page.locator("g.node").count()
    page.keyboard.press("c")
    assert page.locator("g.node").count() < boxes
    page.keyboard.press("Enter")
    assert page.locator("g.node").count() == boxes
    # The sweeps.
    page.keyboard.press("]")
    page.keyboard.press("]")
    assert state(page)["step"] == "1"
    page.keyboard.press("[")
    assert "forward 1 of" in page.locator(".phase").inner_text()
    page.keyboard.press("Escape")
    assert page.locator(".step").is_hidden()
    # The panels, one after the other, with the arrows; in each of them something is reached.
    reach("[role=tab]")
    names = []
    for _ in range(10):
        page.keyboard.press("ArrowRight")
        names.append(page.evaluate("document.activeElement.textContent"))
    assert len(set(names)) == 10
    while page.evaluate("document.activeElement.textContent") != "Inputs":
        page.keyboard.press("ArrowRight")
    reach("input[type=range]")
    before = page.locator("g.node.result text.value").text_content()
    page.keyboard.press("ArrowRight")
    assert page.locator("g.node.result text.value").text_content() != before
    # Choices of the head: a file is saved by keys alone.
    reach("select[aria-label='Save what is on screen']")
    with page.expect_download() as waiting:
        page.keyboard.press("S")
    assert waiting.value.suggested_filename.endswith(".svg")
    reach("header button")
    page.keyboard.press("Enter")
    assert "next problem" in page.get_by_role("dialog").inner_text()
    page.keyboard.press("Escape")
    assert page.get_by_role("dialog").count() == 0
    page.keyboard.press("t")
    assert state(page)["theme"] == "light"


def test_the_picture_runs_where_it_can_be_read(opened: Open) -> None:
    """From left to right if it is seen in a good size so, else downwards."""
    for width, along in ((1800, "x"), (1280, "y"), (390, "y")):
        page = opened(hg.explain(wave)(0.5), width=width)
        places = [node(page, name).bounding_box() for name in "xzhy"]
        assert all(place is not None for place in places)
        steps_ = [b[along] - a[along] for a, b in pairwise(places)]
        assert min(steps_) > 40
        window = page.locator(".holder").bounding_box()
        last = places[-1]
        assert window["x"] <= last["x"]
        assert last["x"] + last["width"] <= window["x"] + window["width"], "all of it is in sight"
        assert last["y"] + last["height"] <= window["y"] + window["height"]


def test_keys_are_listed_and_can_be_turned_off(opened: Open) -> None:
    page = opened(hg.explain(wave)(0.5))
    page.keyboard.press("?")
    dialog = page.get_by_role("dialog")
    assert "next problem" in dialog.inner_text()
    dialog.get_by_role("checkbox").uncheck()
    dialog.get_by_role("button", name="Close").click()
    page.keyboard.press("h")
    assert "heat" not in state(page)


def test_names_are_text_and_nothing_else(opened: Open) -> None:
    hostile = {"<img src=x onerror=alert(1)>": 1.0, "</script><script>alert(2)</script>": 2.0}
    page = opened(hg.explain(lambda d: sum(np.sin(v) for v in d.values()))(hostile))
    assert page.locator("img").count() == 0
    assert page.locator("script").count() == 2
    assert "<img" in page.locator("h1").inner_text()
    for tab in page.get_by_role("tab").all():
        tab.click()
    assert page.locator("img").count() == 0


def test_on_paper_stand_picture_and_story(opened: Open, tmp_path: Path) -> None:
    page = opened(hg.explain(wave)(0.5), "#theme=light")
    page.evaluate("window.dispatchEvent(new Event('beforeprint'))")
    page.emulate_media(media="print")
    assert page.locator(".print svg").is_visible()
    assert page.locator(".print", has_text="Dynamic programming: each adjoint once").is_visible()
    assert not page.locator("main").is_visible()
    assert page.pdf(path=tmp_path / "page.pdf").startswith(b"%PDF")


@pytest.mark.parametrize("width", [1280, 768, 390])
@pytest.mark.parametrize("theme", ["light", "dark"])
def test_no_violations_of_accessibility_rules(opened: Open, theme: str, width: int) -> None:
    if not AXE.exists():
        pytest.skip(f"{AXE} is missing: accessibility was not checked (make explorer installs it, with npm)")
    shapes = {
        "numbers": hg.explain(kinked)(0.0),
        "arrays": hg.explain(network)(np.array([1.0, -2.0]), np.eye(2) * 0.3),
    }
    for name, explanation in shapes.items():
        page = opened(explanation, "#pin=n1&heat=true&step=4", width=width, color_scheme=theme)
        page.evaluate(AXE.read_text(encoding="utf-8"))
        assert page.evaluate(AUDIT) == [], name
        for tab in page.get_by_role("tab").all():
            tab.click()
            # What is around the panels stays the same: looking at all of it each time takes minutes.
            whole = width == 1280 and theme == "light"
            assert page.evaluate(AUDIT, None if whole else ".side") == [], (name, tab.inner_text())
        assert page.evaluate("document.documentElement.scrollWidth <= window.innerWidth"), (name, width)
        page.get_by_role("searchbox").fill("x")
        assert page.evaluate(AUDIT, "header") == []
        page.keyboard.press("Escape")
        page.get_by_role("button", name="Keys").click()
        assert page.evaluate(AUDIT, "dialog") == []


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_no_violations_while_it_is_used(opened: Open, theme: str) -> None:
    if not AXE.exists():
        pytest.skip(f"{AXE} is missing: accessibility was not checked (make explorer installs it, with npm)")

    def audited(page: "Page") -> None:
        assert page.evaluate(AUDIT, "main") == []

    page = opened(hg.explain(valley)(-1.0, 1.5), "#tab=inputs", color_scheme=theme)
    page.evaluate(AXE.read_text(encoding="utf-8"))
    page.get_by_role("button", name="Keep these numbers").click()
    page.get_by_label("x, value").fill("1")
    audited(page)
    page.get_by_role("tab", name="Descend").click()
    page.get_by_role("button", name="One step").click()
    audited(page)
    page.get_by_role("tab", name="Derivation").click()
    for level in ("spelled out", "multiplied out", "numbers"):
        page.get_by_role("radio", name=level).click()
        audited(page)
    page.get_by_role("tab", name="Value").click()
    page.locator("g.label").first.click()
    audited(page)
    page = opened(hg.explain(network)(np.array([1.0, -2.0]), np.eye(2) * 0.3), "#tab=outline", color_scheme=theme)
    page.evaluate(AXE.read_text(encoding="utf-8"))
    page.get_by_role("button", name="Close all", exact=True).click()
    page.locator("g.node.group").first.click()
    audited(page)
    page.get_by_role("tab", name="Value").click()
    audited(page)
    page = opened(hg.explain(mesh)(0.5, 800), "#tab=outline", color_scheme=theme)
    page.evaluate(AXE.read_text(encoding="utf-8"))
    page.get_by_role("button", name="Open all", exact=True).click()
    assert page.locator("canvas.picture").count() == 1
    audited(page)


def test_letters_stand_out_from_what_is_behind_them(opened: Open) -> None:
    """The colours of text in the picture, which axe cannot judge: 4.5 to 1 against every ground that it stands on."""
    for theme in ("light", "dark"):
        page = opened(hg.explain(kinked)(0.0), f"#theme={theme}")
        colours = page.evaluate(
            """() => {
              const style = getComputedStyle(document.documentElement);
              const context = document.createElement("canvas").getContext("2d");
              const rgb = (name) => {
                context.fillStyle = style.getPropertyValue(name).trim();
                return [1, 3, 5].map(k => parseInt(context.fillStyle.slice(k, k + 2), 16));
              };
              const names = (list) => Object.fromEntries(list.map(name => [name, rgb("--" + name)]));
              const grounds = ["paper", "box", "input", "result", "mark"];
              return [names(["ink", "soft", "local", "adjoint", "bad"]), names(grounds)];
            }"""
        )
        for ink, letters in colours[0].items():
            for ground, behind in colours[1].items():
                if ink == "local" and ground != "paper":
                    continue  # local derivatives stand on arrows only
                assert contrast(letters, behind) >= 4.5, (theme, ink, ground, contrast(letters, behind))


def contrast(a: list[int], b: list[int]) -> float:
    """By WCAG 2.1: the ratio of the relative luminances."""

    def luminance(rgb: list[int]) -> float:
        linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in (v / 255 for v in rgb)]
        return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]

    high, low = sorted((luminance(a), luminance(b)), reverse=True)
    return (high + 0.05) / (low + 0.05)
