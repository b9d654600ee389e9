"""The page /docs in a real browser: its form, its errors, its layout."""

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
    """Return a folder with one small model."""
    models = tmp_path_factory.mktemp("models")
    write_model(models)
    return models


@pytest.fixture(scope="module")
def address(models: Path) -> Iterator[str]:
    """Yield the address of a service on loopback."""
    with served(Settings(models=models)) as address:
        yield address


@contextmanager
def served(settings: Settings) -> Iterator[str]:
    """Run a service in a thread; yield its address."""
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
    """Yield headless Chromium, which connects only to the test's own server."""
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


def predict(browser: webdriver.Chrome, **values: str) -> str:
    """Type values into the form, send it, and return the text of the result."""
    for name, value in values.items():
        field = browser.find_element(By.CSS_SELECTOR, f"[data-feature='{name}']")
        field.clear()
        field.send_keys(value)
    browser.find_element(By.CSS_SELECTOR, "button[type=submit]").click()
    result = browser.find_element(By.CLASS_NAME, "result")
    WebDriverWait(browser, WAIT_S).until(lambda _: result.text)
    return result.text


@pytest.mark.slow
def test_form_shows_prediction_and_values_out_of_range(browser, address: str) -> None:
    browser.get(f"{address}/docs")
    text = predict(browser, height_cm="172", weight_kg="95")
    assert text.startswith("overweight")
    assert "99." in text
    text = predict(browser, height_cm="1.72", weight_kg="95")
    assert "Out of range: height_cm is 1.72; in training: 140 to 200." in text


@pytest.mark.slow
def test_form_marks_the_invalid_value(browser, address: str) -> None:
    browser.get(f"{address}/docs")
    text = predict(browser, height_cm="tall", weight_kg="95")
    assert 'height_cm: expected number, got string "tall"' in text
    field = browser.find_element(By.CSS_SELECTOR, "[data-feature='height_cm']")
    assert field.get_attribute("aria-invalid") == "true"


@pytest.mark.slow
@pytest.mark.parametrize("width", [360, 1200])
def test_page_fits_narrow_and_wide_screens(browser, address: str, width: int) -> None:
    browser.set_window_size(width, 900)
    browser.get(f"{address}/docs")
    page_width = browser.execute_script("return document.documentElement.scrollWidth")
    assert page_width <= browser.execute_script("return window.innerWidth")


@pytest.mark.slow
def test_browser_logs_no_errors(browser, address: str) -> None:
    browser.get_log("browser")  # discards messages of earlier tests
    browser.get(f"{address}/docs")
    predict(browser, height_cm="172", weight_kg="95")
    assert [entry["message"] for entry in browser.get_log("browser")] == []


@pytest.mark.slow
def test_every_field_has_a_label(browser, address: str) -> None:
    browser.get(f"{address}/docs")
    for field in browser.find_elements(By.TAG_NAME, "input"):
        assert browser.find_elements(By.CSS_SELECTOR, f"label[for='{field.get_attribute('id')}']")


@pytest.mark.slow
def test_page_predicts_with_the_password_that_the_browser_keeps(
    browser, models: Path, tmp_path: Path
) -> None:
    token, entry = new_key("alice", ["predict", "read"])
    keys = tmp_path / "keys.toml"
    keys.write_text(entry)
    with served(Settings(models=models, keys=str(keys))) as address:
        browser.get(address.replace("//", f"//alice:{token}@") + "/docs")  # as if the user typed it
        browser.get(f"{address}/docs")
        assert predict(browser, height_cm="172", weight_kg="95").startswith("overweight")
