"""What a browser makes of a page on hostile runs: nothing of theirs runs or is asked for, and the page's own works."""

from pathlib import Path

import pytest
from browser import Browser, chromium
from made_runs import made_run

import reports

RUNS = "window.ran = 1"
NAMES = [f"<script>{RUNS}</script>", f"<img src=x onerror='{RUNS}'>", f'x" onfocus="{RUNS}" autofocus y="']


@pytest.mark.slow
def test_nothing_of_a_stranger_runs_and_the_page_works(tmp_path: Path) -> None:
    for place, name in enumerate(NAMES):
        order = [f"</svg>{name}", f"</style>{name}", f"--></script>{name}", "</title>" + name]
        made_run(tmp_path / "runs", name, order=order, stream=name, preset=name, shift=-place, settings={name: name})
    index = reports.build([tmp_path / "runs"], tmp_path / "report").index
    with chromium() as browser:
        browser.open(index)
        assert browser.run("window.ran") is None
        assert browser.run("document.querySelectorAll('img, iframe, object, base, form').length") == 0
        assert browser.run("document.querySelectorAll('script').length") == 1
        assert browser.complaints() == []
        assert browser.requests() == [index.resolve().as_uri()]
        _works(browser)
        _refuses(browser, index)


def _works(browser: Browser) -> None:
    """The page's style is applied, and its script sorts a table."""
    assert browser.run("getComputedStyle(document.documentElement).getPropertyValue('--ink')")
    browser.run("document.querySelector('table.sortable th button').click()")
    assert browser.run("document.querySelector('table.sortable th').getAttribute('aria-sort')") == "ascending"


def _refuses(browser: Browser, index: Path) -> None:
    """Even what got into the page would neither run nor reach anyone."""
    browser.run(
        f"const script = document.createElement('script'); script.textContent = '{RUNS}'; document.body.append(script);"
        f"document.body.insertAdjacentHTML('beforeend', `<img src=x onerror='{RUNS}'>`);"
        "new Image().src = 'http://127.0.0.1:9/'; fetch('http://127.0.0.1:9/').catch(() => 0)"
    )
    assert browser.run("window.ran") is None
    assert any("Content Security Policy" in said for said in browser.complaints())
    failed = [event["params"] for event in browser.events if event["method"] == "Network.loadingFailed"]
    refused = {failure["requestId"] for failure in failed if failure.get("blockedReason") == "csp"}
    sent = [event["params"] for event in browser.events if event["method"] == "Network.requestWillBeSent"]
    reached = [one["request"]["url"] for one in sent if one["requestId"] not in refused]
    assert len(refused) >= 2  # the pictures; what a script fetches is not even asked for
    assert [url for url in reached if not url.startswith("data:")] == [index.resolve().as_uri()]
