"""The picture: well-formed, nothing overlapping, nothing clipped, told apart by more than colour."""

import xml.etree.ElementTree as ET
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from gallery import GALLERY
from geometry import Box, Point, hits, overlaps

import hopgrad as hg

if TYPE_CHECKING:
    from playwright.sync_api import Browser

SVG = "{http://www.w3.org/2000/svg}"


def _box(rect: ET.Element) -> Box:
    x, y, w, h = (float(rect.attrib[k]) for k in ("x", "y", "width", "height"))
    return Box(x, y, x + w, y + h)


def _path(d: str) -> list[Point]:
    numbers = d.replace("M", " ").replace("C", " ").replace(",", " ").split()
    return [(float(x), float(y)) for x, y in zip(numbers[::2], numbers[1::2], strict=True)]


def _nodes(root: ET.Element) -> list[ET.Element]:
    return [g for g in root.iter(f"{SVG}g") if g.attrib.get("class", "").startswith("node")]


def _rect(group: ET.Element) -> ET.Element:
    found = group.find(f"{SVG}rect")
    assert found is not None
    return found


@pytest.mark.parametrize("name", GALLERY)
@pytest.mark.parametrize("direction", ["right", "down"])
@pytest.mark.parametrize("adjoints", [False, True])
def test_nothing_overlaps(name: str, direction: Any, adjoints: bool) -> None:
    root = ET.fromstring(GALLERY[name]().svg(direction=direction, adjoints=adjoints))
    nodes = [_box(_rect(g)) for g in _nodes(root)]
    labels = [_box(_rect(g)) for g in root.iter(f"{SVG}g") if g.attrib.get("class") == "label"]
    edges = [_path(p.attrib["d"]) for p in root.iter(f"{SVG}path") if p.attrib.get("class", "").startswith("edge")]
    assert not overlaps(nodes + labels)
    # Boxes a little smaller: an edge ends on the border of its own.
    inner = [Box(b[0] + 2, b[1] + 2, b[2] - 2, b[3] - 2) for b in nodes]
    assert not hits(edges, inner)
    x, y, w, h = map(float, root.attrib["viewBox"].split())
    assert all(x <= b[0] and y <= b[1] and b[2] <= x + w and b[3] <= y + h for b in nodes + labels)


@pytest.mark.parametrize("name", GALLERY)
def test_it_says_what_it_shows(name: str) -> None:
    root = ET.fromstring(GALLERY[name]().svg())
    assert root.findtext(f"{SVG}title")
    assert "Computation graph" in (root.findtext(f"{SVG}desc") or "")
    assert all(g.findtext(f"{SVG}title") for g in _nodes(root))


def test_names_ops_values_and_derivatives_are_on_it() -> None:
    root = ET.fromstring(GALLERY["chain"]().svg(adjoints=True))
    words = ["".join(t.itertext()) for t in root.iter(f"{SVG}text")]
    for expected in ("z = x + 1", "h = z2", "y = sin(h)", "2.25", "dh/dz = 2z", "= 3", "dy/dh = cos(h)", "x̄ = −1.8845"):
        assert expected in words
    raised = [t for t in root.iter(f"{SVG}tspan") if t.text == "2" and "dy" in t.attrib]
    assert raised, "the square must be a real superscript"


def test_kinds_of_nodes_differ_in_shape() -> None:
    root = ET.fromstring(GALLERY["network"]().svg())
    kinds = {g.attrib["class"].removeprefix("node "): g for g in _nodes(root)}
    assert set(kinds) == {"input", "given", "hop", "result"}
    assert float(_rect(kinds["input"]).attrib["rx"]) > 2 * float(_rect(kinds["hop"]).attrib["rx"])
    assert any(r.attrib.get("class") == "rim" for r in kinds["result"].iter(f"{SVG}rect"))


def test_the_birth_of_an_infinity_is_marked() -> None:
    root = ET.fromstring(GALLERY["infinite"]().svg())
    sick = [g for g in _nodes(root) if "sick" in g.attrib["class"]]
    assert ["".join(t.itertext()) for g in sick for t in g.iter(f"{SVG}text")] == ["u = log(x)", "born: −∞"]


@pytest.mark.parametrize("name", ["branches", "boundary", "until"])
@pytest.mark.parametrize("direction", ["right", "down"])
def test_the_branches_it_holds_for_stand_below(name: str, direction: Any) -> None:
    root = ET.fromstring(GALLERY[name]().svg(direction=direction))
    (caption,) = [g for g in root.iter(f"{SVG}g") if g.attrib.get("class") == "conditions"]
    rows = ["".join(t.itertext()) for t in caption.iter(f"{SVG}text")]
    assert rows[0].startswith("This gradient holds while ")
    assert {"branches": "x > 0 and z ≤ 3", "boundary": "x ≤ 0", "until": "true 4 times"}[name] in "".join(rows)
    assert ("at the boundary: the derivative may jump here" in rows) == (name == "boundary")
    assert "This gradient holds while" in (root.findtext(f"{SVG}desc") or "")
    bottom = max(_box(_rect(g))[3] for g in _nodes(root))
    x, y, w, h = map(float, root.attrib["viewBox"].split())
    for words in caption.iter(f"{SVG}text"):
        assert bottom < float(words.attrib["y"]) - float(words.attrib["font-size"])
        assert float(words.attrib["y"]) < y + h - 5
        assert x < float(words.attrib["x"]) < x + w


def test_two_pictures_on_one_page_do_not_share_ids() -> None:
    first, second = (ET.fromstring(GALLERY["chain"]().svg(adjoints=a)) for a in (False, True))
    ids = [{e.attrib["id"] for e in root.iter() if "id" in e.attrib} for root in (first, second)]
    assert ids[0].isdisjoint(ids[1])


@pytest.mark.parametrize("theme", ["auto", "light", "dark"])
def test_text_has_contrast(theme: Any) -> None:
    from hopgrad.show.picture import _DARK, _LIGHT

    def luminance(colour: str) -> float:
        parts = [int(colour[k : k + 2], 16) / 255 for k in (1, 3, 5)]
        linear = [c / 12.92 if c <= 0.03928 else ((c + 0.055) / 1.055) ** 2.4 for c in parts]
        return float(np.dot(linear, (0.2126, 0.7152, 0.0722)))

    for colours in (_LIGHT, _DARK):
        for text, ground in [(t, g) for t in ("ink", "soft") for g in ("paper", "box", "input", "result")] + [
            ("local", "paper"), ("adjoint", "paper"), ("adjoint", "box"), ("adjoint", "input"), ("adjoint", "result"),
            ("bad", "paper"), ("bad", "box"),
        ]:  # fmt: skip
            bright, dim = sorted((luminance(colours[text]), luminance(colours[ground])), reverse=True)
            assert (bright + 0.05) / (dim + 0.05) >= 4.5, (text, ground)
    assert ("prefers-color-scheme" in GALLERY["chain"]().svg(theme=theme)) == (theme == "auto")


def test_large_graphs_are_drawn() -> None:
    def long(x: Any) -> Any:
        for k in range(10_000):
            x = np.sin(x) if k % 2 else x * 1.01
        return x

    root = ET.fromstring(hg.explain(long)(0.5).svg())
    assert len(_nodes(root)) == 10_001

    def longer(x: Any) -> Any:
        for _ in range(30_000):
            x = np.sin(x)
        return x

    root = ET.fromstring(hg.explain(longer)(0.5).svg())
    assert any("more hops" in "".join(t.itertext()) for t in root.iter(f"{SVG}text"))


def test_bad_options_are_named() -> None:
    story = GALLERY["chain"]()
    with pytest.raises(ValueError, match="'right' or 'down', not 'left'"):
        story.svg(direction="left")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="theme is"):
        story.svg(theme="pink")  # type: ignore[arg-type]


_FITS = """() => {
  const bad = [];
  for (const group of document.querySelectorAll('g.node, g.label')) {
    const rect = group.querySelector('rect').getBBox();
    for (const text of group.querySelectorAll('text')) {
      const box = text.getBBox();
      if (box.x < rect.x - .5 || box.x + box.width > rect.x + rect.width + .5 ||
          box.y < rect.y - 2 || box.y + box.height > rect.y + rect.height + 3) bad.push(text.textContent);
    }
  }
  const paper = document.querySelector('rect.paper').getBBox();
  for (const text of document.querySelectorAll('g.conditions text')) {
    const box = text.getBBox();
    if (box.x < paper.x || box.x + box.width > paper.x + paper.width ||
        box.y + box.height > paper.y + paper.height) bad.push(text.textContent);
  }
  return bad;
}"""


@pytest.mark.browser
@pytest.mark.parametrize("name", GALLERY)
def test_text_fits_its_box_in_a_browser(browser: "Browser", name: str) -> None:
    page = browser.new_page()
    try:
        page.set_content(GALLERY[name]().svg(adjoints=True))
        assert page.evaluate(_FITS) == []
    finally:
        page.close()
