"""The page at /docs in a real browser: read, filled in, sent."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from selenium import webdriver
from selenium.webdriver.common.by import By
from selenium.webdriver.support.ui import WebDriverWait
from werkzeug.serving import make_server

from pigeonhole.service.api_keys import new_key
from pigeonhole.service.app import Service
from pigeonhole.service.settings import Settings

WAIT_S = 20


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory, write_model) -> Path:
    """A folder with one small model."""
    models = tmp_path_factory.mktemp("models")
    write_model(models)
    return models


@pytest.fixture(scope="module")
def address(models: Path) -> Iterator[str]:
    """A service on loopback."""
    with served(Settings(models=models)) as address:
        yield address


@contextmanager
def served(settings: Settings) -> Iterator[str]:
    """A service in a thread, as long as it is needed: its address."""
    service = Service(settings)
    server = make_server("127.0.0.1", 0, service.flask, threaded=True)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.port}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
        service.close()


@pytest.fixture(scope="module")
def browser(program, tmp_path_factory: pytest.TempPathFactory) -> Iterator[webdriver.Chrome]:
    """Chromium without a window, which asks nobody but the test's own server."""
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


def fill(browser: webdriver.Chrome, **values: str) -> str:
    """Type values into the form, send it, and read the answer."""
    for name, value in values.items():
        field = browser.find_element(By.CSS_SELECTOR, f"[data-feature='{name}']")
        field.clear()
        field.send_keys(value)
    browser.find_element(By.CSS_SELECTOR, "button[type=submit]").click()
    answer = browser.find_element(By.CLASS_NAME, "answer")
    WebDriverWait(browser, WAIT_S).until(lambda _: answer.text)
    return answer.text


@pytest.mark.slow
def test_the_form_predicts_and_says_what_was_unusual(browser, address: str) -> None:
    browser.get(f"{address}/docs")
    text = fill(browser, height_cm="172", weight_kg="95")
    assert text.startswith("overweight")
    assert "99." in text
    text = fill(browser, height_cm="1.72", weight_kg="95")
    assert "height_cm is 1.72; training saw 140 to 200" in text


@pytest.mark.slow
def test_the_form_shows_which_value_is_wrong(browser, address: str) -> None:
    browser.get(f"{address}/docs")
    text = fill(browser, height_cm="tall", weight_kg="95")
    assert 'height_cm: expected number, got string "tall"' in text
    field = browser.find_element(By.CSS_SELECTOR, "[data-feature='height_cm']")
    assert field.get_attribute("aria-invalid") == "true"


@pytest.mark.slow
@pytest.mark.parametrize("width", [360, 1200])
def test_the_page_fits_narrow_and_wide_screens_without_complaints(
    browser, address: str, width: int
) -> None:
    browser.get_log("browser")  # what earlier tests left
    browser.set_window_size(width, 900)
    browser.get(f"{address}/docs")
    wide = browser.execute_script("return document.documentElement.scrollWidth")
    assert wide <= browser.execute_script("return window.innerWidth")
    assert [entry["message"] for entry in browser.get_log("browser")] == []


@pytest.mark.slow
def test_every_field_has_a_label(browser, address: str) -> None:
    browser.get(f"{address}/docs")
    for field in browser.find_elements(By.TAG_NAME, "input"):
        assert browser.find_elements(By.CSS_SELECTOR, f"label[for='{field.get_attribute('id')}']")


@pytest.mark.slow
def test_with_keys_the_password_that_a_browser_asked_for_lets_its_page_predict(
    browser, models: Path, tmp_path: Path
) -> None:
    token, entry = new_key("alice", ["predict", "read"])
    keys = tmp_path / "keys.toml"
    keys.write_text(entry)
    with served(Settings(models=models, keys=str(keys))) as address:
        browser.get(address.replace("//", f"//alice:{token}@") + "/docs")  # as if typed when asked
        browser.get(f"{address}/docs")
        assert fill(browser, height_cm="172", weight_kg="95").startswith("overweight")
