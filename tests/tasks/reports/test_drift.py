"""The drift report: Evidently's plots under Perennial's scores."""

import json
import os
import re
import shutil
import subprocess
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from core.errors import PerennialError, StorageError
from core.metrics.class_rates import ClassRate
from tasks.reports.drift import PREFIX, DriftReport, ReportColumn, ReportFiles, report_column
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
def hostile(tmp_path_factory: pytest.TempPathFactory) -> ReportFiles:
    """Report whose title, notes, columns and levels are all attacks."""
    columns = [
        ReportColumn(name, "numeric" if name in (HOSTILE[1], "index", "per") else "levels", 0.4321, 0.1, True, name)
        for name in (*HOSTILE, "index", "per")
    ]
    folder = tmp_path_factory.mktemp("hostile") / "reports"
    title = f"drift {HOSTILE[0]}"
    return DriftReport(_hostile_frame(1), _hostile_frame(2), columns, folder, 0, HOSTILE, title).finish()


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
    return DriftReport(reference, current, columns, tmp_path_factory.mktemp("odd"), 0).finish()


def _content(files: ReportFiles) -> dict[str, Any]:
    text = files.json.read_text(encoding="utf-8")
    assert "NaN" not in text
    content: dict[str, Any] = json.loads(text)
    return content


def test_nothing_but_the_two_files_is_left(hostile: ReportFiles) -> None:
    """The folder is made, and what the process worked with is gone."""
    assert set(hostile.html.parent.iterdir()) == {hostile.html, hostile.json}


def test_no_word_of_data_reaches_the_page_as_markup(hostile: ReportFiles) -> None:
    """Outside of Evidently's own program the page has our elements alone, and in the data no `<` at all."""
    page = hostile.html.read_text(encoding="utf-8")
    data, bridge, _, start = re.findall(r"<script>(.*?)</script>", page, re.DOTALL)
    assert "<" not in data + bridge + start
    elements = Elements(re.sub(r"<script>.*?</script>", "", page, flags=re.DOTALL))
    frame = {"html", "head", "meta", "title", "style", "body", "div"}
    assert set(elements.tags) <= frame | {"h1", "h2", "span", "p", "ul", "li", "table", "tr", "th", "td", "svg", "path"}
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
    files = DriftReport(reference, reference[:0], columns, tmp_path, 0, ["The window is empty."], "credit").finish()
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
    report = DriftReport(frame, frame[:0], columns, tmp_path, 0, notes, "txn")
    files = report.finish("watch", ["Reason 1 <b>", "Reason 2"])
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
    DriftReport(frame[:0], frame, [ReportColumn("x", "numeric", 0.0, 0.1, False)], tmp_path, 0).finish()
    assert (old.exists(), young.exists()) == (False, True)


def test_a_failure_is_told_with_the_words_of_its_process(tmp_path: Path) -> None:
    """The end of what it printed is in the error, and no half page is left."""
    frame = pd.DataFrame({"x": [1.0, 2.0]})
    folder = tmp_path / "missing"
    report = DriftReport(frame, frame, [ReportColumn("x", "numeric", 0.0, 0.1, False)], folder, 0)
    next(folder.glob(".drift-*/facts.json")).write_text("{")
    for _ in range(2):  # a step that is tried again asks once more
        with pytest.raises(PerennialError, match=r"(?s)drift report \(exit 1\).*JSONDecodeError"):
            report.finish()
    assert list(folder.iterdir()) == []


def test_a_process_that_ends_without_a_word_is_a_failure_of_storage(tmp_path: Path) -> None:
    """On a full disk it cannot write why; a report that was finished is returned again."""
    frame = pd.DataFrame({"x": [1.0, 2.0]})
    column = ReportColumn("x", "numeric", 0.0, 0.1, False)
    report = DriftReport(frame, frame, [column], tmp_path / "killed", 0)
    report._process.kill()
    with pytest.raises(StorageError, match=r"could not write why.*run the same command again"):
        report.finish()
    report = DriftReport(frame, frame, [column], tmp_path / "sound", 0)
    assert report.finish() == report.finish()
