"""The page of a report: one safe file, its pictures, and how it behaves in a browser under a reader's hands."""

import base64
import re
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
from browser import Browser, chromium
from made_runs import ORDER, made_run

import reports
from benchmark.core.own import MANIFEST
from reports.groups import Group, collect
from reports.page import album, html

HOSTILE = "<script>alert('x')</script> $\\frac{"
LONG = "a_strategy_whose_name_is_long_and_has_no_place_to_break_it"


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Strategies that keep and that forget, with hostile and long names, an unfinished run, and a second group."""
    folder = tmp_path_factory.mktemp("page")
    made_run(folder / "runs", "cmc", seed=0)
    made_run(folder / "runs", "cmc", seed=1, shift=0.2)
    made_run(folder / "runs", "finetune", keeps=False, settings={}, tasks=[{"name": task} for task in ORDER])
    made_run(folder / "runs", "finetune", keeps=False, settings={})
    made_run(folder / "runs", HOSTILE, shift=-1.0, settings={"note": "<img src=x onerror=alert(1)>"})
    made_run(folder / "runs", LONG, shift=-2.0, keeps=False)
    made_run(folder / "runs", "packnet", state="failed", done=2)
    return reports.build([folder / "runs"], folder / "out").index


@pytest.fixture(scope="module")
def page(report: Path) -> str:
    return report.read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def group(report: Path) -> Group:
    return collect([report.parent.parent / "runs"]).groups[0]


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium() as running:
        yield running


class Page(HTMLParser):
    """Collects the tags of a page."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def links(self) -> list[str]:
        return [attributes.get("href") or "" for tag, attributes in self.tags if tag == "a"]


@pytest.mark.slow
def test_hostile_names_do_nothing(page: str) -> None:
    tags = Page(page).tags
    assert sum(tag == "script" for tag, _ in tags) == 1
    assert not [attributes for _, attributes in tags if any(name.startswith("on") for name in attributes)]
    assert "&lt;script&gt;alert(" in page
    assert "<img src=x" not in page


def test_page_loads_nothing(page: str) -> None:
    for tag, attributes in Page(page).tags:
        for name in ("src", "href", "xlink:href", "action", "data", "srcset"):
            value = attributes.get(name) or ""
            assert not re.match(r"\s*(https?:|//|file:|javascript:)", value, re.IGNORECASE), (tag, value)
    assert not re.search(r"url\(\s*['\"]?\s*(https?:)?//|@import", page)
    policies = [a["content"] for tag, a in Page(page).tags if a.get("http-equiv") == "Content-Security-Policy"]
    assert len(policies) == 1
    rules = dict(rule.split(" ", 1) for rule in str(policies[0]).split("; "))
    assert rules["default-src"] == rules["base-uri"] == rules["form-action"] == "'none'"
    assert rules["img-src"] == "data:"
    assert re.fullmatch(r"'sha256-[\w+/]+='", rules["script-src"])


def test_page_is_one_document(page: str) -> None:
    assert page.startswith("<!doctype html>")
    tags = Page(page).tags
    ids = [attributes["id"] for _, attributes in tags if "id" in attributes]
    assert len(ids) == len(set(ids))
    shown = [a["href"] for tag, a in tags if tag == "use" and "href" in a]
    targets = [href[1:] for href in [*Page(page).links(), *map(str, shown)] if href.startswith("#")]
    assert shown
    assert set(targets) <= set(ids)


def test_every_file_beside_the_page_has_a_link(report: Path, page: str) -> None:
    files = {str(path.relative_to(report.parent)) for path in report.parent.rglob("*") if path.is_file()}
    linked = {href for href in Page(page).links() if not href.startswith(("#", "data:"))}
    assert linked == files - {report.name, MANIFEST}
    assert len(linked) > 12


def test_tables_are_inside_the_page_too(report: Path, page: str) -> None:
    inside = {a["download"]: str(a["href"]) for tag, a in Page(page).tags if tag == "a" and "download" in a}
    tables = {path.name: path.read_bytes() for path in (report.parent / "tables").iterdir()}
    assert {name: base64.b64decode(uri.partition("base64,")[2]) for name, uri in inside.items()} == tables


@pytest.mark.slow
def test_a_page_stays_below_its_largest_size(report: Path, page: str, monkeypatch: pytest.MonkeyPatch) -> None:
    largest = len(page.encode()) - 5_000
    monkeypatch.setattr(html, "LARGEST", largest)
    smaller = reports.build([report.parent.parent / "runs"], report.parent.parent / "smaller").index.read_text("utf-8")
    assert largest // 2 < len(smaller.encode()) <= largest
    assert "left out" in smaller
    assert "left out" not in page


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
@pytest.mark.parametrize("width", [320, 390, 820, 1440])
def test_it_fits_every_screen_and_stays_by_itself(browser: Browser, report: Path, width: int, dark: bool) -> None:
    browser.open(report, width=width, dark=dark)
    browser.run("document.querySelectorAll('details').forEach((details) => { details.open = true })")
    assert browser.run("document.documentElement.scrollWidth <= document.documentElement.clientWidth")
    assert browser.complaints() == []
    assert browser.requests() == [report.as_uri()]


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
def test_text_stands_out_from_its_ground(browser: Browser, report: Path, dark: bool) -> None:
    browser.open(report, dark=dark)
    colours = browser.run(
        "Object.fromEntries(['paper', 'raised', 'tint', 'ink', 'muted', 'accent'].map((name) =>"
        " [name, getComputedStyle(document.documentElement).getPropertyValue('--' + name)]))"
    )
    light = {name: _luminance(colour) for name, colour in colours.items()}
    assert (light["paper"] < light["ink"]) == dark
    for ground in ("paper", "raised", "tint"):
        for text in ("ink", "muted", "accent"):
            high, low = sorted((light[ground], light[text]), reverse=True)
            assert (high + 0.05) / (low + 0.05) >= 4.5, (text, ground)  # WCAG 2.2, 1.4.3


def _luminance(colour: str) -> float:
    """Relative luminance of ``#rrggbb`` as WCAG 2.2 defines it."""
    value = np.array([int(colour.strip()[i : i + 2], 16) for i in (1, 3, 5)]) / 255
    linear = np.where(value <= 0.04045, value / 12.92, ((value + 0.055) / 1.055) ** 2.4)
    return float(linear @ [0.2126, 0.7152, 0.0722])


TABLE = "[...document.querySelectorAll('table.sortable')][1]"
"""The comparison; the summary stands before it."""

COMPARISON = f"""(() => {{
    const table = {TABLE};
    const heads = [...table.tHead.rows[table.tHead.rows.length - 1].cells];
    return {{
        names: [...table.tBodies[0].rows].map((row) => row.querySelector(".name").textContent),
        sorted: heads.map((head) => head.getAttribute("aria-sort")),
        heads: heads.map((head) => head.textContent),
    }};
}})()"""


def test_sorting_by_click_and_by_key(browser: Browser, report: Path) -> None:
    browser.open(report)
    before = browser.run(COMPARISON)
    column = before["heads"].index("mean")
    head = f"{TABLE}.tHead.rows[1].cells[{column}].querySelector('button')"
    assert set(before["sorted"]) == {"none"}
    browser.run(f"{head}.click()")
    best_first = browser.run(COMPARISON)
    assert best_first["names"] == ["degraded input", "cmc", HOSTILE, "finetune", LONG]
    assert best_first["sorted"] == ["descending" if i == column else "none" for i in range(len(before["heads"]))]
    browser.run(f"{head}.focus()")
    browser.press("Enter", 13, text="\r")
    worst_first = browser.run(COMPARISON)
    assert worst_first["names"] == ["degraded input", LONG, "finetune", HOSTILE, "cmc"]
    assert worst_first["sorted"][column] == "ascending"
    browser.run(f"{TABLE}.tHead.rows[1].cells[0].querySelector('button').click()")
    by_name = browser.run(COMPARISON)
    assert by_name["names"] == ["degraded input", HOSTILE, LONG, "cmc", "finetune"]
    assert by_name["sorted"].count("none") == len(by_name["sorted"]) - 1


def test_the_first_click_puts_the_best_on_top(browser: Browser, report: Path) -> None:
    browser.open(report)
    column = browser.run(COMPARISON)["heads"].index("forgetting")
    browser.run(f"{TABLE}.tHead.rows[1].cells[{column}].querySelector('button').click()")
    after = browser.run(COMPARISON)
    assert after["sorted"][column] == "ascending"  # less is better
    assert set(after["names"][-2:]) == {"finetune", LONG}


COMPARE = """(() => {
    const compare = document.querySelector(".compare");
    const shown = (place) => compare.querySelector(place + " use").getAttribute("href");
    const frames = [...compare.querySelectorAll(".moments:not([hidden]) .frame")];
    const [task, image, strategy] = [...compare.querySelectorAll("select")];
    return {
        hidden: compare.hidden,
        chosen: [task.value, image.value, strategy.value],
        offered: [task, image, strategy].map((select) => [...select.options].map((option) => option.value)),
        shown: [shown(".before"), shown(".after"), shown(".clean"), shown(".error")],
        frames: frames.map((frame) => frame.innerText.trim()),
        captions: [...compare.querySelectorAll(".captions p")].map((caption) => caption.innerText),
        cut: getComputedStyle(compare.querySelector(".before")).clipPath,
    };
})()"""


def test_the_slider_moves_by_key(browser: Browser, report: Path) -> None:
    browser.open(report)
    assert "50%" in browser.run(COMPARE)["cut"]
    browser.run("document.querySelector('.compare input').focus()")
    for _ in range(10):
        browser.press("ArrowRight", 39)
    assert browser.run("document.querySelector('.compare input').value") == "60"
    assert "40%" in browser.run(COMPARE)["cut"]
    browser.press("Home", 36)
    assert "100%" in browser.run(COMPARE)["cut"]


def test_the_slider_moves_by_pointer(browser: Browser, report: Path) -> None:
    browser.open(report)
    browser.run("document.querySelector('.compare').scrollIntoView({behavior: 'instant', block: 'center'})")
    box = browser.run("document.querySelector('.before').getBoundingClientRect().toJSON()")
    at = {"x": box["left"] + 0.75 * box["width"], "y": box["top"] + 0.5 * box["height"], "button": "left"}
    browser.send("Input.dispatchMouseEvent", type="mousePressed", clickCount=1, **at)
    browser.send("Input.dispatchMouseEvent", type="mouseReleased", clickCount=1, **at)
    assert browser.run("document.querySelector('.compare input').value") == "75"


def test_choosing_what_is_compared(browser: Browser, report: Path, group: Group) -> None:
    strips = album.album(album.scenes(group), budget=10**7).strips[group.key]
    browser.open(report)
    first = browser.run(COMPARE)
    assert not first["hidden"]
    assert first["chosen"] == ["derain", "chelsea", HOSTILE]
    assert first["offered"] == [ORDER, ["chelsea", "china"], sorted(["cmc", "finetune", HOSTILE, LONG])]
    for index, steps in ((2, sorted([HOSTILE, LONG, "cmc", "finetune"]).index("finetune")), (1, 1), (0, 1)):
        browser.run(f"document.querySelectorAll('.compare select')[{index}].focus()")
        for _ in range(steps):
            browser.press("ArrowDown", 40)
    second = browser.run(COMPARE)
    assert second["chosen"] == ["denoise", "china", "finetune"]
    strip = strips["denoise"][1]
    expected = {p.label: p for p in strip.pictures}
    wholes = [f"#{expected[label].whole}" for label in ("degraded", "finetune", "clean")]
    assert second["shown"] == [*wholes, f"#{expected['finetune'].error}"]
    assert second["shown"][1] != first["shown"][1]
    assert f"{expected['finetune'].psnr:.2f} dB" in second["captions"][1]
    assert second["captions"][2] == "error of finetune"
    assert "reference" in second["captions"][3]
    assert [text.split()[:2] for text in first["frames"]] == [["after", task] for task in ORDER]
    assert [text.split()[1] for text in second["frames"]] == ["denoise", "deblur"]
    assert browser.complaints() == []


def test_only_what_there_is_can_be_chosen(browser: Browser, tmp_path: Path) -> None:
    first, second = made_run(tmp_path / "runs"), made_run(tmp_path / "runs", "finetune", keeps=False)
    for kind in ("clean", "degraded", "final"):
        for run in (first, second):
            run.image("denoise", "chelsea", kind).unlink()
    second.image("denoise", "china", "final").unlink()
    browser.open(reports.build([tmp_path / "runs"], tmp_path / "out").index)
    browser.run("document.querySelector('.compare select').focus()")
    browser.press("ArrowDown", 40)
    denoise = browser.run(COMPARE)
    assert denoise["chosen"] == ["denoise", "china", "cmc"]
    assert denoise["offered"] == [ORDER, ["china"], ["cmc"]]
    assert browser.run("document.querySelector('.strip[data-task=denoise] .quiet').textContent").endswith("finetune")
    assert browser.complaints() == []


def test_pictures_can_be_decoded(browser: Browser, report: Path) -> None:
    browser.open(report)
    sizes = browser.run(
        "Promise.all([...document.querySelectorAll('svg.album image')].map(async (image) => {"
        " const copy = new Image(); copy.src = image.getAttribute('href'); await copy.decode();"
        " return [copy.width, copy.height].join() === [image.width, image.height].map("
        "   (side) => side.baseVal.value).join(); }))"
    )
    assert len(sizes) > 10
    assert all(sizes)


def test_the_first_tab_skips_to_the_results(browser: Browser, report: Path) -> None:
    browser.open(report)
    browser.press("Tab", 9)
    assert browser.run("document.activeElement.className") == "skip"
    assert browser.run("document.activeElement.getBoundingClientRect().width") > 50
    browser.press("Enter", 13, text="\r")
    assert browser.run("document.activeElement.id") == "results"


def test_focus_is_visible(browser: Browser, report: Path) -> None:
    browser.open(report)
    unseen = set()
    for _ in range(60):
        browser.press("Tab", 9)
        style = "(({outlineStyle, outlineWidth}) => outlineStyle !== 'none' && parseFloat(outlineWidth) >= 1)"
        if not browser.run(f"{style}(getComputedStyle(document.activeElement))"):
            unseen.add(browser.run("document.activeElement.outerHTML.slice(0, 80)"))
    assert not unseen


def test_without_script_everything_is_there_to_read(browser: Browser, report: Path) -> None:
    browser.open(report, script=False)
    assert browser.run("document.querySelector('.compare').hidden") is True
    assert browser.run("document.querySelectorAll('.strip').length") == 4 * len(ORDER)
    assert browser.run(f"{TABLE}.rows.length") == 2 + 5


def test_on_paper_all_is_open_and_nothing_is_to_click(browser: Browser, report: Path) -> None:
    browser.open(report, dark=True)
    folded = "document.querySelectorAll('details:not([open])').length"
    before = browser.run(folded)
    assert before > 5
    seen = (
        "addEventListener('beforeprint', () => { const shown = (selector) =>"
        " [...document.querySelectorAll(selector)].filter((element) => element.checkVisibility()).length;"
        f" window.printed = [{folded}, shown('select, input, nav a, .files a, .skip'),"
        " shown('.strip'), shown('.film')]; })"
    )
    browser.run(seen)
    browser.send("Emulation.setEmulatedMedia", media="print", features=[])
    browser.send("Page.printToPDF", preferCSSPageSize=True)
    assert browser.run("window.printed") == [0, 0, 2 * len(ORDER), 2 * (len(ORDER) - 1)], "one image of each task"
    assert browser.run(folded) == before


def test_nothing_is_cut_off_on_paper(browser: Browser, report: Path) -> None:
    browser.open(report, width=688)  # A4 with margins of 14 mm
    browser.run("document.querySelectorAll('details').forEach((details) => { details.open = true })")
    browser.send("Emulation.setEmulatedMedia", media="print", features=[])
    assert browser.run("document.documentElement.scrollWidth <= document.documentElement.clientWidth")
    ground = browser.run("getComputedStyle(document.body).backgroundColor")
    assert ground == "rgb(255, 255, 255)"
