"""What all tests share: how Hypothesis runs, and a real browser."""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from exploring import Open
from hypothesis import settings

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

# Tracing and compiling make the first run of an example slow, so a deadline would fail at random.
settings.register_profile("local", deadline=None)
settings.register_profile("ci", deadline=None, derandomize=True, print_blob=True)
settings.load_profile("ci" if os.environ.get("CI") else "local")

# Most tests are about what is computed, not how, and call a function once: compiling would take most of their time.
# Native code has tests of its own, which choose it, and the whole catalogue and all programs run by it there.
os.environ.setdefault("HOPGRAD_BACKEND", "numpy")

collect_ignore_glob = ["golden/*.py"]  # scripts that make the numbers there, with packages that tests do not need

CHROMIUM = Path(os.environ.get("HOPGRAD_CHROMIUM", "/usr/bin/chromium"))
CHROMIUM_ARGS = [
    "--headless",
    "--no-sandbox",  # chromium refuses to run as root with its sandbox
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]


@pytest.fixture(scope="session")
def browser() -> Iterator["Browser"]:
    """A running chromium; a test that uses it is marked `browser`."""
    if not CHROMIUM.exists():
        message = f"{CHROMIUM} is missing: no browser test ran (make test-browser installs it)"
        if os.environ.get("HOPGRAD_REQUIRE_BROWSER") == "1":
            pytest.fail(message)
        pytest.skip(message)
    # Starting playwright costs time that the other tests should not pay.
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=CHROMIUM, args=CHROMIUM_ARGS)
        yield chromium
        chromium.close()


@pytest.fixture
def opened(browser: "Browser", tmp_path: Path) -> Iterator[Open]:
    """Opens the page of an explanation, and checks in the end that nothing went wrong in it."""
    problems: list[str] = []
    pages = []

    def one(explanation: Any, hash_: str = "", width: int = 1280, height: int = 800, **options: Any) -> "Page":
        context = browser.new_context(viewport={"width": width, "height": height}, **options)
        page = context.new_page()
        pages.append(context)
        page.on("console", lambda m: problems.append(m.text) if m.type in ("error", "warning") else None)
        page.on("pageerror", lambda error: problems.append(str(error)))
        page.on("request", lambda r: None if r.url.startswith(("file:", "blob:")) else problems.append(r.url))
        file = tmp_path / "page.html"
        explanation.save(file)
        page.goto(f"{file.as_uri()}{hash_}")
        return page

    yield one
    for context in pages:
        context.close()
    assert problems == []
