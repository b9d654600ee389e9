"""The report of a model in a real browser: light and dark, narrow and wide, printed."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest
from selenium import webdriver

from pigeonhole.trainer.data.findings import Finding
from pigeonhole.trainer.data.schema import Examples, Feature, Kind, Schema
from pigeonhole.trainer.evaluation.intervals import Predictions
from pigeonhole.trainer.fitting.history import History
from pigeonhole.trainer.report.inputs import DrawnLayer, ReportInputs
from pigeonhole.trainer.report.page import report

HOSTILE = '<script>document.title = "broken"</script>'

CLASSES = ("cat", HOSTILE, "d" * 300)


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The address of a report with all sections and with awkward names."""
    rng = np.random.default_rng(0)
    features = (
        Feature("height", Kind.NUMBER, required=True),
        Feature("w" * 120, Kind.NUMBER, required=True),
        Feature("born", Kind.DATETIME, required=True),
        Feature(HOSTILE, Kind.CATEGORY, required=True),
    )
    numbers = rng.normal(size=(120, 3)) * [1, 1, 1e8]
    texts = rng.choice(np.array(["a", "b" * 90, HOSTILE], dtype=object), (120, 1))
    labels = np.arange(120) % 3
    test = Examples(numbers, texts, labels)

    def predict(examples: Examples) -> np.ndarray:
        z = np.exp(examples.numbers[:, :1] * [1, 0, -1])
        return (z / z.sum(axis=1, keepdims=True)).astype(np.float32)

    falling = np.linspace(1, 0.2, 30)
    inputs = ReportInputs(
        name="pets",
        table="pets.csv",
        schema=Schema(features, "kind", CLASSES),
        test=test,
        predictions=Predictions.most_likely(predict(test)),
        predict=predict,
        baselines={"commonest class": np.full((120, 3), 1 / 3)},
        history=History(falling, falling, 1 - falling, falling, falling, 30, "the epoch limit"),
        layers=(DrawnLayer("Inputs", 4), DrawnLayer("Dense, softmax", 3, rng.normal(size=(4, 3)))),
        findings=(Finding("wide", None, "f" * 400),),
        temperatures=(1.5,),
        example={"row": {"height": 1, HOSTILE: "a"}, "label": "cat", "probabilities": {"cat": 1.0}},
        settings={"hidden": (256, 256)},
    )
    path = tmp_path_factory.mktemp("report") / "report.html"
    path.write_text(report(inputs), "utf-8")
    return path.as_uri()


@pytest.fixture(scope="module")
def browser(program, tmp_path_factory: pytest.TempPathFactory) -> Iterator[webdriver.Chrome]:
    """Headless Chromium without background requests."""
    options = webdriver.ChromeOptions()
    options.binary_location = program("chromium", "chromium")
    for flag in (
        *("headless", "no-sandbox", "disable-gpu", "disable-quic", "no-first-run"),
        *("disable-background-networking", "disable-component-update", "disable-sync"),
        f"user-data-dir={tmp_path_factory.mktemp('profile')}",
    ):
        options.add_argument(f"--{flag}")
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    driver = webdriver.ChromeService(program("chromedriver", "chromium-driver"))
    browser = webdriver.Chrome(options, driver)
    yield browser
    browser.quit()


def show(browser: webdriver.Chrome, page: str, scheme: str, width: int, media: str = "") -> None:
    """Open the page at a width in CSS pixels."""
    features = [{"name": "prefers-color-scheme", "value": scheme}]
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": media, "features": features})
    device = {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": False}
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", device)
    browser.get(page)


@pytest.mark.slow
@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [360, 1280])
def test_page_fits_the_screen_without_console_messages(
    browser, page: str, scheme: str, width: int
) -> None:
    browser.get_log("browser")  # discards messages of earlier tests
    show(browser, page, scheme, width)
    assert browser.execute_script("return window.innerWidth") == width
    assert browser.execute_script("return document.documentElement.scrollWidth") <= width
    assert browser.title == "pets: report"
    assert [entry["message"] for entry in browser.get_log("browser")] == []


@pytest.mark.slow
def test_drawings_follow_the_color_scheme(browser, page: str) -> None:
    colors = {}
    for scheme in ("light", "dark"):
        show(browser, page, scheme, 1280)
        colors[scheme] = browser.execute_script(
            "const text = document.querySelector('svg text');"
            "return [getComputedStyle(text).fill, getComputedStyle(document.body).backgroundColor]"
        )
    assert not set(colors["light"]) & set(colors["dark"])


@pytest.mark.slow
def test_text_in_drawings_is_readable_on_a_phone(browser, page: str) -> None:
    show(browser, page, "light", 360)
    texts = browser.execute_script(
        "return [...document.querySelectorAll('svg text')].map(text => {"
        " const box = text.getBoundingClientRect();"
        " const scale = text.getScreenCTM().a;"
        " return [text.textContent, parseFloat(getComputedStyle(text).fontSize) * scale,"
        "  box.left, box.right] })"
    )
    assert len(texts) > 50
    for text, pixels, left, right in texts:
        assert pixels >= 11, text
        assert left >= 0, text
        assert right <= 360, text


@pytest.mark.slow
def test_keyboard_reaches_every_scrolling_region(browser, page: str) -> None:
    show(browser, page, "light", 360)
    unreachable = browser.execute_script(
        "return [...document.querySelectorAll('*')].filter(one =>"
        " one.scrollWidth > one.clientWidth + 1"
        " && ['auto', 'scroll'].includes(getComputedStyle(one).overflowX)"
        " && one.tabIndex < 0).map(one => one.outerHTML.slice(0, 80))"
    )
    assert unreachable == []


@pytest.mark.slow
def test_print_has_a_white_background_and_no_scrolling(browser, page: str) -> None:
    show(browser, page, "dark", 700, media="print")
    ground, cut_off = browser.execute_script(
        "return [getComputedStyle(document.body).backgroundColor,"
        " [...document.querySelectorAll('.scroll, pre')].filter(one =>"
        "  getComputedStyle(one).overflowX != 'visible').length]"
    )
    assert ground == "rgb(255, 255, 255)"
    assert cut_off == 0
    assert browser.execute_script("return document.documentElement.scrollWidth") <= 700
