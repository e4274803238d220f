"""The drift report: Perennial's page at once, and Evidently's plots under its scores."""

import json
import os
import re
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from core.metrics.class_rates import ClassRate
from tasks.reports.drift import DriftReport, ReportColumn, ReportFiles, report_column
from tasks.reports.drift_page import PREFIX, draw_plots, write_page
from tests.core.drift_samples import PREDICTION, TARGET
from tests.pages import Elements

HOSTILE = (
    "</script><script>document.title='pwned'</script>",
    '"><img src=x onerror="document.title=\'pwned\'">',
    "<a href='javascript:alert(1)'>$x$</a>{{7*7}}",
    "=cmd()|' /C calc'!A0 &lt;b&gt; %{x}",
    "bell\x07esc\x1b[31mrtl\u202e\u2028",
    "'quote' \"double\" `tick` \\ \\u003cscript>",
    "n" * 10_000,
)
FRAME = {"html", "head", "meta", "title", "style", "body", "div", "h1", "h2", "span", "p", "ul", "li", "svg", "path"}
FRAME |= {"table", "tr", "th", "td"}
needs_browser = pytest.mark.skipif(shutil.which("chromium") is None, reason="chromium is not installed")


def opened(page: Path) -> str:
    """Load a page in a headless browser and return its document after the scripts ran."""
    arguments = (
        "--headless=new --no-sandbox --disable-gpu --disable-background-networking --dump-dom "
        "--virtual-time-budget=8000 --window-size=1300,2000"
    )
    command = ["chromium", *arguments.split(), page.as_uri()]
    return subprocess.run(command, capture_output=True, text=True, check=True, timeout=120).stdout


def _hostile_frame(seed: int, n: int = 400) -> pd.DataFrame:
    rng = np.random.default_rng(seed)
    frame = pd.DataFrame({name: rng.choice(np.array(HOSTILE, dtype=object), n) for name in HOSTILE})
    return frame.assign(**{HOSTILE[1]: rng.normal(size=n), "index": rng.normal(size=n), "per": rng.normal(size=n)})


@pytest.fixture(scope="module")
def hostile_report() -> DriftReport:
    """Report whose title, notes, columns and levels are all attacks."""
    columns = [
        ReportColumn(name, "numeric" if name in (HOSTILE[1], "index", "per") else "levels", 0.4321, 0.1, True, name)
        for name in (*HOSTILE, "index", "per")
    ]
    return DriftReport(
        _hostile_frame(1),
        _hostile_frame(2),
        columns,
        0,
        title=f"drift {HOSTILE[0]}",
        notes=HOSTILE,
        command=f"perennial report {HOSTILE[0]}",
    )


@pytest.fixture(scope="module")
def hostile(hostile_report: DriftReport, tmp_path_factory: pytest.TempPathFactory) -> ReportFiles:
    """Its page with Evidently's plots."""
    return draw_plots(hostile_report, tmp_path_factory.mktemp("hostile") / "reports")


@pytest.fixture(scope="module")
def hostile_page(hostile_report: DriftReport, tmp_path_factory: pytest.TempPathFactory) -> ReportFiles:
    """Its page without them."""
    return write_page(hostile_report, tmp_path_factory.mktemp("hostile") / "reports")


@pytest.fixture(scope="module")
def odd(tmp_path_factory: pytest.TempPathFactory) -> ReportFiles:
    """Report of columns that Evidently alone would stumble over, and of ordinary ones."""
    rng = np.random.default_rng(4)
    n = 300
    reference = pd.DataFrame(
        {
            "plain": rng.normal(size=n),
            "gone": rng.normal(size=n),
            "bare": np.nan,
            "constant": 5.0,
            "infinite": np.where(np.arange(n) % 3 == 0, np.inf, rng.normal(size=n)),
            "huge": rng.normal(size=n) * 1e306,
            "count": pd.array([None, *range(1, n)], dtype="Int64"),
            "owner": pd.array(rng.random(n) < 0.5, dtype="boolean"),
            "region": pd.Series(rng.choice(["north", "south"], n)).where(rng.random(n) < 0.9),
            "id": [f"{number}" for number in range(n)],
            "since": pd.Timestamp("2024-01-01") + pd.to_timedelta(np.arange(n), unit="D"),
            "until": pd.Series(np.resize(np.array(["9999-12-31", "0001-01-01", "2025-05-05"], "M8[us]"), n)),
        }
    )
    current = reference.iloc[:1].assign(gone=np.nan, since=pd.Series(dtype="datetime64[ns]")).drop(columns="region")
    kinds: dict[str, Any] = {"owner": "levels", "region": "levels", "id": "levels", "since": "dates", "until": "dates"}
    scores = {"plain": float("nan"), "gone": 4.0, "constant": 0.7}
    columns = [
        ReportColumn(name, kinds.get(name, "numeric"), scores.get(name, 0.02), 0.1, name == "gone")
        for name in map(str, reference)
    ]
    columns[1] = replace(columns[1], missing_reference=0.25)
    return draw_plots(DriftReport(reference, current, columns, 0), tmp_path_factory.mktemp("odd"))


def _content(files: ReportFiles) -> dict[str, Any]:
    text = files.json.read_text(encoding="utf-8")
    assert "NaN" not in text
    content: dict[str, Any] = json.loads(text)
    return content


def test_nothing_but_the_two_files_is_left(hostile: ReportFiles) -> None:
    """The folder is made, and the temporary files are gone."""
    assert set(hostile.html.parent.iterdir()) == {hostile.html, hostile.json}


def test_no_word_of_data_reaches_the_page_as_markup(hostile: ReportFiles) -> None:
    """Outside of Evidently's own program the page has our elements alone, and in the data no `<` at all."""
    page = hostile.html.read_text(encoding="utf-8")
    data, bridge, _, start = re.findall(r"<script>(.*?)</script>", page, re.DOTALL)
    assert "<" not in data + bridge + start
    _assert_plain(re.sub(r"<script>.*?</script>", "", page, flags=re.DOTALL), FRAME)


def test_no_word_of_data_reaches_our_own_page_as_markup(hostile_page: ReportFiles) -> None:
    """The page that is there at once has no script at all; levels in its figures are text."""
    page = hostile_page.html.read_text(encoding="utf-8")
    assert "script-src &#39;none&#39;" in page
    _assert_plain(page, FRAME | {"figure", "figcaption", "g", "rect", "text", "code"})
    assert "<" not in hostile_page.json.read_text(encoding="utf-8")


def _assert_plain(page: str, tags: set[str]) -> None:
    elements = Elements(page)
    assert set(elements.tags) <= tags
    assert not [name for name, _ in elements.attributes if name.startswith("on") or name in ("href", "src", "style")]
    for attack in HOSTILE[:2]:
        assert attack not in page
    assert "n" * 1500 not in page
    assert not any(unseen in page.replace("\\u2028", "") for unseen in ("\x07", "\x1b", "\u202e"))
    assert HOSTILE[3] in elements.text


def test_the_json_keeps_the_true_names(hostile: ReportFiles) -> None:
    """A program that reads it finds the columns of the data; a page that shows it finds no tag."""
    names = {metric["config"]["column"] for metric in _content(hostile)["metrics"]}
    assert names == {*HOSTILE, "index", "per"}
    assert "<" not in hostile.json.read_text(encoding="utf-8")


@needs_browser
@pytest.mark.slow
def test_a_browser_draws_the_plots_and_runs_nothing_of_the_data(hostile: ReportFiles) -> None:
    """Every column has its figure; no attack made an element, an address or another title."""
    document = re.sub(r"<script>.*?</script>", "", opened(hostile.html), flags=re.DOTALL)
    elements = Elements(document)
    assert document.count("<title>drift &lt;/script&gt;") == 1
    assert elements.attributes.count(("class", "barlayer mlayer")) == len(HOSTILE) + 2
    assert "img" not in elements.tags
    assert not [name for name, _ in elements.attributes if name.startswith("on")]
    addresses = {value for name, value in elements.attributes if name in ("href", "src", "xlink:href") and value}
    assert not [address for address in addresses if "javascript" in address or address == "x"]
    assert elements.text.count("Data drift detected. Drift detection method: Perennial PSI. Drift score: 0.432") == 9


@needs_browser
@pytest.mark.slow
def test_a_script_that_got_into_the_page_would_not_run(hostile: ReportFiles, tmp_path: Path) -> None:
    """The page names the scripts that may run, so that escaping is not the only wall."""
    attack = "<script>document.title='pwned'</script><img src=x onerror=\"document.title='pwned'\"></body>"
    page = tmp_path / "attacked.html"
    page.write_text(hostile.html.read_text(encoding="utf-8").replace("</body>", attack), encoding="utf-8")
    document = opened(page)
    assert "<title>pwned" not in document
    assert "barlayer" in document


def test_scores_and_verdicts_are_repeated_whatever_the_rows_say(odd: ReportFiles) -> None:
    """Evidently's numbers and tests are the engine's; drifted columns come first, an unknown score stays unknown."""
    content = _content(odd)
    told = {metric["config"]["column"]: metric["value"] for metric in content["metrics"]}
    assert told["constant"] == 0.7
    assert told["plain"] is None
    assert {test["status"] for test in content["tests"]} == {"SUCCESS"}
    assert [row["name"] for row in content["perennial"]["columns"]][:2] == ["gone", "constant"]


def test_columns_that_cannot_be_drawn_are_still_reported(odd: ReportFiles) -> None:
    """All null on a side, absent or a date: in the table with its reason, and the other columns are plotted."""
    content = _content(odd)
    table = {row["name"]: row for row in content["perennial"]["columns"]}
    assert (table["gone"]["missing_reference"], table["gone"]["missing"]) == (0.25, 1.0)
    remarks = {row["name"]: row["remarks"] for row in content["perennial"]["columns"]}
    assert remarks["gone"] == remarks["since"] == remarks["region"] == ["not drawn: no value in the current rows"]
    assert remarks["bare"] == ["not drawn: no value in the reference and in the current rows"]
    assert remarks["infinite"] == [
        "not drawn: no finite value in the current rows",
        "infinite values are not drawn (101)",
    ]
    plotted = {metric["config"]["column"] for metric in content["metrics"]}
    assert plotted == {"plain", "constant", "huge", "owner", "id"}
    text = Elements(odd.html.read_text(encoding="utf-8")).text
    assert "1 of 12 columns drifted" in text
    assert "300 reference rows and 1 current row." in text
    assert all(name in text for name in remarks)


def test_an_empty_window_has_a_page_and_a_sample_is_owned_up_to(tmp_path: Path) -> None:
    """Without current rows there are no plots and no script; of many rows 20,000 are drawn and the page says so."""
    reference = pd.DataFrame({"x": np.arange(20_001.0)})
    columns = [ReportColumn("x", "numeric", float("nan"), 0.1, False)]
    report = DriftReport(reference, reference[:0], columns, 0, title="credit", notes=["The window is empty."])
    files = draw_plots(report, tmp_path)
    text = Elements(files.html.read_text(encoding="utf-8")).text
    assert "20,000 of 20,001 reference rows (sampled with a fixed seed) and 0 current rows" in text
    assert "No plots: no column has values in both" in text
    assert "The window is empty." in text
    assert "<script" not in files.html.read_text(encoding="utf-8")
    assert _content(files)["metrics"] == []


def test_a_class_that_drifted_by_its_ratio_is_told_with_it_and_with_the_verdict(tmp_path: Path) -> None:
    """The rate, ratio and interval stand beside the small PSI; status, reasons and the predictions are on the page."""
    rate = ClassRate("1", 0.0081, 0.0047, 1.71, 1.11, 2.63, 0.9967, 1.25)
    drifted = replace(TARGET, psi=0.002, bound=0.02, drifted=True, rate=rate)
    columns = [report_column(drifted, "is_fraud", "the target"), report_column(PREDICTION, "(prediction)", "")]
    frame = pd.DataFrame({"is_fraud": ["0", "1"] * 20})
    notes = ["Reason 1 <b>", "A note."]
    reasons = ["Reason 1 <b>", "Reason 2"]
    report = DriftReport(frame, frame[:0], columns, 0, title="txn", notes=notes, status="watch", reasons=reasons)
    files = write_page(report, tmp_path)
    page = files.html.read_text(encoding="utf-8")
    text = Elements(re.sub(r"<script>.*?</script>", "", page, flags=re.DOTALL)).text
    assert "txn watch 1 of 2 columns drifted" in " ".join(text.split())
    assert "ratio 1.71 (99.67 % interval 1.11 to 2.63; 0.8 to 1.25 is small)" in text
    assert "Classes have also drifted if the rate of one changed" in text
    assert 'class="number score"' not in page
    assert [text.count(note) for note in (*notes, "Reason 2")] == [1, 1, 1]
    assert "not drawn: the reference has only its bins" in text
    content = _content(files)["perennial"]
    assert content["verdict"] == {"status": "watch", "reasons": ["Reason 1 <b>", "Reason 2"]}
    assert content["notes"] == notes


def test_what_killed_processes_left_is_removed_after_a_day(tmp_path: Path) -> None:
    """Another run of the same decision may be at work in the folder: what is young stays."""
    old, young = (tmp_path / f"{PREFIX}{age}" for age in ("old", "young"))
    for folder in (old, young):
        folder.mkdir()
    os.utime(old, (0, 0))
    frame = pd.DataFrame({"x": [1.0]})
    write_page(DriftReport(frame[:0], frame, [ReportColumn("x", "numeric", 0.0, 0.1, False)], 0), tmp_path)
    assert (old.exists(), young.exists()) == (False, True)


def _two_samples() -> DriftReport:
    rng = np.random.default_rng(3)
    reference = pd.DataFrame({"x": rng.normal(size=300), "level": rng.choice(["a", "b", "c"], 300)})
    current = reference.assign(x=reference["x"] + 1)
    columns = [
        ReportColumn("x", "numeric", 0.31, 0.1, drifted=True),
        ReportColumn("level", "levels", 0.0, 0.1, drifted=False),
    ]
    return DriftReport(reference, current, columns, 0, status="drift", command="perennial report credit 3f2a91")


def test_our_page_has_the_figures_and_names_the_command_for_the_plots(tmp_path: Path) -> None:
    """One figure per column in the order of the table, no script; the command is on the page and not in the JSON."""
    files = write_page(_two_samples(), tmp_path)
    page = files.html.read_text(encoding="utf-8")
    assert page.count('<svg class="figure"') == 2
    assert '<figure class="drifted"><figcaption>x</figcaption>' in page
    assert "<code>perennial report credit 3f2a91</code>" in page
    assert "<script" not in page
    content = _content(files)
    assert (content["metrics"], content["tests"]) == ([], [])
    assert "command" not in content["perennial"]


def test_the_plots_take_the_place_of_the_figures_and_change_no_number(tmp_path: Path) -> None:
    """Under the same names; the table in the JSON is the same."""
    before = _content(write_page(_two_samples(), tmp_path))
    files = draw_plots(_two_samples(), tmp_path)
    page = files.html.read_text(encoding="utf-8")
    assert "<script" in page
    assert '<svg class="figure"' not in page
    assert "perennial report" not in page
    assert _content(files)["perennial"] == before["perennial"]
    assert {metric["config"]["column"] for metric in _content(files)["metrics"]} == {"x", "level"}


@pytest.mark.parametrize("name", ["drift.json", "drift.html"])
def test_a_process_killed_while_it_writes_leaves_the_page_from_before(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """At any file: each one is whole, and the next attempt replaces both."""
    write_page(_two_samples(), tmp_path)
    before = (tmp_path / name).read_bytes()
    write = Path.write_text

    def killed(path: Path, *arguments: Any, **options: Any) -> int:
        written = write(path, *arguments, **options)
        if path.name == name:
            path.write_bytes(path.read_bytes()[:100])
            raise KeyboardInterrupt
        return written

    with monkeypatch.context() as patch:
        patch.setattr(Path, "write_text", killed)
        with pytest.raises(KeyboardInterrupt):
            draw_plots(_two_samples(), tmp_path)
    assert (tmp_path / name).read_bytes() == before
    draw_plots(_two_samples(), tmp_path)
    assert (tmp_path / name).read_bytes() != before
    assert len(list(tmp_path.iterdir())) == 2


def test_importing_what_writes_the_page_loads_no_library_for_plots() -> None:
    """Neither Evidently nor plotly nor matplotlib."""
    code = (
        "import sys; import tasks.reports.drift_page; "
        "sys.exit(' '.join({'evidently', 'plotly', 'matplotlib', 'sklearn', 'mlflow'} & set(sys.modules)) or 0)"
    )
    root = Path(__file__).resolve().parents[3]
    assert subprocess.run([sys.executable, "-c", code], cwd=root, check=False).returncode == 0
